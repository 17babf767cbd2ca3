package engine

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The tests share one engine in this process (there can be no second one); tests of a process's life run this binary again as a child.

var shared struct {
	once   sync.Once
	url    string
	dir    string
	err    error
	cancel context.CancelFunc
	done   chan error
}

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "engine-child":
			os.Exit(childMain(os.Args[2:]))
		case "supervisor-parent":
			os.Exit(parentMain(os.Args[2:]))
		}
	}
	code := m.Run()
	if shared.cancel != nil {
		shared.cancel()
		if err := <-shared.done; err != nil {
			fmt.Fprintln(os.Stderr, "the shared engine did not stop in order:", err)
			code = 1
		}
		_ = os.RemoveAll(shared.dir)
	}
	os.Exit(code)
}

// childMain is what `audittrail clickhouse` does when a supervisor starts it.
func childMain(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	err := RunChild(ctx, Options{
		Library: args[0], DataDir: args[1], StopTimeout: 2 * time.Second,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// testLibrary finds libchdb or ends the test: without it nothing can be tested, which only CI must not take for a success.
func testLibrary(t testing.TB) string {
	t.Helper()
	path, err := FindLibrary(os.Getenv("AUDITTRAIL_LIBCHDB"))
	if err == nil {
		if path, err = filepath.Abs(path); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	t.Skip(err)
	return ""
}

// startShared returns the URL of the engine of this process.
func startShared(t testing.TB) string {
	t.Helper()
	library := testLibrary(t)
	shared.once.Do(func() {
		shared.dir, shared.err = os.MkdirTemp("", "engine-test")
		if shared.err != nil {
			return
		}
		srv, err := New(Options{Library: library, DataDir: shared.dir, MemoryLimit: 1 << 30, MaxConcurrent: 4, MaxWaiting: 4, IOTimeout: 5 * time.Second})
		if err != nil {
			shared.err = err
			return
		}
		ln, err := Listen("127.0.0.1:0")
		if err != nil {
			shared.err = err
			return
		}
		shared.url = "http://" + ln.Addr().String()
		var ctx context.Context
		ctx, shared.cancel = context.WithCancel(context.Background())
		shared.done = make(chan error, 1)
		go func() { shared.done <- srv.Serve(ctx, ln) }()
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.url
}

// answer is a response as a client sees it.
type answer struct {
	Status  int
	Header  http.Header
	Body    string
	BodyErr error
}

func (a answer) code() string { return a.Header.Get("X-ClickHouse-Exception-Code") }

// post sends a statement with URL parameters given as name, value, …
func post(t testing.TB, base, statement string, params ...string) answer {
	t.Helper()
	return send(t, http.MethodPost, base, strings.NewReader(statement), params...)
}

func send(t testing.TB, method, base string, body io.Reader, params ...string) answer {
	t.Helper()
	a, err := try(context.Background(), method, base, body, params...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func try(ctx context.Context, method, base string, body io.Reader, params ...string) (answer, error) {
	values := url.Values{}
	for i := 0; i+1 < len(params); i += 2 {
		values.Set(params[i], params[i+1])
	}
	req, err := http.NewRequestWithContext(ctx, method, base+"/?"+values.Encode(), body)
	if err != nil {
		return answer{}, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{Status: res.StatusCode, Header: res.Header, Body: string(b), BodyErr: err}, nil
}

// must runs statements that have to succeed and returns the last one's output.
func must(t testing.TB, base string, statements ...string) string {
	t.Helper()
	out := ""
	for _, sql := range statements {
		a := post(t, base, sql)
		if a.Status != http.StatusOK {
			t.Fatalf("%s: status %d: %s", sql, a.Status, a.Body)
		}
		out = a.Body
	}
	return out
}

// freshDatabase makes a database for one test and returns the URL parameter that selects it.
func freshDatabase(t testing.TB, base string) string {
	t.Helper()
	name := "t_" + strings.ToLower(strings.NewReplacer("/", "_", "#", "_").Replace(t.Name()))
	must(t, base, "CREATE DATABASE "+name)
	t.Cleanup(func() { must(t, base, "DROP DATABASE "+name) })
	return name
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-deadline:
			t.Fatal("gave up waiting: " + what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// parentMain supervises a child until it is killed.
func parentMain(args []string) int {
	ln, err := Listen("127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s, err := NewSupervisor(SupervisorOptions{Listener: ln, Command: append([]string{"engine-child"}, args...)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() {
		if s.WaitReady(context.Background()) == nil {
			fmt.Println(s.URL(), s.PID())
		}
	}()
	fmt.Fprintln(os.Stderr, s.Run(context.Background()))
	return 1
}
