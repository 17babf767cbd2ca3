package consumer

import (
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/zeebo/xxh3"

	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/schemas/audit"
	tables "github.com/audittrail/audittrail/schemas/clickhouse"
)

// batch collects the records of the range that a lane is filling. Its columns are reused for the next one once the range is encoded.
type batch struct {
	src  source
	rows rows
	bad  *quarantineRows

	// stored and quarantined are the offsets that ClickHouse has already, nil unless that was asked.
	stored, quarantined *offsetSet
	// replaced says that ClickHouse has another record under one of the offsets.
	replaced bool
	// refusal, unless nil, is why ClickHouse does not take the one row that is not there yet: it goes to the quarantine.
	refusal error

	account
	// first is where the range begins; end is behind the last record seen.
	first, end int64
	// bytes are the records' bytes, cost is what the records count in the memory budget.
	bytes int
	cost  int64
	// since is when the first record was added, oldest the earliest Kafka timestamp.
	since, oldest time.Time
}

func (b *batch) empty() bool { return b.end == b.first }

// add appends one record: as a row, or to the quarantine with the reason why it cannot be one.
func (b *batch) add(rec *audit.Record, now time.Time) (quarantined *audit.Reject) {
	if b.empty() {
		b.since = now
	}
	known := uint64(0)
	if b.stored != nil {
		known = xxh3.Hash(rec.Value)
	}
	switch {
	case b.stored.holds(rec.Offset, known):
		b.account.add(rec.Offset, known)
	case b.quarantined.holds(rec.Offset, known):
		b.account.bad++
	default:
		// Something else under this offset: the log was replaced. Both are kept.
		b.replaced = b.replaced || b.stored.has(rec.Offset) || b.quarantined.has(rec.Offset)
		hash, err := b.rows.Append(&b.src, rec)
		switch {
		case err != nil:
			quarantined = rejectOf(err)
			b.bad.append(&b.src, rec, stageDecode, quarantined)
			b.account.bad++
		case b.refusal != nil:
			b.rows.Reset()
			quarantined = &audit.Reject{Reason: reasonRefused, Detail: b.refusal.Error()}
			b.bad.append(&b.src, rec, stageInsert, quarantined)
			b.account.bad++
		default:
			b.account.add(rec.Offset, hash)
		}
	}
	b.end = rec.Offset + 1
	b.bytes += len(rec.Value) + len(rec.Key)
	for i := range rec.Headers {
		b.bytes += len(rec.Headers[i].Key) + len(rec.Headers[i].Value)
	}
	if b.oldest.IsZero() || rec.Time.Before(b.oldest) {
		b.oldest = rec.Time
	}
	return quarantined
}

// rejectOf returns why the record was refused. Decoders reject and do nothing else; an error that breaks that rule costs no record all the same.
func rejectOf(err error) *audit.Reject {
	var r *audit.Reject
	if errors.As(err, &r) {
		return r
	}
	return &audit.Reject{Reason: "decoder_error", Detail: err.Error()}
}

// skip passes over a control record: it takes an offset and has nothing to keep.
func (b *batch) skip(offset int64, now time.Time) {
	if b.empty() {
		b.since = now
	}
	b.end = offset + 1
}

// gap is a run of offsets that cannot be read.
type gap struct {
	// to is behind the last of them.
	to     int64
	stage  string
	reason audit.Reason
}

// pass goes over a gap. What was found stored of it counts as that; if there is more, one row in the quarantine stands for all of it. It returns whether there
// is.
func (b *batch) pass(g gap, now time.Time) (lost bool) {
	if b.empty() {
		b.since = now
	}
	stored, quarantined := b.stored.within(b.end, g.to), b.quarantined.within(b.end, g.to)
	for _, r := range stored {
		b.account.add(r.offset, r.hash)
	}
	b.account.bad += uint64(len(quarantined))
	lost = int64(len(stored)+len(quarantined)) < g.to-b.end
	if lost && !b.quarantined.has(b.end) {
		rec := &audit.Record{Partition: b.src.partition, Offset: b.end, Time: now}
		b.bad.append(&b.src, rec, g.stage, &audit.Reject{Reason: g.reason, Detail: fmt.Sprintf("offsets %d to %d", b.end, g.to-1)})
		b.account.bad++
	}
	b.end = g.to
	return lost
}

// next starts the range behind the one that was just encoded.
func (b *batch) next() {
	b.rows.Reset()
	b.bad.reset()
	b.account = account{}
	b.first = b.end
	b.bytes = 0
	b.cost = 0
	b.oldest = time.Time{}
}

// encode turns the batch into the blocks of the range r.
func (b *batch) encode(buf *proto.Buffer, r plannedRange) (*encoded, error) {
	e := &encoded{
		plannedRange: r, src: b.src, account: b.account, cost: b.cost, oldest: b.oldest, buf: buf, fresh: b.rows.Len(),
	}
	if e.fresh > 0 { // it may have to be divided
		e.stored, e.quarantined = b.stored, b.quarantined
	}
	buf.Reset()
	if b.rows.Len() > 0 {
		b.rows.SetDay(r.Day)
		if err := e.encode(b.rows.Table(), "", b.rows.Columns()); err != nil {
			return nil, err
		}
	}
	if b.bad.len() > 0 {
		b.bad.setDay(r.Day)
		if err := e.encode(tables.TableQuarantine, quarantineSuffix, b.bad.input); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// encoded is a range ready to be sent, as often as need be: the bytes are always the same.
type encoded struct {
	plannedRange
	src source
	account
	cost int64
	// oldest is the earliest Kafka timestamp among its records; zero when it has none.
	oldest time.Time
	// fresh is how many rows are to be sent: all of account's but those that were found stored.
	fresh int
	// stored and quarantined are the offsets that were found in ClickHouse, nil unless that was asked.
	stored, quarantined *offsetSet
	blocks              []tokenBlock
	// buf and chunks hold the blocks' bytes.
	buf    *proto.Buffer
	chunks []*chunk
}

// tokenBlock is one block of a range; suffix tells its token from the others'.
type tokenBlock struct {
	table, suffix string
	clickhouse.Block
}

func (e *encoded) encode(table, suffix string, cols proto.Input) error {
	block, err := clickhouse.EncodeBlock(e.buf, cols)
	if err != nil {
		return fmt.Errorf("consumer: range [%d, %d) of %s/%d for %s: %w", e.First, e.End, e.src.topic, e.src.partition, table, err)
	}
	e.blocks = append(e.blocks, tokenBlock{table, suffix, block})
	for _, c := range cols {
		if s, ok := c.Data.(*strCol); ok {
			e.chunks = append(e.chunks, s.handOver()...)
		}
	}
	return nil
}

// token is the deduplication token of the range's rows; the other blocks add their suffixes.
func (e *encoded) token(clusterID string) string {
	return fmt.Sprintf("%s/%s/%d/%d-%d/%d", clusterID, uuidText(e.src.topicID), e.src.partition, e.First, e.End, e.Replay)
}
