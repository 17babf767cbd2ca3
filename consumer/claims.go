package consumer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/audittrail/audittrail/internal/kafka"
	tables "github.com/audittrail/audittrail/schemas/clickhouse"
)

// claim is one row of the ledger: what ClickHouse should have of a range.
type claim struct {
	plannedRange
	totals
	quarantined, holes uint64
	settledAt          time.Time
}

// totals sum up rows so that they can be compared: how many, the sum of their offsets, and the exclusive or of their hashes. Totals of ranges that do not
// overlap can be joined.
type totals struct {
	rows      uint64
	offsetSum int64
	hashXor   uint64
}

func (t *totals) join(o totals) {
	t.rows += o.rows
	t.offsetSum += o.offsetSum // wraps around like the database's does: equal sums stay equal
	t.hashXor ^= o.hashXor
}

// ledgerPartition is a partition of which the ledger has ranges in the span.
type ledgerPartition struct {
	key     partitionKey
	topicID [16]byte
	table   string
	// first is the lowest offset that the ledger has of it, of whatever day.
	first int64
}

// partitions lists what there is to verify.
func (v *verifier) partitions(ctx context.Context) ([]ledgerPartition, error) {
	where, params := v.days()
	where = v.ofTopic(where, params)
	rows, err := v.ch.Query(ctx, "SELECT src_topic, src_topic_id, src_partition, countIf("+where+") AS ranges, min(first_offset) FROM audit."+tables.TableLedger+
		" GROUP BY src_topic, src_topic_id, src_partition HAVING ranges > 0 ORDER BY src_topic, src_topic_id, src_partition", params)
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	defer rows.Close()
	var out []ledgerPartition
	for rows.Next() {
		var (
			p         ledgerPartition
			id        uuid.UUID
			partition uint32
			ranges    uint64
		)
		if err := rows.Scan(&p.key.topic, &id, &partition, &ranges, &p.first); err != nil {
			return nil, fmt.Errorf("read the ledger: %w", err)
		}
		p.key.partition, p.topicID, p.table = int32(partition), id, tableOf(p.key.topic)
		if v.opt.settled != nil && v.settled[p.key].topicID != p.topicID {
			continue
		}
		v.all += int(ranges)
		out = append(out, p)
	}
	return out, rows.Err()
}

// claimsPage is how many claims are looked at together: the ledger of a busy year does not fit into memory.
const claimsPage = 1000

// claims reads the ledger's rows of the days from the offset on, some of them at a time, and leaves out what a consumer may be at work on.
func (v *verifier) claims(ctx context.Context, p *ledgerPartition, from int64) (page []claim, next int64, err error) {
	where, params := v.days()
	for name, value := range rangeParams(p.topicID, p.key.partition, from, 0) {
		params[name] = value
	}
	rows, err := v.ch.Query(ctx, "SELECT first_offset, end_offset, rows, quarantined, holes, toInt64(offset_sum), hash_xor, ingest_day, replay, settled_at"+
		" FROM audit."+tables.TableLedger+" FINAL WHERE src_topic_id = {topic:UUID} AND src_partition = {partition:UInt32} AND first_offset >= {first:Int64} AND "+where+
		" ORDER BY first_offset LIMIT "+strconv.Itoa(claimsPage), params)
	if err != nil {
		return nil, 0, fmt.Errorf("read the ledger: %w", err)
	}
	defer rows.Close()
	for next = from; rows.Next(); {
		var c claim
		err := rows.Scan(&c.First, &c.End, &c.rows, &c.quarantined, &c.holes, &c.offsetSum, &c.hashXor, &c.Day, &c.Replay, &c.settledAt)
		if err != nil {
			return nil, 0, fmt.Errorf("read the ledger: %w", err)
		}
		next = c.First + 1
		if v.unsettled(p.key, p.topicID, c.plannedRange) {
			continue
		}
		page = append(page, c)
		v.report.Ranges++
		if p.table == tables.TableAlertVersions {
			v.report.AlertVersions += c.rows
		} else {
			v.report.Events += c.rows
		}
		v.report.Quarantined += c.quarantined
	}
	return page, next, rows.Err()
}

// readSettled asks Kafka how far the group has settled each partition.
func (v *verifier) readSettled(ctx context.Context) error {
	cl, err := kafka.NewClient(v.opt.Kafka, v.opt.Logger)
	if err != nil {
		return err
	}
	defer cl.Close()
	offsets, err := kafka.FetchCommitted(ctx, cl, v.opt.Group)
	if err != nil {
		return err
	}
	v.settled = make(map[partitionKey]settledOffset)
	for topic, ps := range offsets {
		for p, c := range ps {
			plan, err := parsePlan(c.Metadata)
			if err != nil || plan.TopicID == [16]byte{} {
				continue // not a commit of ours
			}
			s := settledOffset{topicID: plan.TopicID, offset: c.Offset}
			for _, r := range plan.Ranges {
				s.days = append(s.days, r.Day)
			}
			v.settled[partitionKey{topic, p}] = s
		}
	}
	return nil
}

// unsettled reports whether a consumer may still be at work on the range.
func (v *verifier) unsettled(key partitionKey, topicID [16]byte, r plannedRange) bool {
	s, ok := v.settled[key]
	return ok && s.topicID == topicID && r.End > s.offset
}

// inFlight is how old a row of the ledger must be before a range that it lacks in front of it counts as lost, where nobody says what is settled: ranges of
// one partition are inserted side by side.
const inFlight = 5 * time.Minute

// tableOf is where a topic's records go, whatever its prefix.
func tableOf(topic string) string {
	if strings.HasSuffix(topic, kafka.TopicAlerts) {
		return tables.TableAlertVersions
	}
	return tables.TableEvents
}

// partition checks the claims of one partition: that they leave no gap, that each holds, and that Kafka agrees.
func (v *verifier) partition(ctx context.Context, p *ledgerPartition) error {
	var k held
	var err error
	if !v.opt.SkipKafka {
		if k, err = v.held(ctx, p); err != nil && !errors.Is(err, errNotHeld) {
			return err
		}
	}
	// What Kafka has in front of the first range that the ledger knows, and the group has settled, is missing.
	s := v.settled[p.key]
	if lacking := min(p.first, s.offset); k.end > 0 && v.opt.From.IsZero() && s.topicID == p.topicID && k.start < lacking {
		if err := v.gap(ctx, p, k.start, lacking, v.now); err != nil {
			return err
		}
	}
	end, last := int64(-1), v.now
	for from := int64(0); ; {
		page, next, err := v.claims(ctx, p, from)
		if err != nil {
			return err
		}
		if next == from {
			break
		}
		from = next
		for _, c := range page {
			if end >= 0 && c.First > end && (v.settled != nil || v.now.Sub(c.settledAt) > inFlight) {
				if err := v.gap(ctx, p, end, c.First, c.Day); err != nil {
					return err
				}
			}
			end, last = max(end, c.End), c.Day
		}
		if err := v.page(ctx, p, page, k); err != nil {
			return err
		}
	}
	if end >= 0 && s.topicID == p.topicID && s.offset > end && v.opt.To.IsZero() {
		return v.gap(ctx, p, end, s.offset, last)
	}
	return nil
}

// page checks some claims.
func (v *verifier) page(ctx context.Context, p *ledgerPartition, page []claim, k held) error {
	for _, c := range page {
		if c.rows+c.quarantined+c.holes != uint64(c.End-c.First) {
			v.found(p.finding(FindingAltered, c, c.rows, fmt.Sprintf("the ledger itself does not add up: %d rows + %d quarantined + %d holes", c.rows, c.quarantined, c.holes)))
		}
	}
	// All at once first: only where the sum is off is it worth looking for the range at fault. Claims that overlap cannot be joined.
	for _, run := range disjoint(page) {
		if len(run) == 0 {
			continue
		}
		if err := v.narrow(ctx, p, run); err != nil {
			return err
		}
		if k.end == 0 {
			continue
		}
		if err := v.compareWithKafka(ctx, p, run, k); err != nil {
			return err
		}
	}
	return nil
}

// disjoint cuts the claims into runs of ranges that do not overlap.
func disjoint(claims []claim) [][]claim {
	var runs [][]claim
	start := 0
	for i := 1; i < len(claims); i++ {
		if claims[i].First < claims[i-1].End {
			runs = append(runs, claims[start:i])
			start = i
		}
	}
	return append(runs, claims[start:])
}

// narrow compares the joined claims with the table, and halves them until the range at fault stands alone.
func (v *verifier) narrow(ctx context.Context, p *ledgerPartition, claims []claim) error {
	var want totals
	var quarantined uint64
	for _, c := range claims {
		want.join(c.totals)
		quarantined += c.quarantined
	}
	first, end := claims[0].First, claims[len(claims)-1].End
	got, err := v.stored(ctx, p.table, p, first, end)
	if err != nil {
		return err
	}
	gotQuarantined, err := v.storedQuarantined(ctx, p, first, end)
	if err != nil {
		return err
	}
	if got == want && gotQuarantined == quarantined {
		v.progress(len(claims))
		return nil
	}
	if len(claims) > 1 {
		half := len(claims) / 2
		if err := v.narrow(ctx, p, claims[:half]); err != nil {
			return err
		}
		return v.narrow(ctx, p, claims[half:])
	}
	v.progress(1)
	return v.broken(ctx, p, claims[0], got, gotQuarantined)
}

// broken reports one claim that does not hold, and repairs it if that is wanted and possible.
func (v *verifier) broken(ctx context.Context, p *ledgerPartition, c claim, got totals, gotQuarantined uint64) error {
	kind, want, have := FindingAltered, c.rows, got.rows
	switch {
	case got.rows < c.rows:
		kind = FindingMissing
	case got.rows > c.rows:
		kind = FindingExtra
	case gotQuarantined < c.quarantined:
		kind, want, have = FindingMissing, c.quarantined, gotQuarantined
	case gotQuarantined > c.quarantined:
		kind, want, have = FindingExtra, c.quarantined, gotQuarantined
	}
	f := p.finding(kind, c, have, "")
	f.Want = want
	if want == c.quarantined && c.rows == got.rows && kind != FindingAltered {
		f.Detail = "in the quarantine"
	}
	at := v.found(f)
	if v.opt.Repair && kind == FindingMissing {
		return v.repair(ctx, p, c.plannedRange, at)
	}
	return nil
}

// gap reports offsets that no row of the ledger covers.
func (v *verifier) gap(ctx context.Context, p *ledgerPartition, first, end int64, day time.Time) error {
	c := claim{plannedRange: plannedRange{First: first, End: end, Day: day}}
	got, err := v.stored(ctx, p.table, p, c.First, c.End)
	if err != nil {
		return err
	}
	f := v.found(p.finding(FindingGap, c, got.rows, "no row of the ledger covers these offsets"))
	if v.opt.Repair {
		return v.repair(ctx, p, c.plannedRange, f)
	}
	return nil
}

func (p *ledgerPartition) finding(kind FindingKind, c claim, got uint64, detail string) Finding {
	return Finding{
		Kind: kind, Topic: p.key.topic, TopicID: uuidText(p.topicID), Partition: p.key.partition, First: c.First, End: c.End,
		Day: c.Day.Format(time.DateOnly), Want: c.rows, Got: got, Detail: detail,
	}
}

// stored sums up what a table has of [first, end).
func (v *verifier) stored(ctx context.Context, table string, p *ledgerPartition, first, end int64) (totals, error) {
	var t totals
	err := v.ch.QueryRow(ctx, "SELECT count(), sum(src_offset), groupBitXor(raw_hash) FROM audit."+table+inRange,
		rangeParams(p.topicID, p.key.partition, first, end), &t.rows, &t.offsetSum, &t.hashXor)
	if err != nil {
		return t, fmt.Errorf("sum up %s: %w", table, err)
	}
	return t, nil
}

func (v *verifier) storedQuarantined(ctx context.Context, p *ledgerPartition, first, end int64) (uint64, error) {
	t, err := v.stored(ctx, tables.TableQuarantine, p, first, end)
	return t.rows, err
}

func (v *verifier) progress(n int) {
	v.done += n
	if v.opt.Progress != nil {
		v.opt.Progress(v.done, v.all)
	}
}
