package filter

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bounds of a query text. Filters that are built by functions have none: their authors wrote them down one by one.
const (
	// MaxQueryBytes is the longest query text.
	MaxQueryBytes = 4 << 10
	// MaxDepth is how deep parentheses and negations may be nested.
	MaxDepth = 32
	// MaxTerms is how many words and values may be compared with.
	MaxTerms = 256
)

// Parse reads a query text; the package's documentation has the language. Errors are *Error with the place of the mistake.
func Parse(text string) (Expr, error) {
	if len(text) > MaxQueryBytes {
		return nil, &Error{Msg: fmt.Sprintf("the query is longer than %d bytes", MaxQueryBytes)}
	}
	p := &parser{scanner: scanner{text: text}, termsLeft: MaxTerms}
	return p.query()
}

// parser reads by recursive descent.
type parser struct {
	scanner
	depth     int
	termsLeft int
}

func (p *parser) query() (Expr, error) {
	if at := invalidUTF8(p.text); at >= 0 {
		return nil, p.errorAt(at, "the query is not UTF-8")
	}
	if p.skipSpace(); p.done() {
		return All, nil
	}
	x, err := p.disjunction()
	if err != nil {
		return nil, err
	}
	if !p.done() {
		return nil, p.errorAt(p.pos, "there is no ( for this )")
	}
	return x, nil
}

func invalidUTF8(text string) int {
	if utf8.ValidString(text) {
		return -1
	}
	for i := 0; ; {
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && size <= 1 {
			return i
		}
		i += size
	}
}

func (p *parser) disjunction() (Expr, error) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > MaxDepth {
		return nil, p.errorAt(p.pos, fmt.Sprintf("nested deeper than %d levels", MaxDepth))
	}
	var parts []Expr
	for {
		x, err := p.conjunction()
		if err != nil {
			return nil, err
		}
		parts = append(parts, x)
		if !p.keyword("OR") {
			return Or(parts...), nil
		}
	}
}

func (p *parser) conjunction() (Expr, error) {
	var parts []Expr
	for {
		x, err := p.negation()
		if err != nil {
			return nil, err
		}
		parts = append(parts, x)
		if p.keyword("AND") {
			continue
		}
		if p.done() || p.peek() == ')' || p.atKeyword("OR") {
			return And(parts...), nil
		}
	}
}

func (p *parser) negation() (Expr, error) {
	negated := false
	for p.keyword("NOT") || p.minus() {
		negated = !negated
	}
	x, err := p.atom()
	if err != nil {
		return nil, err
	}
	if negated {
		x = Not(x)
	}
	return x, nil
}

// minus takes a minus sign that belongs to what follows.
func (p *parser) minus() bool {
	if p.peek() != '-' || p.pos+1 >= len(p.text) || p.spaceAt(p.pos+1) > 0 {
		return false
	}
	p.pos++
	return true
}

// atom reads one condition and the space after it.
func (p *parser) atom() (Expr, error) {
	x, err := p.bareAtom()
	if err != nil {
		return nil, err
	}
	if !p.done() && p.peek() == '(' {
		return nil, p.errorAt(p.pos, "expected a space before this (; put text with parentheses in quotes")
	}
	p.skipSpace()
	return x, nil
}

func (p *parser) bareAtom() (Expr, error) {
	switch {
	case p.done():
		return nil, p.errorAt(p.pos, "expected a word, field:value or ( but the query ends here")
	case p.peek() == '(':
		return p.parentheses()
	case p.peek() == ')', p.atKeyword("AND"), p.atKeyword("OR"):
		return nil, p.errorAt(p.pos, "expected a word, field:value or ( before this")
	case p.peek() == '-':
		return nil, p.errorAt(p.pos, "expected a condition right after the minus sign")
	}
	start := p.pos
	term, ok, err := p.fieldName()
	if err != nil {
		return nil, err
	}
	if ok {
		return p.fieldTerm(start, term)
	}
	p.pos = start
	return p.freeText()
}

func (p *parser) parentheses() (Expr, error) {
	open := p.pos
	p.pos++
	p.skipSpace()
	x, err := p.disjunction()
	if err != nil {
		return nil, err
	}
	if p.done() {
		return nil, p.errorAt(open, "there is no ) for this (")
	}
	p.pos++
	return x, nil
}

// freeText reads a bare word or a phrase in quotes.
func (p *parser) freeText() (Expr, error) {
	start := p.pos
	if err := p.term(start); err != nil {
		return nil, err
	}
	value, err := p.value("")
	if err != nil {
		return nil, err
	}
	switch {
	case len(value) == 1 && value[0].wild == '*':
		return All, nil
	case !value.plain():
		return nil, p.errorAt(start, "wildcards need a field: write message:*text*, or put the text in quotes")
	}
	return phrase(value.literal()), nil
}

// term counts one value against MaxTerms.
func (p *parser) term(start int) error {
	if p.termsLeft--; p.termsLeft < 0 {
		return p.errorAt(start, fmt.Sprintf("the query has more than %d words and values", MaxTerms))
	}
	return nil
}

// keyword takes the word, in capitals, if it stands here, and the space after it.
func (p *parser) keyword(word string) bool {
	if !p.atKeyword(word) {
		return false
	}
	p.pos += len(word)
	p.skipSpace()
	return true
}

func (p *parser) atKeyword(word string) bool {
	if !strings.HasPrefix(p.text[p.pos:], word) {
		return false
	}
	end := p.pos + len(word)
	return end == len(p.text) || strings.IndexByte(`()"`, p.text[end]) >= 0 || p.spaceAt(end) > 0
}
