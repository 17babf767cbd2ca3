package filter

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// scanner walks through a query text and knows names, values, quotes and escapes.
type scanner struct {
	text string
	pos  int
}

func (s *scanner) done() bool { return s.pos >= len(s.text) }

// peek returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.done() {
		return 0
	}
	return s.text[s.pos]
}

// spaceAt returns the length of the white space character at i, 0 if there is none.
func (s *scanner) spaceAt(i int) int {
	if r, size := utf8.DecodeRuneInString(s.text[i:]); unicode.IsSpace(r) {
		return size
	}
	return 0
}

func (s *scanner) skipSpace() {
	for size := s.spaceAt(s.pos); size > 0; size = s.spaceAt(s.pos) {
		s.pos += size
	}
}

// errorAt is an error at a byte of the text.
func (s *scanner) errorAt(at int, msg string) *Error {
	return &Error{Pos: utf8.RuneCountInString(s.text[:at]) + 1, Msg: msg}
}

// locate gives an error of a field or a value its place.
func (s *scanner) locate(err error, at int) error {
	if e, ok := err.(*Error); ok && e.Pos == 0 {
		e.Pos = s.errorAt(at, "").Pos
	}
	return err
}

// value reads a bare or quoted value, or several of these side by side, up to white space, a parenthesis or one of stops. Wildcards are those outside
// of quotes.
func (s *scanner) value(stops string) (pattern, error) {
	var p pattern
	for !s.done() {
		c := s.peek()
		switch {
		case c == '(' || c == ')' || strings.IndexByte(stops, c) >= 0 || s.spaceAt(s.pos) > 0:
			return p, nil
		case c == '"':
			lit, err := s.quoted()
			if err != nil {
				return nil, err
			}
			p = p.add(part{lit: lit})
		case c == '*' || c == '?':
			p = p.add(part{wild: c})
			s.pos++
		default:
			p = p.add(part{lit: s.char()})
		}
	}
	return p, nil
}

// char reads one character, or an escape.
func (s *scanner) char() string {
	start := s.pos
	_, size := utf8.DecodeRuneInString(s.text[s.pos:])
	s.pos += size
	if s.text[start] != '\\' || s.done() {
		return s.text[start:s.pos]
	}
	next, size := utf8.DecodeRuneInString(s.text[s.pos:])
	if next == '%' && s.pos+3 <= len(s.text) {
		if b, err := strconv.ParseUint(s.text[s.pos+1:s.pos+3], 16, 8); err == nil {
			s.pos += 3
			return string([]byte{byte(b)})
		}
	}
	if next > unicode.MaxASCII || !unicode.IsPunct(next) && !unicode.IsSymbol(next) && next != ' ' {
		return `\`
	}
	s.pos += size
	return s.text[start+1 : s.pos]
}

// quoted reads a text in quotes.
func (s *scanner) quoted() (string, error) {
	start := s.pos
	s.pos++
	var b strings.Builder
	for !s.done() {
		if s.peek() == '"' {
			s.pos++
			return b.String(), nil
		}
		b.WriteString(s.char())
	}
	return "", s.errorAt(start, "there is no closing quote for this one")
}

// regex reads a regular expression in quotes: its backslashes are its own, except before a quote.
func (s *scanner) regex() (string, error) {
	start := s.pos
	if s.peek() != '"' {
		return "", s.errorAt(start, "expected a regular expression in double quotes")
	}
	var b strings.Builder
	for i := start + 1; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '"':
			s.pos = i + 1
			return b.String(), nil
		case c == '\\' && i+1 < len(s.text):
			i++
			if s.text[i] != '"' {
				b.WriteByte(c)
			}
		}
		b.WriteByte(s.text[i])
	}
	return "", s.errorAt(start, "there is no closing quote for this one")
}
