package engine

import "strings"

// The engine has its own parser; this lexer only finds the places where a statement must be cut: where the data of an INSERT begins, and where the FORMAT of
// a read stands. It follows ClickHouse's token rules (comments, three kinds of quotes, heredocs), so that the words inside those are not mistaken for keywords.

type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenWord
	tokenQuotedName // "…" or `…`
	tokenOther      // numbers, string literals, punctuation
)

type token struct {
	kind       tokenKind
	start, end int // bytes of the text
	depth      int // brackets open before it
}

type lexer struct {
	text  string
	pos   int
	depth int
}

// is says whether t is the keyword (upper case).
func (l *lexer) is(t token, keyword string) bool {
	return t.kind == tokenWord && strings.EqualFold(l.text[t.start:t.end], keyword)
}

// isByte says whether t is the single punctuation byte.
func (l *lexer) isByte(t token, b byte) bool {
	return t.kind == tokenOther && t.end == t.start+1 && l.text[t.start] == b
}

// next returns the next token that is neither space nor comment.
func (l *lexer) next() token {
	l.skipBlank()
	t := token{start: l.pos, depth: l.depth}
	if l.pos >= len(l.text) {
		t.end = l.pos
		return t
	}
	switch c := l.text[l.pos]; {
	case c == '\'':
		t.kind = tokenOther
		l.skipQuoted(c)
	case c == '"' || c == '`':
		t.kind = tokenQuotedName
		l.skipQuoted(c)
	case c == '$' && l.skipHeredoc():
		t.kind = tokenOther
	case isWordStart(c):
		t.kind = tokenWord
		l.skipWord()
	case c >= '0' && c <= '9':
		t.kind = tokenOther
		l.skipWord()
	default:
		t.kind = tokenOther
		l.pos++
		l.nest(c)
	}
	t.end = l.pos
	return t
}

func (l *lexer) nest(c byte) {
	switch c {
	case '(', '[', '{':
		l.depth++
	case ')', ']', '}':
		l.depth = max(0, l.depth-1)
	}
}

func (l *lexer) skipWord() {
	for l.pos < len(l.text) && (isWordStart(l.text[l.pos]) || l.text[l.pos] >= '0' && l.text[l.pos] <= '9') {
		l.pos++
	}
}

func isWordStart(c byte) bool {
	return c == '_' || c == '$' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func (l *lexer) skipBlank() {
	for l.pos < len(l.text) {
		rest := l.text[l.pos:]
		switch {
		case strings.IndexByte(" \t\n\r\f\v", rest[0]) >= 0:
			l.pos++
		case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "# "), strings.HasPrefix(rest, "#!"):
			l.skipTo("\n")
		case strings.HasPrefix(rest, "/*"):
			l.pos += 2
			l.skipTo("*/")
		default:
			return
		}
	}
}

// skipTo moves behind the next end, or to the end of the text.
func (l *lexer) skipTo(end string) {
	if i := strings.Index(l.text[l.pos:], end); i >= 0 {
		l.pos += i + len(end)
		return
	}
	l.pos = len(l.text)
}

// skipQuoted moves behind a quoted token: a backslash escapes, and so does doubling the quote.
func (l *lexer) skipQuoted(quote byte) {
	for l.pos++; l.pos < len(l.text); l.pos++ {
		switch l.text[l.pos] {
		case '\\':
			l.pos++
		case quote:
			if l.pos+1 >= len(l.text) || l.text[l.pos+1] != quote {
				l.pos++
				return
			}
			l.pos++
		}
	}
	l.pos = len(l.text)
}

// skipHeredoc moves behind $tag$ … $tag$ and says whether there was one.
func (l *lexer) skipHeredoc() bool {
	rest := l.text[l.pos:]
	n := strings.IndexByte(rest[1:], '$')
	if n < 0 {
		return false
	}
	tag := rest[:n+2]
	for i := 1; i < len(tag)-1; i++ {
		if c := tag[i]; c == '$' || !isWordStart(c) && (c < '0' || c > '9') {
			return false
		}
	}
	end := strings.Index(rest[len(tag):], tag)
	if end < 0 {
		return false
	}
	l.pos += len(tag) + end + len(tag)
	return true
}

// isInsert says whether the first word is INSERT.
func isInsert(text string) bool {
	l := &lexer{text: text}
	return l.is(l.next(), "INSERT")
}

// insertStatement is an INSERT whose data follows the statement.
type insertStatement struct {
	Head   string // without FORMAT or VALUES
	Format string
	Data   string // what the text holds behind the statement: the first bytes of the data
}

// parseInsert cuts an INSERT. ok is false for one without data of its own (INSERT … SELECT), which is executed as it is. fromFile says that it names a file
// on the client's machine, which a server must not open.
func parseInsert(text string) (stmt insertStatement, ok, fromFile bool) {
	l := &lexer{text: text}
	for t := l.next(); t.kind != tokenEnd; t = l.next() {
		switch {
		case t.depth > 0 || t.kind != tokenWord:
		case l.is(t, "SELECT"), l.is(t, "WITH"), l.is(t, "WATCH"):
			return stmt, false, false
		case l.is(t, "INFILE"):
			return stmt, false, true
		case l.is(t, "INTO"), l.is(t, "TABLE"), l.is(t, "FUNCTION"):
			l.skipTableName()
		case l.is(t, "VALUES"):
			return insertStatement{Head: text[:t.start], Format: "Values", Data: text[t.end:]}, true, false
		case l.is(t, "FORMAT"):
			name := l.next()
			if name.kind != tokenWord {
				return stmt, false, false
			}
			return insertStatement{Head: text[:t.start], Format: text[name.start:name.end], Data: dataBehind(text[name.end:])}, true, false
		}
	}
	return stmt, false, false
}

// skipTableName passes over db.table, so that a table named "values" or "format" is not taken for the keyword.
func (l *lexer) skipTableName() {
	before := *l
	if t := l.next(); l.is(t, "TABLE") || l.is(t, "FUNCTION") {
		*l = before
		return
	}
	for {
		before = *l
		if t := l.next(); !l.isByte(t, '.') {
			*l = before
			return
		}
		l.next()
	}
}

// dataBehind removes what separates FORMAT from the data, as ClickHouse does: blanks, then one line end. A semicolon in front of that ends the statement.
func dataBehind(s string) string {
	trimmed := strings.TrimLeft(s, " \t\f")
	trimmed = strings.TrimPrefix(trimmed, ";")
	trimmed = strings.TrimLeft(trimmed, " \t\f")
	trimmed = strings.TrimPrefix(trimmed, "\r")
	return strings.TrimPrefix(trimmed, "\n")
}

// readStatement is a statement that returns rows, cut so that another output can be put in.
type readStatement struct {
	Head     string // up to FORMAT, without a final semicolon
	Format   string // "" when the text names none
	Settings string // a SETTINGS clause that stood behind FORMAT
	IntoFile bool   // names a file on the client's machine
}

// parseRead finds the FORMAT clause at the end of a statement. FORMAT counts only where ClickHouse allows the clause: outside brackets, with a name behind
// it, and nothing but SETTINGS after that; everywhere else the word is a name or an alias.
func parseRead(text string) readStatement {
	l := &lexer{text: text}
	var stmt readStatement
	end, formatAt, settingsAt := 0, -1, -1
	var last token
	for t := l.next(); t.kind != tokenEnd; last, t = t, l.next() {
		if l.isByte(t, ';') && t.depth == 0 {
			continue
		}
		end = t.end
		if t.depth > 0 {
			continue
		}
		switch {
		case l.is(t, "OUTFILE") && l.is(last, "INTO"):
			stmt.IntoFile = true
		case settingsAt >= 0: // the rest belongs to the settings
		case l.is(last, "FORMAT") && (t.kind == tokenWord || t.kind == tokenQuotedName):
			formatAt = last.start
			stmt.Format = strings.Trim(text[t.start:t.end], "`\"")
		case formatAt >= 0 && l.is(t, "SETTINGS"):
			settingsAt = t.start
		default:
			formatAt = -1 // if there was one it is not the clause: something else follows
		}
	}
	stmt.Head = text[:end]
	if formatAt < 0 {
		stmt.Format = ""
		return stmt
	}
	stmt.Head = text[:formatAt]
	if settingsAt >= 0 {
		stmt.Settings = text[settingsAt:end]
	}
	return stmt
}
