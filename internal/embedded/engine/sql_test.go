package engine

import (
	"strings"
	"testing"
)

func TestParseInsert(t *testing.T) {
	for _, tc := range []struct {
		text             string
		head, form, data string
		streamed, infile bool
	}{
		{text: "INSERT INTO t FORMAT Native", head: "INSERT INTO t ", form: "Native", streamed: true},
		{text: "insert into t (a, b) format JSONEachRow\n{\"a\":1}", head: "insert into t (a, b) ", form: "JSONEachRow", data: `{"a":1}`, streamed: true},
		{text: "INSERT INTO t FORMAT JSONEachRow{\"a\":1}", head: "INSERT INTO t ", form: "JSONEachRow", data: `{"a":1}`, streamed: true},
		{text: "INSERT INTO t FORMAT CSV \r\n 1,2\n", head: "INSERT INTO t ", form: "CSV", data: " 1,2\n", streamed: true},
		{text: "INSERT INTO t FORMAT RowBinary\n\n\x00", head: "INSERT INTO t ", form: "RowBinary", data: "\n\x00", streamed: true},
		{text: "INSERT INTO t FORMAT Native;", head: "INSERT INTO t ", form: "Native", streamed: true},
		{text: "INSERT INTO t (`format`, \"values\") SETTINGS a = 'FORMAT x', b=1 FORMAT TSV\n1", head: "INSERT INTO t (`format`, \"values\") SETTINGS a = 'FORMAT x', b=1 ", form: "TSV", data: "1", streamed: true},
		{text: "INSERT INTO db.format VALUES (1)", head: "INSERT INTO db.format ", form: "Values", data: " (1)", streamed: true},
		{text: "INSERT INTO values VALUES (1)", head: "INSERT INTO values ", form: "Values", data: " (1)", streamed: true},
		{text: "INSERT INTO TABLE t VALUES", head: "INSERT INTO TABLE t ", form: "Values", streamed: true},
		{text: "INSERT INTO FUNCTION null('x UInt8, values String') VALUES (1)", head: "INSERT INTO FUNCTION null('x UInt8, values String') ", form: "Values", data: " (1)", streamed: true},
		{text: "/* FORMAT a */ INSERT -- VALUES\nINTO t # FORMAT b\nFORMAT c", head: "/* FORMAT a */ INSERT -- VALUES\nINTO t # FORMAT b\n", form: "c", streamed: true},
		{text: "INSERT INTO t SELECT 1 FORMAT Native"},
		{text: "INSERT INTO t (a) WITH 1 AS x SELECT x"},
		{text: "INSERT INTO t (SELECT 1)"},
		{text: "INSERT INTO t"},
		{text: "INSERT INTO t FORMAT"},
		{text: "INSERT INTO t FROM INFILE 'x' FORMAT TSV", infile: true},
		{text: "INSERT INTO infile FORMAT TSV", head: "INSERT INTO infile ", form: "TSV", streamed: true},
		{text: "INSERT INTO t (a) VALUES ('it''s', 'FORMAT \\' x')", head: "INSERT INTO t (a) ", form: "Values", data: " ('it''s', 'FORMAT \\' x')", streamed: true},
	} {
		got, streamed, infile := parseInsert(tc.text)
		want := insertStatement{Head: tc.head, Format: tc.form, Data: tc.data}
		if got != want || streamed != tc.streamed || infile != tc.infile {
			t.Errorf("%q\n got %+v %v %v\nwant %+v %v %v", tc.text, got, streamed, infile, want, tc.streamed, tc.infile)
		}
	}
}

func TestParseRead(t *testing.T) {
	for _, tc := range []struct {
		text string
		want readStatement
	}{
		{"SELECT 1", readStatement{Head: "SELECT 1"}},
		{"SELECT 1;", readStatement{Head: "SELECT 1"}},
		{"SELECT 1 -- FORMAT JSON", readStatement{Head: "SELECT 1"}},
		{"SELECT 1 FORMAT JSON", readStatement{Head: "SELECT 1 ", Format: "JSON"}},
		{"SELECT 1 format `JSON` ; ", readStatement{Head: "SELECT 1 ", Format: "JSON"}},
		{"SELECT 1 SETTINGS a=1 FORMAT CSV SETTINGS b='x', c=(1)", readStatement{Head: "SELECT 1 SETTINGS a=1 ", Format: "CSV", Settings: "SETTINGS b='x', c=(1)"}},
		{"SELECT 1 FORMAT CSV SETTINGS b=1; /* end */", readStatement{Head: "SELECT 1 ", Format: "CSV", Settings: "SETTINGS b=1"}},
		{"SELECT 1 AS format", readStatement{Head: "SELECT 1 AS format"}},
		{"SELECT 1 AS format, 2 AS b", readStatement{Head: "SELECT 1 AS format, 2 AS b"}},
		{"SELECT format x FROM t", readStatement{Head: "SELECT format x FROM t"}},
		{"SELECT format FROM t FORMAT TSV", readStatement{Head: "SELECT format FROM t ", Format: "TSV"}},
		{"SELECT * FROM (SELECT 1 FORMAT JSON)", readStatement{Head: "SELECT * FROM (SELECT 1 FORMAT JSON)"}},
		{"SELECT 'a FORMAT JSON'", readStatement{Head: "SELECT 'a FORMAT JSON'"}},
		{"SELECT $x$ ' FORMAT JSON $x$ FORMAT TSV", readStatement{Head: "SELECT $x$ ' FORMAT JSON $x$ ", Format: "TSV"}},
		{"SELECT 1 INTO OUTFILE 'x' FORMAT TSV", readStatement{Head: "SELECT 1 INTO OUTFILE 'x' ", Format: "TSV", IntoFile: true}},
		{"SELECT 1 INTO /**/ outfile 'x'", readStatement{Head: "SELECT 1 INTO /**/ outfile 'x'", IntoFile: true}},
		{"SELECT 'INTO OUTFILE'", readStatement{Head: "SELECT 'INTO OUTFILE'"}},
		{"", readStatement{}},
		{"SELECT 'unclosed FORMAT JSON", readStatement{Head: "SELECT 'unclosed FORMAT JSON"}},
	} {
		if got := parseRead(tc.text); got != tc.want {
			t.Errorf("%q\n got %+v\nwant %+v", tc.text, got, tc.want)
		}
	}
}

// FuzzLexer: tokens are in order, inside the text and not empty, whatever the text is, and the cut statements are parts of it.
func FuzzLexer(f *testing.F) {
	for _, s := range []string{"INSERT INTO t VALUES (1)", "SELECT '\\", "$a$ $a$", "$$x", "/*", "--", "# ", "`a``b`", "INSERT INTO a.b FORMAT x\n\x00", "SELECT 1 FORMAT a SETTINGS b=1;;", "((", "))FORMAT x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l := &lexer{text: text}
		for at := 0; ; {
			tok := l.next()
			if tok.kind == tokenEnd {
				break
			}
			if tok.start < at || tok.end <= tok.start || tok.end > len(text) || tok.depth < 0 {
				t.Fatalf("token %+v after %d in %q", tok, at, text)
			}
			at = tok.end
		}
		if r := parseRead(text); !strings.HasPrefix(text, r.Head) || !strings.Contains(text, r.Settings) {
			t.Fatalf("%+v is not cut from %q", r, text)
		}
		if stmt, ok, _ := parseInsert(text); ok && (!strings.HasPrefix(text, stmt.Head) || !strings.HasSuffix(text, stmt.Data)) {
			t.Fatalf("%+v is not cut from %q", stmt, text)
		}
	})
}
