package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime/pprof"

	"github.com/audittrail/audittrail/consumer"
	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/internal/kafka"
)

const roleConsumer = "consumer"

// profileConsumer runs a consumer in a process that profiles itself.
func (b *bench) profileConsumer(ctx context.Context) error {
	e, _, err := b.freshEngine(ctx, usualMemory)
	if err != nil {
		return err
	}
	defer e.stop()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	const group = "bench-profile"
	cmd := exec.CommandContext(ctx, self, "-profile", b.profile, roleConsumer, b.kafka, e.url, group)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	err = b.awaitSettled(ctx, group, int64(b.events))
	_ = cmd.Process.Signal(os.Interrupt)
	if werr := cmd.Wait(); err == nil {
		err = werr
	}
	if err != nil {
		return err
	}
	fmt.Printf("look at it with: go tool pprof -top %s\n", b.profile)
	return nil
}

// profiledConsumer is that process: the same consumer that `audittrail consumer` runs, with its defaults.
func profiledConsumer(ctx context.Context, file, brokers, url, group string) error {
	ch, err := clickhouse.New(clickhouse.Options{URLs: []string{url}})
	if err != nil {
		return err
	}
	defer ch.Close()
	c, err := consumer.New(consumer.Options{Kafka: kafka.Config{Brokers: []string{brokers}}, ClickHouse: ch, Group: group})
	if err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return c.Run(ctx)
}
