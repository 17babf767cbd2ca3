// Package generate makes audit events for load tests and demonstrations: a made-up company in which people sign in, read, change and export, and in
// which somebody guesses passwords now and then. It publishes them like any other producer; it measures nothing beyond its own progress.
package generate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/audittrail/audittrail/producer"
	"github.com/audittrail/audittrail/schemas/audit"
)

// Options says how much to generate.
type Options struct {
	// Producer takes the events; required.
	Producer *producer.Producer
	// Seed chooses the events; 0 means a seed from the clock.
	Seed uint64
	// Count ends the run after that many events, Duration after that time; 0 means no such bound.
	Count    uint64
	Duration time.Duration
	// Rate is in events a second; 0 means as fast as Kafka takes them.
	Rate float64
	// Span spreads the events' times evenly over that long before now, instead of giving each the time at which it is made. It needs a Count.
	Span time.Duration

	// Progress is optional.
	Progress func(producer.Progress)
	// Now is the clock for the events' times; the system's when nil.
	Now func() time.Time
}

// Result says what a run published.
type Result struct {
	// Seed is the one that was used.
	Seed uint64
	// Sent events were handed to Kafka, Acknowledged ones are on all in-sync replicas.
	Sent, Acknowledged uint64
}

// Generator is one run.
type Generator struct{ opts Options }

// New returns a run that has not begun.
func New(opts Options) (*Generator, error) {
	switch {
	case opts.Producer == nil:
		return nil, errors.New("generate: no producer given")
	case opts.Rate < 0, opts.Rate > 1e9:
		return nil, fmt.Errorf("generate: cannot make %g events a second", opts.Rate)
	case opts.Duration < 0:
		return nil, fmt.Errorf("generate: cannot run for %s", opts.Duration)
	case opts.Span < 0:
		return nil, fmt.Errorf("generate: cannot spread events over %s", opts.Span)
	case opts.Span > 0 && opts.Count == 0:
		return nil, errors.New("generate: to spread the events over a span of time, say how many there are")
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Seed == 0 {
		opts.Seed = uint64(opts.Now().UnixNano())
	}
	return &Generator{opts: opts}, nil
}

// Run publishes events until the count or the duration is reached, or ctx is done, which is an error only if a count was asked for; then it waits for
// the acknowledgements.
func (g *Generator) Run(ctx context.Context) (Result, error) {
	res := Result{Seed: g.opts.Seed}
	if err := g.opts.Producer.Check(ctx); err != nil {
		return res, err
	}
	source := NewSource(g.opts.Seed)
	run, cancel := ctx, context.CancelFunc(func() {})
	if g.opts.Duration > 0 {
		run, cancel = context.WithTimeout(ctx, g.opts.Duration)
	}
	defer cancel()
	stream := g.opts.Producer.Stream(producer.StreamOptions{Progress: g.opts.Progress, TotalEvents: g.opts.Count})
	err := g.publish(run, source, stream)
	if run.Err() != nil && (ctx.Err() == nil || g.opts.Count == 0) {
		err = nil
	}
	err = errors.Join(err, stream.Close(ctx))
	p := stream.Progress()
	res.Sent, res.Acknowledged = p.Sent, p.Acknowledged
	return res, err
}

func (g *Generator) publish(ctx context.Context, source *Source, stream *producer.Stream) error {
	pace := newPace(g.opts.Rate)
	clock := g.clock()
	var e audit.Event
	for n := uint64(0); g.opts.Count == 0 || n < g.opts.Count; n++ {
		if err := pace.wait(ctx); err != nil {
			return err
		}
		source.Next(&e, clock(n))
		if err := stream.Send(ctx, &e); err != nil {
			return err
		}
	}
	return nil
}

// clock returns the time of the nth event.
func (g *Generator) clock() func(n uint64) time.Time {
	if g.opts.Span == 0 {
		return func(uint64) time.Time { return g.opts.Now() }
	}
	start := g.opts.Now().Add(-g.opts.Span)
	return func(n uint64) time.Time {
		return start.Add(time.Duration(float64(g.opts.Span) * (float64(n) / float64(g.opts.Count))))
	}
}

// pace keeps a rate, by the hundredth of a second: timers are no finer.
type pace struct {
	limiter *rate.Limiter
	chunk   int
	left    int
}

func newPace(perSecond float64) *pace {
	if perSecond == 0 {
		return &pace{limiter: rate.NewLimiter(rate.Inf, 0), chunk: 1}
	}
	chunk := max(int(perSecond/100), 1)
	return &pace{limiter: rate.NewLimiter(rate.Limit(perSecond), chunk), chunk: chunk}
}

// wait returns when the next event is due, or ctx is done.
func (p *pace) wait(ctx context.Context) error {
	if p.left > 0 {
		p.left--
		return ctx.Err()
	}
	p.left = p.chunk - 1
	if err := p.limiter.WaitN(ctx, p.chunk); err != nil {
		// The limiter also refuses, with an error of its own, what would come after the deadline.
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}
