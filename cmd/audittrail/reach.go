package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/internal/ops"
)

// reachTimeout bounds how long a command that is soon done waits for the first answers of Kafka and of ClickHouse. Services wait for ever.
const reachTimeout = 5 * time.Second

// What to look at when a server does not answer.
const (
	kafkaHint      = "is it running, and is --kafka (AUDITTRAIL_KAFKA) right?"
	securityHint   = "are --kafka-tls, --kafka-sasl and the flags beside them right?"
	clickhouseHint = "is it running, and is --clickhouse (AUDITTRAIL_CLICKHOUSE) right?"
)

// checkKafka makes sure that Kafka answers, has the topics, and that the brokers it names can be reached, so that a command fails within seconds and says
// what to look at.
func checkKafka(cfg kafka.Config, hint string, topics ...string) error {
	cl, err := kafka.NewClient(cfg, nil)
	if err != nil {
		return err
	}
	defer cl.Close()
	at := strings.Join(cfg.Brokers, ", ")
	err = withinReach(func(ctx context.Context) error { _, err := kafka.FetchMetadata(ctx, cl); return err })
	switch {
	case kafka.TurnedAway(err):
		return fmt.Errorf("cannot talk to Kafka at %s: %w (%s)", at, cfg.Explain(err), securityHint)
	case err != nil:
		return fmt.Errorf("cannot reach Kafka at %s: %s", refused(at, err), hint)
	}
	if len(topics) == 0 {
		return nil
	}
	err = withinReach(func(ctx context.Context) error { _, err := kafka.FetchMetadata(ctx, cl, topics...); return err })
	if err != nil {
		return fmt.Errorf("%w (Kafka at %s; `audittrail topics` creates what is missing)", err, at)
	}
	err = withinReach(func(ctx context.Context) error { _, err := kafka.FetchEndOffsets(ctx, cl, topics...); return err })
	if err != nil {
		return fmt.Errorf("kafka answers at %s, but one of the brokers that it names (advertised.listeners) cannot be reached from here: %s", at, ops.Explain(err))
	}
	return nil
}

func withinReach(ask func(context.Context) error) error {
	return ops.Within(context.Background(), reachTimeout, ask)
}

// refused is an address and why there is no answer from it, in which it need not stand again.
func refused(at string, err error) string {
	why := ops.Explain(err)
	if where, rest, ok := strings.Cut(why, ": "); ok && strings.HasSuffix(strings.TrimSuffix(at, "/"), where) {
		why = rest
	}
	return at + ": " + why
}

// checkClickHouse makes sure that ClickHouse answers, and that the database is there if it is needed.
func checkClickHouse(ch *clickhouse.Client, urls []string, hint string, needDatabase bool) error {
	const unknownDatabase = 81
	err := withinReach(ch.Ping)
	at := strings.Join(urls, ", ")
	var answer *clickhouse.Exception
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &answer):
		return fmt.Errorf("cannot reach ClickHouse at %s: %s", refused(at, err), hint)
	case answer.Code == unknownDatabase && !needDatabase:
		return nil
	case answer.Code == unknownDatabase:
		return fmt.Errorf("there is no database %s in ClickHouse at %s: `audittrail migrate` creates it", clickhouse.Database, at)
	default:
		return fmt.Errorf("%w (ClickHouse at %s)", err, at)
	}
}

// probeKafka is a service's condition "kafka": it answers and has the topics.
func probeKafka(cfg kafka.Config, health *ops.Health, log *slog.Logger, topics ...string) (*ops.Probe, error) {
	cl, err := kafka.NewClient(cfg, nil) // silent: the probe says what there is to say
	if err != nil {
		return nil, err
	}
	names := make([]string, len(topics))
	for i, topic := range topics {
		names[i] = cfg.Topic(topic)
	}
	p := &ops.Probe{
		Name: "kafka", Where: strings.Join(cfg.Brokers, ", "), Health: health, Log: log,
		Hint: kafkaHint + " `audittrail topics` creates topics that are missing",
		Ask: func(ctx context.Context) error {
			_, err := kafka.FetchMetadata(ctx, cl, names...)
			return cfg.Explain(err)
		},
	}
	p.Init()
	return p, nil
}

// probeClickHouse is the condition "clickhouse connection" of a service that has more to say about ClickHouse by itself.
func probeClickHouse(ch *clickhouse.Client, urls []string, health *ops.Health, log *slog.Logger) *ops.Probe {
	p := &ops.Probe{
		Name: "clickhouse connection", Where: strings.Join(urls, ", "), Health: health, Log: log,
		Hint: clickhouseHint + " `audittrail migrate` creates tables that are missing", Ask: ch.Ping,
	}
	p.Init()
	return p
}
