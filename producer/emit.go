package producer

import (
	"context"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/audittrail/audittrail/schemas/audit"
)

// EmitError says what became of the events of one Emit, by their places among the arguments. An unknown event may be in the trail, now or later: to
// send it again, give it the same id, so that the repeat is recognisable. Events that say nothing here were not sent.
type EmitError struct {
	Acknowledged []int
	Unknown      []int
	// Err is the first cause.
	Err error
}

func (e *EmitError) Error() string {
	return fmt.Sprintf("producer: emit: %d events acknowledged, %d unknown: %v", len(e.Acknowledged), len(e.Unknown), e.Err)
}

func (e *EmitError) Unwrap() error { return e.Err }

// Emit publishes events and waits for Kafka: nil means that all in-sync replicas have acknowledged all of them. It fills id, time, tenant, service and
// sequence where they are missing (the caller's events are not changed) and tries again for as long as ctx allows; what is unknown by then is still
// tried afterwards, until Close. An invalid event is an *InvalidError and nothing is sent; any other failure is an *EmitError.
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
	call := &emission{state: make([]state, len(complete)), done: make(chan struct{})}
	for i := range complete {
		if p.closed.Load() {
			call.stop(ErrClosed)
			break
		}
		r := p.record(&complete[i])
		n := size(r)
		if err := p.reserve(ctx, n); err != nil {
			call.stop(err)
			break
		}
		call.start(p, i, r, n)
	}
	return call.wait(ctx)
}

type state uint8

const (
	unsent state = iota
	unknown
	acknowledged
)

// emission follows the events of one Emit.
type emission struct {
	mu    sync.Mutex
	state []state
	err   error
	// open counts the events that have no answer yet, ended says that no more will be started.
	open  int
	ended bool
	done  chan struct{}
}

func (c *emission) start(p *Producer, i int, r *kgo.Record, n int64) {
	c.mu.Lock()
	c.state[i] = unknown
	c.open++
	c.mu.Unlock()
	p.send(r, n, func(err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if err == nil {
			c.state[i] = acknowledged
		}
		c.fail(err)
		c.open--
		c.finish()
	})
}

// stop notes why the remaining events are not started.
func (c *emission) stop(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail(err)
}

func (c *emission) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

func (c *emission) finish() {
	if c.ended && c.open == 0 {
		close(c.done)
	}
}

// wait returns when all started events are answered or ctx is done.
func (c *emission) wait(ctx context.Context) error {
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
	if c.open > 0 {
		c.fail(context.Cause(ctx))
	}
	if c.err == nil {
		return nil
	}
	e := &EmitError{Err: c.err}
	for i, s := range c.state {
		switch s {
		case acknowledged:
			e.Acknowledged = append(e.Acknowledged, i)
		case unknown:
			e.Unknown = append(e.Unknown, i)
		}
	}
	return e
}
