package filter

import (
	"strings"
)

// fieldTerm is the part of a comparison before the colon.
type fieldTerm struct {
	name      string
	modifiers modifiers
}

// modifiers are the words behind the field's name: field|i:value.
type modifiers struct{ fold, regex, fieldRef, equal bool }

// fieldName reads the name of a field, modifiers and the colon. Without a colon it is no field, and the caller goes back.
func (p *parser) fieldName() (fieldTerm, bool, error) {
	var t fieldTerm
	start := p.pos
	for !p.done() && strings.IndexByte("|:()*?<>=!~,[]{}", p.peek()) < 0 && p.spaceAt(p.pos) == 0 {
		if p.peek() != '"' {
			t.name += p.char()
			continue
		}
		if t.name != metadataPrefix && t.name != "labels." { // only keys of metadata have quotes
			return t, false, nil
		}
		key, err := p.quoted()
		if err != nil {
			return t, false, err
		}
		t.name += key
	}
	if t.name == "" || t.name[0] >= '0' && t.name[0] <= '9' {
		return t, false, nil // such as 10:30
	}
	if _, err := Lookup(t.name); err == nil && !p.done() && strings.IndexByte("<>=", p.peek()) >= 0 {
		return t, false, p.errorAt(p.pos, "expected : after the field, as in "+p.text[start:p.pos]+":value or "+p.text[start:p.pos]+":>=value")
	}
	known, err := p.readModifiers(&t.modifiers)
	if err != nil || !known || p.peek() != ':' {
		return t, false, err
	}
	p.pos++
	return t, true, nil
}

// readModifiers reads |i, |re and so on. It is false for a bar that is part of a text.
func (p *parser) readModifiers(m *modifiers) (bool, error) {
	for p.peek() == '|' {
		at := p.pos
		p.pos++
		start := p.pos
		for c := p.peek(); c >= 'a' && c <= 'z'; c = p.peek() {
			p.pos++
		}
		name := p.text[start:p.pos]
		if next := p.peek(); next != '|' && next != ':' {
			return false, nil
		}
		switch name {
		case "i":
			m.fold = true
		case "re":
			m.regex = true
		case "fieldref":
			m.fieldRef = true
		case "eq":
			m.equal = true
		default:
			e := p.errorAt(at, "there is no modifier "+short(name)+": there are i, eq, re and fieldref")
			return false, e
		}
	}
	return true, nil
}

// fieldTerm reads what stands behind the colon.
func (p *parser) fieldTerm(start int, t fieldTerm) (Expr, error) {
	if t.name == "has" {
		return p.has()
	}
	f, err := Lookup(t.name)
	if err != nil {
		if e, ok := err.(*Error); ok && e.Suggest == "" {
			e.Msg += "; put text that contains a colon in quotes"
		}
		return nil, p.locate(err, start)
	}
	switch p.peek() {
	case '(':
		return p.list(f, t.modifiers)
	case '[', '{':
		return p.bounds(f)
	}
	return p.comparison(f, t.modifiers, "")
}

func (p *parser) has() (Expr, error) {
	start := p.pos
	value, err := p.value("")
	if err != nil {
		return nil, err
	}
	x, err := Exists(value.literal())
	if err == nil && !value.plain() {
		err = &Error{Msg: "expected the name of a field after has:"}
	}
	return x, p.locate(err, start)
}

// list reads several values in parentheses, with commas or OR between them.
func (p *parser) list(f Field, m modifiers) (Expr, error) {
	open := p.pos
	p.pos++
	var terms []Expr
	for {
		p.skipSpace()
		x, err := p.comparison(f, m, ",")
		if err != nil {
			return nil, err
		}
		terms = append(terms, x)
		p.skipSpace()
		switch {
		case p.done():
			return nil, p.errorAt(open, "there is no ) for this (")
		case p.peek() == ')':
			p.pos++
			return anyOf(terms), nil
		case p.peek() == ',':
			p.pos++
		case !p.keyword("OR"):
			return nil, p.errorAt(p.pos, "expected a comma, OR or ) between the values")
		}
	}
}

// comparison reads one value, with < <= > or >= in front of it.
func (p *parser) comparison(f Field, m modifiers, stops string) (Expr, error) {
	start := p.pos
	if err := p.term(start); err != nil {
		return nil, err
	}
	if m.regex {
		re, err := p.regex()
		if err != nil {
			return nil, err
		}
		x, err := f.compare(OpRegex, m.fold, re)
		return x, p.locate(err, start)
	}
	op := p.order()
	value, err := p.value(stops)
	switch {
	case err != nil:
		return nil, err
	case len(value) == 0 && (p.pos == start || p.text[p.pos-1] != '"'):
		return nil, p.errorAt(p.pos, `expected a value here; "" is the empty one`)
	}
	x, err := f.comparePart(op, m, value)
	return x, p.locate(err, start)
}

// comparePart builds the comparison with a value as it was written.
func (f Field) comparePart(op Op, m modifiers, value pattern) (Expr, error) {
	switch {
	case m.fieldRef && value.plain() && op == OpEqual:
		return f.compare(OpFieldRef, m.fold, value.literal())
	case m.fieldRef:
		return nil, fieldError(f.Name, "expected the name of a field")
	case !value.plain() && op != OpEqual:
		return nil, fieldError(f.Name, "wildcards have no order")
	case !value.plain():
		return f.comparePattern(value, m.fold)
	case f.Kind == KindText && op == OpEqual && !m.equal && value.literal() != "":
		return phrase(value.literal()), nil
	}
	return f.compare(op, m.fold, value.literal())
}

// order reads a sign of order; without one it is equality.
func (p *parser) order() Op {
	for _, sign := range []struct {
		text string
		op   Op
	}{{"<=", OpLessEqual}, {">=", OpGreaterEqual}, {"<", OpLess}, {">", OpGreater}} {
		if strings.HasPrefix(p.text[p.pos:], sign.text) {
			p.pos += len(sign.text)
			return sign.op
		}
	}
	return OpEqual
}

// bounds reads [a TO b], where curly brackets leave the bound out and * leaves a side open.
func (p *parser) bounds(f Field) (Expr, error) {
	lowOp, highOp := OpGreaterEqual, OpLessEqual
	if p.peek() == '{' {
		lowOp = OpGreater
	}
	p.pos++
	low, err := p.bound()
	if err != nil {
		return nil, err
	}
	if !p.keyword("TO") {
		return nil, p.errorAt(p.pos, "expected TO, as in [1 TO 5]; put text that begins with a bracket in quotes")
	}
	high, err := p.bound()
	if err != nil {
		return nil, err
	}
	switch p.peek() {
	case ']':
	case '}':
		highOp = OpLess
	default:
		return nil, p.errorAt(p.pos, "expected ] or } at the end of the range")
	}
	p.pos++
	if low.open && high.open {
		return f.exists(), nil
	}
	from, err := p.compareBound(f, lowOp, low)
	if err != nil {
		return nil, err
	}
	to, err := p.compareBound(f, highOp, high)
	if err != nil {
		return nil, err
	}
	return And(from, to), nil
}

// bound is one side of a range.
type bound struct {
	at    int
	value string
	open  bool
}

// bound reads one side of a range and the white space round it.
func (p *parser) bound() (bound, error) {
	p.skipSpace()
	b := bound{at: p.pos}
	if err := p.term(b.at); err != nil {
		return b, err
	}
	value, err := p.value("]}")
	if err != nil {
		return b, err
	}
	b.value, b.open = value.literal(), len(value) == 1 && value[0].wild == '*'
	if !b.open && (!value.plain() || b.value == "") {
		return b, p.errorAt(b.at, "expected a value or * here")
	}
	p.skipSpace()
	return b, nil
}

func (p *parser) compareBound(f Field, op Op, b bound) (Expr, error) {
	if b.open {
		return All, nil
	}
	x, err := f.compare(op, false, b.value)
	return x, p.locate(err, b.at)
}
