package ops

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// How often a dependency is asked, how long its answer may take, and how often it is said that there is still none.
const (
	probeEvery   = 2 * time.Second
	probeTimeout = 5 * time.Second
	remindEvery  = time.Minute
)

// Probe keeps one condition of a service's readiness up to date: it asks a server that the service depends on, again and again, and logs when the server
// is waited for and when it answers. So /readyz itself waits for nobody.
type Probe struct {
	// Name is the condition's and the server's, such as "kafka".
	Name string
	// Where is the server's address, and Hint what to look at when it does not answer; both are for people.
	Where, Hint string
	// Ask returns nil when the server answers as it should, and ends with its context.
	Ask func(context.Context) error
	// Health gets the condition. Required, as is Log.
	Health *Health
	Log    *slog.Logger

	// every and timeout are the constants; tests make them small.
	every, timeout time.Duration

	once  sync.Once
	check Check
	first chan struct{} // closed at the first good answer
}

// Init adds the condition, which does not hold before the first answer. Run and Answered do so too; a service that is served earlier calls it first.
func (p *Probe) Init() {
	p.once.Do(func() {
		p.check, p.first = p.Health.Check(p.Name), make(chan struct{})
		if p.every == 0 {
			p.every, p.timeout = probeEvery, probeTimeout
		}
	})
}

// Answered waits until the server has answered once, or for the end of ctx.
func (p *Probe) Answered(ctx context.Context) error {
	p.Init()
	select {
	case <-p.first:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run asks until ctx ends, and returns nil then.
func (p *Probe) Run(ctx context.Context) error {
	p.Init()
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	var told time.Time // when somebody was told that there is no answer; zero: there is one
	for waited := false; ; {
		err := p.ask(ctx)
		if ctx.Err() != nil {
			return nil
		}
		p.check.Set(err)
		switch {
		case err != nil && time.Since(told) >= remindEvery:
			p.Log.Warn("waiting for "+p.Name, "address", p.Where, "error", err, "hint", p.Hint)
			told, waited = time.Now(), true
		case err == nil:
			if waited {
				p.Log.Info(p.Name+" answers", "address", p.Where)
			}
			told, waited = time.Time{}, false
			select {
			case <-p.first:
			default:
				close(p.first)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (p *Probe) ask(ctx context.Context) error {
	err := Within(ctx, p.timeout, p.Ask)
	if err == nil {
		return nil
	}
	why := Explain(err)
	if errors.As(err, new(noAnswer)) {
		why = p.Where + ": " + why
	}
	return errors.New(why)
}

// noAnswer is the error of a server that let the time pass.
type noAnswer struct{ within time.Duration }

func (n noAnswer) Error() string { return fmt.Sprintf("no answer within %s", n.within) }

// Within calls ask with a deadline. When the time is up before there is an answer, the error says just that.
func Within(ctx context.Context, timeout time.Duration, ask func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := ask(limited)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return noAnswer{timeout}
	}
	return err
}
