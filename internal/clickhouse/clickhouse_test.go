package clickhouse

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/audittrail/audittrail/internal/embedded/enginetest"
	tables "github.com/audittrail/audittrail/schemas/clickhouse"
)

var update = flag.Bool("update", false, "write golden files anew")

func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

// client returns a client of the real engine with the real tables.
func client(t *testing.T) *Client {
	t.Helper()
	c, err := New(Options{URLs: []string{enginetest.URL(t)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.Migrate(context.Background(), tables.Migrations(), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMigrationsAreRecordedAndCanBeRepeated(t *testing.T) {
	c := client(t)
	ctx := context.Background()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := c.Migrate(ctx, tables.Migrations(), slog.New(slog.DiscardHandler)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var n, top uint64
	if err := c.QueryRow(ctx, "SELECT uniqExact(version_id), toUInt64(max(version_id)) FROM audit.goose_db_version WHERE version_id > 0", nil, &n, &top); err != nil {
		t.Fatal(err)
	}
	if n != top || n < 5 {
		t.Errorf("%d migrations are recorded, the last one is number %d", n, top)
	}
}

// TestTables pins what the migrations make: columns, keys and settings of every table.
func TestTables(t *testing.T) {
	c := client(t)
	rows, err := c.Query(context.Background(), "SELECT name, create_table_query FROM system.tables WHERE database = 'audit' AND name NOT LIKE 'goose%' AND name NOT LIKE 'test%' ORDER BY name", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var b strings.Builder
	for rows.Next() {
		var name, ddl string
		if err := rows.Scan(&name, &ddl); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "-- %s\n%s\n\n", name, ddl)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "tables.golden.sql")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the tables differ from %s; run with -update and look at the diff", path)
	}
}

func numbers(n int) proto.Input {
	col := new(proto.ColUInt64)
	for i := range n {
		col.Append(uint64(i))
	}
	return proto.Input{{Name: "n", Data: col}}
}

func insertNumbers(t *testing.T, c *Client, table, token string, n int) error {
	t.Helper()
	block, err := EncodeBlock(new(proto.Buffer), numbers(n))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return c.Insert(ctx, Insert{Table: table, Block: block, Token: token})
}

func TestInsertTwiceUnderOneTokenStoresOnce(t *testing.T) {
	c := client(t)
	ctx := context.Background()
	if err := c.Exec(ctx, "CREATE TABLE audit.test_tokens (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 100", nil); err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"a", "a", "b", "a"} {
		if err := insertNumbers(t, c, "test_tokens", token, 1000); err != nil {
			t.Fatal(err)
		}
	}
	var n uint64
	if err := c.QueryRow(ctx, "SELECT count() FROM audit.test_tokens WHERE n < {limit:UInt64}", Params{"limit": "500"}, &n); err != nil || n != 1000 {
		t.Errorf("%d rows below 500, %v, want 1000", n, err)
	}
}

func TestErrorsHaveTheirCodes(t *testing.T) {
	c := client(t)
	ctx := context.Background()
	expect := func(err error, code int, class Class) {
		t.Helper()
		var e *Exception
		if !errors.As(err, &e) || e.Code != code {
			t.Errorf("got %v, want an exception with code %d", err, code)
		}
		if got := Classify(err); got != class {
			t.Errorf("%v is of class %s, want %s", err, got, class)
		}
	}
	expect(insertNumbers(t, c, "no_such_table", "t", 1), 60, ClassOperator)
	expect(insertNumbers(t, c, "ledger", "t", 1), 16, ClassOperator)
	expect(c.Exec(ctx, "SELECT 1 +", nil), 62, ClassRetry)
	var n uint64
	expect(c.QueryRow(ctx, "SELECT n FROM audit.no_such_table", nil, &n), 60, ClassOperator)
	if err := c.QueryRow(ctx, "SELECT number FROM numbers(0)", nil, &n); !errors.Is(err, sql.ErrNoRows) {
		t.Errorf("no row gave %v", err)
	}
}

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Class
	}{
		{&Exception{Code: 117}, ClassRefused},
		{&Exception{Code: 321}, ClassRefused},
		{&Exception{Code: 241}, ClassRetry},
		{&Exception{Code: 252, Message: "Too many parts (300)"}, ClassRetry},
		{&Exception{Code: 252, Message: "Too many partitions for single INSERT block (more than 100)"}, ClassRefused},
		{&Exception{Code: 497}, ClassOperator},
		{&Exception{Code: 99999}, ClassRetry},
		{&Exception{Code: 0, Status: 503}, ClassRetry},
		{errors.New("connection refused"), ClassRetry},
		{fmt.Errorf("insert into events: %w", &Exception{Code: 117}), ClassRefused},
		{fmt.Errorf("insert into events: %w", &Exception{Code: 53}), ClassOperator},
	} {
		if got := Classify(c.err); got != c.want {
			t.Errorf("%v is of class %s, want %s", c.err, got, c.want)
		}
	}
}

func TestAnswersThatOnlyLookGood(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"no summary": func(http.ResponseWriter, *http.Request) {},
		"fewer rows": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-ClickHouse-Summary", `{"written_rows":"4"}`)
		},
		"an exception in the end": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "Code: 241. DB::Exception: memory") },
		"an exception header":     func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-ClickHouse-Exception-Code", "60") },
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(answer)
			defer srv.Close()
			c, err := New(Options{URLs: []string{srv.URL}, Password: "s3cret"})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := insertNumbers(t, c, "events", "t", 5); err == nil {
				t.Error("the insert was taken for done")
			} else if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error %q holds the password", err)
			}
		})
	}
}

func TestInsertsGoToTheNextReplicaAfterAFailure(t *testing.T) {
	var asked [2]int
	replica := func(i, status int) string {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked[i]++
			w.Header().Set("X-ClickHouse-Summary", `{"written_rows":"5"}`)
			w.WriteHeader(status)
		}))
		t.Cleanup(srv.Close)
		return srv.URL
	}
	c, err := New(Options{URLs: []string{replica(0, 503), replica(1, 200)}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := insertNumbers(t, c, "events", "t", 5); err == nil {
		t.Fatal("the first replica is down")
	}
	for range 3 {
		if err := insertNumbers(t, c, "events", "t", 5); err != nil {
			t.Error(err)
		}
	}
	if asked != [2]int{1, 3} {
		t.Errorf("the replicas were asked %v times, want 1 and 3", asked)
	}
}

func TestInsertCarriesItsDeadlineAndToken(t *testing.T) {
	var got http.Request
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = *r
		w.Header().Set("X-ClickHouse-Summary", `{"written_rows":"5"}`)
	}))
	defer srv.Close()
	c, err := New(Options{URLs: []string{srv.URL}, Username: "u", Password: "p"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := insertNumbers(t, c, "events", "tok/1", 5); err != nil {
		t.Fatal(err)
	}
	q := got.URL.Query()
	for key, want := range map[string]string{
		"query": "INSERT INTO audit.events (n) FORMAT Native", "insert_deduplication_token": "tok/1", "async_insert": "0",
	} {
		if q.Get(key) != want {
			t.Errorf("%s is %q, want %q", key, q.Get(key), want)
		}
	}
	if left, err := strconv.ParseFloat(q.Get("max_execution_time"), 64); err != nil || left <= 1 || left > 10 {
		t.Errorf("max_execution_time is %q, want what is left of 10 s", q.Get("max_execution_time"))
	}
	if got.ContentLength <= 0 || got.Header.Get("X-ClickHouse-User") != "u" || got.Header.Get("X-ClickHouse-Key") != "p" {
		t.Errorf("Content-Length %d, headers %v", got.ContentLength, got.Header)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, urls := range [][]string{nil, {"localhost:8123"}, {"tcp://x:9000"}, {"http://a:1", "https://b:1"}, {"http://"}} {
		if _, err := New(Options{URLs: urls}); err == nil {
			t.Errorf("%q was accepted", urls)
		}
	}
}

func TestInsertWithoutTimeLeftSendsNothing(t *testing.T) {
	var asked atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer srv.Close()
	c, err := New(Options{URLs: []string{srv.URL}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	late, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancel()
	if err := c.Insert(late, Insert{Table: "events"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after the deadline the insert gave %v", err)
	}
	if err := c.Insert(context.Background(), Insert{Table: "events"}); err == nil {
		t.Error("an insert without a deadline was sent")
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}
