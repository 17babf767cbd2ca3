package filter

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/audittrail/audittrail/schemas/audit"
)

// Matcher evaluates a filter in memory. It is safe for concurrent use, and allocates nothing unless it has to fold text beyond ASCII.
type Matcher struct{ holds predicate }

type predicate func(e *audit.Event) bool

// Match says whether the filter holds for e.
func (m *Matcher) Match(e *audit.Event) bool { return m.holds(e) }

// Compile prepares a filter for matching. Only expressions that were not built by this package's functions can fail, with an *Error.
func Compile(expr Expr) (*Matcher, error) {
	holds, err := compile(expr)
	if err != nil {
		return nil, err
	}
	return &Matcher{holds}, nil
}

func compile(expr Expr) (predicate, error) {
	switch x := expr.(type) {
	case Constant:
		return func(*audit.Event) bool { return bool(x) }, nil
	case Conjunction:
		return compileJunction(x, false)
	case Disjunction:
		return compileJunction(x, true)
	case Negation:
		holds, err := compile(x.X)
		return func(e *audit.Event) bool { return !holds(e) }, err
	case Word:
		return compileWord(x)
	case Comparison:
		return compileComparison(x)
	}
	return nil, &Error{Msg: fmt.Sprintf("cannot evaluate an expression of type %T", expr)}
}

// compileJunction holds as soon as one part gives decisive, and gives the contrary when none does.
func compileJunction(parts []Expr, decisive bool) (predicate, error) {
	compiled := make([]predicate, len(parts))
	for i, part := range parts {
		var err error
		if compiled[i], err = compile(part); err != nil {
			return nil, err
		}
	}
	return func(e *audit.Event) bool {
		for _, holds := range compiled {
			if holds(e) == decisive {
				return decisive
			}
		}
		return !decisive
	}, nil
}

func compileWord(w Word) (predicate, error) {
	word := string(w)
	if !isWord(word) {
		return nil, &Error{Msg: short(word) + " is not one word"}
	}
	folded := foldCase(word)
	if isASCII(word) {
		return func(e *audit.Event) bool { return hasWord(e.Message, folded) }, nil
	}
	return func(e *audit.Event) bool {
		if isASCII(e.Message) {
			return hasWord(e.Message, folded)
		}
		return hasWord(foldCase(e.Message), folded)
	}, nil
}

func compileComparison(c Comparison) (predicate, error) {
	f, err := Lookup(c.Field)
	if err != nil {
		return nil, err
	}
	switch {
	case c.Op == OpFieldRef:
		return compileFieldRef(f, c)
	case f.Kind == KindTime:
		return compileTime(f, c)
	case f.Kind == KindIP:
		return compileIP(f, c)
	case f.Kind == KindNumber:
		return compileNumber(f, c)
	}
	test, err := textTest(f, c)
	if err != nil {
		return nil, err
	}
	if f.Kind == KindList {
		return func(e *audit.Event) bool { return f.list(e, test) }, nil
	}
	text := f.text
	return func(e *audit.Event) bool {
		s := text(e)
		return s != "" && test(s)
	}, nil
}

// manyValues is from when on a set is faster than looking at each value.
const manyValues = 8

// textTest is the comparison on a text that is not empty.
func textTest(f Field, c Comparison) (func(s string) bool, error) {
	values := c.Values
	if c.Fold {
		values = make([]string, len(c.Values))
		for i, v := range c.Values {
			values[i] = foldCase(v)
		}
	}
	pick := func(exact, fold func(s, value string) bool) (func(string) bool, error) {
		if c.Fold {
			exact = fold
		}
		return anyValue(values, exact), nil
	}
	switch c.Op {
	case OpExists:
		return func(string) bool { return true }, nil
	case OpEqual:
		if len(values) >= manyValues {
			return setTest(values, c.Fold), nil
		}
		return pick(func(s, value string) bool { return s == value }, equalFold)
	case OpPrefix:
		return pick(strings.HasPrefix, hasPrefixFold)
	case OpSuffix:
		return pick(strings.HasSuffix, hasSuffixFold)
	case OpContains:
		return pick(strings.Contains, containsFold)
	case OpWildcard, OpRegex:
		return regexTest(f, c)
	case OpLess, OpLessEqual, OpGreater, OpGreaterEqual:
		if f.Kind == KindList || slices.ContainsFunc(values, func(v string) bool { return !isDecimal(v) }) {
			break
		}
		return anyValue(values, func(s, value string) bool { return isDecimal(s) && c.Op.ordered(compareDecimals(s, value)) }), nil
	}
	return nil, fieldError(c.Field, "cannot be compared in this way")
}

func anyValue(values []string, test func(s, value string) bool) func(string) bool {
	if len(values) == 1 {
		value := values[0]
		return func(s string) bool { return test(s, value) }
	}
	return func(s string) bool {
		for _, value := range values {
			if test(s, value) {
				return true
			}
		}
		return false
	}
}

func setTest(values []string, fold bool) func(string) bool {
	set := make(map[string]struct{}, len(values))
	for _, value := range values {
		set[value] = struct{}{}
	}
	return func(s string) bool {
		if fold {
			s = foldCase(s)
		}
		_, ok := set[s]
		return ok
	}
}

// regexTest is for the comparisons that look at characters, so that bytes that are none have to be replaced first.
func regexTest(f Field, c Comparison) (func(string) bool, error) {
	var all []*regexp.Regexp
	for _, value := range c.Values {
		if c.Op == OpWildcard {
			value = parsePattern(value).regex(c.Fold)
		}
		re, err := regexp.Compile("(?s)" + value)
		if err != nil {
			return nil, fieldError(f.Name, "bad regular expression: %v", err)
		}
		all = append(all, re)
	}
	normal := toValid
	if c.Fold {
		normal = foldCase
	}
	return func(s string) bool {
		s = normal(s)
		return slices.ContainsFunc(all, func(re *regexp.Regexp) bool { return re.MatchString(s) })
	}, nil
}

func compileFieldRef(f Field, c Comparison) (predicate, error) {
	var tests []predicate
	for _, name := range c.Values {
		g, err := Lookup(name)
		if err != nil {
			return nil, err
		}
		switch {
		case f.text != nil && g.text != nil && c.Fold:
			tests = append(tests, func(e *audit.Event) bool { s := f.text(e); return s != "" && foldCase(s) == foldCase(g.text(e)) })
		case f.text != nil && g.text != nil:
			tests = append(tests, func(e *audit.Event) bool { s := f.text(e); return s != "" && s == g.text(e) })
		case f.number != nil && g.number != nil:
			tests = append(tests, func(e *audit.Event) bool { n := f.number(e); return n != 0 && n == g.number(e) })
		default:
			return nil, fieldError(f.Name, "cannot be compared with %s", g.Name)
		}
	}
	return anyPredicate(tests), nil
}

func compileNumber(f Field, c Comparison) (predicate, error) {
	number := f.number
	if c.Op == OpExists {
		return func(e *audit.Event) bool { return number(e) != 0 }, nil
	}
	if c.Op != OpEqual && !c.Op.isOrder() {
		return nil, fieldError(c.Field, "cannot be compared in this way")
	}
	var tests []predicate
	for _, value := range c.Values {
		bound, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			return nil, fieldError(f.Name, "%s is no whole number", short(value))
		}
		tests = append(tests, func(e *audit.Event) bool {
			n := number(e)
			return n != 0 && c.Op.ordered(cmp.Compare(n, bound))
		})
	}
	return anyPredicate(tests), nil
}

func compileTime(f Field, c Comparison) (predicate, error) {
	var tests []predicate
	for _, value := range c.Values {
		bound, _, ok := parseTime(value)
		switch {
		case !ok:
			return nil, fieldError(f.Name, "%s is no time", short(value))
		case c.Op == OpGreaterEqual:
			tests = append(tests, func(e *audit.Event) bool { return e.Time.UnixMicro() >= bound })
		case c.Op == OpLess:
			tests = append(tests, func(e *audit.Event) bool { return e.Time.UnixMicro() < bound })
		default:
			return nil, fieldError(f.Name, "cannot be compared in this way")
		}
	}
	return anyPredicate(tests), nil
}

func compileIP(f Field, c Comparison) (predicate, error) {
	if c.Op == OpExists {
		return func(e *audit.Event) bool { _, ok := sourceIP(e); return ok }, nil
	}
	if f.Name == ipPrefixField || c.Op != OpEqual && c.Op != OpCIDR {
		return nil, fieldError(c.Field, "cannot be compared in this way")
	}
	networks, invalid := c.networks()
	if invalid != nil {
		return nil, invalid
	}
	return func(e *audit.Event) bool {
		ip, ok := sourceIP(e)
		if !ok {
			return false
		}
		for _, network := range networks {
			if network.Contains(ip) {
				return true
			}
		}
		return false
	}, nil
}

// networks reads the values of a comparison with addresses or networks.
func (c Comparison) networks() ([]netip.Prefix, *Error) {
	networks := make([]netip.Prefix, len(c.Values))
	for i, value := range c.Values {
		var err error
		if networks[i], err = parseNetwork(value); err != nil || c.Op == OpEqual && !networks[i].IsSingleIP() {
			return nil, fieldError(c.Field, "%s is not an IP address or network", short(value))
		}
	}
	return networks, nil
}

func anyPredicate(tests []predicate) predicate {
	if len(tests) == 1 {
		return tests[0]
	}
	return func(e *audit.Event) bool {
		for _, holds := range tests {
			if holds(e) {
				return true
			}
		}
		return false
	}
}

func (op Op) isOrder() bool { return op >= OpLess && op <= OpGreaterEqual }

// ordered says whether a comparison whose left side has this order to the right one holds.
func (op Op) ordered(order int) bool {
	switch op {
	case OpEqual:
		return order == 0
	case OpLess:
		return order < 0
	case OpLessEqual:
		return order <= 0
	case OpGreater:
		return order > 0
	case OpGreaterEqual:
		return order >= 0
	}
	return false
}
