package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/audittrail/audittrail/bench/internal/proc"
)

// holdBacklog stops ClickHouse while a consumer works on a backlog, watches the consumer's memory, starts ClickHouse again, and sees that every event arrives.
func (b *bench) holdBacklog(ctx context.Context) error {
	e, dir, err := b.freshEngine(ctx, usualMemory)
	if err != nil {
		return err
	}
	defer func() { e.stop() }()
	if err := e.exec(ctx, "SYSTEM START MERGES"); err != nil {
		return err
	}
	c, err := b.startConsumer(ctx, b.binary, e.url)
	if err != nil {
		return err
	}
	defer func() { _ = c.stop() }()
	// Some of it is stored by then, and more is on its way.
	if err := b.awaitSettled(ctx, c.group, int64(b.events/20)); err != nil {
		return err
	}
	fmt.Printf("ClickHouse is stopped at %d MiB of the consumer\n", proc.ResidentMiB(c.pid()))
	e.stop()
	most, err := watch(ctx, c.pid(), b.hold)
	if err != nil {
		return err
	}
	fmt.Printf("%-44s %d, %d, %d MiB\n", "most in each third of the time", most[0], most[1], most[2])
	verdict := "met    "
	if most[2] > most[1]+most[1]/20 {
		verdict = "MISSED "
	}
	fmt.Printf("%s the consumer's memory is flat: the last third has at most 5 %% more than the one before\n", verdict)

	began := time.Now()
	if e, err = b.startEngine(ctx, dir, strings.TrimPrefix(e.url, "http://"), usualMemory); err != nil {
		return err
	}
	if err := b.awaitSettled(ctx, c.group, int64(b.events)); err != nil {
		return err
	}
	fmt.Printf("%-44s %s\n", "from ClickHouse's start until all is settled", time.Since(began).Round(time.Second))
	fmt.Printf("%-44s %d and %d MiB\n", "peaks of consumer and engine", proc.PeakMiB(c.pid()), proc.PeakMiB(e.pid))
	return e.check(ctx, b.events)
}

// watch returns the most resident memory of a process in each third of the time, in MiB.
func watch(ctx context.Context, pid int, hold time.Duration) (most [3]int, err error) {
	for began := time.Now(); time.Since(began) < hold; {
		third := min(2, int(3*time.Since(began)/hold))
		now := proc.ResidentMiB(pid)
		if now == 0 {
			return most, errors.New("the consumer has gone while ClickHouse was stopped")
		}
		most[third] = max(most[third], now)
		select {
		case <-ctx.Done():
			return most, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return most, nil
}
