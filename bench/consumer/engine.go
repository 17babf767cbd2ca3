package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/audittrail/audittrail/bench/internal/proc"
	"github.com/audittrail/audittrail/internal/clickhouse"
	tables "github.com/audittrail/audittrail/schemas/clickhouse"
)

// engine is a process of `audittrail clickhouse`.
type engine struct {
	cmd *exec.Cmd
	url string
	pid int // of the child that is ClickHouse
	ch  *clickhouse.Client
}

const (
	// usualMemory is the default limit of the embedded engine.
	usualMemory = 2 << 30
	// ampleMemory also holds the events in a Memory table.
	ampleMemory = 12 << 30
)

// startEngine starts ClickHouse on a folder and waits until it answers. The address is host:port.
func (b *bench) startEngine(ctx context.Context, dir, address string, memory int64) (*engine, error) {
	e := &engine{cmd: exec.CommandContext(ctx, b.binary, "--log-level", "warn", "clickhouse", "--data", dir, "--clickhouse-listen", address,
		"--clickhouse-memory", strconv.FormatInt(memory, 10))}
	e.cmd.Cancel = func() error { return e.cmd.Process.Signal(syscall.SIGTERM) } // a killed parent would leave its child to find out
	e.cmd.Stderr = os.Stderr
	line, err := startAndRead(e.cmd)
	if err != nil {
		return nil, fmt.Errorf("start the engine: %w", err)
	}
	e.url = line[strings.LastIndexByte(line, ' ')+1:]
	e.pid = proc.Child(e.cmd.Process.Pid)
	e.ch, err = clickhouse.New(clickhouse.Options{URLs: []string{e.url}})
	return e, err
}

// freshEngine starts ClickHouse on a new folder with empty tables.
func (b *bench) freshEngine(ctx context.Context, memory int64) (e *engine, dir string, err error) {
	if dir, err = os.MkdirTemp(b.dir, "engine"); err != nil {
		return nil, "", err
	}
	if e, err = b.startEngine(ctx, dir, "127.0.0.1:0", memory); err != nil {
		return nil, "", err
	}
	if err := e.reset(ctx); err != nil {
		e.stop()
		return nil, "", err
	}
	return e, dir, nil
}

func (e *engine) stop() {
	_ = e.ch.Close()
	_ = e.cmd.Process.Signal(syscall.SIGTERM)
	_ = e.cmd.Wait()
}

func (e *engine) exec(ctx context.Context, statements ...string) error {
	for _, sql := range statements {
		if err := e.ch.Exec(ctx, sql, nil); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// reset makes the tables anew. No merge runs until it is started: so inserts and merges are told apart.
func (e *engine) reset(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	// The client's statements name the database audit: it must be there, also the first time.
	if err := e.ch.Migrate(ctx, tables.Migrations(), slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	if err := e.exec(ctx, "SYSTEM STOP MERGES"); err != nil {
		return err
	}
	for _, drop := range []string{
		"mv_rollup_1m", "mv_rollup_1h", tables.TableEvents, tables.TableQuarantine, tables.TableLedger, tables.TableRollupMinute,
		tables.TableRollupHour, tables.TableAlertVersions, tables.ViewAlerts, "goose_db_version",
	} {
		if err := e.exec(ctx, "DROP TABLE IF EXISTS audit."+drop+" SYNC"); err != nil {
			return err
		}
	}
	if err := e.ch.Migrate(ctx, tables.Migrations(), slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	return e.exec(ctx, "SYSTEM STOP MERGES")
}

func (e *engine) cpu() time.Duration { return proc.CPU(e.pid) }

// merge lets the merges go and waits until the tables are quiet. It returns the CPU time that they took.
func (e *engine) merge(ctx context.Context) (time.Duration, error) {
	before := e.cpu()
	if err := e.exec(ctx, "SYSTEM START MERGES"); err != nil {
		return 0, err
	}
	return e.awaitQuiet(ctx, before)
}

// awaitQuiet waits until no merge runs and none begins, and returns the CPU time since before.
func (e *engine) awaitQuiet(ctx context.Context, before time.Duration) (time.Duration, error) {
	busy, since := e.cpu(), time.Now()
	for time.Since(since) < 2*time.Second {
		var merges uint64
		if err := e.ch.QueryRow(ctx, "SELECT count() FROM system.merges", nil, &merges); err != nil {
			return 0, fmt.Errorf("count the merges: %w", err)
		}
		// The question itself costs CPU, a few per cent of a core at this pace.
		if now := e.cpu(); merges > 0 || now-busy > 100*time.Millisecond {
			busy, since = now, time.Now()
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	return busy - before, nil
}

// check returns an error unless the tables hold n events, in the events and in both rollups.
func (e *engine) check(ctx context.Context, n int) error {
	var rows, distinct, minute, hour uint64
	err := e.ch.QueryRow(ctx, "SELECT count(), uniqExact(src_partition, src_offset), (SELECT sum(events) FROM audit.rollup_1m), (SELECT sum(events) FROM audit.rollup_1h)"+
		" FROM audit.events", nil, &rows, &distinct, &minute, &hour)
	if err != nil {
		return fmt.Errorf("count the events: %w", err)
	}
	if want := uint64(n); rows != want || distinct != want || minute != want || hour != want {
		return fmt.Errorf("%d events are stored as %d rows with %d distinct offsets, %d by minute, %d by hour", n, rows, distinct, minute, hour)
	}
	return nil
}
