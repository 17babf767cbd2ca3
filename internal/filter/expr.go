package filter

// Expr is a condition over events: a Constant, Conjunction, Disjunction, Negation, Comparison or Word. It is immutable. The functions And, Or, Not,
// Equal, Compare and so on build expressions in a normal form, which Parse(x.String()) gives back exactly; Compile and SQL accept any tree.
type Expr interface {
	// String returns the query text of the expression.
	String() string
	isExpr()
}

// Constant is a condition that does not look at the event.
type Constant bool

// The constants.
const (
	All  Constant = true
	None Constant = false
)

// Conjunction holds when all of its parts do.
type Conjunction []Expr

// Disjunction holds when at least one of its parts does.
type Disjunction []Expr

// Negation holds when X does not.
type Negation struct{ X Expr }

// Comparison holds when the field compares true with at least one of the values. It is false for an absent field.
type Comparison struct {
	// Field is the canonical name.
	Field string
	Op    Op
	// Fold ignores the difference of upper and lower case.
	Fold bool
	// Values are in their canonical form; OpExists has none.
	Values []string
}

// Word holds when the message has this word: a longest run of ASCII letters and digits and of bytes beyond ASCII, whatever its case.
type Word string

func (Constant) isExpr()    {}
func (Conjunction) isExpr() {}
func (Disjunction) isExpr() {}
func (Negation) isExpr()    {}
func (Comparison) isExpr()  {}
func (Word) isExpr()        {}

// Op is how a field is compared with a value.
type Op uint8

// The comparisons.
const (
	// OpEqual is equality; on a list field, of one element.
	OpEqual Op = iota
	// OpExists tests that the field is not absent.
	OpExists
	// OpPrefix, OpSuffix and OpContains look for the value at the beginning, at the end and anywhere.
	OpPrefix
	OpSuffix
	OpContains
	// OpWildcard matches the whole value with a pattern: * is any text, ? is one character, a backslash takes these and itself literally.
	OpWildcard
	// OpRegex finds an RE2 regular expression anywhere in the value; the dot matches line breaks.
	OpRegex
	// OpCIDR tests that an address lies in a network.
	OpCIDR
	// OpLess, OpLessEqual, OpGreater and OpGreaterEqual compare numbers, times and ordered names.
	OpLess
	OpLessEqual
	OpGreater
	OpGreaterEqual
	// OpFieldRef is equality with the field that the value names, which must not be absent either.
	OpFieldRef
)

// And holds when all of exprs do; And() is All.
func And(exprs ...Expr) Expr {
	var parts Conjunction
	for _, x := range exprs {
		switch x := x.(type) {
		case nil:
		case Constant:
			if x == None {
				return None
			}
		case Conjunction:
			parts = append(parts, x...)
		default:
			parts = append(parts, x)
		}
	}
	switch len(parts) {
	case 0:
		return All
	case 1:
		return parts[0]
	}
	return parts
}

// Or holds when at least one of exprs does; Or() is None.
func Or(exprs ...Expr) Expr {
	var parts Disjunction
	for _, x := range exprs {
		switch x := x.(type) {
		case nil:
		case Constant:
			if x == All {
				return All
			}
		case Disjunction:
			parts = append(parts, x...)
		default:
			parts = append(parts, x)
		}
	}
	switch len(parts) {
	case 0:
		return None
	case 1:
		return parts[0]
	}
	return parts
}

// Not holds when x does not.
func Not(x Expr) Expr {
	switch x := x.(type) {
	case Constant:
		return !x
	case Negation:
		return x.X
	}
	return Negation{x}
}
