package producer

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/audittrail/audittrail/schemas/audit"
)

// ErrFull is returned by Log when there is no room in the buffer, and none came within LogWait.
var ErrFull = errors.New("producer: the buffer is full")

// Lost is an event of Log that is not in the trail, as far as is known.
type Lost struct {
	// ID and JSON are the event's id and its encoded form.
	ID   string
	JSON []byte
	// Err is ErrFull, ErrClosed, or why Kafka did not take it.
	Err error
}

// Log publishes an event without waiting for Kafka. nil means that it is buffered in memory: it is acknowledged later or reported to OnLost, and Flush
// waits for that. It blocks for LogWait at most. An invalid event is an *InvalidError; one that cannot be buffered is counted, reported to OnLost and
// returned as ErrFull or ErrClosed.
func (p *Producer) Log(e audit.Event) error {
	if err := p.complete(&e, 0); err != nil {
		return err
	}
	// Numbered also if it is lost now: the gap shows it.
	r := p.record(&e)
	n := size(r)
	if err := p.admit(n); err != nil {
		p.metrics.dropped.Inc()
		p.lost(e.ID, r, err)
		return err
	}
	id := e.ID
	p.send(r, n, func(err error) {
		if err != nil {
			p.lost(id, r, err)
		}
	})
	return nil
}

// admit reserves room for an event of Log.
func (p *Producer) admit(n int64) error {
	if p.closed.Load() {
		return ErrClosed
	}
	if p.tryReserve(n) {
		return nil
	}
	if p.opts.LogWait == 0 {
		return ErrFull
	}
	ctx, cancel := context.WithTimeout(p.life, p.opts.LogWait)
	defer cancel()
	if p.reserve(ctx, n) != nil {
		return ErrFull
	}
	return nil
}

func (p *Producer) lost(id string, r *kgo.Record, err error) {
	p.opts.OnLost(Lost{ID: id, JSON: r.Value, Err: err})
}
