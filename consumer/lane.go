package consumer

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/schemas/audit"
)

// partitionKey names a partition.
type partitionKey struct {
	topic     string
	partition int32
}

// lane carries one partition from Kafka to ClickHouse, in order. Its loop decodes and cuts ranges; each range then goes through intent, insert and settle
// in a goroutine of its own, several at a time.
type lane struct {
	c   *Consumer
	key partitionKey
	log *slog.Logger
	// ctx ends when the partition is lost: whatever is under way gives up.
	ctx    context.Context
	cancel context.CancelFunc
	// slots bound the ranges in flight.
	slots chan struct{}
	wake  chan struct{}
	// quit tells the loop to stop reading; loop is closed when it has.
	quit, loop chan struct{}
	carriers   sync.WaitGroup

	// watermark and lastStable are the partition's high watermark and last stable offset as they were told last.
	watermark, lastStable atomic.Int64

	// Only the loop uses these.
	batch batch
	rec   audit.Record

	// mu guards all below. Whoever builds a commit holds it while he looks at state, so that a partition that is gone is never committed.
	mu    sync.Mutex
	state laneState
	// queue is what was fetched and not yet decoded.
	queue  []fetched
	queued int64
	paused bool
	// held is what the lane has taken of the memory budget, queue, batch and ranges together.
	held int64
	// started says that the loop runs, begun that offset is known, recovered that duties are: before that nothing is committed, or the plan of the owner
	// before would be lost.
	started, begun, recovered bool
	// found is what the group's commit said, nil if there was none.
	found   *committedState
	topicID [16]byte
	// logStart and logEnd bound what the log had when the lane began.
	logStart, logEnd int64
	// duties are the ranges that somebody planned before: they are cut first, exactly so.
	duties []duty
	// offset: everything below it is settled. spans are the planned ranges from there on, contiguous.
	offset int64
	spans  []*span
	// filling is the Kafka timestamp of the first record of the range that is being filled, settledTime that of the first record of the last one settled.
	filling, settledTime time.Time
}

type laneState int

const (
	laneRunning laneState = iota
	// laneDraining: no new intents; what has one may finish.
	laneDraining
	// laneGone: the partition is somebody else's, nothing is committed any more.
	laneGone
)

// fetched is a run of records of the lane's partition.
type fetched struct {
	records []*kgo.Record
	// logStart is the first offset that the log had then.
	logStart int64
	// cost is what the records count in the memory budget.
	cost int64
	// first is the Kafka timestamp of the first record.
	first time.Time
	// then is a gap behind the records; none if it is zero.
	then gap
}

// span is a planned range on its way.
type span struct {
	*encoded
	// intentAt is when its intent was committed last; zero while a new one is wanted. Guarded by the lane's mu.
	intentAt time.Time
	// since is when its intent was committed first, by whomever: from then on some of it may be in ClickHouse, and it stays in the plan until it is settled.
	// Zero before. Guarded by the lane's mu.
	since time.Time
	// intended is closed when the intent is committed.
	intended chan struct{}
	// done says that everything of it is in ClickHouse. Guarded by the lane's mu.
	done bool
	// split says that it is a part of a divided range whose slot a later part holds.
	split bool
	// unknown says that some of it may be in ClickHouse under its token: a repeat counts on ClickHouse remembering that. unknownUntil is until when an attempt
	// whose outcome is unknown may still land. Only the carrier uses them.
	unknown      bool
	unknownUntil time.Time
}

func newLane(c *Consumer, key partitionKey) *lane {
	l := &lane{
		c: c, key: key,
		log:   c.log.With("topic", key.topic, "partition", key.partition),
		slots: make(chan struct{}, c.opt.InFlight),
		wake:  make(chan struct{}, 1),
		quit:  make(chan struct{}),
		loop:  make(chan struct{}),
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.batch.rows = newRows(tableOf(key.topic))
	l.batch.bad = newQuarantineRows()
	l.batch.src = source{topic: key.topic, partition: key.partition}
	return l
}

// start runs the loop, once.
func (l *lane) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.started && l.state == laneRunning {
		l.started = true
		go l.run()
	}
}

// push queues fetched records and the gap behind them, if there is one, and pauses fetching when the lane holds too many. Pause and resume are called under the lock, so that they come in order.
func (l *lane) push(p *kgo.FetchPartition, then gap) {
	var cost, records int64
	for _, r := range p.Records {
		cost += costOf(r)
		if !r.Attrs.IsControl() {
			records++
		}
	}
	l.c.m.records.WithLabelValues(l.key.topic).Add(float64(records))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != laneRunning {
		return
	}
	f := fetched{records: p.Records, logStart: p.LogStartOffset, cost: cost, then: then}
	if len(p.Records) > 0 {
		f.first = p.Records[0].Timestamp
	}
	l.queue = append(l.queue, f)
	l.queued += cost
	l.held += cost
	l.c.budget.take(cost)
	l.signal()
	if l.queued > l.c.opt.MemoryBytes/2 && !l.paused {
		l.paused = true
		l.c.pause(l.key)
	}
}

func (l *lane) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// costOf is what a record counts in the memory budget: its bytes once as fetched and once more as columns, and the bookkeeping.
func costOf(r *kgo.Record) int64 {
	n := len(r.Value) + len(r.Key)
	for i := range r.Headers {
		n += len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return 2*int64(n) + 256
}

// run is the lane's loop.
func (l *lane) run() {
	defer close(l.loop)
	if !l.recover() || !l.prepare() {
		return
	}
	age := time.NewTimer(time.Hour)
	defer age.Stop()
	for {
		select {
		case <-l.quit:
			return
		case <-l.wake:
		case <-age.C:
		}
		for f, ok := l.nextFetched(); ok; f, ok = l.nextFetched() {
			if !l.addAll(f) {
				return
			}
			l.decoded(f)
		}
		if !l.batch.empty() && !l.replaying() {
			left := l.c.opt.MaxAge - l.c.opt.Now().Sub(l.batch.since)
			if left <= 0 {
				if !l.cut(l.batch.end) {
					return
				}
				continue
			}
			age.Reset(left)
		}
	}
}

func (l *lane) nextFetched() (fetched, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		return fetched{}, false
	}
	f := l.queue[0]
	l.queue[0] = fetched{}
	l.queue = l.queue[1:]
	return f, true
}

// decoded counts f out of the queue and lets a paused partition be fetched again when half of its share is free.
func (l *lane) decoded(f fetched) {
	l.mu.Lock()
	l.queued -= f.cost
	resume := l.paused && l.queued <= l.c.opt.MemoryBytes/4
	if resume {
		l.paused = false
		l.c.resume(l.key)
	}
	l.mu.Unlock()
}

func (l *lane) replaying() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.duties) > 0 && !l.duties[0].check
}

// duty returns the range that must be cut now because somebody planned it before.
func (l *lane) duty() (duty, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.duties) == 0 {
		return duty{}, false
	}
	return l.duties[0], true
}

// prepare makes the batch ready for the next range. It returns false when the lane must stop.
func (l *lane) prepare() bool {
	if d, ok := l.duty(); ok && d.checked {
		return true // the rest of a range that was asked for already
	}
	l.batch.stored, l.batch.quarantined = nil, nil
	if d, ok := l.duty(); ok && d.check {
		return l.check(d)
	}
	return true
}

// addAll decodes the records into the batch, cutting ranges as they become full. It returns false when the lane must stop.
func (l *lane) addAll(f fetched) bool {
	if !l.pass(gap{f.logStart, stageRetention, reasonLost}) {
		return false
	}
	for i, r := range f.records {
		f.records[i] = nil // the record's memory may go as soon as it is decoded
		for d, ok := l.duty(); ok && r.Offset >= d.End; d, ok = l.duty() {
			// The range's last records are gone (retention): its end stands all the same.
			if !l.cut(d.End) {
				return false
			}
		}
		if r.Offset < l.batch.end {
			// The client never does that by itself: the log was cut below what was read, and it went back without a word.
			l.c.fetchFailed(l.key, &kgo.ErrDataLoss{Topic: l.key.topic, Partition: l.key.partition, ConsumedTo: l.batch.end, ResetTo: r.Offset})
			return false
		}
		l.add(r)
		if l.full() && !l.cut(l.batch.end) {
			return false
		}
	}
	return l.pass(f.then)
}

// pass goes over offsets that cannot be read, leaving a row in the quarantine that says so. It returns false when the lane must stop.
func (l *lane) pass(g gap) bool {
	for g.to > l.batch.end {
		part := g
		if d, ok := l.duty(); ok {
			part.to = min(g.to, d.End)
		}
		from := l.batch.end
		if l.batch.pass(part, l.c.opt.Now()) {
			l.c.m.incidents.WithLabelValues(incidentOf[g.reason]).Inc()
			l.log.Error("records cannot be read, the quarantine has a row for them", "reason", g.reason, "from", from, "to", part.to)
		}
		if l.full() && !l.cut(l.batch.end) {
			return false
		}
	}
	return true
}

// incidentOf names the incidents of gaps.
var incidentOf = map[audit.Reason]string{reasonLost: "log_cut", reasonInflated: "batch_too_large"}

func (l *lane) add(r *kgo.Record) {
	if l.batch.empty() {
		l.batch.rows = l.c.columns[l.batch.rows.Table()].take()
		l.mu.Lock()
		l.filling = r.Timestamp
		l.mu.Unlock()
	}
	l.batch.cost += costOf(r)
	if r.Attrs.IsControl() {
		l.batch.skip(r.Offset, l.c.opt.Now())
		return
	}
	kafka.FillRecord(&l.rec, l.batch.src.topicID, r)
	if why := l.batch.add(&l.rec, l.c.opt.Now()); why != nil {
		l.quarantined(&l.rec, why)
	}
}

// idle reports whether the lane can go on only with more records, and how much of the memory budget it holds.
func (l *lane) idle() (held int64, idle bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	exact := len(l.duties) > 0 && !l.duties[0].check
	return l.held, len(l.queue) == 0 && len(l.spans) == 0 && (l.held == 0 || exact)
}

// full reports whether the batch must be cut behind its last record.
func (l *lane) full() bool {
	if d, ok := l.duty(); ok && (!d.check || l.batch.end >= d.End) {
		return l.batch.end >= d.End
	}
	return l.batch.rows.Len()+l.batch.bad.len() >= l.c.opt.MaxRows || l.batch.bytes >= l.c.opt.MaxBytes
}

// cut plans the range [batch.first, end) and sends it on its way. It waits while too many ranges are in flight, and returns false when the lane must stop.
func (l *lane) cut(end int64) bool {
	select {
	case l.slots <- struct{}{}:
	case <-l.quit:
		return false
	}
	l.batch.end = end
	r := plannedRange{First: l.batch.first, End: end, Day: l.c.today()}
	if d, ok := l.duty(); ok {
		r.Day, r.Replay, r.Shard = d.Day, d.Replay, d.Shard
	}
	e, err := l.batch.encode(l.c.buffers.take(), r)
	if err != nil {
		// Own columns that do not fit together are a fault of this program: nothing may be skipped, so the process must not go on.
		l.c.abort(err)
		return false
	}
	if l.batch.replaced {
		l.batch.replaced = false
		l.c.m.incidents.WithLabelValues("log_replaced").Inc()
		l.log.Error("clickhouse has other records under offsets of this range: both are kept", "first", e.First, "end", e.End)
	}
	s := &span{encoded: e, intended: make(chan struct{})}
	if d, ok := l.duty(); ok {
		// It stood in the plan, or in ClickHouse, before: it stays in the plan whatever happens before its own intent is committed.
		s.since, s.unknown = d.since, !d.check
	}
	l.c.m.cut(e, l.c.opt.Now().Sub(l.batch.since))
	// An idle lane keeps no memory.
	l.batch.next()
	l.c.columns[l.batch.rows.Table()].give(l.batch.rows)
	l.batch.rows, l.batch.bad = newRows(l.batch.rows.Table()), newQuarantineRows()

	return l.plan(s) && l.prepare()
}

// plan adds the range to those under way and sets it going; false if the lane must stop.
func (l *lane) plan(s *span) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != laneRunning {
		return false
	}
	if len(l.duties) > 0 {
		if l.duties[0].First, l.duties[0].checked = s.End, true; s.End >= l.duties[0].End {
			l.duties = l.duties[1:]
		}
	}
	l.spans = append(l.spans, s)
	l.filling = time.Time{}
	l.carriers.Add(1)
	go l.carry(s)
	return true
}
