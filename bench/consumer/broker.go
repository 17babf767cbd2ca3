package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/audittrail/audittrail/bench/internal/proc"
	"github.com/audittrail/audittrail/internal/embedded/broker"
	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/producer"
	"github.com/audittrail/audittrail/producer/generate"
	"github.com/audittrail/audittrail/schemas/audit"
)

const (
	roleBroker = "broker"
	// seed makes every part of the benchmark work on the same events.
	seed = 1
)

// serveLoad is the broker's process: it publishes the events, prints its address, and serves until its standard input is closed.
func serveLoad(ctx context.Context, dir string, events, partitions int) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	b, err := broker.Start(broker.Options{DataDir: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	defer b.Close()
	cfg := kafka.Config{Brokers: []string{b.Addr()}}
	if err := publish(ctx, cfg, events, partitions); err != nil {
		return err
	}
	fmt.Println(b.Addr())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func publish(ctx context.Context, cfg kafka.Config, events, partitions int) error {
	cl, err := kafka.NewClient(cfg, nil)
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := kafka.EnsureTopics(ctx, cl, cfg, kafka.Topics(int32(partitions))); err != nil {
		return err
	}
	p, err := producer.New(producer.Options{Brokers: cfg.Brokers, Topic: cfg.Topic(kafka.TopicEvents), Service: audit.Service{Name: "bench"}})
	if err != nil {
		return err
	}
	g, err := generate.New(generate.Options{Producer: p, Seed: seed, Count: uint64(events)})
	if err != nil {
		return err
	}
	if _, err := g.Run(ctx); err != nil {
		return err
	}
	return p.Close(ctx)
}

// bench is one run of the benchmark.
type bench struct {
	options
	dir string

	broker *exec.Cmd
	// kafka is the broker's address, admin asks it how far a group has come.
	kafka string
	admin *kadm.Client
	// groups counts the consumer groups: each run is a new one, which begins at the start.
	groups int
}

// startBroker starts the broker's process and waits until all events are in its log.
func (b *bench) startBroker(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b.broker = exec.CommandContext(ctx, self, "-events", strconv.Itoa(b.events), "-partitions", strconv.Itoa(b.partitions), roleBroker, b.dir+"/kafka")
	b.broker.Stderr = os.Stderr
	if b.kafka, err = startAndRead(b.broker); err != nil {
		return fmt.Errorf("start the broker: %w", err)
	}
	cl, err := kafka.NewClient(kafka.Config{Brokers: []string{b.kafka}}, nil)
	if err != nil {
		return err
	}
	b.admin = kadm.NewClient(cl)
	return nil
}

// startAndRead starts a process and returns the first line that it prints. The process sees the end of its standard input when it is stopped.
func startAndRead(cmd *exec.Cmd) (string, error) {
	if _, err := cmd.StdinPipe(); err != nil { // Wait closes it
		return "", err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%s ended before it was ready: %w", cmd.Path, cmd.Wait())
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return strings.TrimSpace(line), nil
}

// close stops what is left running.
func (b *bench) close() {
	if b.admin != nil {
		b.admin.Close()
	}
	if b.broker != nil && b.broker.Process != nil {
		_ = b.broker.Process.Kill() // its folder is thrown away
		_ = b.broker.Wait()
	}
}

// awaitSettled waits until the group has settled n records.
func (b *bench) awaitSettled(ctx context.Context, group string, n int64) error {
	err := proc.Until(ctx, func() bool {
		offsets, err := b.admin.FetchOffsets(ctx, group)
		if err != nil {
			return false
		}
		settled := int64(0)
		offsets.Each(func(o kadm.OffsetResponse) {
			if o.Topic == kafka.TopicEvents && o.At > 0 {
				settled += o.At
			}
		})
		return settled >= n
	})
	if err != nil {
		err = fmt.Errorf("wait for %d records to be settled: %w", n, err)
	}
	return err
}
