package consumer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/audittrail/audittrail/internal/clickhouse"
	tables "github.com/audittrail/audittrail/schemas/clickhouse"
)

// minuteRollupDays is how long the rollup by minute is kept; see its table's TTL.
const minuteRollupDays = 90

// Events and rollups of one insert become visible one after the other, and beside a busy consumer some insert nearly always is in between. So a day counts as
// wrong only if it is at every look: often for half a minute while events may still come in, a few times when they may not.
const (
	rollupLook      = 100 * time.Millisecond
	openDayLooks    = 30 * time.Second
	closedDaysLooks = 5
)

// closedAfter is how long after its end a day is left alone: a range is planned before its insert, and clocks differ.
const closedAfter = 15 * time.Minute

// rollupDay names a day of a rollup.
type rollupDay struct {
	table string
	day   time.Time
}

// rollups compares the rollups of each day with its events, and makes them anew if that is wanted.
func (v *verifier) rollups(ctx context.Context) error {
	wrong, err := v.lookAtRollups(ctx)
	if err != nil {
		return err
	}
	for day, finding := range wrong {
		f := v.found(finding)
		if !v.opt.Repair {
			continue
		}
		if err := v.repairRollup(ctx, day, f); err != nil {
			return err
		}
	}
	return nil
}

// lookAtRollups returns what is wrong at every look.
func (v *verifier) lookAtRollups(ctx context.Context) (wrong map[rollupDay]Finding, err error) {
	until := time.Now().Add(v.opt.openDayLooks)
	for look := 0; ; look++ {
		if look > 0 {
			select {
			case <-time.After(rollupLook):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		now, err := v.wrongRollups(ctx)
		if err != nil {
			return nil, err
		}
		if look > 0 {
			for day := range now {
				if _, before := wrong[day]; !before {
					delete(now, day)
				}
			}
		}
		wrong = now
		open := false
		for day := range wrong {
			open = open || !v.over(day.day)
		}
		if len(wrong) == 0 || look+1 >= closedDaysLooks && (!open || time.Now().After(until)) {
			return wrong, nil
		}
	}
}

// repairRollup makes a rollup of a day that is over anew. The finding says what came of it.
func (v *verifier) repairRollup(ctx context.Context, r rollupDay, f *Finding) error {
	const tries = 3
	for range tries {
		// The plans as they are now: a range of that day may have been planned since.
		if err := v.readSettled(ctx); err != nil {
			return err
		}
		if !v.closed(r.day) {
			f.Detail += ": it can be made anew when the day is over and all of it is settled"
			return nil
		}
		if err := v.rebuild(ctx, r); err != nil {
			return err
		}
		wrong, err := v.wrongRollups(ctx)
		if err != nil {
			return err
		}
		if _, still := wrong[r]; !still {
			f.Repaired = true
			return nil
		}
	}
	f.Detail += fmt.Sprintf(": made anew %d times, and events came in meanwhile", tries)
	return nil
}

// wrongRollups returns the days whose rollups do not add up now. Events are counted before and after the rollups: those that come in meanwhile may be in a
// rollup or not.
func (v *verifier) wrongRollups(ctx context.Context) (map[rollupDay]Finding, error) {
	before, err := v.countByDay(ctx, tables.TableEvents, "count()")
	if err != nil {
		return nil, err
	}
	rollups := make(map[string]map[time.Time]uint64)
	for _, table := range []string{tables.TableRollupMinute, tables.TableRollupHour} {
		if rollups[table], err = v.countByDay(ctx, table, "toUInt64(sum(events))"); err != nil {
			return nil, err
		}
	}
	after, err := v.countByDay(ctx, tables.TableEvents, "count()")
	if err != nil {
		return nil, err
	}
	out := make(map[rollupDay]Finding)
	for table, got := range rollups {
		days := make(map[time.Time]struct{})
		for day := range after {
			days[day] = struct{}{}
		}
		for day := range got {
			days[day] = struct{}{}
		}
		for day := range days {
			if table == tables.TableRollupMinute && v.now.Sub(day) > (minuteRollupDays-1)*24*time.Hour {
				continue // the table has let go of it
			}
			if n := got[day]; n < before[day] || n > after[day] {
				out[rollupDay{table, day}] = Finding{Kind: FindingRollup, Day: day.Format(time.DateOnly), Want: after[day], Got: n, Detail: table}
			}
		}
	}
	return out, nil
}

func (v *verifier) countByDay(ctx context.Context, table, sum string) (map[time.Time]uint64, error) {
	where, params := v.days()
	rows, err := v.ch.Query(ctx, "SELECT ingest_day, "+sum+" FROM audit."+table+" WHERE "+where+" GROUP BY ingest_day", params)
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

// over reports whether a day ended some time ago.
func (v *verifier) over(day time.Time) bool { return v.now.Sub(day) > 24*time.Hour+closedAfter }

// closed reports whether no event with that ingest day can come any more: the day is over, and nobody has a range of it under way.
func (v *verifier) closed(day time.Time) bool {
	if v.settled == nil || !v.over(day) {
		return false
	}
	for _, s := range v.settled {
		if slices.ContainsFunc(s.days, day.Equal) {
			return false
		}
	}
	return true
}

// rebuild makes the rollup of a day anew from its events, beside the old one, and puts it in its place at once.
func (v *verifier) rebuild(ctx context.Context, r rollupDay) error {
	err := v.tryRebuild(ctx, r)
	if err != nil {
		err = fmt.Errorf("rebuild %s of %s: %w", r.table, r.day.Format(time.DateOnly), err)
	}
	return err
}

func (v *verifier) tryRebuild(ctx context.Context, r rollupDay) error {
	var query string
	if err := v.ch.QueryRow(ctx, "SELECT as_select FROM system.tables WHERE database = 'audit' AND name = {view:String}",
		clickhouse.Params{"view": "mv_" + r.table}, &query); err != nil {
		return err
	}
	day := r.day.Format("20060102")
	anew := fmt.Sprintf("audit.rebuild_%s_%s_%d", r.table, day, v.now.UnixNano())
	if err := v.ch.Exec(ctx, "CREATE TABLE "+anew+" AS audit."+r.table, nil); err != nil {
		return err
	}
	defer func() { _ = v.ch.Exec(context.WithoutCancel(ctx), "DROP TABLE "+anew, nil) }()
	if err := v.ch.Exec(ctx, "INSERT INTO "+anew+" SELECT * FROM ("+query+") WHERE ingest_day = {day:Date}",
		clickhouse.Params{"day": r.day.Format(time.DateOnly)}); err != nil {
		return err
	}
	// In a table that is partitioned by a Date the partition's id is the day in eight digits.
	return v.ch.Exec(ctx, "ALTER TABLE audit."+r.table+" REPLACE PARTITION ID '"+day+"' FROM "+anew, nil)
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
