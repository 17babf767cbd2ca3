// Package enginetest gives a package's tests the real ClickHouse engine: one in the process, which can have no more, with an empty data folder. No product
// code uses it.
package enginetest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/audittrail/audittrail/internal/embedded/engine"
)

var running struct {
	once sync.Once
	url  string
	stop func() error
	err  error
}

// Main runs the tests of a package, stops the engine if one of them has started it, and returns the exit status. It is for TestMain.
func Main(m *testing.M) int {
	code := m.Run()
	if running.stop != nil {
		if err := running.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the engine:", err)
			code = 1
		}
	}
	return code
}

// URL returns the engine's address. Where the library is missing the test is skipped, in CI it fails.
func URL(t testing.TB) string {
	t.Helper()
	library, err := engine.FindLibrary(os.Getenv("AUDITTRAIL_LIBCHDB"))
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("needs the embedded ClickHouse: ", err)
	}
	running.once.Do(func() { running.url, running.stop, running.err = start(library) })
	if running.err != nil {
		t.Fatal(running.err)
	}
	return running.url
}

func start(library string) (url string, stop func() error, err error) {
	dir, err := os.MkdirTemp("", "audittrail-enginetest")
	if err != nil {
		return "", nil, err
	}
	srv, err := engine.New(engine.Options{DataDir: dir, Library: library})
	if err != nil {
		return "", nil, err
	}
	ln, err := engine.Listen("127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ctx, ln) }()
	return "http://" + ln.Addr().String(), func() error {
		cancel()
		err := <-ended
		if rest := os.RemoveAll(dir); err == nil {
			err = rest
		}
		return err
	}, nil
}
