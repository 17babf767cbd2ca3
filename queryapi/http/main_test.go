package http

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/internal/ops"
	"github.com/audittrail/audittrail/queryapi"
	"github.com/audittrail/audittrail/queryapi/internal/testtrail"
	"github.com/audittrail/audittrail/schemas/audit"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { os.Exit(testtrail.Run(m)) }

// noon is the time of the tests' clock.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// api is a running query API.
type api struct {
	t        *testing.T
	url      string
	registry *prometheus.Registry
	health   *ops.Health
	service  *queryapi.Service
	log      *lockedBuffer
}

// serve starts the API on a free port. Without a client there is nothing behind it.
func serve(t *testing.T, client *clickhouse.Client, change func(*queryapi.Options)) *api {
	t.Helper()
	if client == nil {
		var err error
		if client, err = clickhouse.New(clickhouse.Options{URLs: []string{"http://127.0.0.1:1"}}); err != nil {
			t.Fatal(err)
		}
	}
	a := &api{t: t, registry: prometheus.NewRegistry(), health: &ops.Health{}, log: &lockedBuffer{}}
	opt := queryapi.Options{
		ClickHouse: client, Registry: a.registry, Health: a.health, Now: func() time.Time { return noon },
		Logger: slog.New(slog.NewJSONHandler(a.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&opt)
	}
	var err error
	if a.service, err = queryapi.New(opt); err != nil {
		t.Fatal(err)
	}
	handler, err := New(a.service)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	a.url = server.URL
	return a
}

// answer is what came back.
type answer struct {
	*http.Response
	body []byte
}

// do sends a request; edit may change it.
func (a *api) do(method, path string, edit func(*http.Request)) answer {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), method, a.url+path, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	// Else the client asks for gzip and unpacks it by itself.
	req.Header.Set("Accept-Encoding", "identity")
	if edit != nil {
		edit(req)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return answer{res, body}
}

func (a *api) get(path string) answer { a.t.Helper(); return a.do(http.MethodGet, path, nil) }

// problem is the problem of an answer.
func (an answer) problem(t *testing.T) problemAnswer {
	t.Helper()
	if got := an.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("%d is no problem: %s, %s", an.StatusCode, got, an.body)
	}
	var p problemAnswer
	if err := json.Unmarshal(an.body, &p); err != nil {
		t.Fatal(err)
	}
	if p.Status != an.StatusCode || p.RequestID != an.Header.Get("X-Request-ID") {
		t.Errorf("the problem %+v contradicts the answer's status %d and id %q", p, an.StatusCode, an.Header.Get("X-Request-ID"))
	}
	return p
}

// lockedBuffer takes the log of several goroutines.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// golden compares with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs:\n got %s\nwant %s", path, got, want)
	}
}

// fill stores events with every field and alerts with versions.
func fill(t *testing.T) *clickhouse.Client {
	t.Helper()
	client := testtrail.Open(t)
	full := audit.Event{
		ID: "0192f0c1-aaaa-7000-8000-000000000001", Time: noon.Add(-time.Minute + 123456*time.Microsecond), Tenant: "acme", Action: "record.update",
		Category: audit.CategoryData, Outcome: audit.OutcomeSuccess, Reason: "requested", Severity: audit.SeverityLow,
		Actor:     audit.Actor{Type: audit.ActorUser, ID: "7", Name: "Ana <ana@example.com>"},
		Source:    audit.Source{IP: netip.MustParseAddr("192.0.2.7"), ForwardedFor: []string{"198.51.100.1"}, UserAgent: "curl/8"},
		SessionID: "s-1", Targets: []audit.Target{{Type: "invoice", ID: "42", Name: "Invoice \"42\""}, {Type: "account", ID: "9"}},
		Changes: []audit.Change{{Field: "amount", Old: "10.5", New: `{"value":11}`}, {Field: "iban", Redacted: true}},
		Data:    audit.Data{Records: 3, Bytes: 4096, Filter: "year = 2025"},
		Service: audit.Service{Name: "billing", Version: "1.2.3", Instance: "billing-0"},
		Request: audit.Request{ID: "r-1", Method: "PUT", Route: "/invoices/{id}", Status: 200},
		TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", SpanID: "00f067aa0ba902b7", CorrelationID: "c-1", Sequence: 17,
		Message: "Ana changed invoice 42", Metadata: audit.Metadata{{Key: "team", Value: "x & y"}, {Key: "k", Value: ""}},
	}
	bare := audit.Event{ID: "a/b c", Time: noon.Add(-2 * time.Minute), Tenant: "default", Action: "auth.login", Category: audit.CategoryAuth, Outcome: audit.OutcomeFailure}
	testtrail.InsertEvents(t, client, testtrail.Row{Partition: 2, Offset: 7, Event: full}, testtrail.Row{Partition: 0, Offset: 9, Event: bare})

	alert := audit.Alert{
		ID: "alert-1", Version: 1, State: audit.AlertOpen, RuleID: "11111111-2222-4333-8444-555555555555", RuleName: "brute_force_ip", Level: "high", Tenant: "default",
		Key:       map[string]string{"source.ip_prefix": "192.0.2.7/32"},
		FirstSeen: noon.Add(-10 * time.Minute), LastSeen: noon.Add(-9 * time.Minute), Window: "1m", Count: 5,
		Users: audit.Names{Values: []string{"ana", "root"}, Total: 2}, Sources: audit.Names{Values: []string{"192.0.2.7"}, Total: 1},
		Samples: []string{"e1", "e2"}, Actions: []string{"Block the address"}, Tags: []string{"attack.t1110"},
	}
	again := alert
	again.Version, again.State, again.Count, again.LastSeen, again.Approximate = 2, audit.AlertResolved, 12, noon.Add(-5*time.Minute), true
	testtrail.InsertAlerts(
		t, client,
		testtrail.Version{Alert: alert, Offset: 0, Published: noon.Add(-9 * time.Minute)}, testtrail.Version{Alert: again, Offset: 1, Published: noon.Add(-4 * time.Minute)},
	)
	return client
}
