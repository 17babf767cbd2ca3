package engine

import (
	"context"
	"encoding/xml"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/audittrail/audittrail/internal/embedded/folder"
)

// database is the booted engine. There can be one in a process, once: libchdb cannot be started again after its shutdown.
type database struct {
	lib  *library
	path string
	log  *slog.Logger
	lock *os.File

	// control is held for as long as the engine lives (it would shut down with its last connection) and runs the KILL statements.
	mu      sync.Mutex
	control *session

	displayName, version string
}

// bootDatabase starts the engine in o.DataDir, which nobody else may use at the same time.
func bootDatabase(o Options) (*database, error) {
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder of the embedded ClickHouse: %w", err)
	}
	lock, err := folder.Lock(o.DataDir, o.LockWait)
	if err != nil {
		return nil, err
	}
	db, err := startEngine(o)
	if err != nil {
		_ = lock.Close()
		return nil, err
	}
	db.lock = lock
	return db, nil
}

func startEngine(o Options) (*database, error) {
	// The zone of the process is the zone of the engine, and the only way to set it.
	if err := os.Setenv("TZ", "UTC"); err != nil {
		return nil, fmt.Errorf("set the time zone: %w", err)
	}
	lib, err := loadLibrary(o.Library)
	if err != nil {
		return nil, err
	}
	configFile := filepath.Join(o.DataDir, "config.xml")
	if err := os.WriteFile(configFile, engineConfig(o), 0o600); err != nil {
		return nil, fmt.Errorf("write the configuration of the embedded ClickHouse: %w", err)
	}
	lib.setSignalHandlers(0) // signals belong to Go
	db := &database{lib: lib, path: filepath.Join(o.DataDir, "data"), log: o.Logger}
	handle, err := lib.open("--path="+db.path, "--config-file="+configFile, "--log-level=error", "--logger.console=1")
	if err != nil {
		return nil, fmt.Errorf("boot the embedded ClickHouse in %s: %w", o.DataDir, err)
	}
	db.control = &session{lib: lib, handle: handle}
	who, err := db.control.query("SELECT displayName(), version()", "TabSeparated", nil)
	if err != nil {
		return nil, fmt.Errorf("ask the embedded ClickHouse for its version: %w", err)
	}
	db.displayName, db.version, _ = strings.Cut(strings.TrimSpace(string(who.Body)), "\t")
	return db, nil
}

// engineConfig bounds the engine: libchdb's own defaults take nine tenths of the machine and caches of several GiB.
func engineConfig(o Options) []byte {
	limit := o.MemoryLimit
	numbers := []struct {
		name  string
		value int64
	}{
		{"max_server_memory_usage", limit},
		{"merges_mutations_memory_usage_soft_limit", limit / 2},
		{"mark_cache_size", limit / 16},
		{"index_mark_cache_size", limit / 32},
		{"primary_index_cache_size", limit / 16},
		{"text_index_tokens_cache_size", limit / 64},
		{"text_index_header_cache_size", limit / 64},
		{"text_index_postings_cache_size", limit / 32},
		{"query_condition_cache_size", limit / 64},
		{"parquet_metadata_cache_size", limit / 64},
		{"iceberg_metadata_files_cache_size", limit / 64},
		{"vector_similarity_index_cache_size", limit / 64},
		{"unique_key_index_cache_size_bytes", limit / 64},
		{"background_pool_size", int64(min(max(runtime.NumCPU(), 2), 8))},
	}
	var b strings.Builder
	b.WriteString("<!-- Written at every start. -->\n<clickhouse>\n")
	for _, n := range numbers {
		fmt.Fprintf(&b, "    <%s>%d</%s>\n", n.name, n.value, n.name)
	}
	var name strings.Builder
	_ = xml.EscapeText(&name, []byte(o.DisplayName))
	fmt.Fprintf(&b, "    <display_name>%s</display_name>\n", name.String())
	// A failed statement is answered to its client; its text does not belong into a log. ThreadStatus complains at every streamed insert of libchdb.
	b.WriteString("    <logger><levels>\n")
	for _, name := range []string{"executeQuery", "ThreadStatus"} {
		fmt.Fprintf(&b, "        <logger><name>%s</name><level>none</level></logger>\n", name)
	}
	b.WriteString("    </levels></logger>\n</clickhouse>\n")
	return []byte(b.String())
}

// newSession opens a session for one request. libchdb takes no query id, so the request is marked in Settings['log_comment'] of system.processes: that begins
// with the client's own comment, or else with its query id, and ends with mark, which nobody else has.
func (db *database) newSession(mark, queryID string, memoryLimit int64, settings []pair, database string) (*session, error) {
	handle, err := db.lib.open("--path=" + db.path)
	if err != nil {
		return nil, newException(codeUnknownException, "%s", err)
	}
	s := &session{lib: db.lib, handle: handle}
	comment := queryID
	all := []pair{
		{"implicit_select", "0"}, // libchdb turns these two on
		{"allow_introspection_functions", "0"},
		{"async_insert", "0"},
		{"output_format_parallel_formatting", "0"}, // takes hundreds of MiB for the buffers
		{"max_memory_usage", strconv.FormatInt(memoryLimit/4*3, 10)},
	}
	for _, p := range settings {
		if p.name == "log_comment" {
			comment = p.value
			continue
		}
		all = append(all, p)
	}
	if err := s.set(append(all, pair{"log_comment", comment + " " + mark})); err != nil {
		s.close()
		return nil, err
	}
	if database != "" && database != "default" {
		if err := s.use(database); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

// killRetry is how long after a KILL the next one is sent: the statement may not have been in the list of processes yet.
const killRetry = 50 * time.Millisecond

// killWhenDone cancels what the session with that mark runs as soon as ctx ends. The returned stop must be called when the statement has returned.
func (db *database) killWhenDone(ctx context.Context, mark string) (stop func()) {
	returned := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		select {
		case <-returned:
			return
		case <-ctx.Done():
		}
		for {
			db.kill(mark)
			select {
			case <-returned:
				return
			case <-time.After(killRetry):
			}
		}
	})
	return func() { close(returned); ended.Wait() }
}

func (db *database) kill(mark string) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.control == nil {
		return
	}
	sql := "KILL QUERY WHERE endsWith(Settings['log_comment'], " + quoteString(mark) + ") ASYNC"
	if _, err := db.control.query(sql, "Null", nil); err != nil {
		db.log.Warn("cannot cancel a statement of the embedded clickhouse", "mark", mark, "error", err)
	}
}

// shutdown closes the last connection. libchdb refuses to end its background threads once there was a MergeTree table (26.7): those, and the lock on the
// folder that they use, end with the process. Tables survive that by design, as they survive a kill.
func (db *database) shutdown() {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.control.close()
	db.control = nil
	if db.lib.shutdown() == 0 {
		_ = db.lock.Close()
	}
}
