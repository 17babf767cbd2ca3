package engine

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares got with a file under testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s", path, got)
	}
}

func TestAnswers(t *testing.T) {
	base := startShared(t)
	for _, tc := range []struct {
		name      string
		method    string
		statement string
		params    []string
		body      string
		content   string
	}{
		{"ping by query", "GET", "", nil, "Ok.\n", ""},
		{"default format", "POST", "SELECT 1, 'a\tb'", nil, "1\ta\\tb\n", "text/tab-separated-values; charset=UTF-8"},
		{"read by GET", "GET", "", []string{"query", "SELECT 2"}, "2\n", "text/tab-separated-values; charset=UTF-8"},
		{"query and body", "POST", "+ 2", []string{"query", "SELECT 1"}, "3\n", ""},
		{"default_format", "POST", "SELECT 1 AS a", []string{"default_format", "JSONEachRow"}, "{\"a\":1}\n", "application/x-ndjson; charset=UTF-8"},
		{"FORMAT wins", "POST", "SELECT 1 AS a FORMAT CSVWithNames", []string{"default_format", "JSON"}, "\"a\"\n1\n", "text/csv; charset=UTF-8; header=present"},
		{"FORMAT and SETTINGS", "POST", "SELECT 1 AS a FORMAT JSONCompactEachRow SETTINGS max_threads=1;", nil, "[1]\n", ""},
		{"no rows", "POST", "SELECT 1 AS a WHERE 0 FORMAT TSVWithNames", nil, "a\n", ""},
		{"Null", "POST", "SELECT number FROM numbers(1000000) FORMAT Null", nil, "", ""},
		{"database", "POST", "SELECT currentDatabase()", []string{"database", "system"}, "system\n", ""},
		{"setting", "POST", "SELECT getSetting('max_block_size')", []string{"max_block_size", "7"}, "7\n", ""},
		{"string setting", "POST", "SELECT getSetting('insert_deduplication_token')", []string{"insert_deduplication_token", `a'b\c`}, "a\\'b\\\\c\n", ""},
		{"parameter", "POST", "SELECT {x:UInt64} + 1, {s:String}, {a:Array(String)}", []string{"param_x", "41", "param_s", `it's \t "q"`, "param_a", "['x','y']"}, "42\tit\\'s \\t \"q\"\t['x','y']\n", ""},
		{"parameter as name", "POST", "SELECT count() FROM {t:Identifier}", []string{"database", "system", "param_t", "one"}, "1\n", ""},
		{"ignored credentials", "POST", "SELECT 1", []string{"user", "nobody", "password", "x", "quota_key", "k", "role", "r", "session_id", "s", "stacktrace", "1"}, "1\n", ""},
		{"SHOW", "POST", "SHOW TABLES FROM system LIKE 'one'", nil, "one\n", ""},
		{"DESCRIBE", "POST", "DESCRIBE system.one FORMAT JSONCompactEachRow", nil, "[\"dummy\", \"UInt8\", \"\", \"\", \"\", \"\", \"\"]\n", ""},
		{"EXISTS", "POST", "EXISTS TABLE system.nothing", nil, "0\n", ""},
		{"EXPLAIN", "POST", "EXPLAIN SYNTAX SELECT 1 FORMAT TSVRaw", nil, "SELECT 1\nFROM system.one\n", ""},
		{"WITH TOTALS", "POST", "SELECT number % 2 AS k, count() FROM numbers(3) GROUP BY k WITH TOTALS ORDER BY k", nil, "0\t2\n1\t1\n\n0\t3\n", ""},
		{"UNION", "POST", "(SELECT 1) UNION ALL (SELECT 1)", nil, "1\n1\n", ""},
		{"comments", "POST", "-- one\nSELECT /* two */ 1 # three", nil, "1\n", ""},
		{"alias format", "POST", "SELECT 1 AS format", nil, "1\n", ""},
		{"semicolon in URL", "GET", "", []string{"query", "SELECT 1;"}, "1\n", ""},
		{"wait_end_of_query", "POST", "SELECT max(number) FROM numbers(10)", []string{"wait_end_of_query", "1"}, "9\n", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := send(t, tc.method, base, strings.NewReader(tc.statement), tc.params...)
			if a.Status != http.StatusOK || a.Body != tc.body {
				t.Fatalf("status %d, body %q, want %q", a.Status, a.Body, tc.body)
			}
			if got := a.Header.Get("Content-Type"); tc.content != "" && got != tc.content {
				t.Errorf("Content-Type %q, want %q", got, tc.content)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	base := startShared(t)
	a := post(t, base, "SELECT number FROM numbers(5) FORMAT JSONCompact", "query_id", "my-id")
	for name, want := range map[string]string{
		"X-ClickHouse-Query-Id": "my-id", "X-ClickHouse-Format": "JSONCompact", "X-ClickHouse-Timezone": "UTC", "X-ClickHouse-Server-Display-Name": "embedded",
	} {
		if got := a.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if tag := a.Header.Get("X-ClickHouse-Exception-Tag"); len(tag) != exceptionTagLength {
		t.Errorf("tag %q", tag)
	}
	if rows := summaryOf(t, a)["read_rows"]; rows != "5" {
		t.Errorf("summary says %s rows were read", rows)
	}
	if id := post(t, base, "SELECT 1").Header.Get("X-ClickHouse-Query-Id"); len(id) != 36 {
		t.Errorf("made-up query id %q", id)
	}
}

func summaryOf(t *testing.T, a answer) map[string]string {
	t.Helper()
	var m map[string]string
	if err := json.Unmarshal([]byte(a.Header.Get("X-ClickHouse-Summary")), &m); err != nil {
		t.Fatalf("summary %q: %v", a.Header.Get("X-ClickHouse-Summary"), err)
	}
	return m
}

// TestErrors pins code, status and text of what goes wrong.
func TestErrors(t *testing.T) {
	base := startShared(t)
	db := freshDatabase(t, base)
	must(t, base, "CREATE TABLE "+db+".t (a UInt8) ENGINE = MergeTree ORDER BY a")
	var got strings.Builder
	for _, tc := range []struct {
		name, method, statement string
		params                  []string
	}{
		{"unknown table", "POST", "SELECT * FROM nothing", nil},
		{"unknown database", "POST", "SELECT * FROM nowhere.nothing", nil},
		{"unknown default database", "POST", "SELECT 1", []string{"database", "nowhere"}},
		{"database with a quote", "POST", "SELECT 1", []string{"database", "no`where"}},
		{"syntax", "POST", "SELECT 1 FROM", nil},
		{"not a statement", "POST", "hello", nil},
		{"empty", "POST", " -- nothing\n", nil},
		{"two statements", "POST", "SELECT 1; SELECT 2", nil},
		{"unknown setting", "POST", "SELECT 1", []string{"no_such_setting", "1"}},
		{"setting that is no name", "POST", "SELECT 1", []string{"max_threads = 1, max_block_size", "1"}},
		{"invalid setting", "POST", "SELECT 1", []string{"max_threads", "many"}},
		{"unknown format", "POST", "SELECT 1 FORMAT Nope", nil},
		{"unknown default format", "POST", "SELECT 1", []string{"default_format", "x; DROP"}},
		{"parameter not given", "POST", "SELECT {x:UInt8}", nil},
		{"parameter of another type", "POST", "SELECT {x:UInt8}", []string{"param_x", "abc"}},
		{"parameter is data", "POST", "SELECT {x:String} FORMAT Nope", []string{"param_x", "' FORMAT TSV"}},
		{"not a number", "POST", "SELECT toUInt8('abc')", nil},
		{"unknown function", "POST", "SELECT noSuchFunction(1)", nil},
		{"time-out", "POST", "SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 1 FORMAT Null", []string{"max_execution_time", "0.1", "timeout_overflow_mode", "throw"}},
		{"memory", "POST", "SELECT length(groupArray(number)) FROM numbers(100000000)", []string{"max_memory_usage", "20000000"}},
		{"no such file", "POST", "INSERT INTO " + db + ".t FROM INFILE '/etc/hostname' FORMAT TSV", nil},
		{"into a file", "POST", "SELECT 1 INTO OUTFILE '/tmp/never'", nil},
		{"write by GET", "GET", "", []string{"query", "CREATE TABLE x (a UInt8) ENGINE = Memory"}},
		{"insert by GET", "GET", "", []string{"query", "INSERT INTO " + db + ".t VALUES (1)"}},
		{"insert into nothing", "POST", "INSERT INTO nothing VALUES (1)", nil},
		{"insert of nonsense", "POST", "INSERT INTO " + db + ".t FORMAT JSONEachRow {\"a\": nonsense}", nil},
		{"insert in unknown format", "POST", "INSERT INTO " + db + ".t FORMAT Nope 1", nil},
		{"table exists", "POST", "CREATE TABLE " + db + ".t (a UInt8) ENGINE = Memory", nil},
		{"users", "POST", "CREATE USER x", nil},
		{"compress", "POST", "SELECT 1", []string{"compress", "1"}},
		{"decompress", "POST", "SELECT 1", []string{"decompress", "1"}},
		{"protocol", "POST", "SELECT 1", []string{"client_protocol_version", "x"}},
	} {
		a := send(t, tc.method, base, strings.NewReader(tc.statement), tc.params...)
		text := strings.ReplaceAll(a.Body, db, "DB")
		if tc.name == "time-out" || tc.name == "memory" { // these hold measurements
			text, _, _ = strings.Cut(text, ":  ")
			text = text[:strings.Index(text, "exceeded")+8] + " …\n"
		}
		fmt.Fprintf(&got, "## %s\n%d, code %s\n%s\n", tc.name, a.Status, a.code(), text)
		if want := fmt.Sprintf("Code: %s. ", a.code()); !strings.HasPrefix(a.Body, want) {
			t.Errorf("%s: body %q does not begin with %q", tc.name, a.Body, want)
		}
	}
	golden(t, "errors.txt", got.String())
	if n := must(t, base, "SELECT count() FROM "+db+".t"); n != "0\n" {
		t.Errorf("%s rows came in by failed statements", n)
	}
	if _, err := os.Stat("/tmp/never"); err == nil {
		t.Error("a client wrote a file")
	}
}

// TestSessionsAreIsolated: what one request sets reaches no other, at whatever order and concurrency they run.
func TestSessionsAreIsolated(t *testing.T) {
	base := startShared(t)
	statement := "SELECT getSetting('max_block_size'), currentDatabase(), {x:String}"
	failures := make(chan string, 16)
	for i := range 4 {
		go func() {
			for j := range 25 {
				size := strconv.Itoa(1000 + 100*i + j)
				db := []string{"default", "system"}[j%2]
				a, err := try(context.Background(), "POST", base, strings.NewReader(statement), "max_block_size", size, "database", db, "param_x", size)
				if want := size + "\t" + db + "\t" + size + "\n"; err != nil || a.Body != want {
					failures <- fmt.Sprintf("got %q (%v), want %q", a.Body, err, want)
					return
				}
			}
			failures <- ""
		}()
	}
	for range 4 {
		if f := <-failures; f != "" {
			t.Error(f)
		}
	}
	must(t, base, "SET max_block_size = 5", "USE system", "CREATE TEMPORARY TABLE only_here (a UInt8)")
	if got := must(t, base, "SELECT getSetting('max_block_size') = 5, currentDatabase()"); got != "0\tdefault\n" {
		t.Errorf("a request left settings behind: %q", got)
	}
	if a := post(t, base, "SELECT * FROM only_here"); a.code() != "60" {
		t.Errorf("a request left a temporary table behind: %+v", a)
	}
}

// TestStreamsInConstantMemory reads a result that is many times larger than what the process may grow by.
func TestStreamsInConstantMemory(t *testing.T) {
	base := startShared(t)
	must(t, base, "SELECT number, repeat('x', 200) FROM numbers(100000) FORMAT Null") // warm
	before, _ := processMemory("/proc/self/status")
	if before == 0 {
		t.Skip("this system does not tell the memory of a process")
	}
	for _, format := range []string{"Native", "CSVWithNames", "JSON"} {
		res, err := http.Post(base+"/?default_format="+format, "", strings.NewReader("SELECT number, repeat('x', 200) AS s FROM numbers(2000000)"))
		if err != nil {
			t.Fatal(err)
		}
		// The memory is looked at while the result comes: the process's own peak is that of all tests before, too.
		var n int64
		var most uint64
		for err == nil {
			var part int64
			part, err = io.CopyN(io.Discard, res.Body, 4<<20)
			n += part
			now, _ := processMemory("/proc/self/status")
			most = max(most, now)
		}
		res.Body.Close()
		if err != io.EOF || n < 400e6 {
			t.Fatalf("%s: %d bytes, %v", format, n, err)
		}
		if grown := int64(most) - int64(before); grown > 128<<20 {
			t.Errorf("%s: a result of %d MB took %d MB of memory", format, n>>20, grown>>20)
		}
	}
	if n := strings.Count(must(t, base, "SELECT number FROM numbers(300000) FORMAT CSVWithNames"), "number"); n != 1 {
		t.Errorf("%d heads in one CSV file", n)
	}
	var doc struct{ Rows int }
	if err := json.Unmarshal([]byte(must(t, base, "SELECT number FROM numbers(300000) FORMAT JSONCompact")), &doc); err != nil || doc.Rows != 300000 {
		t.Errorf("a large JSON document is broken: %v, %d rows", err, doc.Rows)
	}
}

// TestErrorInMidStream: a client that has part of a result learns of the error and never takes the part for the whole.
func TestErrorInMidStream(t *testing.T) {
	base := startShared(t)
	a := post(t, base, "SELECT throwIf(number = 2000000, 'broken') FROM numbers(3000000)", "max_threads", "1", "max_block_size", "10000")
	if a.Status != http.StatusOK || a.code() != "" {
		t.Fatalf("status %d, code %q: the result was meant to be under way", a.Status, a.code())
	}
	if a.BodyErr == nil {
		t.Error("the connection was not cut")
	}
	tag := a.Header.Get("X-ClickHouse-Exception-Tag")
	at := strings.Index(a.Body, "\r\n__exception__\r\n"+tag+"\r\nCode: 395. DB::Exception: broken")
	if at < 0 {
		t.Fatalf("no exception at the end: %q", a.Body[max(0, len(a.Body)-500):])
	}
	lines := strings.Split(a.Body[at:], "\r\n")
	text := strings.TrimSuffix(lines[3], fmt.Sprintf("%d %s", strings.LastIndex(lines[3], "\n")+1, tag))
	if !strings.HasSuffix(a.Body, tag+"\r\n__exception__\r\n") || text == lines[3] {
		t.Errorf("the block is not framed: %q", a.Body[at:])
	}
	// Early errors have a status, since the first part of a result is held back.
	if a := post(t, base, "SELECT throwIf(number = 10, 'broken') FROM numbers(100)", "max_block_size", "1"); a.Status != http.StatusInternalServerError || a.code() != "395" {
		t.Errorf("status %d, code %s", a.Status, a.code())
	}
	if a := post(t, base, "SELECT throwIf(number = 2000000, 'broken') FROM numbers(3000000)", "wait_end_of_query", "1"); a.code() != "395" {
		t.Errorf("wait_end_of_query: status %d, code %s", a.Status, a.code())
	}
}

// TestHangUpCancels: a statement whose client has gone stops.
func TestHangUpCancels(t *testing.T) {
	base := startShared(t)
	db := freshDatabase(t, base)
	must(t, base, "CREATE TABLE "+db+".t (a UInt64) ENGINE = Memory")
	const endless = "FROM numbers(1000000000000) WHERE sipHash64(number) = 1"
	for name, statement := range map[string]string{
		"read":          "SELECT count() " + endless,
		"streamed read": "SELECT number FROM numbers(1000000000000)",
		"write":         "INSERT INTO " + db + ".t SELECT number " + endless,
	} {
		t.Run(name, func(t *testing.T) {
			id := "hang-up-" + strings.ReplaceAll(name, " ", "-")
			running := func() bool {
				return must(t, base, "SELECT count() FROM system.processes WHERE startsWith(Settings['log_comment'], '"+id+"')") != "0\n"
			}
			ctx, cancel := context.WithCancel(t.Context())
			returned := make(chan error, 1)
			go func() {
				a, err := try(ctx, "POST", base, strings.NewReader(statement), "query_id", id)
				returned <- errors.Join(err, a.BodyErr)
			}()
			eventually(t, "the statement runs", running)
			cancel()
			if err := <-returned; !errors.Is(err, context.Canceled) {
				t.Fatalf("the request ended by itself: %v", err)
			}
			began := time.Now()
			eventually(t, "the statement stops", func() bool { return !running() })
			t.Logf("stopped after %v", time.Since(began).Round(time.Millisecond))
		})
	}
}
