package consumer

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestTablesWithoutWindowsAreRefused(t *testing.T) {
	for engine, want := range map[string]string{
		"MergeTree ORDER BY x SETTINGS index_granularity = 8192":                                                                          "window of 0 blocks",
		"MergeTree ORDER BY x SETTINGS non_replicated_deduplication_window = 10":                                                          "window of 10 blocks",
		"ReplicatedMergeTree('/a', 'b') ORDER BY x SETTINGS replicated_deduplication_window = 200000, index_granularity = 8192":           "",
		"ReplicatedMergeTree ORDER BY x SETTINGS replicated_deduplication_window_seconds = 3600, replicated_deduplication_window = 10000": "",
	} {
		w, err := windowsOf(engine)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", engine, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s gave %+v, %v, want an error with %q", engine, w, err, want)
		}
	}
	// A replicated table that does not name its window by time has the server's default.
	if got, err := windowsOf("ReplicatedMergeTree ORDER BY x SETTINGS replicated_deduplication_window = 200000"); err != nil || got.age != time.Hour {
		t.Errorf("the windows are %+v, %v, want an hour", got, err)
	}
	w := newWorld(t, 1)
	opt := w.options()
	opt.testWindows = nil
	c, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.readWindows(context.Background())
	if err != nil || got.blocks != 100_000 || got.age != 0 {
		t.Errorf("the real tables have the windows %+v, %v", got, err)
	}
}

// TestForgottenTokensAreNotReliedOn: an insert has landed and its answer is lost. By the time of the repeat ClickHouse may not know the token any more.
func TestForgottenTokensAreNotReliedOn(t *testing.T) {
	w := newWorld(t, 1)
	w.produce(0, 30)
	p := w.proxied(times(1, "events", lost))
	opt := w.shortIntents()
	opt.testWindows = &windows{blocks: 100_000, age: 10 * time.Millisecond} // shorter than any repeat takes
	c := w.consumed(opt)
	if p.struck() != 1 {
		t.Fatal("the fault never struck")
	}
	w.exactly(30, 0, 0)
	if n := testutil.ToFloat64(c.m.checks.WithLabelValues("full")); n != 1 {
		t.Errorf("%v ranges were asked for and found full, want 1", n)
	}
}

// TestReplicasAreSyncedBeforeTheyAreAsked: a replica that lags would say that it has nothing.
func TestReplicasAreSyncedBeforeTheyAreAsked(t *testing.T) {
	w := newWorld(t, 1)
	w.produce(0, 30)
	w.consumed(w.options())
	w.commit(0, "")
	p := w.proxied(func(string, []byte) fault { return nil })
	var mu sync.Mutex
	var statements []string
	p.query = func(sql string) fault {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case strings.HasPrefix(sql, "SYSTEM SYNC REPLICA"): // these tables have none
			statements = append(statements, sql)
			return func(_ *faultyProxy, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }
		case strings.Contains(sql, "SELECT src_offset, raw_hash"):
			statements = append(statements, "ask")
		}
		return nil
	}
	opt := w.shortIntents()
	opt.testWindows = &windows{blocks: 100_000, replicated: true}
	w.consumed(opt)
	w.exactlyRows(30)
	const want = "SYSTEM SYNC REPLICA audit.events LIGHTWEIGHT; SYSTEM SYNC REPLICA audit.quarantine LIGHTWEIGHT; SYSTEM SYNC REPLICA audit.ledger LIGHTWEIGHT; ask"
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(statements, "; "); !strings.Contains(got, want) {
		t.Errorf("the statements were %s", got)
	}
}
