package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/audittrail/audittrail/internal/clickhouse"
	tables "github.com/audittrail/audittrail/schemas/clickhouse"
)

// minuteRollupDays is how long the rollup by minute is kept; see its table's TTL.
const minuteRollupDays = 90

// rollupTries is how often a day is looked at before its rollup counts as wrong: events and rollups of one insert become visible one after the other.
const rollupTries = 4

// rollups compares the rollups of each day with its events.
func (v *verifier) rollups(ctx context.Context) error {
	var wrong map[string]Finding
	for try := range rollupTries {
		if try > 0 {
			select {
			case <-time.After(500 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		var err error
		where, params := v.days()
		if wrong, err = rollupFindings(ctx, v.ch, where, params); err != nil || len(wrong) == 0 {
			return err
		}
	}
	for _, f := range wrong {
		v.found(f)
	}
	return nil
}

// rollupFindings returns the days whose rollups do not add up, by day and table.
func rollupFindings(ctx context.Context, ch *clickhouse.Client, where string, params clickhouse.Params) (map[string]Finding, error) {
	events, err := countByDay(ctx, ch, tables.TableEvents, "count()", where, params)
	if err != nil {
		return nil, err
	}
	out := make(map[string]Finding)
	for _, table := range []string{tables.TableRollupMinute, tables.TableRollupHour} {
		got, err := countByDay(ctx, ch, table, "toUInt64(sum(events))", where, params)
		if err != nil {
			return nil, err
		}
		for day, n := range events {
			if table == tables.TableRollupMinute && time.Since(day) > (minuteRollupDays-1)*24*time.Hour {
				continue // the table has let go of it
			}
			if got[day] != n {
				d := day.Format(time.DateOnly)
				out[d+table] = Finding{Kind: FindingRollup, Day: d, Want: n, Got: got[day], Detail: table}
			}
		}
		for day, n := range got {
			if _, ok := events[day]; !ok && n > 0 {
				d := day.Format(time.DateOnly)
				out[d+table] = Finding{Kind: FindingRollup, Day: d, Got: n, Detail: table}
			}
		}
	}
	return out, nil
}

func countByDay(ctx context.Context, ch *clickhouse.Client, table, sum, where string, params clickhouse.Params) (map[time.Time]uint64, error) {
	rows, err := ch.Query(ctx, "SELECT ingest_day, "+sum+" FROM audit."+table+" WHERE "+where+" GROUP BY ingest_day", params)
	if err != nil {
		return nil, fmt.Errorf("count %s by day: %w", table, err)
	}
	defer rows.Close()
	out := make(map[time.Time]uint64)
	for rows.Next() {
		var day time.Time
		var n uint64
		if err := rows.Scan(&day, &n); err != nil {
			return nil, fmt.Errorf("count %s by day: %w", table, err)
		}
		out[day] = n
	}
	return out, rows.Err()
}

// repeatedIDs lists event ids that several records carry.
func (v *verifier) repeatedIDs(ctx context.Context) error {
	where, params := v.days()
	where = v.ofTopic(where, params)
	// Many ids need much memory: beyond a bound ClickHouse goes on on disk.
	ctx = clickhouse.WithSettings(ctx, map[string]any{"max_bytes_before_external_group_by": 256 << 20})
	rows, err := v.ch.Query(ctx, fmt.Sprintf("SELECT any(id), count() AS n FROM audit.%s WHERE %s GROUP BY sipHash128(tenant, id) HAVING n > 1 ORDER BY n DESC LIMIT %d",
		tables.TableEvents, where, maxRepeated), params)
	if err != nil {
		return fmt.Errorf("look for repeated event ids: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r RepeatedID
		if err := rows.Scan(&r.ID, &r.Records); err != nil {
			return fmt.Errorf("look for repeated event ids: %w", err)
		}
		v.report.Repeated = append(v.report.Repeated, r)
	}
	return rows.Err()
}
