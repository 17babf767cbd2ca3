package detector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/audittrail/audittrail/detector/engine"
	"github.com/audittrail/audittrail/schemas/audit"
)

// correlateWorker is one worker of the correlate stage. It owns the groups of its partitions.
type correlateWorker struct {
	*Detector
	number  int
	session *session
	parts   map[int32]*part
}

// part is one partition of audit.matches: its state in memory, and what of it is committed.
type part struct {
	state *engine.Partition
	// next is the offset of the next record, rewind where a replay must begin to end in the present state.
	next   int64
	rewind engine.Checkpoint
	// committed and committedRewind are the same as of the last commit: where memory goes back to when a transaction is aborted.
	committed       int64
	committedRewind engine.Checkpoint
	// touched says that the present transaction has changed the state.
	touched bool
}

func (d *Detector) runCorrelate(ctx context.Context, n int, report func(error)) error {
	w := &correlateWorker{Detector: d, number: n, parts: make(map[int32]*part)}
	var err error
	w.session, err = d.o.newSession(ctx, StageCorrelate, n, d.matches, d.gap(StageCorrelate))
	if err != nil {
		return err
	}
	defer w.session.close()
	for {
		if err := w.round(ctx); err != nil {
			return err
		}
		report(w.session.membership())
	}
}

// round takes in what can be polled and commits it.
func (w *correlateWorker) round(ctx context.Context) error {
	fetches, err := w.session.poll(ctx, time.Now().Add(time.Second), maxPoll)
	if err != nil {
		return err
	}
	changes, disturbed := w.session.take()
	for _, c := range changes {
		if err := w.change(ctx, c); err != nil {
			return err
		}
	}
	if disturbed {
		// What was polled is polled again; nothing of it is in memory yet.
		err := w.session.abort()
		w.metrics.transaction(StageCorrelate, false, err)
		return err
	}
	if fetches.Empty() {
		return nil
	}
	if err := w.session.begin(); err != nil {
		return err
	}
	published, err := w.applyAll(fetches)
	if err != nil {
		return err
	}
	return w.commit(ctx, published)
}

// change takes in one change of assignment. A partition that was gained is rebuilt before any of its new records is looked at.
func (w *correlateWorker) change(ctx context.Context, c change) error {
	delete(w.parts, c.partition)
	if c.taken {
		return nil
	}
	rewind := engine.Start(c.offset)
	if c.metadata != "" {
		var err error
		rewind, err = engine.ParseCheckpoint(c.metadata)
		if err != nil || rewind.Offset > c.offset {
			// Another version wrote it, or it is damaged: to begin without a past would lose or double alerts.
			return fatal{fmt.Errorf("%s/%d: the metadata of the commit at %d cannot be read; reset the offsets of group %s to begin anew: %w",
				w.matches, c.partition, c.offset, w.session.group, errors.Join(err, errRewind))}
		}
	}
	p := &part{committed: c.offset, committedRewind: rewind}
	w.parts[c.partition] = p
	return w.restore(ctx, c.partition, p)
}

var errRewind = errors.New("no usable rewind offset")

// produced is what is counted once a transaction is committed.
type produced struct {
	alerts []audit.Alert
	// opened are the Kafka times, in milliseconds, of the events that opened alerts.
	opened     []int64
	unreadable int
}

func (w *correlateWorker) applyAll(fetches kgo.Fetches) (produced, error) {
	var out produced
	for it := fetches.RecordIter(); !it.Done(); {
		r := it.Next()
		p := w.parts[r.Partition]
		if p == nil {
			return out, fmt.Errorf("got a record of %s/%d, which is not assigned to this worker", r.Topic, r.Partition)
		}
		p.next, p.touched = r.Offset+1, true
		if r.Attrs.IsControl() {
			continue
		}
		alerts, err := p.state.Apply(r.Offset, r.Key, r.Value)
		if err != nil {
			w.session.log.Warn("skipped a record", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "error", err)
			out.unreadable++
			continue
		}
		for i := range alerts {
			rec, err := alertRecord(w.alerts, &alerts[i])
			if err != nil {
				return out, err
			}
			w.session.produce(rec)
			if said(&alerts[i]) == stateOpened {
				out.opened = append(out.opened, p.state.Published())
			}
		}
		out.alerts = append(out.alerts, alerts...)
	}
	return out, nil
}

// alertRecord is one version of an alert, whole.
func alertRecord(topic string, a *audit.Alert) (*kgo.Record, error) {
	value, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("encode alert %s: %w", a.ID, err)
	}
	return &kgo.Record{Topic: topic, Key: []byte(a.ID), Value: value}, nil
}

func (w *correlateWorker) commit(ctx context.Context, out produced) error {
	metadata := make(map[int32]string)
	for n, p := range w.parts {
		if p.touched {
			p.rewind = p.state.Rewind(p.next)
			metadata[n] = p.rewind.String()
		}
	}
	ok, err := w.session.commit(func(req *kmsg.TxnOffsetCommitRequest) error { return setMetadata(req, metadata) })
	w.metrics.transaction(StageCorrelate, ok, err)
	if err != nil {
		return err
	}
	if !ok {
		return w.rollback(ctx)
	}
	w.count(out)
	for _, p := range w.parts {
		if p.touched {
			p.committed, p.committedRewind, p.touched = p.next, p.rewind, false
		}
	}
	return nil
}

// setMetadata gives every offset of the commit its rewind offset.
func setMetadata(req *kmsg.TxnOffsetCommitRequest, metadata map[int32]string) error {
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			p := &req.Topics[i].Partitions[j]
			m, ok := metadata[p.Partition]
			if !ok || len(m) > engine.MaxCheckpoint {
				return fmt.Errorf("partition %d: a rewind offset of %d bytes cannot be committed", p.Partition, len(m))
			}
			p.Metadata = &m
		}
	}
	return nil
}

// rollback brings memory back to what is committed: a replay gives the same state that was there before.
func (w *correlateWorker) rollback(ctx context.Context) error {
	for n, p := range w.parts {
		if !p.touched {
			continue
		}
		if err := w.restore(ctx, n, p); err != nil {
			return err
		}
	}
	return nil
}

func (w *correlateWorker) count(out produced) {
	now := w.o.Now()
	for i := range out.alerts {
		a := &out.alerts[i]
		w.metrics.alerts.WithLabelValues(a.RuleName, said(a)).Inc()
	}
	for _, t := range out.opened {
		w.metrics.delay.Observe(now.Sub(time.UnixMilli(t)).Seconds())
	}
	w.metrics.unreadable.WithLabelValues(string(StageCorrelate)).Add(float64(out.unreadable))
	groups, slowest := 0, int64(0)
	for _, p := range w.parts {
		w.metrics.correlated(p.state.TakeStats())
		groups += p.state.Groups()
		if t := p.state.Clock(); t > 0 && (slowest == 0 || t < slowest) {
			slowest = t
		}
	}
	w.metrics.groups.WithLabelValues(strconv.Itoa(w.number)).Set(float64(groups))
	if slowest > 0 {
		w.metrics.lag.WithLabelValues(string(StageCorrelate), strconv.Itoa(w.number)).Set(now.Sub(time.UnixMilli(slowest)).Seconds())
	}
}
