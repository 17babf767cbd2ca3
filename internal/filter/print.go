package filter

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// String returns "*" or "-*".
func (x Constant) String() string {
	if x == All {
		return "*"
	}
	return "-*"
}

// String returns the query text.
func (x Conjunction) String() string { return joinText(x, " ", All) }

// String returns the query text.
func (x Disjunction) String() string { return joinText(x, " OR ", None) }

// String returns the query text.
func (x Negation) String() string { return "-" + nestedText(x.X) }

// String returns the query text.
func (w Word) String() string { return quoted(string(w)) }

// String returns the query text.
func (c Comparison) String() string {
	var b strings.Builder
	b.WriteString(fieldText(c.Field))
	if c.Fold {
		b.WriteString("|i")
	}
	switch {
	case c.Op == OpRegex:
		b.WriteString("|re")
	case c.Op == OpFieldRef:
		b.WriteString("|fieldref")
	case c.Op == OpEqual && c.Field == "message":
		b.WriteString("|eq")
	}
	b.WriteByte(':')
	values := c.Values
	if c.Op == OpExists {
		values = []string{""}
	}
	if len(values) != 1 {
		b.WriteByte('(')
	}
	for i, value := range values {
		if i > 0 {
			b.WriteString(" OR ")
		}
		b.WriteString(valueText(c.Op, value))
	}
	if len(values) != 1 {
		b.WriteByte(')')
	}
	return b.String()
}

func joinText(parts []Expr, operator string, empty Constant) string {
	if len(parts) == 0 {
		return empty.String()
	}
	texts := make([]string, len(parts))
	for i, part := range parts {
		texts[i] = nestedText(part)
	}
	return strings.Join(texts, operator)
}

// nestedText puts what consists of several parts in parentheses.
func nestedText(x Expr) string {
	switch x := x.(type) {
	case nil:
		return All.String()
	case Conjunction, Disjunction:
		return "(" + x.String() + ")"
	}
	return x.String()
}

func fieldText(name string) string {
	if key, ok := strings.CutPrefix(name, metadataPrefix); ok && (!isBare(key) || strings.Contains(key, ":")) {
		return metadataPrefix + quote(key)
	}
	return name
}

func valueText(op Op, value string) string {
	switch op {
	case OpExists:
		return "*"
	case OpPrefix:
		return quoted(value) + "*"
	case OpSuffix:
		return "*" + quoted(value)
	case OpContains:
		return "*" + quoted(value) + "*"
	case OpWildcard:
		var b strings.Builder
		for _, part := range parsePattern(value) {
			if part.wild != 0 {
				b.WriteByte(part.wild)
			} else {
				b.WriteString(quoted(part.lit))
			}
		}
		return b.String()
	case OpRegex:
		return `"` + strings.ReplaceAll(value, `"`, `\"`) + `"`
	case OpFieldRef:
		return fieldText(value)
	case OpLess:
		return "<" + quoted(value)
	case OpLessEqual:
		return "<=" + quoted(value)
	case OpGreater:
		return ">" + quoted(value)
	case OpGreaterEqual:
		return ">=" + quoted(value)
	}
	return quoted(value)
}

// quoted returns s as it stands if it cannot be taken for anything else, else in quotes.
func quoted(s string) string {
	if isBare(s) {
		return s
	}
	return quote(s)
}

// isBare says whether s needs no quotes.
func isBare(s string) bool {
	switch s {
	case "", "AND", "OR", "NOT", "TO":
		return false
	}
	for i, r := range s {
		switch {
		case r == utf8.RuneError, s[0] == '-' && i == 0:
			return false
		case unicode.IsLetter(r), unicode.IsDigit(r), strings.ContainsRune("_-./@:+", r):
		default:
			return false
		}
	}
	return true
}

// quote returns s in quotes. Control characters and bytes that are not UTF-8 become \%HH.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case unicode.IsControl(r) || r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\%%%02X`, s[i])
			size = 1 // a control character beyond ASCII goes byte by byte: its second byte is not UTF-8
		default:
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	b.WriteByte('"')
	return b.String()
}
