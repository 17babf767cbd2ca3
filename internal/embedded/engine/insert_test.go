package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"
)

// nativeBlock encodes rows numbered from first as one Native block of the columns a and b.
func nativeBlock(t testing.TB, first, rows int) []byte {
	t.Helper()
	a, b := make(proto.ColUInt64, rows), new(proto.ColStr)
	for i := range rows {
		a[i] = uint64(first + i)
		b.Append(fmt.Sprintf("value %d %s", first+i, strings.Repeat("x", 80)))
	}
	var buf proto.Buffer
	block := proto.Block{Columns: 2, Rows: rows}
	if err := block.EncodeRawBlock(&buf, 0, proto.Input{{Name: "a", Data: a}, {Name: "b", Data: b}}); err != nil {
		t.Fatal(err)
	}
	return buf.Buf
}

const createAB = " (a UInt64, b String) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100"

func TestInsertForms(t *testing.T) {
	base := startShared(t)
	db := freshDatabase(t, base)
	table := db + ".t"
	must(t, base, "CREATE TABLE "+table+" (a UInt64, b String) ENGINE = Memory")
	for _, tc := range []struct {
		name, query, body string
		params            []string
		want              string
	}{
		{"format in URL, data in body", "INSERT INTO " + table + " FORMAT JSONEachRow", `{"a":1,"b":"x"}{"a":2,"b":"y"}`, nil, "1 x,2 y"},
		{"all in body", "", "INSERT INTO " + table + " (b, a) FORMAT CSV\nx,1\n", nil, "1 x"},
		{"settings before format", "INSERT INTO " + table + " SETTINGS input_format_skip_unknown_fields = 1 FORMAT JSONEachRow", `{"a":1,"b":"x","c":0}`, nil, "1 x"},
		{"settings in URL", "INSERT INTO " + table + " FORMAT JSONEachRow", `{"a":1,"b":"x","c":0}`, []string{"input_format_skip_unknown_fields", "1"}, "1 x"},
		{"beginning of the data in URL", "INSERT INTO " + table + " FORMAT JSONEachRow {\"a\":1,", `"b":"x"}`, nil, "1 x"},
		{"VALUES", "", "INSERT INTO " + table + " VALUES (1, 'it''s'), (2, concat('a', 'b'))", nil, "1 it's,2 ab"},
		{"VALUES in URL", "INSERT INTO " + table + " VALUES", "(1, 'x')", nil, "1 x"},
		{"VALUES with parameters", "", "INSERT INTO " + table + " VALUES ({n:UInt64}, {s:String})", []string{"param_n", "7", "param_s", `o'clock`}, "7 o'clock"},
		{"SELECT", "", "INSERT INTO " + table + " SELECT number, 'n' FROM numbers({n:UInt8})", []string{"param_n", "2"}, "0 n,1 n"},
		{"table as parameter", "INSERT INTO {t:Identifier} FORMAT TSV", "5\tz\n", []string{"param_t", "t", "database", db}, "5 z"},
		{"Native", "INSERT INTO " + table + " FORMAT Native", string(nativeBlock(t, 3, 1)[:0]) + string(nativeBlock(t, 3, 1)), nil, "3 value 3 " + strings.Repeat("x", 80)},
		{"nothing", "INSERT INTO " + table + " FORMAT Native", "", nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			must(t, base, "TRUNCATE TABLE "+table)
			params := tc.params
			if tc.query != "" {
				params = append([]string{"query", tc.query}, params...)
			}
			if a := post(t, base, tc.body, params...); a.Status != http.StatusOK || a.Body != "" {
				t.Fatalf("status %d: %s", a.Status, a.Body)
			}
			got := must(t, base, "SELECT arrayStringConcat(groupArray(concat(toString(a), ' ', b)), ',') FROM (SELECT * FROM "+table+" ORDER BY a) FORMAT TSVRaw")
			if got != tc.want+"\n" {
				t.Errorf("rows %q, want %q", got, tc.want)
			}
		})
	}
}

// TestOneBlockOnePart: a block is one part and one deduplication unit, however the network cuts it.
func TestOneBlockOnePart(t *testing.T) {
	base := startShared(t)
	db := freshDatabase(t, base)
	must(t, base, "CREATE TABLE "+db+".t"+createAB, "SYSTEM STOP MERGES "+db+".t",
		"CREATE TABLE "+db+".sums (n UInt64) ENGINE = SummingMergeTree ORDER BY tuple() SETTINGS non_replicated_deduplication_window = 100",
		"CREATE MATERIALIZED VIEW "+db+".mv TO "+db+".sums AS SELECT count() AS n FROM "+db+".t")
	const rows = 250_000
	block := nativeBlock(t, 0, rows)
	insert := func(token string, body io.Reader) answer {
		return send(t, "POST", base, body, "query", "INSERT INTO "+db+".t (a, b) FORMAT Native", "insert_deduplication_token", token, "async_insert", "0")
	}
	check := func(want string) {
		t.Helper()
		got := must(t, base, "SELECT (SELECT count() FROM "+db+".t), (SELECT sum(n) FROM "+db+".sums), count(), max(rows) FROM system.parts WHERE active AND database = '"+db+"' AND table = 't'")
		if got != want {
			t.Errorf("rows, rows by the view, parts, largest part: %q, want %q", got, want)
		}
	}
	began := time.Now()
	a := insert("one", bytes.NewReader(block))
	t.Logf("%d rows, %d MB: %v", rows, len(block)>>20, time.Since(began).Round(time.Millisecond))
	if a.Status != http.StatusOK {
		t.Fatal(a.Body)
	}
	// 250,000 into the table and one into the view's target.
	if s := summaryOf(t, a); s["written_rows"] != "250001" {
		t.Errorf("summary %v", s)
	}
	check("250000\t250000\t1\t250000\n")
	// The same again, in dribs of odd sizes: it is the same block.
	if a := insert("one", &dribbler{data: block, sizes: []int{1, 7, 4093, 65537, 300000}}); a.Status != http.StatusOK {
		t.Fatal(a.Body)
	}
	check("250000\t250000\t1\t250000\n")
	if a := insert("two", bytes.NewReader(block)); a.Status != http.StatusOK {
		t.Fatal(a.Body)
	}
	check("500000\t500000\t2\t250000\n")
}

// dribbler hands out data in pieces of the given sizes, in turn.
type dribbler struct {
	data  []byte
	sizes []int
	turn  int
}

func (d *dribbler) Read(p []byte) (int, error) {
	if len(d.data) == 0 {
		return 0, io.EOF
	}
	n := min(d.sizes[d.turn%len(d.sizes)], len(p), len(d.data))
	d.turn++
	copy(p, d.data[:n])
	d.data = d.data[n:]
	return n, nil
}

// TestBodyCutShort: a body that does not come to its announced end is never committed, whatever its format makes of the part that came.
func TestBodyCutShort(t *testing.T) {
	base := startShared(t)
	db := freshDatabase(t, base)
	must(t, base, "CREATE TABLE "+db+".t"+createAB)
	block := nativeBlock(t, 0, 1000)
	rows := strings.Repeat("{\"a\":1,\"b\":\"x\"}\n", 1000)
	for _, tc := range []struct{ name, head, body string }{
		{"Native, Content-Length", fmt.Sprintf("Content-Length: %d\r\n\r\n", len(block)), string(block[:len(block)/2])},
		{"Native, whole blocks, Content-Length", fmt.Sprintf("Content-Length: %d\r\n\r\n", 2*len(block)), string(block)},
		{"JSONEachRow, whole rows, Content-Length", fmt.Sprintf("Content-Length: %d\r\n\r\n", 2*len(rows)), rows},
		{"JSONEachRow, whole rows, chunked", "Transfer-Encoding: chunked\r\n\r\n", fmt.Sprintf("%x\r\n%s\r\n", len(rows), rows)},
		{"JSONEachRow, inside a chunk", "Transfer-Encoding: chunked\r\n\r\n", fmt.Sprintf("%x\r\n%s", 2*len(rows), rows)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			format, _, _ := strings.Cut(tc.name, ",")
			id := "cut-" + url.QueryEscape(tc.name)
			query := url.Values{"query": {"INSERT INTO " + db + ".t FORMAT " + format}, "query_id": {id}}
			conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, "POST /?"+query.Encode()+" HTTP/1.1\r\nHost: localhost\r\n"+tc.head+tc.body); err != nil {
				t.Fatal(err)
			}
			running := func() bool {
				return must(t, base, "SELECT count() FROM system.processes WHERE startsWith(Settings['log_comment'], '"+id+"')") != "0\n"
			}
			eventually(t, "the insert has begun", running)
			conn.Close()
			eventually(t, "the insert has ended", func() bool { return !running() })
			if n := must(t, base, "SELECT count() FROM "+db+".t"); n != "0\n" {
				t.Errorf("%s rows of half a body were stored", n)
			}
		})
	}
	t.Run("statement", func(t *testing.T) {
		// DROP TABLE t, of which only the first half came, would be another statement.
		half := "TRUNCATE TABLE " + db + ".t"
		conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		must(t, base, "INSERT INTO "+db+".t VALUES (1, 'x')")
		_, _ = fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(half)+10, half)
		conn.(*net.TCPConn).CloseWrite()
		answer, _ := io.ReadAll(conn)
		conn.Close()
		if !strings.Contains(string(answer), "Code: 210. ") {
			t.Errorf("answer %q", answer)
		}
		if n := must(t, base, "SELECT count() FROM "+db+".t"); n != "1\n" {
			t.Errorf("half a statement was executed: %s rows left", n)
		}
	})
}

// TestIdleBodyGivesUp: a client that stops sending does not hold its place for ever, and nothing of it is stored.
func TestIdleBodyGivesUp(t *testing.T) {
	if os.Getenv("AUDITTRAIL_SLOW") == "" {
		t.Skip("set AUDITTRAIL_SLOW=1: waits for a time-out")
	}
	base := startShared(t)
	db := freshDatabase(t, base)
	must(t, base, "CREATE TABLE "+db+".t"+createAB)
	from, to := io.Pipe()
	defer to.Close()
	go func() { _, _ = io.WriteString(to, "{\"a\":1,\"b\":\"x\"}\n") }()
	a, err := try(context.Background(), "POST", base, from, "query", "INSERT INTO "+db+".t FORMAT JSONEachRow")
	if err == nil && a.code() != "210" {
		t.Errorf("status %d: %s", a.Status, a.Body)
	}
	if n := must(t, base, "SELECT count() FROM "+db+".t"); n != "0\n" {
		t.Errorf("%s rows were stored", n)
	}
}

// TestHangUpDuringInsert: the client leaves while the engine works on a complete body; the statement is cancelled or was already whole.
func TestHangUpDuringInsert(t *testing.T) {
	base := startShared(t)
	db := freshDatabase(t, base)
	must(t, base, "CREATE TABLE "+db+".slow (a UInt64, b String) ENGINE = MergeTree ORDER BY a",
		"CREATE TABLE "+db+".t"+createAB,
		"CREATE MATERIALIZED VIEW "+db+".mv TO "+db+".slow AS SELECT a, b FROM "+db+".t WHERE NOT ignore(sleepEachRow(0.002))")
	ctx, cancel := context.WithCancel(t.Context())
	returned := make(chan error, 1)
	go func() {
		_, err := try(ctx, "POST", base, bytes.NewReader(nativeBlock(t, 0, 1000)), "query", "INSERT INTO "+db+".t FORMAT Native", "query_id", "leaver", "max_block_size", "10")
		returned <- err
	}()
	running := func() bool {
		return must(t, base, "SELECT count() FROM system.processes WHERE startsWith(Settings['log_comment'], 'leaver')") != "0\n"
	}
	eventually(t, "the insert runs", running)
	cancel()
	if err := <-returned; !errors.Is(err, context.Canceled) {
		t.Fatalf("the insert ended by itself: %v", err)
	}
	eventually(t, "the insert ends", func() bool { return !running() })
	if n := must(t, base, "SELECT count() FROM "+db+".slow"); n != "0\n" && n != "1000\n" {
		t.Errorf("%s of 1000 rows are in the view's target", n)
	}
}

// TestInsertTimeOut: an insert ends with its max_execution_time, so that nothing of it lands later.
func TestInsertTimeOut(t *testing.T) {
	base := startShared(t)
	db := freshDatabase(t, base)
	must(t, base, "CREATE TABLE "+db+".slow (a UInt64, b String) ENGINE = MergeTree ORDER BY a",
		"CREATE TABLE "+db+".t"+createAB,
		"CREATE MATERIALIZED VIEW "+db+".mv TO "+db+".slow AS SELECT a, b FROM "+db+".t WHERE NOT ignore(sleepEachRow(0.01))")
	began := time.Now()
	a := send(t, "POST", base, bytes.NewReader(nativeBlock(t, 0, 300)), "query", "INSERT INTO "+db+".t FORMAT Native", "query_id", "late", "max_execution_time", "1")
	if a.code() != "159" || a.Status != http.StatusRequestTimeout {
		t.Errorf("status %d: %s", a.Status, a.Body)
	}
	t.Logf("ended after %v", time.Since(began).Round(time.Millisecond))
	if n := must(t, base, "SELECT count() FROM system.processes WHERE startsWith(Settings['log_comment'], 'late')"); n != "0\n" {
		t.Error("the insert still runs after its answer")
	}
	if n := must(t, base, "SELECT count() FROM "+db+".slow"); n != "0\n" {
		t.Errorf("%s rows are in the view's target", n)
	}
}
