package filter

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/audittrail/audittrail/internal/embedded/engine"
)

// testEngine is an embedded ClickHouse in this process, which can have only one.
type testEngine struct {
	url  string
	stop func() error
}

var (
	startEngine sync.Once
	shared      *testEngine
)

func TestMain(m *testing.M) {
	code := m.Run()
	if shared != nil {
		if err := shared.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the engine:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// newTestEngine skips the test when the library is not on this machine, except in CI.
func newTestEngine(t *testing.T) *testEngine {
	t.Helper()
	library, err := engine.FindLibrary(os.Getenv("AUDITTRAIL_LIBCHDB"))
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	startEngine.Do(func() { shared = start(t, library) })
	if shared == nil {
		t.Fatal("the engine did not start")
	}
	return shared
}

func start(t *testing.T, library string) *testEngine {
	t.Helper()
	dir, err := os.MkdirTemp("", "audittrail-filter")
	if err != nil {
		t.Fatal(err)
	}
	server, err := engine.New(engine.Options{DataDir: dir, Library: library})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := engine.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, listener) }()
	return &testEngine{url: "http://" + listener.Addr().String(), stop: func() error {
		cancel()
		err := <-ended
		if rest := os.RemoveAll(dir); err == nil {
			err = rest
		}
		return err
	}}
}

// ask returns the rows of a query as TabSeparated text.
func (e *testEngine) ask(t testing.TB, sql string, params []Param) string {
	t.Helper()
	values := url.Values{}
	for _, p := range params {
		values.Set("param_"+p.Name, p.Value)
	}
	answer, err := http.Post(e.url+"/?"+values.Encode(), "text/plain", strings.NewReader(sql))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v\n%v\n%s", answer.Status, body, err, params, sql[:min(len(sql), 4000)])
	}
	return string(body)
}
