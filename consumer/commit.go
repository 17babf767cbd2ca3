package consumer

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/audittrail/audittrail/schemas/audit"
)

// committer writes intents and settled offsets to Kafka: one commit at a time, which carries whatever has come together meanwhile. One stream serves
// both, so that exactly-once costs no round trip more than committing offsets does.
type committer struct {
	c *Consumer

	mu    sync.Mutex
	dirty map[*lane]struct{}
	wake  chan struct{}
	// turn has the one token that a commit under way has taken: revocation waits for it.
	turn chan struct{}
}

func newCommitter(c *Consumer) *committer {
	return &committer{c: c, dirty: make(map[*lane]struct{}), wake: make(chan struct{}, 1), turn: make(chan struct{}, 1)}
}

// request asks for a commit of the lane's state as it will be then.
func (k *committer) request(l *lane) {
	k.mu.Lock()
	k.dirty[l] = struct{}{}
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

func (k *committer) run(ctx context.Context) {
	for tries := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		}
		again := k.commit(ctx, k.take())
		if len(again) == 0 {
			tries = 0
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(minBackoff<<min(tries, 6), 5*time.Second)):
		}
		tries++
		for _, l := range again {
			k.request(l)
		}
	}
}

func (k *committer) take() []*lane {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make([]*lane, 0, len(k.dirty))
	for l := range k.dirty {
		out = append(out, l)
	}
	clear(k.dirty)
	return out
}

// snapshot is what one commit says of a lane.
type snapshot struct {
	lane     *lane
	offset   int64
	metadata string
	at       time.Time
	spans    []*span
	// intends says that one of the spans has no intent yet.
	intends bool
}

// commit writes the lanes' offsets and plans and returns the lanes for which it must be tried again.
func (k *committer) commit(ctx context.Context, lanes []*lane) (again []*lane) {
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return lanes
	}
	snaps := make(map[partitionKey]snapshot, len(lanes))
	for _, l := range lanes {
		if s, ok := l.snapshot(k.c.opt.Now()); ok {
			snaps[l.key] = s
		}
	}
	if len(snaps) == 0 {
		return nil
	}
	return k.send(ctx, snaps)
}

// send is one request.
func (k *committer) send(ctx context.Context, snaps map[partitionKey]snapshot) (again []*lane) {
	offsets := make(map[string]map[int32]kgo.EpochOffset)
	for key, s := range snaps {
		if offsets[key.topic] == nil {
			offsets[key.topic] = make(map[int32]kgo.EpochOffset)
		}
		offsets[key.topic][key.partition] = kgo.EpochOffset{Epoch: -1, Offset: s.offset}
	}
	ctx, cancel := context.WithTimeout(ctx, k.c.opt.SessionTimeout)
	defer cancel()
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		// By now the request has its generation. A lane that is not gone was ours in that generation; one that is gone may have been lost before it, and the
		// generation would not tell the broker so.
		for _, s := range snaps {
			if s.lane.gone() {
				return errGone
			}
		}
		setMetadata(req, snaps)
		return nil
	})
	step := stepOf(snaps)
	if failpoint(step+"-before") != nil {
		for _, s := range snaps {
			again = append(again, s.lane)
		}
		return again
	}
	start := k.c.opt.Now()
	k.c.client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, res *kmsg.OffsetCommitResponse, err error) {
		if err == nil {
			err = failpoint(step + "-after")
		}
		again = k.answer(snaps, res, err)
	})
	k.c.m.stage("commit", k.c.opt.Now().Sub(start))
	return again
}

// stepOf names a commit for the fault tests: one that carries a new intent, or only settled offsets.
func stepOf(snaps map[partitionKey]snapshot) string {
	for _, s := range snaps {
		if s.intends {
			return "intent"
		}
	}
	return "settle"
}

func setMetadata(req *kmsg.OffsetCommitRequest, snaps map[partitionKey]snapshot) {
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			text := snaps[partitionKey{t.Topic, p.Partition}].metadata
			p.Metadata = &text
		}
	}
}

// answer applies the broker's answer to the lanes.
func (k *committer) answer(snaps map[partitionKey]snapshot, res *kmsg.OffsetCommitResponse, err error) (again []*lane) {
	results := make(map[partitionKey]error, len(snaps))
	if err == nil {
		for _, t := range res.Topics {
			for _, p := range t.Partitions {
				results[partitionKey{t.Topic, p.Partition}] = kerr.ErrorForCode(p.ErrorCode)
			}
		}
	}
	for key, s := range snaps {
		e, ok := results[key]
		switch {
		case err != nil:
			e = err
		case !ok:
			e = errors.New("the broker's answer does not name the partition")
		}
		switch {
		case e == nil:
			s.lane.committedAs(s)
			k.c.m.commit("ok")
		case fenced(e):
			k.c.m.commit("fenced")
			s.lane.log.Warn("offset commit was fenced off, the partition is lost", "error", e)
			s.lane.lose()
		default:
			k.c.m.commit("retry")
			s.lane.log.Debug("offset commit failed, will try again", "error", e)
			again = append(again, s.lane)
		}
	}
	return again
}

// fenced reports whether Kafka says that this member owns nothing any more. All else may pass by trying again.
func fenced(err error) bool {
	for _, e := range []error{kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.FencedInstanceID, kerr.StaleMemberEpoch} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// snapshot returns what a commit should say of the lane now; false if it may not be committed.
func (l *lane) snapshot(now time.Time) (snapshot, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if (l.state == laneGone && !mutated("lock")) || !l.recovered {
		return snapshot{}, false
	}
	s := snapshot{lane: l, offset: l.offset, at: now}
	p := plan{TopicID: l.topicID, Decoder: audit.DecoderVersion, At: now, Since: now}
	list := func(r plannedRange, since time.Time) {
		p.Ranges = append(p.Ranges, r)
		if !since.IsZero() && since.Before(p.Since) {
			p.Since = since
		}
	}
	for _, sp := range l.spans {
		if l.state == laneDraining && sp.since.IsZero() {
			break // those behind it are not planned either
		}
		s.intends = s.intends || sp.intentAt.IsZero()
		list(sp.plannedRange, sp.since)
		s.spans = append(s.spans, sp)
	}
	// What somebody planned before and is not cut yet stays planned.
	for _, d := range l.duties {
		list(d.plannedRange, d.since)
	}
	if mutated("intent") {
		p.Ranges = nil
	}
	s.metadata = p.String()
	return s, true
}

// gone reports whether the lane may not be committed any more.
func (l *lane) gone() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state == laneGone && !mutated("lock")
}

// committedAs notes that Kafka has s: its ranges may be inserted now.
func (l *lane) committedAs(s snapshot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, sp := range s.spans {
		if sp.intentAt.IsZero() {
			sp.intentAt = s.at
			if sp.since.IsZero() {
				sp.since = s.at
			}
			close(sp.intended)
		}
	}
}
