package engine

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestForeignRequestsAreRefused: a web page in a browser on this machine reaches nothing.
func TestForeignRequestsAreRefused(t *testing.T) {
	base := startShared(t)
	for _, tc := range []struct {
		name   string
		host   string
		header http.Header
		status int
	}{
		{"localhost", "localhost:8123", nil, 200},
		{"IPv4", "127.0.0.1", nil, 200},
		{"IPv6", "[::1]:8123", nil, 200},
		{"name below localhost", "clickhouse.localhost", nil, 200},
		{"name that resolves to loopback", "evil.example:8123", nil, 403},
		{"name that looks like it", "localhost.evil.example", nil, 403},
		{"another address", "10.0.0.1", nil, 403},
		{"page on this machine", "localhost", http.Header{"Origin": {"http://localhost:3000"}, "Sec-Fetch-Site": {"same-site"}}, 200},
		{"foreign page", "localhost", http.Header{"Origin": {"https://evil.example"}}, 403},
		{"page without origin", "localhost", http.Header{"Origin": {"null"}}, 403},
		{"image in a foreign page", "localhost", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, path := range []string{"/?query=SELECT+1", "/ping"} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Host = tc.host
				for k, v := range tc.header {
					req.Header[k] = v
				}
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if res.StatusCode != tc.status {
					t.Errorf("%s: status %d, want %d", path, res.StatusCode, tc.status)
				}
			}
		})
	}
}

func TestPathsAndMethods(t *testing.T) {
	base := startShared(t)
	for _, tc := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/ping", 200, "Ok.\n"},
		{"HEAD", "/ping", 200, ""},
		{"GET", "/replicas_status", 200, "Ok.\n"},
		{"GET", "/", 200, "Ok.\n"},
		{"GET", "/?database=system", 200, "Ok.\n"},
		{"POST", "/query?query=SELECT+1", 200, "1\n"},
		{"GET", "/nothing", 404, "There is no handle /nothing\n"},
		{"DELETE", "/", 405, "Method not allowed\n"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tc.method, base+tc.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != tc.status || string(b) != tc.body {
			t.Errorf("%s %s: %d %q, want %d %q", tc.method, tc.path, res.StatusCode, b, tc.status, tc.body)
		}
	}
}

func TestListenOnlyOnLoopback(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "example.org:80", "127.0.0.1"} {
		if ln, err := Listen(address); err == nil {
			ln.Close()
			t.Errorf("listens on %s", address)
		}
	}
	ln, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if _, err := Listen(ln.Addr().String()); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("a port in use: %v", err)
	}
	srv, err := New(Options{DataDir: t.TempDir(), Library: "x"})
	if err != nil {
		t.Fatal(err)
	}
	anywhere, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Skip(err)
	}
	if err := srv.Serve(t.Context(), anywhere); err == nil || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("serves everybody: %v", err)
	}
}

// TestTooManyRequests: requests beyond the running and waiting ones are refused with ClickHouse's code, and places come back.
func TestTooManyRequests(t *testing.T) {
	base := startShared(t)
	ctx, cancel := context.WithCancel(t.Context())
	const present = 4 + 4 // what startShared allows
	left := make(chan struct{}, present)
	for range present {
		go func() {
			_, _ = try(ctx, "POST", base, strings.NewReader("SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1"), "max_threads", "1")
			left <- struct{}{}
		}()
	}
	eventually(t, "a request is refused", func() bool {
		// One that has to wait leaves again, so that it does not hold a place itself.
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		a, err := try(ctx, "POST", base, strings.NewReader("SELECT 1"))
		return err == nil && a.code() == "202" && a.Status == http.StatusInternalServerError
	})
	cancel()
	for range present {
		<-left
	}
	eventually(t, "places come back", func() bool { return post(t, base, "SELECT 1").Body == "1\n" })
}

// TestMemoryLimit: a statement over the limit fails with code 241, an insert as well, and the engine lives on.
func TestMemoryLimit(t *testing.T) {
	base := startShared(t)
	db := freshDatabase(t, base)
	must(t, base, "CREATE TABLE "+db+".t"+createAB)
	if a := post(t, base, "SELECT length(groupArray(toString(number))) FROM numbers(200000000)"); a.code() != "241" {
		t.Errorf("read: status %d: %s", a.Status, a.Body)
	}
	a := send(t, "POST", base, strings.NewReader(string(nativeBlock(t, 0, 100000))), "query", "INSERT INTO "+db+".t FORMAT Native", "max_memory_usage", "4000000")
	if a.code() != "241" {
		t.Errorf("insert: status %d: %s", a.Status, a.Body)
	}
	if got := must(t, base, "SELECT count() FROM "+db+".t"); got != "0\n" {
		t.Errorf("%s rows of a failed insert", got)
	}
}

func TestLargeStatements(t *testing.T) {
	base := startShared(t)
	list := "SELECT 1 IN (" + strings.Repeat("12345678,", 40_000) + "1)"
	if a := post(t, base, list); a.code() != "62" { // max_query_size, as on a server
		t.Errorf("status %d: %s", a.Status, a.Body)
	}
	if a := post(t, base, list, "max_query_size", "10000000"); a.Body != "1\n" {
		t.Errorf("status %d: %s", a.Status, a.Body)
	}
	if a := post(t, base, "SELECT 1 "+strings.Repeat(" ", maxQueryText+insertHeadLimit)); a.Status != http.StatusRequestEntityTooLarge || a.code() != "229" {
		t.Errorf("status %d, code %s", a.Status, a.code())
	}
	// The data of an INSERT is no part of the statement.
	values := "INSERT INTO FUNCTION null('a UInt64') VALUES " + strings.Repeat("(12345678),", 2_000_000) + "(1)"
	if a := post(t, base, values); a.Status != http.StatusOK || summaryOf(t, a)["written_rows"] != "2000001" {
		t.Errorf("status %d: %s", a.Status, a.Body)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{{}, {DataDir: "x"}, {Library: "x"}, {DataDir: "x", Library: "x", MemoryLimit: -1}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
	o, err := Options{DataDir: "x", Library: "x"}.withDefaults()
	if err != nil || o.MemoryLimit != DefaultMemoryLimit || o.MaxConcurrent != DefaultMaxConcurrent || o.StopTimeout != DefaultStopTimeout || o.Logger == nil {
		t.Errorf("%+v, %v", o, err)
	}
}
