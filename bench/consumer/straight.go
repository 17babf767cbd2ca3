package main

import (
	"context"
	"fmt"
	"time"

	"github.com/audittrail/audittrail/bench/internal/proc"
	tables "github.com/audittrail/audittrail/schemas/clickhouse"
)

const (
	nullDatabase = "bench_null"
	source       = "bench.source"
)

// keep copies the stored events into a Memory table, in the order in which Kafka has them, and returns how many there are.
func (e *engine) keep(ctx context.Context, partitions int) (n uint64, err error) {
	err = e.exec(ctx, "CREATE DATABASE IF NOT EXISTS bench", "DROP TABLE IF EXISTS "+source+" SYNC", "CREATE TABLE "+source+" AS audit.events ENGINE = Memory")
	if err != nil {
		return 0, err
	}
	for p := range partitions { // one by one, or sorting takes as much memory again
		err := e.exec(ctx, fmt.Sprintf("INSERT INTO %s SELECT * FROM audit.events WHERE src_partition = %d ORDER BY src_offset", source, p))
		if err != nil {
			return 0, err
		}
	}
	return n, e.ch.QueryRow(ctx, "SELECT count() FROM "+source, nil, &n)
}

// straight inserts the events of the Memory table into the real tables, without Kafka, network or decoding.
func (e *engine) straight(ctx context.Context, n uint64) (u usage, err error) {
	u.events = int(n)
	before, began := e.cpu(), time.Now()
	if err := e.exec(ctx, "INSERT INTO audit."+tables.TableEvents+" SELECT * FROM "+source); err != nil {
		return u, err
	}
	u.wall, u.engine = time.Since(began), e.cpu()-before
	u.engineMiB = proc.PeakMiB(e.pid)
	return u, nil
}

// makeNull makes tables that take the consumer's rows and keep nothing.
func (e *engine) makeNull(ctx context.Context) error {
	if err := e.exec(ctx, "CREATE DATABASE "+nullDatabase); err != nil {
		return err
	}
	for _, t := range []string{tables.TableEvents, tables.TableQuarantine, tables.TableLedger, tables.TableAlertVersions} {
		if err := e.exec(ctx, fmt.Sprintf("CREATE TABLE %s.%s AS audit.%s ENGINE = Null", nullDatabase, t, t)); err != nil {
			return err
		}
	}
	return nil
}
