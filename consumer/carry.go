package consumer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"

	"github.com/audittrail/audittrail/internal/clickhouse"
	tables "github.com/audittrail/audittrail/schemas/clickhouse"
)

// errGone says that the lane may not go on with a range: the partition is being taken away.
var errGone = errors.New("the partition is no longer ours")

// Back-off between attempts at one range.
const (
	minBackoff = 100 * time.Millisecond
	maxBackoff = 30 * time.Second
)

// carry takes a range through intent, insert and settle. It tries for ever: only the loss of the partition ends it.
func (l *lane) carry(s *span) {
	defer l.carriers.Done()
	for attempt := 0; ; attempt++ {
		err := l.attempt(s)
		if err == nil {
			break
		}
		if errors.Is(err, errGone) || l.ctx.Err() != nil {
			return
		}
		if clickhouse.Classify(err) == clickhouse.ClassRefused && l.divide(s, err) {
			l.release(s)
			return
		}
		if !l.retry(s, err, attempt) {
			return
		}
	}
	// A crash before the settled offset is committed: as above; ClickHouse ignores what it has.
	l.settle(s)
}

// attempt is one try at intent and insert.
func (l *lane) attempt(s *span) error {
	// A crash before the intent is committed: the range was never planned, the next owner cuts its own.
	deadline, err := l.intend(s)
	if err != nil {
		return err
	}
	if s.unknown {
		if err := l.remembered(s); err != nil {
			return err
		}
	}
	// A crash from here on: the next owner finds the range in the offset's metadata and sends the same blocks under the same tokens.
	err = l.insert(s, deadline)
	if err != nil && clickhouse.Classify(err) != clickhouse.ClassRefused {
		s.unknown, s.unknownUntil = true, deadline
	}
	return err
}

// remembered makes sure that ClickHouse can still tell the range's token, before it is used once more. After a long outage it may not: then the session
// starts over, and asks what there is.
func (l *lane) remembered(s *span) error {
	l.mu.Lock()
	since := s.since
	l.mu.Unlock()
	sure, err := l.c.tokensSure(l.ctx, since)
	if err == nil && !sure {
		l.c.abort(fmt.Errorf("%w: the tokens of [%d, %d) of %s/%d, sent first at %s, may be forgotten by now",
			errStartOver, s.First, s.End, l.key.topic, l.key.partition, since.Format(time.RFC3339)))
		return errGone
	}
	return err
}

// intend waits until the range's plan stands in Kafka and returns until when an insert may be at work under it. An intent that is too old is written anew.
func (l *lane) intend(s *span) (deadline time.Time, err error) {
	l.mu.Lock()
	// Half of the time must be left, or the insert would only be cut off.
	if age := l.c.opt.Now().Sub(s.intentAt); !s.intentAt.IsZero() && age > l.c.opt.InsertTimeout/2 {
		s.intentAt = time.Time{}
		s.intended = make(chan struct{})
	}
	if l.state == laneGone || (l.state == laneDraining && s.intentAt.IsZero()) {
		l.mu.Unlock()
		return time.Time{}, errGone
	}
	if mutated("intent") && s.intentAt.IsZero() {
		s.intentAt, s.since = l.c.opt.Now(), l.c.opt.Now()
		close(s.intended)
	}
	waiting := s.intentAt.IsZero()
	intended := s.intended
	l.mu.Unlock()
	if waiting {
		l.c.commits.request(l)
	}
	select {
	case <-intended:
	case <-l.ctx.Done():
		return time.Time{}, errGone
	case <-l.quit:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.intentAt.IsZero() { // the drain commits only what has an intent
		return time.Time{}, errGone
	}
	return s.intentAt.Add(l.c.opt.InsertTimeout), nil
}

// insert sends all blocks of the range and then its ledger row.
func (l *lane) insert(s *span, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(l.ctx, deadline)
	defer cancel()
	select {
	case l.c.inserts <- struct{}{}:
		defer func() { <-l.c.inserts }()
	case <-ctx.Done():
		return ctx.Err()
	}
	token := s.token(l.c.cluster)
	for _, b := range s.blocks {
		if err := l.send(ctx, b, token+b.suffix); err != nil {
			return err
		}
	}
	ledger, err := l.c.ledgerBlock(s, token)
	if err != nil {
		return err
	}
	return l.send(ctx, ledger, token+ledger.suffix)
}

func (l *lane) send(ctx context.Context, b tokenBlock, token string) error {
	step := steps[b.suffix]
	if err := failpoint(step + "-before"); err != nil {
		return err
	}
	if mutated("token") {
		token += uuid.NewString()
	}
	start := l.c.opt.Now()
	err := l.c.opt.ClickHouse.Insert(ctx, clickhouse.Insert{
		Table: b.table, Block: b.Block, Token: token,
		QueryID: queryPrefix(l.topicID, l.key.partition) + uuid.NewString(),
	})
	l.c.m.insert(b.table, err, l.c.opt.Now().Sub(start))
	if err == nil {
		err = failpoint(step + "-after")
	}
	return err
}

// steps name the inserts of a range, by the suffixes of their tokens.
var steps = map[string]string{"": "rows", quarantineSuffix: "quarantine", ledgerSuffix: "ledger"}

// retry waits before the next attempt, and returns false if the partition is lost meanwhile.
func (l *lane) retry(s *span, err error, attempt int) bool {
	class := clickhouse.Classify(err)
	wait := backoff(attempt)
	log := l.log.Warn
	if class != clickhouse.ClassRetry {
		log = l.log.Error
	}
	l.c.m.retries.WithLabelValues(l.key.topic).Inc()
	log("insert failed, will try again", "first", s.First, "end", s.End, "class", class.String(), "attempt", attempt+1, "wait", wait, "error", err)
	l.c.clickhouseOK.Set(err)
	select {
	case <-time.After(wait):
		return true
	case <-l.ctx.Done():
		return false
	}
}

// backoff is how long to wait after that many failures, with jitter so that the lanes do not come all at once.
func backoff(failures int) time.Duration {
	wait := min(minBackoff<<min(failures, 20), maxBackoff)
	return wait/2 + rand.N(wait/2+1)
}

// settle marks the range as done and moves the offset over the finished prefix.
func (l *lane) settle(s *span) {
	l.c.clickhouseOK.Set(nil)
	l.c.m.settled(s.encoded, l.c.opt.Now())
	l.mu.Lock()
	s.done = true
	for len(l.spans) > 0 && l.spans[0].done {
		l.offset = l.spans[0].End
		if t := l.spans[0].oldest; !t.IsZero() {
			l.settledTime = t
		}
		if !l.spans[0].split {
			<-l.slots
		}
		l.spans = l.spans[1:]
	}
	l.mu.Unlock()
	l.release(s)
	l.c.commits.request(l)
}

// release frees the memory of a range that is settled or divided. Its blocks must not be used any more.
func (l *lane) release(s *span) {
	l.free(s.cost)
	l.c.buffers.give(s.buf)
	free(s.chunks)
	s.cost, s.blocks, s.buf, s.chunks = 0, nil, nil, nil
}

// free gives back a part of what the lane holds of the memory budget.
func (l *lane) free(cost int64) {
	l.mu.Lock()
	l.held -= cost
	l.mu.Unlock()
	l.c.budget.give(cost)
}

// The suffixes that tell a range's tokens apart.
const (
	quarantineSuffix = "/q"
	ledgerSuffix     = "/l"
)

// ledgerBlock returns the range's row of the ledger. It is made anew for each attempt: under its token only the first one counts. Its buffer is its own, not a
// pooled one: the block is in use for as long as the insert takes.
func (c *Consumer) ledgerBlock(s *span, token string) (tokenBlock, error) {
	member, generation := c.client.GroupMetadata()
	e := &encoded{plannedRange: s.plannedRange, src: s.src, account: s.account, buf: new(proto.Buffer)}
	if err := e.encode(tables.TableLedger, ledgerSuffix, ledgerInput(s.encoded, token, c.opt.Now(), generation, member)); err != nil {
		return tokenBlock{}, err
	}
	return e.blocks[0], nil
}
