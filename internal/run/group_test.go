package run

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestPartsStopInReverseOrder(t *testing.T) {
	var g Group
	var order []string
	for _, name := range []string{"broker", "consumer", "api"} {
		g.Start(name, func(ctx context.Context) error {
			<-ctx.Done()
			order = append(order, name) // no lock: the group stops one at a time
			return nil
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := g.Wait(ctx); err != nil {
		t.Fatalf("clean stop gave %v", err)
	}
	if got := strings.Join(order, " "); got != "api consumer broker" {
		t.Errorf("stopped in the order %q", got)
	}
}

func TestFirstFailureStopsAllAndIsReported(t *testing.T) {
	var g Group
	boom := errors.New("boom")
	stopped := make(chan struct{})
	g.Start("broker", func(ctx context.Context) error { <-ctx.Done(); close(stopped); return nil })
	g.Start("consumer", func(context.Context) error { return boom })
	err := g.Wait(context.Background())
	if !errors.Is(err, boom) || err.Error() != "consumer: boom" {
		t.Errorf("got %v, want consumer: boom once", err)
	}
	<-stopped
}

func TestPartThatEndsByItselfIsAnError(t *testing.T) {
	var g Group
	g.Start("api", func(context.Context) error { return nil })
	if err := g.Wait(context.Background()); err == nil || err.Error() != "api ended by itself" {
		t.Errorf("got %v", err)
	}
}

func TestPartThatHangsIsNamed(t *testing.T) {
	g := Group{StopTimeout: 10 * time.Millisecond}
	release := make(chan struct{})
	defer close(release)
	g.Start("stuck", func(context.Context) error { <-release; return nil })
	if err := g.Stop(); err == nil || err.Error() != "stuck did not stop within 10ms" {
		t.Errorf("got %v", err)
	}
}

func TestUntilReturnsTheReasonOfAPartThatEnds(t *testing.T) {
	var g Group
	boom := errors.New("boom")
	g.Start("engine", func(context.Context) error { return boom })
	err := g.Until(context.Background(), func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	if !errors.Is(err, boom) {
		t.Errorf("Until gave %v", err)
	}
	if err := g.Wait(context.Background()); !errors.Is(err, boom) {
		t.Errorf("Wait gave %v", err)
	}
}

func TestAFailureThatUntilHasToldIsNotToldAgain(t *testing.T) {
	var g Group
	boom := errors.New("boom")
	g.Start("engine", func(context.Context) error { return boom })
	err := g.Until(context.Background(), func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	// What a command does when it cannot get ready: it gives up with the reason and stops the parts.
	if err = errors.Join(err, g.Stop()); err == nil || err.Error() != "engine: boom" {
		t.Errorf("got %q, want engine: boom once", err)
	}
}
