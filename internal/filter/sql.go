package filter

import (
	"fmt"
	"strconv"
	"strings"
)

// Query is a filter as a condition on rows of audit.events.
type Query struct {
	// Where is one condition that can stand beside AND as it is. It holds no text of the filter, only parameters {p0:String}.
	Where string
	// Params are the values of the parameters, to be sent as the query parameters param_p0 and so on.
	Params []Param
}

// Param is one server-side query parameter.
type Param struct {
	// Name is without the prefix param_.
	Name string
	// Type is the ClickHouse type.
	Type string
	// Value is the value as the server reads it: escaped, to be handed on unchanged (clickhouse-go's WithParameters does, so does HTTP).
	Value string
}

// SQL compiles a filter to a condition. The error is an *Error: the filter asks for a field that the table does not have.
func SQL(expr Expr) (Query, error) {
	var b sqlBuilder
	where := b.condition(expr)
	if b.err != nil {
		return Query{}, b.err
	}
	return Query{Where: where, Params: b.params}, nil
}

// sqlBuilder collects parameters and the first error.
type sqlBuilder struct {
	params []Param
	err    *Error
}

func (b *sqlBuilder) fail(err *Error) string {
	if b.err == nil {
		b.err = err
	}
	return "0"
}

// param adds a parameter and returns its placeholder.
func (b *sqlBuilder) param(kind, value string) string {
	name := "p" + strconv.Itoa(len(b.params))
	b.params = append(b.params, Param{Name: name, Type: kind, Value: paramEscapes.Replace(value)})
	return "{" + name + ":" + kind + "}"
}

// paramEscapes is how the server reads a parameter: as one field of TabSeparated.
var paramEscapes = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`)

func (b *sqlBuilder) condition(expr Expr) string {
	switch x := expr.(type) {
	case Constant:
		if x == All {
			return "1"
		}
		return "0"
	case Conjunction:
		return b.join(x, " AND ", "1")
	case Disjunction:
		return b.join(x, " OR ", "0")
	case Negation:
		return "NOT (" + b.condition(x.X) + ")"
	case Word:
		return b.word(string(x))
	case Comparison:
		return b.comparison(x)
	}
	return b.fail(&Error{Msg: fmt.Sprintf("cannot evaluate an expression of type %T", expr)})
}

func (b *sqlBuilder) join(parts []Expr, operator, empty string) string {
	conditions := make([]string, len(parts))
	for i, part := range parts {
		conditions[i] = b.condition(part)
	}
	if len(conditions) == 0 {
		return empty
	}
	return joinConditions(conditions, operator)
}

func joinConditions(conditions []string, operator string) string {
	if len(conditions) == 1 {
		return conditions[0]
	}
	return "(" + strings.Join(conditions, operator) + ")"
}

// word asks the text index on the message, which holds words in small ASCII letters, or scans the folded messages.
func (b *sqlBuilder) word(word string) string {
	if !isWord(word) {
		return b.fail(&Error{Msg: short(word) + " is not one word"})
	}
	if isASCII(word) {
		// The text index answers the hint, with its lower() preprocessor; evaluated on rows hasAllTokens knows nothing of that, and which of the two
		// happens depends on what else the statement reads.
		p := b.param("String", strings.ToLower(word))
		return "(indexHint(hasAllTokens(message, " + p + ")) AND hasAllTokens(lower(message), " + p + "))"
	}
	return "hasAllTokens(" + foldSQL("message") + ", " + b.param("String", foldCase(word)) + ")"
}

// foldSQL is foldCase in SQL: caseFoldUTF8 throws on invalid UTF-8.
func foldSQL(x string) string { return "caseFoldUTF8(toValidUTF8(" + x + "))" }
