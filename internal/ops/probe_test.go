package ops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// TestProbe follows a server that is away, comes, hangs, and comes back.
func TestProbe(t *testing.T) {
	var away, silent atomic.Bool
	away.Store(true)
	var out bytes.Buffer // written by the probe alone, read after its end
	h := new(Health)
	p := &Probe{
		Name: "kafka", Where: "10.0.0.1:9092", Hint: "is it running?", Health: h, Log: slog.New(slog.NewTextHandler(&out, nil)),
		every: 5 * time.Millisecond, timeout: 200 * time.Millisecond,
		Ask: func(ctx context.Context) error {
			switch {
			case silent.Load():
				<-ctx.Done()
				return ctx.Err()
			case away.Load():
				return fmt.Errorf("three layers: %w", &net.OpError{Op: "dial", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 9092}, Err: refused(t)})
			}
			return nil
		},
	}
	p.Init()
	if got := h.NotReady(); len(got) != 1 || got[0] != "kafka: starting" {
		t.Errorf("before the first answer: %q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	notReady := func(want string) func() bool {
		return func() bool { return strings.Join(h.NotReady(), ";") == want }
	}
	waitFor(t, "the refusal", notReady("kafka: 10.0.0.1:9092: connection refused"))
	away.Store(false)
	if err := p.Answered(ctx); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the answer", notReady(""))
	silent.Store(true)
	waitFor(t, "silence to be noticed", notReady("kafka: 10.0.0.1:9092: no answer within 200ms"))
	// /livez and /readyz answer at once all the while: they ask nobody.
	for path, want := range map[string]int{"/livez": 200, "/readyz": 503} {
		rec := httptest.NewRecorder()
		Handler(NewRegistry(), h).ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if rec.Code != want {
			t.Errorf("%s answered %d, want %d", path, rec.Code, want)
		}
	}
	silent.Store(false)
	waitFor(t, "the answer after silence", notReady(""))
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	log := out.String()
	if n := strings.Count(log, `msg="waiting for kafka" address=10.0.0.1:9092 error=`); n != 2 {
		t.Errorf("waiting was logged %d times, want once each time:\n%s", n, log)
	}
	if !strings.Contains(log, "connection refused") || !strings.Contains(log, "is it running?") || strings.Count(log, "kafka answers") != 2 {
		t.Errorf("the log does not tell the story:\n%s", log)
	}
}

// refused is the error of connecting to a port where nobody listens, without its outer layer.
func refused(t *testing.T) error {
	t.Helper()
	_, err := net.DialTimeout("tcp", "127.0.0.1:1", time.Second)
	var op *net.OpError
	if !errors.As(err, &op) {
		t.Fatalf("port 1 gave %v", err)
	}
	return op.Err
}

func TestExplain(t *testing.T) {
	_, nobody := net.DialTimeout("tcp", "127.0.0.1:1", time.Second)
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("hello: Post %q: %w", "http://127.0.0.1:1?database=audit", nobody), "127.0.0.1:1: connection refused"},
		{fmt.Errorf("dial: %w", &net.DNSError{Name: "kafka.invalid", IsNotFound: true, Err: "no such host"}), "kafka.invalid: no such host"},
		{fmt.Errorf("read: %w", context.DeadlineExceeded), "no answer in time"},
		{errors.New("code 60: no such table"), "code 60: no such table"},
	} {
		if got := Explain(c.err); got != c.want {
			t.Errorf("%v is explained as %q, want %q", c.err, got, c.want)
		}
	}
}

// TestProblems: what the handler refuses has the form of every HTTP error.
func TestProblems(t *testing.T) {
	h := Handler(NewRegistry(), new(Health))
	for _, c := range []struct {
		method, path, code string
		status             int
	}{
		{"GET", "/nothing", "not_found", 404},
		{"POST", "/readyz", "method_not_allowed", 405},
		{"DELETE", "/metrics", "method_not_allowed", 405},
	} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), c.method, c.path, nil))
		body := rec.Body.String()
		if rec.Code != c.status || rec.Header().Get("Content-Type") != "application/problem+json" ||
			!strings.Contains(body, `"type":"`+ProblemType+c.code+`"`) || !strings.Contains(body, `"instance":"`+c.path+`"`) ||
			!strings.Contains(body, `"request_id":"`+rec.Header().Get("X-Request-ID")+`"`) {
			t.Errorf("%s %s answered %d %s", c.method, c.path, rec.Code, body)
		}
	}
}
