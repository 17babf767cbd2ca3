package filter

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/audittrail/audittrail/internal/suggest"
	"github.com/audittrail/audittrail/schemas/audit"
)

// Equal holds when the field has one of the values. On an address field a value may be a network, on a time field a day, hour or minute; a name of
// the first product (FAILED_LOGIN) as action stands for its action and outcomes; "" asks for absence. The error is an *Error.
func Equal(field string, values ...string) (Expr, error) {
	return Compare(field, OpEqual, false, values...)
}

// CIDR holds when the address field lies in one of the networks; an address is a network of one.
func CIDR(field string, networks ...string) (Expr, error) {
	return Compare(field, OpCIDR, false, networks...)
}

// Exists holds when the field is not absent.
func Exists(field string) (Expr, error) {
	return Compare(field, OpExists, false)
}

// TimeRange holds when the event's time lies in [from, to). A zero time leaves that side open.
func TimeRange(from, to time.Time) Expr {
	x := Expr(All)
	if !from.IsZero() {
		x = And(x, timeFrom(ceilMicro(from)))
	}
	if !to.IsZero() {
		x = And(x, timeBefore(ceilMicro(to)))
	}
	return x
}

// Words holds when the message has every word of text, in any order. What stands in a word besides letters and digits must be in the message as
// well: "10.0.0.1" finds that address, not just its numbers.
func Words(text string) Expr {
	x := Expr(All)
	for part := range strings.FieldsSeq(text) {
		x = And(x, phrase(part))
	}
	return x
}

// phrase holds when the message has the words of text and, unless text is just one word, text as it stands.
func phrase(text string) Expr {
	x, whole := Expr(All), false
	for word := range words(text) {
		x = And(x, Word(word))
		whole = len(word) == len(text)
	}
	if whole || text == "" {
		return x
	}
	return And(x, foldable(Comparison{Field: "message", Op: OpContains, Fold: true, Values: []string{text}}))
}

// Compare holds when the field compares true with one of the values; fold ignores case. What the kind of the field does not allow and values that
// cannot be read are refused with an *Error. The result is in normal form, and need not be one Comparison: see Equal and OpWildcard, whose pattern
// "abc*" becomes a prefix.
func Compare(field string, op Op, fold bool, values ...string) (Expr, error) {
	f, err := Lookup(field)
	if err != nil {
		return nil, err
	}
	if op == OpExists {
		return f.exists(), nil
	}
	if len(values) == 0 {
		return nil, fieldError(field, "no value to compare with")
	}
	terms := make([]Expr, len(values))
	for i, value := range values {
		if terms[i], err = f.compare(op, fold, value); err != nil {
			return nil, err
		}
	}
	return anyOf(terms), nil
}

// anyOf joins alternatives for one field: those that compare in the same way become one Comparison, in the place of the first of them.
func anyOf(terms []Expr) Expr {
	var merged []Expr
	for _, term := range terms {
		c, ok := term.(Comparison)
		if !ok || c.Op >= OpLess && c.Op <= OpGreaterEqual {
			merged = append(merged, term)
			continue
		}
		i := slices.IndexFunc(merged, func(x Expr) bool {
			first, ok := x.(Comparison)
			return ok && first.Field == c.Field && first.Op == c.Op && first.Fold == c.Fold
		})
		if i < 0 {
			merged = append(merged, term)
			continue
		}
		first := merged[i].(Comparison)
		for _, value := range c.Values {
			if !slices.Contains(first.Values, value) {
				first.Values = append(slices.Clip(first.Values), value)
			}
		}
		merged[i] = first
	}
	return Or(merged...)
}

// compare builds the comparison with one value.
func (f Field) compare(op Op, fold bool, value string) (Expr, error) {
	switch f.Kind {
	case KindTime:
		return f.compareTime(op, value)
	case KindNumber:
		return f.compareNumber(op, value)
	case KindIP:
		return f.compareIP(op, value)
	case KindEnum:
		if op == OpEqual || op >= OpLess && op <= OpGreaterEqual {
			return f.compareName(op, value)
		}
	}
	return f.compareText(op, fold, value)
}

func (f Field) exists() Expr {
	switch f.Kind {
	case KindTime, KindEnum:
		return All
	}
	name := f.Name
	if name == ipPrefixField {
		name = "source.ip"
	}
	return Comparison{Field: name, Op: OpExists}
}

func (f Field) is(op Op, values ...string) Expr {
	return Comparison{Field: f.Name, Op: op, Values: values}
}

func (f Field) compareText(op Op, fold bool, value string) (Expr, error) {
	switch op {
	case OpEqual:
		if f.Name == "action" {
			if x, ok := f.actionAlias(value, fold); ok {
				return x, nil
			}
		}
		if value == "" {
			return Not(f.exists()), nil
		}
	case OpPrefix, OpSuffix, OpContains:
		if value == "" { // all text has it
			return f.exists(), nil
		}
	case OpWildcard:
		return f.comparePattern(parsePattern(value), fold)
	case OpRegex:
		pattern, err := canonicalRegex(value, fold)
		if err != nil {
			return nil, fieldError(f.Name, "%v", err)
		}
		return f.is(OpRegex, pattern), nil
	case OpFieldRef:
		return f.compareField(fold, value)
	case OpCIDR:
		return nil, fieldError(f.Name, "is no address field, so no network can hold it")
	default:
		if !isDecimal(value) {
			return nil, fieldError(f.Name, "%s is no number such as -12.5 to order by", short(value))
		}
		if f.Kind == KindList {
			return nil, fieldError(f.Name, "is a list, which has no order")
		}
		return f.is(op, value), nil
	}
	return foldable(Comparison{Field: f.Name, Op: op, Fold: fold, Values: []string{value}}), nil
}

// foldable clears Fold where case makes no difference, so that an index can answer.
func foldable(c Comparison) Expr {
	if c.Fold && !slices.ContainsFunc(c.Values, hasCase) {
		c.Fold = false
	}
	return c
}

// actionAlias expands the names of the first product.
func (f Field) actionAlias(name string, fold bool) (Expr, bool) {
	action, outcomes, ok := audit.ActionAlias(name)
	if !ok {
		return nil, false
	}
	x := foldable(Comparison{Field: f.Name, Op: OpEqual, Fold: fold, Values: []string{action}})
	if len(outcomes) == 0 {
		return x, true
	}
	in := Comparison{Field: "outcome", Op: OpEqual}
	for _, outcome := range outcomes {
		in.Values = append(in.Values, outcome.String())
	}
	return And(x, in), true
}

// comparePattern chooses the simplest comparison that does what the pattern says: others can use an index.
func (f Field) comparePattern(p pattern, fold bool) (Expr, error) {
	if p.plain() {
		return f.compare(OpEqual, fold, p.literal())
	}
	if len(p) == 1 && p[0].wild == '*' {
		return f.exists(), nil
	}
	switch f.Kind {
	case KindTime, KindNumber, KindIP:
		return nil, fieldError(f.Name, "wildcards do not work on %s", f.Kind.noun())
	}
	first, last := p[0].wild == '*', p[len(p)-1].wild == '*'
	switch {
	case len(p) == 2 && p[0].wild == 0 && last:
		return f.compareText(OpPrefix, fold, p[0].lit)
	case len(p) == 2 && first && p[1].wild == 0:
		return f.compareText(OpSuffix, fold, p[1].lit)
	case len(p) == 3 && first && p[1].wild == 0 && last:
		return f.compareText(OpContains, fold, p[1].lit)
	}
	if len(p) > maxWildcardParts {
		return nil, fieldError(f.Name, "the pattern has more than %d parts", maxWildcardParts)
	}
	return foldable(Comparison{Field: f.Name, Op: OpWildcard, Fold: fold, Values: []string{p.String()}}), nil
}

func (f Field) compareField(fold bool, other string) (Expr, error) {
	g, err := Lookup(other)
	if err != nil {
		return nil, err
	}
	texts := f.text != nil && g.text != nil
	if !texts && (f.number == nil || g.number == nil) {
		return nil, fieldError(f.Name, "cannot be compared with %s: both have to be texts, or both numbers", g.Name)
	}
	return Comparison{Field: f.Name, Op: OpFieldRef, Fold: fold && texts, Values: []string{g.Name}}, nil
}

// compareName compares with one of a closed list of names; an order becomes the set of the names that fulfil it.
func (f Field) compareName(op Op, value string) (Expr, error) {
	at := slices.Index(f.Names, strings.ToLower(value))
	if at < 0 {
		e := fieldError(f.Name, "%s is none of %s", short(value), strings.Join(f.Names, ", "))
		e.Suggest = suggest.Nearest(strings.ToLower(value), f.Names)
		return nil, e
	}
	if op != OpEqual && !f.Ordered {
		return nil, fieldError(f.Name, "has no order: name the values")
	}
	names := f.Names
	switch op {
	case OpEqual:
		names = names[at : at+1]
	case OpLess:
		names = names[:at]
	case OpLessEqual:
		names = names[:at+1]
	case OpGreater:
		names = names[at+1:]
	case OpGreaterEqual:
		names = names[at:]
	}
	switch len(names) {
	case 0:
		return None, nil
	case len(f.Names):
		return All, nil
	}
	return f.is(OpEqual, slices.Clone(names)...), nil
}

func (f Field) compareNumber(op Op, value string) (Expr, error) {
	switch op {
	case OpFieldRef:
		return f.compareField(false, value)
	case OpWildcard:
		return f.comparePattern(parsePattern(value), false)
	case OpEqual, OpLess, OpLessEqual, OpGreater, OpGreaterEqual:
	default:
		return nil, fieldError(f.Name, "is a number: compare it with = < <= > >=")
	}
	if op == OpEqual && value == "" {
		return Not(f.exists()), nil
	}
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil {
		return nil, fieldError(f.Name, "%s is no whole number from 0 to 18446744073709551615", short(value))
	}
	if op == OpEqual && n == 0 {
		return Not(f.exists()), nil
	}
	return f.is(op, strconv.FormatUint(n, 10)), nil
}

func (f Field) compareIP(op Op, value string) (Expr, error) {
	switch op {
	case OpWildcard:
		return f.comparePattern(parsePattern(value), false)
	case OpEqual, OpCIDR:
	default:
		return nil, fieldError(f.Name, "is an address: compare it with addresses and networks such as 10.0.0.0/8")
	}
	network, err := parseNetwork(value)
	if err != nil {
		if op == OpEqual && value == "" {
			return Not(f.exists()), nil
		}
		return nil, fieldError(f.Name, "%s is neither an IP address nor a network such as 10.0.0.0/8", short(value))
	}
	if f.Name == ipPrefixField {
		f.Name = "source.ip"
		switch prefix := ipPrefix(network.Addr()); {
		case network.IsSingleIP():
			network = prefix
		case network.Bits() > prefix.Bits():
			return nil, fieldError(ipPrefixField, "%s is smaller than any prefix: they are /64 for IPv6", network)
		}
	}
	switch {
	case network == netip.PrefixFrom(netip.IPv6Unspecified(), 128):
		return Not(f.exists()), nil
	case network.IsSingleIP():
		return f.is(OpEqual, network.Addr().String()), nil
	}
	return f.is(OpCIDR, network.String()), nil
}

func (f Field) compareTime(op Op, value string) (Expr, error) {
	switch op {
	case OpWildcard:
		return f.comparePattern(parsePattern(value), false)
	case OpEqual, OpLess, OpLessEqual, OpGreater, OpGreaterEqual:
	default:
		return nil, fieldError(f.Name, "is a time: compare it with = < <= > >=")
	}
	start, end, ok := parseTime(value)
	if !ok {
		return nil, fieldError(f.Name, "%s is no time such as 2025-03-01, 2025-03-01T10:00 or 2025-03-01T10:00:00.5+02:00", short(value))
	}
	switch op {
	case OpLess:
		return timeBefore(start), nil
	case OpLessEqual:
		return timeBefore(end), nil
	case OpGreater:
		return timeFrom(end), nil
	case OpGreaterEqual:
		return timeFrom(start), nil
	}
	if start == end {
		return None, nil
	}
	return And(timeFrom(start), timeBefore(end)), nil
}

// timeFrom and timeBefore are the two comparisons that all with times come down to. Bounds beyond what can be written are open or never reached.
func timeFrom(micro int64) Expr {
	switch {
	case micro <= minMicro:
		return All
	case micro > maxMicro:
		return None
	}
	return Comparison{Field: "time", Op: OpGreaterEqual, Values: []string{formatMicro(micro)}}
}

func timeBefore(micro int64) Expr {
	switch {
	case micro <= minMicro:
		return None
	case micro > maxMicro:
		return All
	}
	return Comparison{Field: "time", Op: OpLess, Values: []string{formatMicro(micro)}}
}

func (k Kind) noun() string {
	switch k {
	case KindTime:
		return "a time"
	case KindNumber:
		return "a number"
	case KindIP:
		return "an address; write a network such as 10.0.0.0/8"
	}
	return fmt.Sprintf("kind %d", k)
}
