package engine

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/audittrail/audittrail/internal/embedded/folder"
)

// logBuffer collects the lines of a child.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// supervised is a supervisor that runs for one test.
type supervised struct {
	*Supervisor
	registry *prometheus.Registry
	lines    *logBuffer
	cancel   context.CancelFunc
	returned chan error
}

func supervise(t *testing.T, library, dir string) *supervised {
	t.Helper()
	return superviseProgram(t, "", "engine-child", library, dir)
}

// superviseProgram is supervise with another program in the place of the engine; this one when it is empty.
func superviseProgram(t *testing.T, program string, args ...string) *supervised {
	t.Helper()
	ln, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &supervised{registry: prometheus.NewRegistry(), lines: &logBuffer{}, returned: make(chan error, 1)}
	s.Supervisor, err = NewSupervisor(SupervisorOptions{
		Listener: ln, Program: program, Command: args, Output: s.lines, Registerer: s.registry, StopTimeout: 10 * time.Second,
		Logger: slog.New(slog.NewTextHandler(s.lines, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go func() { s.returned <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-s.returned:
		case <-time.After(20 * time.Second):
			t.Error("the supervisor does not stop")
		}
		if t.Failed() {
			t.Log(s.lines.String())
		}
	})
	return s
}

func (s *supervised) waitReady(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.WaitReady(ctx); err != nil {
		t.Fatalf("%v\n%s", err, s.lines)
	}
}

// stop ends the supervisor and returns what Run returned.
func (s *supervised) stop() error {
	s.cancel()
	err := <-s.returned
	s.returned <- err
	return err
}

// killer is a body that kills the engine when it has been read up to a point.
type killer struct {
	data  *bytes.Reader
	after int // bytes still to come when it kills
	kill  func()
}

func (k *killer) Read(p []byte) (int, error) {
	n, err := k.data.Read(p)
	if k.kill != nil && k.data.Len() <= k.after {
		k.kill()
		k.kill = nil
	}
	return n, err
}

// TestKilledInMidInsert kills the engine in the middle of a body, at its end and a little later, while blocks with tokens are inserted, each until it is
// acknowledged: every row is there exactly once in the end, in the table and in the rollup, at the same address.
func TestKilledInMidInsert(t *testing.T) {
	library := testLibrary(t)
	s := supervise(t, library, t.TempDir())
	s.waitReady(t)
	base := s.URL()
	must(t, base, "CREATE TABLE t"+createAB,
		"CREATE TABLE sums (n UInt64) ENGINE = SummingMergeTree ORDER BY tuple() SETTINGS non_replicated_deduplication_window = 100",
		"CREATE MATERIALIZED VIEW mv TO sums AS SELECT count() AS n FROM t")
	const blocks, rows = 8, 50_000
	kill := func() { _ = syscall.Kill(s.PID(), syscall.SIGKILL) }
	kills := map[int]killer{ // block to the moment
		1: {after: rows * 50, kill: kill},
		3: {after: 0, kill: kill},
		5: {after: 0, kill: func() { time.AfterFunc(20*time.Millisecond, kill) }},
	}
	failed := 0
	for i := range blocks {
		block := nativeBlock(t, i*rows, rows)
		for attempt := 0; ; attempt++ {
			k := killer{}
			if attempt == 0 {
				k = kills[i]
			}
			k.data = bytes.NewReader(block)
			a, err := try(t.Context(), "POST", base, &k, "query", "INSERT INTO t FORMAT Native", "insert_deduplication_token", fmt.Sprint("block ", i))
			if err == nil && a.BodyErr == nil && a.Status == http.StatusOK {
				break
			}
			failed++
		}
	}
	eventually(t, "the last killed child is replaced", func() bool { return s.Restarts() == len(kills) })
	s.waitReady(t)
	got := must(t, base, "SELECT count(), uniqExact(a), min(a), max(a), (SELECT sum(n) FROM sums) FROM t")
	n := blocks * rows
	if want := fmt.Sprintf("%d\t%d\t0\t%d\t%d\n", n, n, n-1, n); got != want {
		t.Errorf("rows, distinct, min, max, rollup: %q, want %q", got, want)
	}
	if failed < 2 {
		t.Errorf("only %d inserts were hit by %d kills", failed, len(kills))
	}
	if !strings.Contains(s.lines.String(), "signal: killed") {
		t.Error("the reason is not in the log")
	}
	if v := metricValue(t, s.registry, "audittrail_embedded_clickhouse_restarts_total"); v != float64(len(kills)) {
		t.Errorf("restarts metric %v, want %d", v, len(kills))
	}
	if err := s.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func metricValue(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// TestStopInOrder: a running statement is finished, the next start finds everything, and readiness and metrics tell the truth throughout.
func TestStopInOrder(t *testing.T) {
	library, dir := testLibrary(t), t.TempDir()
	s := supervise(t, library, dir)
	s.waitReady(t)
	if problems, err := testutil.GatherAndLint(s.registry); err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v, %v", problems, err)
	}
	if v := metricValue(t, s.registry, "audittrail_embedded_clickhouse_up"); v != 1 {
		t.Errorf("up is %v", v)
	}
	if resident, peak := s.Memory(); resident == 0 && fileExists("/proc/self/status") || peak < resident {
		t.Errorf("memory %d, peak %d", resident, peak)
	}
	must(t, s.URL(), "CREATE TABLE t"+createAB, "INSERT INTO t VALUES (1, 'x')")
	got := make(chan answer, 1)
	go func() {
		a, err := try(t.Context(), "POST", s.URL(), strings.NewReader("SELECT sum(sleepEachRow(0.05)), count() FROM numbers(10)"), "max_block_size", "1", "query_id", "last")
		a.BodyErr = errors.Join(err, a.BodyErr)
		got <- a
	}()
	eventually(t, "the statement runs", func() bool {
		return must(t, s.URL(), "SELECT count() FROM system.processes WHERE startsWith(Settings['log_comment'], 'last')") == "1\n"
	})
	if err := s.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if a := <-got; a.Body != "0\t10\n" || a.BodyErr != nil {
		t.Errorf("the running statement was cut off: %q, %v", a.Body, a.BodyErr)
	}
	if s.PID() != 0 || s.Ready(t.Context()) == nil || metricValue(t, s.registry, "audittrail_embedded_clickhouse_up") != 0 {
		t.Error("a stopped engine seems to run")
	}
	next := supervise(t, library, dir)
	next.waitReady(t)
	if got := must(t, next.URL(), "SELECT * FROM t"); got != "1\tx\n" {
		t.Errorf("after the restart: %q", got)
	}
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// TestLongStatementIsCancelledAtStop: what does not end within the stop time-out is cancelled, not waited for.
func TestLongStatementIsCancelledAtStop(t *testing.T) {
	s := supervise(t, testLibrary(t), t.TempDir())
	s.waitReady(t)
	got := make(chan error, 1)
	go func() {
		res, err := http.Post(s.URL()+"/?query_id=endless", "", strings.NewReader("SELECT number FROM numbers(1000000000000)"))
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		got <- err
	}()
	eventually(t, "the statement runs", func() bool {
		return must(t, s.URL(), "SELECT count() FROM system.processes WHERE startsWith(Settings['log_comment'], 'endless')") == "1\n"
	})
	began := time.Now()
	if err := s.stop(); err != nil { // the child's stop time-out is 2 s
		t.Errorf("stop: %v", err)
	}
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("stopping took %v", took)
	}
	t.Logf("stopping took %v", time.Since(began).Round(time.Millisecond))
	if err := <-got; err == nil {
		t.Error("the client takes the cut result for whole")
	}
}

// TestParentKilled: the child does not outlive its parent, and leaves port and folder free.
func TestParentKilled(t *testing.T) {
	library, dir := testLibrary(t), t.TempDir()
	parent := exec.Command(os.Args[0], "supervisor-parent", library, dir)
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = parent.Process.Kill(); _ = parent.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var base string
	var pid int
	if _, err := fmt.Sscan(line, &base, &pid); err != nil {
		t.Fatal(err)
	}
	must(t, base, "CREATE TABLE t"+createAB, "INSERT INTO t VALUES (1, 'x')")
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the child ends", func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) })
	ln, err := Listen(strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Errorf("the port is not free: %v", err)
	} else {
		ln.Close()
	}
	next := supervise(t, library, dir)
	next.waitReady(t)
	if got := must(t, next.URL(), "SELECT * FROM t"); got != "1\tx\n" {
		t.Errorf("after the restart: %q", got)
	}
}

// TestStopBeforeTheChildListensToSignals: the signal ends such a child by itself. That was asked for, so it is no failure.
func TestStopBeforeTheChildListensToSignals(t *testing.T) {
	s := superviseProgram(t, "/bin/sleep", "60")
	eventually(t, "the child lives", func() bool { return s.PID() != 0 })
	if err := s.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// TestNeverStarts: what cannot start is an error, not an endless loop. A child that says itself that it cannot is not asked again; one that was killed is.
func TestNeverStarts(t *testing.T) {
	notALibrary := filepath.Join(t.TempDir(), "libchdb.so")
	if err := os.WriteFile(notALibrary, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		s      *supervised
		reason string
		line   string
		times  int
	}{
		{supervise(t, notALibrary, t.TempDir()), "exit status 1", "load the ClickHouse library", 1},
		{superviseProgram(t, "/bin/sh", "-c", "echo started; kill -9 $$"), "signal: killed", "started", startAttempts},
	} {
		select {
		case err := <-c.s.returned:
			c.s.returned <- err
			if err == nil || !strings.Contains(err.Error(), "does not start") || !strings.Contains(err.Error(), c.reason) {
				t.Errorf("error %v, want one with %q", err, c.reason)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("it still tries")
		}
		if n := strings.Count(c.s.lines.String(), c.line); n != c.times {
			t.Errorf("the child's own words are there %d times, want %d:\n%s", n, c.times, c.s.lines)
		}
	}
}

// TestFolderInUse: two engines never share a folder.
func TestFolderInUse(t *testing.T) {
	dir := t.TempDir()
	lock, err := folder.Lock(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	srv, err := New(Options{DataDir: dir, Library: "not needed"})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Serve(t.Context(), ln); !errors.Is(err, folder.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v", err)
	}
}
