package filter

import "fmt"

// Error says what is wrong with a filter, for the person who wrote it. It is always an error of the input.
type Error struct {
	// Pos is the column in the query text, counted in characters from 1; 0 when the filter did not come from a text.
	Pos int
	// Msg says what is wrong and what was expected.
	Msg string
	// Field is the canonical name of the field at fault, or what was written when there is no such field; empty when it is not about one.
	Field string
	// Suggest is the field or value that was probably meant, empty when nothing is near.
	Suggest string
}

func (e *Error) Error() string {
	s := e.Msg
	if e.Pos > 0 {
		s = fmt.Sprintf("column %d: %s", e.Pos, s)
	}
	if e.Suggest != "" {
		s += fmt.Sprintf("; did you mean %s?", e.Suggest)
	}
	return s
}

// fieldError is an error about one field's value.
func fieldError(field, format string, args ...any) *Error {
	return &Error{Field: field, Msg: field + ": " + fmt.Sprintf(format, args...)}
}

// short quotes text for a message without repeating more than its beginning.
func short(text string) string {
	const most = 40
	if r := []rune(text); len(r) > most {
		return fmt.Sprintf("%q…", string(r[:most]))
	}
	return fmt.Sprintf("%q", text)
}
