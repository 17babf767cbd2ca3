// Package run is the life cycle of a process: named parts that start in order, run until the first one ends or the process is told to stop, and are
// stopped in the reverse order, each within a deadline.
package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// DefaultStopTimeout bounds the stop of one part.
const DefaultStopTimeout = 20 * time.Second

// Group holds the parts of a process. The zero value is usable; it is used from one goroutine.
type Group struct {
	// Log says what is stopped and what failed; nil means silence.
	Log *slog.Logger
	// StopTimeout bounds the stop of each part; DefaultStopTimeout when 0.
	StopTimeout time.Duration

	parts []*part
	// told are the failures that were returned already.
	told  []error
	once  sync.Once
	ended chan *part
}

type part struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

// Start runs fn at once in a goroutine of its own. fn must return soon after its context is cancelled. A part that returns before that, with an error
// or without, ends the whole group.
func (g *Group) Start(name string, fn func(context.Context) error) {
	g.init()
	// Not derived from a parent: parts are stopped one after the other, so that what a part needs outlives it.
	ctx, cancel := context.WithCancel(context.Background())
	p := &part{name: name, cancel: cancel, done: make(chan struct{})}
	g.parts = append(g.parts, p)
	go func() {
		defer close(p.done)
		p.err = fn(ctx)
		g.ended <- p
	}()
}

// Until waits for ready while the started parts run: it returns early with the reason if one of them ends, or if ctx does.
func (g *Group) Until(ctx context.Context, ready func(context.Context) error) error {
	g.init()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	got := make(chan error, 1)
	go func() { got <- ready(ctx) }()
	select {
	case err := <-got:
		return err
	case p := <-g.ended:
		g.ended <- p // Wait must see it as well
		return g.tell(p)
	}
}

// Wait blocks until ctx is done or a part ends, then stops the parts, last started first. It returns the errors of parts that failed, and of those that
// did not stop in time; nil after a clean stop.
func (g *Group) Wait(ctx context.Context) error {
	g.init()
	var errs []error
	select {
	case <-ctx.Done():
	case p := <-g.ended:
		errs = append(errs, g.tell(p))
	}
	return errors.Join(append(errs, g.Stop())...)
}

// Stop stops the parts without waiting for anything first. It returns the errors of those that failed, except what Until or Wait returned before.
func (g *Group) Stop() error {
	limit := g.StopTimeout
	if limit == 0 {
		limit = DefaultStopTimeout
	}
	var errs []error
	for i := len(g.parts) - 1; i >= 0; i-- {
		p := g.parts[i]
		if g.Log != nil {
			g.Log.Debug("stopping", "part", p.name)
		}
		p.cancel()
		select {
		case <-p.done:
			if p.err != nil && !errors.Is(p.err, context.Canceled) && !g.wasTold(p.err) {
				errs = append(errs, fmt.Errorf("%s: %w", p.name, p.err))
			}
		case <-time.After(limit):
			errs = append(errs, fmt.Errorf("%s did not stop within %s", p.name, limit))
		}
	}
	g.parts = nil
	return errors.Join(errs...)
}

func (g *Group) init() {
	// One place a part would do; the margin lets parts end while nobody waits.
	g.once.Do(func() { g.ended = make(chan *part, 64) })
}

// tell returns why a part that nobody stopped has ended.
func (g *Group) tell(p *part) error {
	if p.err == nil {
		return fmt.Errorf("%s ended by itself", p.name)
	}
	g.told = append(g.told, p.err)
	return fmt.Errorf("%s: %w", p.name, p.err)
}

func (g *Group) wasTold(err error) bool {
	for _, e := range g.told {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
