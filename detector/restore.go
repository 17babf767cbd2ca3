package detector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/audittrail/audittrail/detector/engine"
	"github.com/audittrail/audittrail/internal/kafka"
)

// noProgress is how long a restore waits for the next record before it fails: a restore that hangs looks like a quiet partition.
const noProgress = time.Minute

// restore rebuilds a partition's state as it was at its committed offset: it replays the records from the rewind offset on. What they give is not
// published again: all of it was, with the commit.
//
// A group session cannot do that: it would commit the offsets that it reads. So another client reads, up to a position: the last record before
// the committed offset may be a control record. That the partition is read up to there is certain, since it was read once already.
func (w *correlateWorker) restore(ctx context.Context, n int32, p *part) error {
	begin := time.Now()
	p.state = engine.New(engine.Options{Rules: w.o.Rules, MaxGroups: w.o.MaxGroups}, p.committedRewind)
	p.next, p.rewind, p.touched = p.committed, p.committedRewind, false
	if p.committedRewind.Offset < p.committed {
		if err := w.replay(ctx, n, p); err != nil {
			return fmt.Errorf("restore %s/%d from offset %d: %w", w.matches, n, p.committedRewind.Offset, err)
		}
	}
	p.state.TakeStats() // they were counted
	w.metrics.restore.Observe(time.Since(begin).Seconds())
	w.session.log.Debug("restored a partition", "partition", n, "from", p.committedRewind.Offset, "to", p.committed, "groups", p.state.Groups())
	return nil
}

func (w *correlateWorker) replay(ctx context.Context, n int32, p *part) error {
	starts, err := w.session.adm.ListStartOffsets(ctx, w.matches)
	if err != nil {
		return fmt.Errorf("list the start offsets: %w", err)
	}
	start, err := startOf(starts, w.matches, n)
	if err != nil {
		return err
	}
	from := p.committedRewind.Offset
	if start > from {
		w.session.log.Error("records that the state depends on are not in the log any more: alerts may be missing or begin anew",
			"topic", w.matches, "partition", n, "rewind", from, "start", start)
		w.metrics.gaps.WithLabelValues(string(StageCorrelate)).Inc()
		from = start
	}
	if from >= p.committed {
		return nil
	}
	opts := append([]kgo.Opt{
		kgo.WithContext(ctx),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{w.matches: {n: kgo.NewOffset().At(from)}}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // an offset that is not there is an error, not another offset
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
	}, w.o.clientOpts...)
	cl, err := kafka.NewClient(w.o.Kafka, w.session.log, opts...)
	if err != nil {
		return err
	}
	defer cl.Close()
	for at := from; at < p.committed; {
		if at, err = w.replaySome(ctx, cl, p, at); err != nil {
			return err
		}
	}
	return nil
}

// replaySome applies what one poll gives and returns the position after it.
func (w *correlateWorker) replaySome(ctx context.Context, cl *kgo.Client, p *part, at int64) (int64, error) {
	limit, cancel := context.WithTimeout(ctx, noProgress)
	defer cancel()
	fetches := cl.PollRecords(limit, maxPoll)
	if errs := fetches.Errors(); len(errs) > 0 {
		if err := errs[0].Err; !errors.Is(err, context.DeadlineExceeded) {
			return at, err
		}
		return at, fmt.Errorf("no record came for %s at offset %d of %d", noProgress, at, p.committed)
	}
	for it := fetches.RecordIter(); !it.Done(); {
		r := it.Next()
		at = r.Offset + 1
		if r.Offset >= p.committed || r.Attrs.IsControl() {
			continue
		}
		// An unreadable record was skipped the first time as well.
		if _, err := p.state.Apply(r.Offset, r.Key, r.Value); err != nil && !errors.Is(err, engine.ErrUnreadable) {
			return at, err
		}
	}
	return at, nil
}

func startOf(starts kadm.ListedOffsets, topic string, partition int32) (int64, error) {
	o, ok := starts.Lookup(topic, partition)
	if !ok {
		return 0, fmt.Errorf("its start offset is not known")
	}
	if o.Err != nil {
		return 0, fmt.Errorf("list its start offset: %w", o.Err)
	}
	return o.Offset, nil
}
