package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/zeebo/xxh3"

	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/schemas/audit"
	tables "github.com/audittrail/audittrail/schemas/clickhouse"
)

// repairTimeout bounds one insert of a repair.
const repairTimeout = time.Minute

// held returns the first offset that Kafka still has of the partition, and errNotHeld if the topic is gone or is another one by now.
func (v *verifier) held(ctx context.Context, cl *kgo.Client, p *partitionClaims) (int64, error) {
	m, err := kafka.FetchMetadata(ctx, cl, p.key.topic)
	if err != nil || m.Topics[p.key.topic].ID != p.topicID {
		return 0, errNotHeld
	}
	starts, err := kafka.FetchStartOffsets(ctx, cl, p.key.topic)
	if err != nil {
		return 0, err
	}
	return starts[p.key.topic][p.key.partition], nil
}

// compareWithKafka reads the records that Kafka still has and compares each range's with the ledger's claim: whoever alters rows and ledger alike is found
// out as long as Kafka holds the records.
func (v *verifier) compareWithKafka(ctx context.Context, p *partitionClaims) error {
	cl, err := kafka.NewClient(v.opt.Kafka, v.opt.Logger)
	if err != nil {
		return err
	}
	defer cl.Close()
	start, err := v.held(ctx, cl, p)
	if errors.Is(err, errNotHeld) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, run := range disjoint(p.claims) {
		for len(run) > 0 && run[0].First < start {
			run = run[1:]
		}
		if len(run) == 0 {
			continue
		}
		if err := v.compareRun(ctx, p, run); err != nil && !errors.Is(err, errCut) {
			return err
		}
	}
	return nil
}

func (v *verifier) compareRun(ctx context.Context, p *partitionClaims, run []claim) error {
	i := 0
	var seen totals // what Kafka has of run[i]
	finish := func() {
		c := run[i]
		v.report.FromKafka++
		// A claim is about rows; the records in quarantine, and rows that were refused, are in Kafka's sum and not in it.
		if c.quarantined == 0 && seen != c.totals {
			v.found(p.finding(FindingAltered, c, seen.rows, "kafka has other records than the ledger says"))
		} else if seen.rows != c.rows+c.quarantined {
			v.found(p.finding(FindingAltered, c, seen.rows, "kafka has another number of records than the ledger says"))
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
	return nil
}

// repair reads a range from Kafka again and inserts the rows that are not there, under a token of its own.
func (v *verifier) repair(ctx context.Context, p *partitionClaims, r plannedRange, f *Finding) error {
	cl, err := kafka.NewClient(v.opt.Kafka, v.opt.Logger)
	if err != nil {
		return err
	}
	defer cl.Close()
	start, err := v.held(ctx, cl, p)
	if errors.Is(err, errNotHeld) || err == nil && start > r.First {
		f.Detail = "cannot be repaired: " + errNotHeld.Error()
		return nil
	}
	if err != nil {
		return err
	}
	m, err := kafka.FetchMetadata(ctx, cl, p.key.topic)
	if err != nil {
		return err
	}
	b, err := v.missing(ctx, p, r)
	if err != nil {
		return err
	}
	r.Replay++
	if err := insertRepaired(ctx, v.ch, b, r, m.ClusterID); err != nil {
		return err
	}
	f.Repaired = true
	return nil
}

// missing returns a batch with the records of the range that ClickHouse does not have.
func (v *verifier) missing(ctx context.Context, p *partitionClaims, r plannedRange) (*batch, error) {
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
	err = reread(ctx, v.opt.Kafka, v.opt.Logger, p.key, r.First, r.End, func(k *kgo.Record) {
		if k.Attrs.IsControl() {
			b.skip(k.Offset, now)
			return
		}
		kafka.FillRecord(&rec, p.topicID, k)
		b.add(&rec, now)
	})
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
