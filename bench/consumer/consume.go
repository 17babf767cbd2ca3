package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/audittrail/audittrail/bench/internal/proc"
)

// usage is what one run took.
type usage struct {
	events int
	// wall begins when the consumer's process is started: a commit would be no fair beginning, for without intents the first one comes later.
	wall time.Duration
	// CPU times of the processes. engine is until everything is settled, merges is what came after that.
	consumer, engine, merges time.Duration
	consumerMiB, engineMiB   int
}

func (u usage) perEvent(d time.Duration) float64 {
	return float64(d.Nanoseconds()) / 1e3 / float64(u.events)
}
func (u usage) rate() float64 { return float64(u.events) / u.wall.Seconds() }

// consumerProcess is a running process of `audittrail consumer`.
type consumerProcess struct {
	cmd   *exec.Cmd
	group string
}

// startConsumer starts a consumer of a new group, which begins at the start of the log.
func (b *bench) startConsumer(ctx context.Context, binary, url string, env ...string) (*consumerProcess, error) {
	b.groups++
	c := &consumerProcess{group: fmt.Sprintf("bench-%d", b.groups)}
	c.cmd = exec.CommandContext(ctx, binary, "--log-level", "error", "consumer", "--kafka", b.kafka, "--clickhouse", url, "--group", c.group, "--metrics-listen", "")
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.Stderr = os.Stderr
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the consumer: %w", err)
	}
	return c, nil
}

func (c *consumerProcess) pid() int { return c.cmd.Process.Pid }

func (c *consumerProcess) stop() error {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("the consumer failed: %w", err)
	}
	return nil
}

// consume runs a consumer until all events are settled. It reaches ClickHouse at url; e is whose CPU is counted.
func (b *bench) consume(ctx context.Context, binary, url string, e *engine, env ...string) (u usage, err error) {
	u.events = b.events
	before, began := e.cpu(), time.Now()
	c, err := b.startConsumer(ctx, binary, url, env...)
	if err != nil {
		return u, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	if err := b.awaitSettled(ctx, c.group, int64(b.events)); err != nil {
		return u, err
	}
	u.wall = time.Since(began)
	u.consumer, u.engine = proc.CPU(c.pid()), e.cpu()-before
	u.consumerMiB, u.engineMiB = proc.PeakMiB(c.pid()), proc.PeakMiB(e.pid)
	return u, nil
}

// peakOf is the most resident memory of a process that has ended, in MiB.
func peakOf(s *os.ProcessState) int {
	if r, ok := s.SysUsage().(*syscall.Rusage); ok {
		return int(r.Maxrss >> 10)
	}
	return 0
}
