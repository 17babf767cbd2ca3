package http

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/internal/ops"
	"github.com/audittrail/audittrail/queryapi"
	"github.com/audittrail/audittrail/queryapi/internal/testtrail"
	"github.com/audittrail/audittrail/schemas"
)

var (
	tookMS  = regexp.MustCompile(`"took_ms": [0-9]+`)
	version = regexp.MustCompile(`"version": "[^"]+"`)
)

func unreachable(t *testing.T) *clickhouse.Client {
	t.Helper()
	client, err := clickhouse.New(clickhouse.Options{URLs: []string{"http://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// TestWalkByLinks follows the Link headers alone.
func TestWalkByLinks(t *testing.T) {
	a := serve(t, fill(t), nil)
	for path, want := range map[string][]string{
		"/api/logs?limit=1":                {"0192f0c1-aaaa-7000-8000-000000000001", "a/b c"},
		"/api/logs/?order=asc&limit=1":     {"a/b c", "0192f0c1-aaaa-7000-8000-000000000001"},
		"/api/logs/?limit=1&actor=Ana+%3C": nil,
		"/api/alerts/?limit=1":             {"alert-1"},
	} {
		var got []string
		for next := path; next != ""; {
			an := a.get(next)
			var page struct {
				Items []struct{ ID string }
				Next  *string `json:"next_cursor"`
			}
			if err := json.Unmarshal(an.body, &page); err != nil {
				t.Fatalf("%s: %v", an.body, err)
			}
			for _, item := range page.Items {
				got = append(got, item.ID)
			}
			link := an.Header.Get("Link")
			if (link == "") != (page.Next == nil) {
				t.Fatalf("%s: link %q, but next_cursor %v", next, link, page.Next)
			}
			next = ""
			if link != "" {
				next = strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
				u, err := url.Parse(next)
				if err != nil || u.Query().Get("cursor") != *page.Next {
					t.Fatalf("link %q, but next_cursor %q", link, *page.Next)
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: walked over %q, want %q", path, got, want)
		}
	}
}

func TestMethodsAndPaths(t *testing.T) {
	a := serve(t, nil, nil)
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"POST", "/api/logs/", 405},
		{"DELETE", "/api/logs/1", 405},
		{"PUT", "/", 405},
		{"BREW", "/api/alerts", 405},
		{"GET", "/api/logs/1/2", 404},
		{"GET", "/api", 404},
		{"GET", "/nothing", 404},
		{"POST", "/nothing", 404},
		{"GET", "/api//logs/", 404},
		{"OPTIONS", "/api/logs/", 204},
		{"HEAD", "/livez", 200},
		{"HEAD", "/", 200},
		{"HEAD", "/nothing", 404},
	} {
		an := a.do(c.method, c.path, nil)
		if an.StatusCode != c.status {
			t.Errorf("%s %s: status %d, want %d", c.method, c.path, an.StatusCode, c.status)
			continue
		}
		if c.status >= 400 && c.method != http.MethodHead {
			an.problem(t)
		}
		if c.status == 405 || c.status == 204 {
			allow := strings.Split(an.Header.Get("Allow"), ", ")
			slices.Sort(allow)
			if want := []string{"GET", "HEAD", "OPTIONS"}; !slices.Equal(allow, want) {
				t.Errorf("%s %s: Allow %q, want %q", c.method, c.path, allow, want)
			}
		}
		if c.method == http.MethodHead && len(an.body) != 0 {
			t.Errorf("%s %s: a body of %d bytes", c.method, c.path, len(an.body))
		}
	}
	if an := a.get("/api/openapi.yaml"); !bytes.Equal(an.body, schemas.OpenAPI()) || an.Header.Get("Content-Type") != "application/yaml" {
		t.Errorf("the description is not served as it is: %s", an.Header)
	}
}

func TestGuard(t *testing.T) {
	local, open := serve(t, nil, nil), serve(t, nil, func(o *queryapi.Options) { o.InsecureNoAuth = true })
	type request struct{ host, origin, site string }
	for _, c := range []struct {
		request
		local, open int
	}{
		{request{host: "localhost"}, 200, 200},
		{request{host: "LOCALHOST:8000"}, 200, 200},
		{request{host: "127.0.0.1:1"}, 200, 200},
		{request{host: "127.9.9.9"}, 200, 200},
		{request{host: "[::1]:8000"}, 200, 200},
		{request{host: "[::1]"}, 200, 200},
		{request{host: "evil.example"}, 421, 200},
		{request{host: "evil.example:8000"}, 421, 200},
		{request{host: "localhost.evil.example"}, 421, 200},
		{request{host: "127.0.0.1.evil.example"}, 421, 200},
		{request{host: "192.168.1.5:8000"}, 421, 200},
		{request{host: "0.0.0.0:8000"}, 421, 200},
		{request{host: "localhost.:80"}, 421, 200},
		{request{host: "[localhost]"}, 421, 200},
		{request{host: "[127.0.0.1]"}, 421, 200},
		{request{host: "localhost:8000", origin: "http://localhost:8000"}, 200, 200},
		{request{host: "localhost:8000", origin: "http://localhost:3000"}, 403, 403}, // another program's page
		{request{host: "localhost:8000", origin: "https://evil.example"}, 403, 403},
		{request{host: "localhost:8000", origin: "null"}, 403, 403},
		{request{host: "evil.example", origin: "http://evil.example"}, 421, 200},
		{request{host: "localhost", origin: "::"}, 403, 403},
		{request{host: "localhost", site: "same-origin"}, 200, 200},
		{request{host: "localhost", site: "none"}, 200, 200},
		{request{host: "localhost", site: "cross-site"}, 403, 403},
		{request{host: "localhost", site: "same-site"}, 403, 403},
		{request{host: "localhost", site: "x"}, 403, 403},
		{request{host: "localhost", site: "cross-site", origin: "http://localhost"}, 403, 403},
	} {
		for a, want := range map[*api]int{local: c.local, open: c.open} {
			for _, path := range []string{"/", "/livez", "/metrics", "/nothing"} {
				an := a.do(http.MethodGet, path, func(r *http.Request) {
					r.Host = c.host
					if c.origin != "" {
						r.Header.Set("Origin", c.origin)
					}
					if c.site != "" {
						r.Header.Set("Sec-Fetch-Site", c.site)
					}
				})
				want := want
				if path == "/nothing" && want == 200 {
					want = 404
				}
				if an.StatusCode != want {
					t.Errorf("%+v %s, without authentication %v: status %d, want %d", c.request, path, a == open, an.StatusCode, want)
				}
				if want >= 400 {
					an.problem(t)
				}
			}
		}
	}
}

func TestHeaders(t *testing.T) {
	a := serve(t, nil, nil)
	for _, path := range []string{"/", "/api/logs/", "/nothing", "/metrics", "/livez"} {
		an := a.get(path)
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store",
		} {
			if got := an.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		if an.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: other origins are let in", path)
		}
	}
	for sent, kept := range map[string]bool{"abc-1.2_X": true, "": false, "a b": false, "<script>": false, strings.Repeat("x", 65): false} {
		an := a.do(http.MethodGet, "/", func(r *http.Request) { r.Header.Set("X-Request-ID", sent) })
		if got := an.Header.Get("X-Request-ID"); (got == sent) != kept || !plainID.MatchString(got) {
			t.Errorf("request id %q came back as %q", sent, got)
		}
	}
	if an := a.get("/api/logs/"); an.Header.Get("Retry-After") != "1" {
		t.Errorf("without a database: %d, Retry-After %q", an.StatusCode, an.Header.Get("Retry-After"))
	}
}

func TestGzip(t *testing.T) {
	a := serve(t, nil, nil)
	for _, path := range []string{"/api/openapi.yaml", "/metrics"} {
		plain := a.get(path)
		packed := a.do(http.MethodGet, path, func(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip") })
		if plain.Header.Get("Content-Encoding") != "" || packed.Header.Get("Content-Encoding") != "gzip" {
			t.Fatalf("%s: encodings %q and %q", path, plain.Header.Get("Content-Encoding"), packed.Header.Get("Content-Encoding"))
		}
		r, err := gzip.NewReader(bytes.NewReader(packed.body))
		if err != nil {
			t.Fatal(err)
		}
		unpacked, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if path == "/api/openapi.yaml" && !bytes.Equal(unpacked, plain.body) {
			t.Errorf("%s: unpacked it is something else", path)
		}
	}
	small := a.do(http.MethodGet, "/livez", func(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip") })
	if small.Header.Get("Content-Encoding") != "" || string(small.body) != "ok\n" {
		t.Errorf("a small answer: %q, %q", small.Header.Get("Content-Encoding"), small.body)
	}
	// A HEAD is answered like its GET, without the body.
	head := a.do(http.MethodHead, "/api/openapi.yaml", func(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip") })
	if head.StatusCode != 200 || len(head.body) != 0 {
		t.Errorf("HEAD: %d with %d bytes", head.StatusCode, len(head.body))
	}
}

func TestLargeBodyIsRefused(t *testing.T) {
	a := serve(t, nil, nil)
	an := a.do(http.MethodGet, "/", func(r *http.Request) {
		r.ContentLength, r.Body = 65<<10, io.NopCloser(strings.NewReader(strings.Repeat("x", 65<<10)))
	})
	if p := an.problem(t); p.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("a body of 65 KiB: %+v", p)
	}
}

// TestPanic shows nothing of a panic to the caller and all of it to the log.
func TestPanic(t *testing.T) {
	a := serve(t, nil, nil)
	s := &server{service: a.service, opt: a.service.Options()}
	s.metrics = mustMetrics(t)
	e := echo.New()
	e.HTTPErrorHandler = s.problem
	e.Use(s.requestID, s.observe, s.recover)
	e.GET("/", func(echo.Context) error { panic("secret") })
	a.url = listen(t, e)
	an := a.get("/")
	if p := an.problem(t); p.Status != 500 || p.Type != ops.ProblemType+"internal" || strings.Contains(string(an.body), "secret") {
		t.Errorf("after a panic: %+v", p)
	}
	if log := a.log.String(); !strings.Contains(log, "secret") || !strings.Contains(log, "handler_test.go") {
		t.Errorf("the log does not tell of the panic: %s", log)
	}
}

// TestTooManyRequests fills the handler with requests that wait, and lets one more come.
func TestTooManyRequests(t *testing.T) {
	a := serve(t, nil, nil)
	s := &server{service: a.service, opt: a.service.Options(), metrics: mustMetrics(t), tokens: make(chan struct{}, maxInFlight)}
	e := echo.New()
	e.HTTPErrorHandler = s.problem
	e.Use(s.requestID, s.observe, s.bound)
	entered, leave := make(chan struct{}), make(chan struct{})
	e.GET("/api/wait", func(c echo.Context) error { entered <- struct{}{}; <-leave; return c.NoContent(http.StatusNoContent) })
	e.GET("/livez", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })
	a.url = listen(t, e)
	done := make(chan int, maxInFlight)
	for range maxInFlight {
		go func() { done <- a.get("/api/wait").StatusCode }()
		<-entered
	}
	if p := a.get("/api/wait").problem(t); p.Status != 503 || p.Type != ops.ProblemType+"busy" {
		t.Errorf("one request too many: %+v", p)
	}
	if an := a.get("/livez"); an.StatusCode != 204 {
		t.Errorf("the probe is refused as well: %d", an.StatusCode)
	}
	close(leave)
	for range maxInFlight {
		if status := <-done; status != 204 {
			t.Errorf("a request within the limit: %d", status)
		}
	}
}

// TestHangUp counts a caller who left as 499.
func TestHangUp(t *testing.T) {
	a := serve(t, testtrail.Open(t), func(o *queryapi.Options) { o.MaxQueries = 1 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// The request goes through the handler itself: a client that has hung up sends nothing.
	handler, err := New(mustService(t, a))
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/api/logs/", nil)
	if err != nil {
		t.Fatal(err)
	}
	handler.ServeHTTP(rec, req)
	if rec.Code != 499 {
		t.Errorf("status %d, want 499", rec.Code)
	}
}

// patientRecorder notes the deadline that is set on its connection.
type patientRecorder struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (r *patientRecorder) SetWriteDeadline(t time.Time) error { r.deadline = t; return nil }

// TestWriteDeadline wants one on every path: a connection keeps that of the request before.
func TestWriteDeadline(t *testing.T) {
	handler, err := New(mustService(t, serve(t, nil, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/livez", "/metrics", "/nothing", "/api/logs/", "/api/openapi.yaml"} {
		rec := &patientRecorder{ResponseRecorder: httptest.NewRecorder()}
		before := time.Now()
		handler.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost"+path, nil))
		if want := queryapi.DefaultQueryTimeout + writeSlack; rec.deadline.Before(before.Add(want)) || rec.deadline.After(time.Now().Add(want)) {
			t.Errorf("%s: deadline %v, want %v from now", path, rec.deadline, want)
		}
	}
}

func TestMetrics(t *testing.T) {
	a := serve(t, nil, nil)
	a.get("/")
	a.get("/api/logs")
	a.get("/api/logs/")
	a.get("/api/logs/1?x=1")
	a.do("BREW", "/api/alerts/", nil)
	a.get("/wp-login.php")
	want := `
# HELP audittrail_http_requests_total HTTP requests by path of the API, method and status; 499 means that the caller hung up.
# TYPE audittrail_http_requests_total counter
audittrail_http_requests_total{code="200",method="GET",route="/"} 1
audittrail_http_requests_total{code="200",method="GET",route="/api/alerts/"} 0
audittrail_http_requests_total{code="200",method="GET",route="/api/alerts/:id"} 0
audittrail_http_requests_total{code="200",method="GET",route="/api/logs/"} 0
audittrail_http_requests_total{code="200",method="GET",route="/api/logs/:id"} 0
audittrail_http_requests_total{code="200",method="GET",route="/api/openapi.yaml"} 0
audittrail_http_requests_total{code="200",method="GET",route="/livez"} 0
audittrail_http_requests_total{code="200",method="GET",route="/metrics"} 0
audittrail_http_requests_total{code="200",method="GET",route="/readyz"} 0
audittrail_http_requests_total{code="400",method="GET",route="/api/logs/:id"} 1
audittrail_http_requests_total{code="404",method="GET",route="unmatched"} 1
audittrail_http_requests_total{code="405",method="other",route="/api/alerts/"} 1
audittrail_http_requests_total{code="503",method="GET",route="/api/logs/"} 2
`
	if err := testutil.GatherAndCompare(a.registry, strings.NewReader(want), "audittrail_http_requests_total"); err != nil {
		t.Error(err)
	}
	page := string(a.get("/metrics").body)
	for _, want := range []string{
		`audittrail_query_seconds_count{statement="event_page"} 2`, `audittrail_query_seconds_count{statement="alert_page"} 0`, "audittrail_query_waiting 0",
		`audittrail_http_request_seconds_count{route="/api/logs/"} 2`, "audittrail_http_requests_in_flight 1",
	} {
		if !strings.Contains(page, want+"\n") {
			t.Errorf("/metrics lacks %q", want)
		}
	}
	if problems, err := testutil.GatherAndLint(a.registry); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}

// TestReady waits for the condition to come and go with the database.
func TestReady(t *testing.T) {
	a := serve(t, testtrail.Open(t), nil)
	if an := a.get("/readyz"); an.StatusCode != 503 || string(an.body) != "clickhouse: starting\n" {
		t.Errorf("before Run: %d %q", an.StatusCode, an.body)
	}
	if an := a.get("/livez"); an.StatusCode != 200 {
		t.Errorf("alive: %d", an.StatusCode)
	}
	run(t, a.service)
	waitFor(t, func() bool { return a.get("/readyz").StatusCode == 200 })

	gone := serve(t, nil, func(o *queryapi.Options) { o.InsecureNoAuth = true })
	run(t, gone.service)
	waitFor(t, func() bool {
		an := gone.get("/readyz")
		return an.StatusCode == 503 && strings.Contains(string(an.body), "connection refused")
	})
	if log := gone.log.String(); !strings.Contains(log, "NO AUTHENTICATION") {
		t.Errorf("no warning that everybody is served: %s", log)
	}
	if strings.Contains(a.log.String(), "NO AUTHENTICATION") {
		t.Error("a warning without cause")
	}
}

// TestAccessLog is quiet above debug, and never holds what was searched for.
func TestAccessLog(t *testing.T) {
	a := serve(t, fill(t), nil)
	a.get("/api/logs/?actor=somebody-secret")
	log := a.log.String()
	if !strings.Contains(log, `"route":"/api/logs/"`) || !strings.Contains(log, `"level":"DEBUG"`) || !strings.Contains(log, `"status":200`) {
		t.Errorf("the request is not in the log: %s", log)
	}
	if strings.Contains(log, "somebody-secret") {
		t.Errorf("the log holds the search: %s", log)
	}
}

func run(t *testing.T, service *queryapi.Service) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatal("the condition did not come true")
		}
		<-time.After(20 * time.Millisecond)
	}
}

func mustMetrics(t *testing.T) *metrics {
	t.Helper()
	m, err := newMetrics(prometheus.NewRegistry(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func mustService(t *testing.T, a *api) *queryapi.Service {
	t.Helper()
	opt := a.service.Options()
	opt.Registry = prometheus.NewRegistry()
	s, err := queryapi.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func listen(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}
