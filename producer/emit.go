package producer

import (
	"context"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/audittrail/audittrail/schemas/audit"
)

// EmitError says which events of one Emit are not acknowledged; all the others are. It unwraps to the reasons.
type EmitError struct {
	// Events is how many were given to Emit.
	Events int
	// Failed is in the order of the arguments.
	Failed []FailedEvent
}

// FailedEvent is an event that is not acknowledged.
type FailedEvent struct {
	// Index is the event's place among the arguments of Emit.
	Index int
	// ID is the event's id, also when Emit made it: to send the event again, give it this id, so that a repeat is recognisable.
	ID string
	// Sent says that the event was on its way: it may be in the trail, now or later. Otherwise it is not and will not be.
	Sent bool
	// Err is why.
	Err error
}

func (f FailedEvent) String() string {
	fate := "not sent"
	if f.Sent {
		fate = "may be in the trail"
	}
	return fmt.Sprintf("event %d (id %q, %s): %v", f.Index, f.ID, fate, f.Err)
}

// shownFailures is how many events the text of an error names.
const shownFailures = 3

func (e *EmitError) Error() string {
	text := fmt.Sprintf("producer: %d of %d events are not acknowledged", len(e.Failed), e.Events)
	for i, f := range e.Failed {
		if i == shownFailures {
			return fmt.Sprintf("%s; and %d more", text, len(e.Failed)-i)
		}
		text += "; " + f.String()
	}
	return text
}

func (e *EmitError) Unwrap() []error {
	errs := make([]error, len(e.Failed))
	for i := range e.Failed {
		errs[i] = e.Failed[i].Err
	}
	return errs
}

// Emit publishes events and waits for Kafka: nil means that all in-sync replicas have acknowledged all of them. It fills id, time, tenant, service and
// sequence where they are missing (the caller's events are not changed) and tries again for as long as ctx allows; what is on its way by then is still
// tried afterwards, until Close.
//
// An invalid event is an *InvalidError and nothing is sent. Any other failure is an *EmitError, which tells of each event that is not acknowledged.
// A ctx without a deadline waits as long as Kafka is away; Check says at once whether brokers, login and topic are right.
func (p *Producer) Emit(ctx context.Context, events ...audit.Event) error {
	if len(events) == 0 {
		return nil
	}
	complete := make([]audit.Event, len(events))
	copy(complete, events)
	for i := range complete {
		if err := p.complete(&complete[i], i); err != nil {
			return err
		}
	}
	call := &emission{outcomes: make([]outcome, len(complete)), done: make(chan struct{})}
	for i := range complete {
		if err := p.emit(ctx, call, i, &complete[i]); err != nil {
			call.stop(i, err)
			break
		}
	}
	return call.wait(ctx, complete)
}

// emit starts event i of a call. An error says that it is not started.
func (p *Producer) emit(ctx context.Context, call *emission, i int, e *audit.Event) error {
	if p.closed.Load() {
		return ErrClosed
	}
	r := p.record(e)
	n := size(r)
	if err := p.reserve(ctx, n); err != nil {
		return err
	}
	call.start(p, i, r, n)
	return nil
}

// outcome is what became of one event so far.
type outcome struct {
	sent, acknowledged bool
	err                error
}

// emission follows the events of one Emit.
type emission struct {
	mu       sync.Mutex
	outcomes []outcome
	// open counts the events that have no answer yet, ended says that no more will be started.
	open  int
	ended bool
	done  chan struct{}
}

func (c *emission) start(p *Producer, i int, r *kgo.Record, n int64) {
	c.mu.Lock()
	c.outcomes[i].sent = true
	c.open++
	c.mu.Unlock()
	p.send(r, n, func(err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.outcomes[i].acknowledged, c.outcomes[i].err = err == nil, err
		c.open--
		c.finish()
	})
}

// stop notes why the events from this one on are not started.
func (c *emission) stop(from int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := from; i < len(c.outcomes); i++ {
		c.outcomes[i].err = err
	}
}

func (c *emission) finish() {
	if c.ended && c.open == 0 {
		close(c.done)
	}
}

// wait returns when all started events are answered or ctx is done.
func (c *emission) wait(ctx context.Context, events []audit.Event) error {
	c.mu.Lock()
	c.ended = true
	c.finish()
	c.mu.Unlock()
	select {
	case <-c.done:
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e := &EmitError{Events: len(events)}
	for i, o := range c.outcomes {
		switch {
		case o.acknowledged:
			continue
		case o.err == nil:
			o.err = fmt.Errorf("no answer from Kafka (Check says why): %w", context.Cause(ctx))
		}
		e.Failed = append(e.Failed, FailedEvent{Index: i, ID: events[i].ID, Sent: o.sent, Err: o.err})
	}
	if len(e.Failed) == 0 {
		return nil
	}
	return e
}
