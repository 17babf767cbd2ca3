package filter

import (
	"regexp"
	"strings"
)

// pattern is a value with wildcards: literal pieces and wildcards in turn. No two literals and no two stars stand beside each other.
type pattern []part

// part is a literal, or a wildcard when wild is '*' or '?'.
type part struct {
	lit  string
	wild byte
}

// add appends a part, joining neighbours that are one.
func (p pattern) add(next part) pattern {
	if next.wild == 0 && next.lit == "" {
		return p
	}
	if len(p) > 0 {
		switch last := &p[len(p)-1]; {
		case last.wild == 0 && next.wild == 0:
			last.lit += next.lit
			return p
		case last.wild == '*' && next.wild == '*':
			return p
		}
	}
	return append(p, next)
}

// plain says that there is no wildcard.
func (p pattern) plain() bool { return len(p) == 0 || len(p) == 1 && p[0].wild == 0 }

// literal is the text of a plain pattern.
func (p pattern) literal() string {
	if len(p) == 0 {
		return ""
	}
	return p[0].lit
}

// parsePattern reads the value of OpWildcard: a backslash escapes the wildcards and itself, before anything else it is itself.
func parsePattern(s string) pattern {
	var p pattern
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '*' || c == '?':
			p = p.add(part{wild: c})
		case c == '\\' && i+1 < len(s) && strings.IndexByte(`*?\`, s[i+1]) >= 0:
			i++
			p = p.add(part{lit: s[i : i+1]})
		default:
			p = p.add(part{lit: s[i : i+1]})
		}
	}
	return p
}

// String is the inverse of parsePattern.
func (p pattern) String() string {
	var b strings.Builder
	for _, part := range p {
		if part.wild != 0 {
			b.WriteByte(part.wild)
			continue
		}
		for i := range len(part.lit) {
			if strings.IndexByte(`*?\`, part.lit[i]) >= 0 {
				b.WriteByte('\\')
			}
			b.WriteByte(part.lit[i])
		}
	}
	return b.String()
}

// regex returns the regular expression, in the syntax of parseRegex, of the whole value. With fold it is for a folded value.
func (p pattern) regex(fold bool) string {
	var b strings.Builder
	b.WriteByte('^')
	for _, part := range p {
		switch part.wild {
		case '*':
			b.WriteString(".*")
		case '?':
			b.WriteByte('.')
		default:
			lit := toValid(part.lit)
			if fold {
				lit = foldCase(lit)
			}
			b.WriteString(regexp.QuoteMeta(lit))
		}
	}
	b.WriteByte('$')
	return b.String()
}
