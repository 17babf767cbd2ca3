package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	tables "github.com/audittrail/audittrail/schemas/clickhouse"
)

// variant is one change to empty tables whose effect on the straight insert is measured.
type variant struct {
	name string
	sql  []string
}

// pieces is how many inserts the events come in with -tables, by partition: so there is something to merge.
const pieces = 4

// variants leave out one part of the tables each, or change what it is made of.
func variants() []variant {
	alter := func(what string) []string { return []string{"ALTER TABLE audit.events " + what} }
	setting := func(what string) []string {
		var sql []string
		for _, t := range []string{tables.TableEvents, tables.TableRollupMinute, tables.TableRollupHour} {
			sql = append(sql, "ALTER TABLE audit."+t+" MODIFY SETTING "+what)
		}
		return sql
	}
	drop := func(indexes ...string) (sql []string) {
		for _, i := range indexes {
			sql = append(sql, "ALTER TABLE audit.events DROP INDEX "+i)
		}
		return sql
	}
	refilter := func(kind string) (sql []string) {
		for name, of := range map[string]string{
			"ix_id": "id", "ix_actor": "actor_id", "ix_name": "actor_name", "ix_ip": "source_ip", "ix_target": "target_id",
			"ix_session": "session_id", "ix_trace": "trace_id", "ix_meta_k": "mapKeys(metadata)", "ix_meta_v": "mapValues(metadata)",
		} {
			sql = append(sql, "ALTER TABLE audit.events DROP INDEX "+name, "ALTER TABLE audit.events ADD INDEX "+name+" "+of+" TYPE "+kind+" GRANULARITY 1")
		}
		return sql
	}
	return []variant{
		{"as they are", nil},
		{"without the text index on message", drop("ix_message")},
		{"without bloom filters on ids and names", drop("ix_id", "ix_actor", "ix_name", "ix_ip", "ix_target", "ix_more", "ix_session", "ix_trace")},
		{"without bloom filters on metadata", drop("ix_meta_k", "ix_meta_v")},
		{"without minmax indexes", drop("ix_time", "ix_offset")},
		{"without the proof projection", alter("DROP PROJECTION p_proof")},
		{"without the rollup by minute", []string{"DROP VIEW audit.mv_rollup_1m"}},
		{"without the rollup by hour", []string{"DROP VIEW audit.mv_rollup_1h"}},
		{"without fsync", setting("fsync_after_insert = 0, fsync_part_directory = 0")},
		{"without the column raw", append([]string{"DROP VIEW audit.mv_rollup_1m", "DROP VIEW audit.mv_rollup_1h"}, alter("DROP COLUMN raw")...)},
		{"with automatic statistics off", setting("auto_statistics_types = ''")},
		{"without the columns id and metadata", append(drop("ix_id", "ix_meta_k", "ix_meta_v"), alter("DROP COLUMN id, DROP COLUMN metadata")...)},
		{"with filters of 2.5 % false positives", refilter("bloom_filter(0.025)")},
		{"with id uncompressed", alter("MODIFY COLUMN id String CODEC(NONE)")},
		{"with merges of 64 Ki rows at a time", alter("MODIFY SETTING merge_max_block_size = 65536, merge_max_block_size_bytes = 67108864")},
		{"with horizontal merges", alter("MODIFY SETTING enable_vertical_merge_algorithm = 0")},
		{"with wide parts from 64 MiB on", alter("MODIFY SETTING min_bytes_for_wide_part = 67108864")},
		{"with wide parts from 1 GiB on", alter("MODIFY SETTING min_bytes_for_wide_part = 1073741824")},
	}
}

// costOfTables measures the straight insert into each variant of the tables, in turn, so many rounds.
func (b *bench) costOfTables(ctx context.Context) error {
	e, _, err := b.freshEngine(ctx, ampleMemory)
	if err != nil {
		return err
	}
	defer e.stop()
	if _, err := b.consume(ctx, b.binary, e.url, e); err != nil {
		return err
	}
	if _, err := e.keep(ctx, b.partitions); err != nil {
		return err
	}
	only, err := regexp.Compile(b.variants)
	if err != nil {
		return fmt.Errorf("-variants: %w", err)
	}
	var all []variant
	for _, v := range variants() {
		if len(all) == 0 || only.MatchString(v.name) { // the first is what the others are compared with
			all = append(all, v)
		}
	}
	runs := make([][]usage, len(all))
	sizes := make([]float64, len(all))
	for round := range b.rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, b.rounds)
		for n := range all {
			i := (n + round) % len(all) // none is always the first
			v := all[i]
			u, err := b.variant(ctx, e, v)
			if err != nil {
				return fmt.Errorf("tables %s: %w", v.name, err)
			}
			runs[i] = append(runs[i], u)
			var bytes uint64
			if err := e.ch.QueryRow(ctx, "SELECT sum(bytes_on_disk) FROM system.parts WHERE database = 'audit' AND active", nil, &bytes); err != nil {
				return err
			}
			sizes[i] = float64(bytes) / float64(b.events)
		}
	}
	fmt.Printf("%-44s %18s %18s %12s\n", "", "CPU, µs an event", "against as is", "disk")
	fmt.Printf("%-44s %9s %8s %9s %8s %12s\n", "tables", "insert", "merge", "insert", "merge", "B an event")
	for i, v := range all {
		insert, merge := median(runs[i], engineCPU), median(runs[i], mergesCPU)
		fmt.Printf("%-44s %9.2f %8.2f %+9.2f %+8.2f %12.0f\n", v.name, insert, merge,
			insert-median(runs[0], engineCPU), merge-median(runs[0], mergesCPU), sizes[i])
	}
	return nil
}

// variant inserts the events in pieces and then merges them once, all into one part.
func (b *bench) variant(ctx context.Context, e *engine, v variant) (u usage, err error) {
	u.events = b.events
	if err := e.reset(ctx); err != nil {
		return u, err
	}
	if err := e.exec(ctx, v.sql...); err != nil {
		return u, err
	}
	var columns string
	err = e.ch.QueryRow(ctx, "SELECT arrayStringConcat(groupArray(name), ', ') FROM system.columns WHERE database = 'audit' AND table = 'events'", nil, &columns)
	if err != nil {
		return u, fmt.Errorf("read the columns: %w", err)
	}
	before, began := e.cpu(), time.Now()
	for p := range pieces {
		err := e.exec(ctx, fmt.Sprintf("INSERT INTO audit.events (%s) SELECT %s FROM %s WHERE src_partition %% %d = %d",
			columns, columns, source, pieces, p))
		if err != nil {
			return u, err
		}
	}
	u.wall, u.engine = time.Since(began), e.cpu()-before
	if err := e.exec(ctx, "SYSTEM START MERGES"); err != nil {
		return u, err
	}
	before = e.cpu()
	for _, t := range strings.Fields(tables.TableEvents + " " + tables.TableRollupMinute + " " + tables.TableRollupHour) {
		if err := e.exec(ctx, "OPTIMIZE TABLE audit."+t+" FINAL"); err != nil {
			return u, err
		}
	}
	u.merges = e.cpu() - before
	return u, nil
}
