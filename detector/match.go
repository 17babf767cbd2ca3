package detector

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/audittrail/audittrail/detector/wire"
	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/schemas/audit"
)

// maxPoll is how many records one transaction takes in.
const maxPoll = 10_000

// matchWorker is one worker of the match stage. Its only state is how far it is.
type matchWorker struct {
	*Detector
	number  int
	session *session
	matcher *matcher
	sources *sources
	probed  atomic.Pointer[probe]

	// open says that a transaction has begun. One that has nothing to write stays open while more is polled: its offsets can wait for the next clock
	// record.
	open      bool
	nextClock time.Time
	written   int
	counts    matchCounts
	record    audit.Record
}

// matchCounts are counted when they are committed.
type matchCounts struct{ events, matches, clamped, unreadable int }

func (d *Detector) runMatch(ctx context.Context, n int, report func(error)) error {
	w := &matchWorker{Detector: d, number: n, matcher: newMatcher(d.o.Rules), sources: newSources(d.o.UnavailableAfter)}
	var err error
	w.session, err = d.o.newSession(ctx, StageMatch, n, d.events, d.gap(StageMatch))
	if err != nil {
		return err
	}
	defer w.session.close()
	ctx, cancel := context.WithCancelCause(ctx)
	var prober sync.WaitGroup
	defer prober.Wait()
	defer cancel(nil)
	if err := w.probe(ctx); err != nil {
		return err
	}
	prober.Go(func() { cancel(w.keepProbing(ctx)) })
	for {
		if err := w.round(ctx); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return err
		}
		report(w.session.membership())
	}
}

// round takes in what can be polled, and commits if there is something to write.
func (w *matchWorker) round(ctx context.Context) error {
	fetches, err := w.session.poll(ctx, w.nextClock, maxPoll)
	if err != nil {
		return err
	}
	changes, disturbed := w.session.take()
	for _, c := range changes {
		if c.taken {
			w.sources.drop(c.partition)
		} else {
			w.sources.assign(c.partition, c.offset)
		}
	}
	if disturbed {
		err := w.session.abort()
		w.metrics.transaction(StageMatch, false, err)
		w.rollback()
		return err
	}
	if !w.open {
		if err := w.session.begin(); err != nil {
			return err
		}
		w.open = true
	}
	if err := w.matchAll(fetches); err != nil {
		return err
	}
	if now := w.o.Now(); !time.Now().Before(w.nextClock) {
		w.nextClock = time.Now().Add(w.o.ClockInterval)
		w.writeClock(now)
	}
	if w.written == 0 {
		return nil
	}
	return w.commit()
}

// matchAll writes the match records of what was polled.
func (w *matchWorker) matchAll(fetches kgo.Fetches) error {
	now, topicID := w.o.Now(), w.probed.Load().topicID
	for it := fetches.RecordIter(); !it.Done(); {
		r := it.Next()
		if w.sources.parts[r.Partition] == nil {
			return fmt.Errorf("got a record of %s/%d, which is not assigned to this worker", r.Topic, r.Partition)
		}
		if r.Attrs.IsControl() {
			w.sources.read(r.Partition, r.Offset, time.Time{}, now)
			continue
		}
		w.sources.read(r.Partition, r.Offset, r.Timestamp, now)
		w.counts.events++
		kafka.FillRecord(&w.record, topicID, r)
		clamped, err := w.matcher.apply(&w.record, func(key, value []byte) {
			w.written++
			w.counts.matches++
			w.session.produce(&kgo.Record{Topic: w.matches, Key: key, Value: value})
		})
		if err != nil {
			w.counts.unreadable++ // the consumer puts it in quarantine
		}
		if clamped {
			w.counts.clamped++
		}
	}
	return nil
}

// writeClock writes how far this worker is to every partition of audit.matches. Its transaction is that of the match records, so who reads it has
// read those.
func (w *matchWorker) writeClock(now time.Time) {
	pr := w.probed.Load()
	w.sources.take(pr)
	if slowest, ok := w.sources.slowest(); ok {
		w.metrics.lag.WithLabelValues(string(StageMatch), strconv.Itoa(w.number)).Set(now.Sub(slowest).Seconds())
	}
	c, ok := w.sources.clock(pr.total, now)
	if !ok {
		return
	}
	value := wire.AppendClock(nil, &c)
	for p := range pr.matches {
		w.written++
		w.session.produce(&kgo.Record{Topic: w.matches, Partition: p, Value: value})
	}
}

func (w *matchWorker) commit() error {
	ok, err := w.session.commit(w.completeOffsets)
	w.metrics.transaction(StageMatch, ok, err)
	if err != nil {
		return err
	}
	if !ok {
		w.rollback()
		return nil
	}
	w.sources.commit()
	w.metrics.events.Add(float64(w.counts.events))
	w.metrics.matches.Add(float64(w.counts.matches))
	w.metrics.clamped.Add(float64(w.counts.clamped))
	w.metrics.unreadable.WithLabelValues(string(StageMatch)).Add(float64(w.counts.unreadable))
	w.open, w.written, w.counts = false, 0, matchCounts{}
	return nil
}

func (w *matchWorker) rollback() {
	w.sources.rollback()
	w.open, w.written, w.counts = false, 0, matchCounts{}
}

// completeOffsets adds the offsets of partitions without news: only a transaction with offsets is refused when this worker is not in the group any
// more, and a clock record of a zombie would be a lie.
func (w *matchWorker) completeOffsets(req *kmsg.TxnOffsetCommitRequest) error {
	var topic *kmsg.TxnOffsetCommitRequestTopic
	for i := range req.Topics {
		if req.Topics[i].Topic == w.events {
			topic = &req.Topics[i]
		}
	}
	if topic == nil {
		req.Topics = append(req.Topics, kmsg.NewTxnOffsetCommitRequestTopic())
		topic = &req.Topics[len(req.Topics)-1]
		topic.Topic = w.events
		topic.TopicID = w.probed.Load().topicID
	}
	there := make(map[int32]bool, len(topic.Partitions))
	for _, p := range topic.Partitions {
		there[p.Partition] = true
	}
	for n, s := range w.sources.parts {
		if there[n] {
			continue
		}
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset = n, s.progress.position
		topic.Partitions = append(topic.Partitions, p)
	}
	return nil
}

// keepProbing asks the brokers for the ends of the source partitions, as often as there are clock records. It does so beside the worker, since a
// broker that does not answer must not hold it up.
func (w *matchWorker) keepProbing(ctx context.Context) error {
	tick := time.NewTicker(w.o.ClockInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		limit, cancel := context.WithTimeout(ctx, max(5*time.Second, w.o.ClockInterval))
		err := w.probe(limit)
		cancel()
		if isFatal(err) {
			return err
		}
		if err != nil && ctx.Err() == nil {
			w.session.log.Warn("cannot ask for the ends of the source partitions", "error", err)
		}
	}
}

func (w *matchWorker) probe(ctx context.Context) error {
	pr := &probe{at: w.o.Now(), ends: make(map[int32]int64)}
	meta, err := kafka.FetchMetadata(ctx, w.session.gts.Client(), w.events, w.matches)
	if err != nil {
		return err
	}
	pr.topicID, pr.total, pr.matches = meta.Topics[w.events].ID, meta.Topics[w.events].Partitions, meta.Topics[w.matches].Partitions
	if pr.total > wire.MaxSources {
		return fatal{fmt.Errorf("%s has %d partitions, more than the %d whose clocks fit into a commit", w.events, pr.total, wire.MaxSources)}
	}
	ends, err := kadm.NewClient(w.session.gts.Client()).ListEndOffsets(ctx, w.events)
	if err != nil && len(ends) == 0 {
		return fmt.Errorf("list the end offsets of %s: %w", w.events, err)
	}
	for p, end := range ends[w.events] {
		if end.Err == nil {
			pr.ends[p] = end.Offset
		}
	}
	w.probed.Store(pr)
	return nil
}
