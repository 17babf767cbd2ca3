package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/zeebo/xxh3"

	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/schemas/audit"
	tables "github.com/audittrail/audittrail/schemas/clickhouse"
)

const (
	// repairTimeout bounds one insert of a repair.
	repairTimeout = time.Minute
	// maxRepairRows and maxRepairBytes bound one block of a repaired gap.
	maxRepairRows  = 250_000
	maxRepairBytes = 64 << 20
)

// errNotHeld says that Kafka cannot tell any more.
var errNotHeld = errors.New("kafka no longer holds the range")

// held is which offsets Kafka has of a partition: [start, end).
type held struct{ start, end int64 }

// held asks Kafka what it has of the partition; errNotHeld if the topic is gone or is another one by now.
func (v *verifier) held(ctx context.Context, p *ledgerPartition) (held, error) {
	cl, err := kafka.NewClient(v.opt.Kafka, v.opt.Logger)
	if err != nil {
		return held{}, err
	}
	defer cl.Close()
	topic, part := p.key.topic, p.key.partition
	m, err := kafka.FetchMetadata(ctx, cl, topic)
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition), err == nil && m.Topics[topic].ID != p.topicID:
		return held{}, errNotHeld
	case err != nil:
		return held{}, err
	}
	v.cluster = m.ClusterID
	starts, err := kafka.FetchStartOffsets(ctx, cl, topic)
	if err != nil {
		return held{}, err
	}
	ends, err := kafka.FetchEndOffsets(ctx, cl, topic)
	return held{starts[topic][part], ends[topic][part]}, err
}

// compareWithKafka reads the records that Kafka still has of a run of ranges and compares each range's with the ledger's claim: whoever alters rows and
// ledger alike is found out as long as Kafka holds the records.
func (v *verifier) compareWithKafka(ctx context.Context, p *ledgerPartition, run []claim, k held) error {
	for len(run) > 0 && run[0].First < k.start {
		run = run[1:]
	}
	for len(run) > 0 && run[len(run)-1].End > k.end { // brokers have lost the records
		run = run[:len(run)-1]
	}
	if len(run) == 0 {
		return nil
	}
	if err := v.compareRun(ctx, p, run); err != nil && !errors.Is(err, errCut) {
		return err
	}
	return nil
}

func (v *verifier) compareRun(ctx context.Context, p *ledgerPartition, run []claim) error {
	i := 0
	var seen totals // what Kafka has of run[i]
	var failed error
	finish := func() {
		c := run[i]
		want := c.totals
		if c.quarantined > 0 { // they are in Kafka's sum and not in the claim's
			q, err := v.stored(ctx, tables.TableQuarantine, p, c.First, c.End)
			if err != nil {
				failed = err
			}
			want.join(q)
		}
		v.report.FromKafka++
		if seen != want {
			f := p.finding(FindingAltered, c, seen.rows, "kafka has other records")
			f.Want = want.rows
			v.found(f)
		}
		seen = totals{}
		i++
	}
	err := reread(ctx, v.opt.Kafka, v.opt.Logger, p.key, run[0].First, run[len(run)-1].End, func(r *kgo.Record) {
		for i < len(run) && r.Offset >= run[i].End {
			finish()
		}
		if i < len(run) && r.Offset >= run[i].First && !r.Attrs.IsControl() {
			seen.join(totals{1, r.Offset, xxh3.Hash(r.Value)})
		}
	})
	if err != nil {
		return err
	}
	for i < len(run) {
		finish()
	}
	return failed
}

// repair reads a range from Kafka again and inserts the rows that are not there, under a token of its own. The finding says what came of it.
func (v *verifier) repair(ctx context.Context, p *ledgerPartition, r plannedRange, f *Finding) error {
	// What is settled no consumer touches any more; what is not, one may be at work on.
	if s, ok := v.settled[p.key]; !ok || s.topicID != p.topicID || r.End > s.offset {
		f.Detail = fmt.Sprintf("not repaired: the group %s has not settled these offsets", v.opt.Group)
		return nil
	}
	k, err := v.held(ctx, p)
	if err == nil && f.Kind == FindingGap && k.start > r.First && k.start < r.End {
		// Two findings: what is beyond repair, and the rest.
		rest := *f
		f.End, f.Detail = k.start, "cannot be repaired: "+errNotHeld.Error()
		rest.First, r.First = k.start, k.start
		f = v.found(rest)
	}
	if errors.Is(err, errNotHeld) || err == nil && (k.start > r.First || k.end < r.End) {
		f.Detail = "cannot be repaired: " + errNotHeld.Error()
		return nil
	}
	if err != nil {
		return err
	}
	if err := v.syncReplicas(ctx); err != nil {
		return err
	}
	if r.Replay, err = nextReplay(ctx, v.ch, p.topicID, p.key.partition, r.First, r.End); err != nil {
		return err
	}
	// A gap may be of any length; a range of the ledger is one block.
	for piece := r; piece.First < r.End; piece.First = piece.End {
		piece.End = r.End
		b, err := v.missing(ctx, p, &piece, f.Kind == FindingGap)
		if err != nil {
			return err
		}
		if err := insertRepaired(ctx, v.ch, b, piece, v.cluster); err != nil {
			return err
		}
	}
	f.Repaired = true
	return nil
}

// errFull ends the reading of a piece.
var errFull = errors.New("the piece is full")

// missing returns a batch with the records of the range that ClickHouse does not have. A range that may be cut is, where it becomes too large for a block.
func (v *verifier) missing(ctx context.Context, p *ledgerPartition, r *plannedRange, mayCut bool) (*batch, error) {
	if mayCut {
		r.End = min(r.End, r.First+maxRepairRows)
	}
	b := &batch{src: source{topic: p.key.topic, topicID: p.topicID, partition: p.key.partition}, rows: newRows(p.table), bad: newQuarantineRows(), first: r.First, end: r.First}
	var err error
	if b.stored, err = storedOffsets(ctx, v.ch, p.table, p.topicID, p.key.partition, r.First, r.End); err != nil {
		return nil, err
	}
	if b.quarantined, err = storedOffsets(ctx, v.ch, tables.TableQuarantine, p.topicID, p.key.partition, r.First, r.End); err != nil {
		return nil, err
	}
	var rec audit.Record
	now := time.Now()
	ctx, full := context.WithCancelCause(ctx)
	defer full(nil)
	err = reread(ctx, v.opt.Kafka, v.opt.Logger, p.key, r.First, r.End, func(k *kgo.Record) {
		switch {
		case context.Cause(ctx) != nil: // what is left of a fetch
		case k.Attrs.IsControl():
			b.skip(k.Offset, now)
		default:
			kafka.FillRecord(&rec, p.topicID, k)
			b.add(&rec, now)
		}
		if mayCut && b.bytes >= maxRepairBytes {
			full(errFull)
		}
	})
	if errors.Is(context.Cause(ctx), errFull) {
		r.End = b.end
		return b, nil
	}
	b.end = r.End
	return b, err
}

func insertRepaired(ctx context.Context, ch *clickhouse.Client, b *batch, r plannedRange, cluster string) error {
	e, err := b.encode(new(proto.Buffer), r)
	if err != nil {
		return err
	}
	token := e.token(cluster)
	ledger := &encoded{plannedRange: r, src: e.src, account: e.account, buf: new(proto.Buffer)}
	if err := ledger.encode(tables.TableLedger, ledgerSuffix, ledgerInput(e, token, time.Now(), 0, "verify")); err != nil {
		return err
	}
	for _, block := range append(e.blocks, ledger.blocks...) {
		ctx, cancel := context.WithTimeout(ctx, repairTimeout)
		err := ch.Insert(ctx, clickhouse.Insert{
			Table: block.table, Block: block.Block, Token: token + block.suffix,
			QueryID: queryPrefix(e.src.topicID, e.src.partition) + uuid.NewString(),
		})
		cancel()
		if err != nil {
			return fmt.Errorf("repair [%d, %d) of %s/%d: %w", r.First, r.End, e.src.topic, e.src.partition, err)
		}
	}
	return nil
}
