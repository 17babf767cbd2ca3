package consumer

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	tables "github.com/audittrail/audittrail/schemas/clickhouse"
)

// windows are the smallest deduplication windows of the tables: a block's token is remembered for that many blocks, and for that long.
type windows struct {
	blocks uint64
	// age is 0 when there is no limit by time.
	age time.Duration
	// replicated says that the tables have replicas.
	replicated bool
}

// minBlocks is the smallest window that is worth anything: with fewer blocks, a busy minute would forget a token before its range is settled.
const minBlocks = 1000

var (
	blocksSetting = regexp.MustCompile(`(?:non_)?replicated_deduplication_window = (\d+)`)
	ageSetting    = regexp.MustCompile(`replicated_deduplication_window_seconds = (\d+)`)
)

// readWindows returns the windows of all tables that the consumer writes, directly or through a view. A table without one is an error: a retry would double
// its rows.
func (c *Consumer) readWindows(ctx context.Context) (windows, error) {
	var w windows
	if c.opt.testWindows != nil {
		return *c.opt.testWindows, nil
	}
	for _, table := range []string{
		tables.TableEvents, tables.TableQuarantine, tables.TableLedger, tables.TableAlertVersions, tables.TableRollupMinute, tables.TableRollupHour,
	} {
		var engine string
		err := c.opt.ClickHouse.QueryRow(ctx, "SELECT engine_full FROM system.tables WHERE database = 'audit' AND name = {table:String}",
			map[string]string{"table": table}, &engine)
		if err != nil {
			return w, fmt.Errorf("read the settings of the table audit.%s: %w", table, err)
		}
		t, err := windowsOf(engine)
		if err != nil {
			return w, &unsafeTable{table, err}
		}
		if w.blocks == 0 || t.blocks < w.blocks {
			w.blocks = t.blocks
		}
		if t.age > 0 && (w.age == 0 || t.age < w.age) {
			w.age = t.age
		}
		w.replicated = w.replicated || isReplicated(engine)
	}
	return w, nil
}

// unsafeTable says that a table would double rows; it does not pass by waiting.
type unsafeTable struct {
	table string
	why   error
}

func (e *unsafeTable) Error() string {
	return fmt.Sprintf("the table audit.%s has %s: a repeated insert would double its rows", e.table, e.why)
}

func isReplicated(engine string) bool { return strings.HasPrefix(engine, "Replicated") }

// windowsOf reads the settings from a table's engine clause.
func windowsOf(engine string) (windows, error) {
	var w windows
	if m := blocksSetting.FindStringSubmatch(engine); m != nil {
		w.blocks, _ = strconv.ParseUint(m[1], 10, 64)
	}
	if m := ageSetting.FindStringSubmatch(engine); m != nil {
		n, _ := strconv.ParseInt(m[1], 10, 64)
		w.age = time.Duration(n) * time.Second
	}
	if w.age == 0 && isReplicated(engine) {
		w.age = time.Hour // ClickHouse's default
	}
	if w.blocks < minBlocks {
		return w, fmt.Errorf("a deduplication window of %d blocks (at least %d are needed)", w.blocks, minBlocks)
	}
	return w, nil
}
