package main

import (
	"time"

	"github.com/audittrail/audittrail/consumer"
	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/internal/ops"
	"github.com/audittrail/audittrail/internal/run"
)

type consumerCmd struct {
	kafkaFlags
	clickhouseFlags
	consumerFlags
	Leave         bool   `help:"Take the static member --instance-id, which has stopped for good, out of the group, and end."`
	MetricsListen string `default:"127.0.0.1:9464" placeholder:"HOST:PORT" help:"Address of /metrics, /livez and /readyz, or none."`
}

// consumerFlags tune the consumer; their defaults suit one ClickHouse server.
type consumerFlags struct {
	Group      string        `default:"audittrail-consumer" help:"Consumer group; one a ClickHouse cluster."`
	InstanceID string        `help:"Static group member id: a restart within the session timeout then moves no partition."`
	BatchRows  int           `min:"1" default:"250000" help:"Cut a block after so many rows."`
	BatchBytes int           `min:"1" default:"67108864" help:"Cut a block after so many bytes of events."`
	BatchAge   time.Duration `min:"0" default:"1s" help:"Cut a block when its first event is so old."`
	Inserts    int           `min:"1" default:"4" help:"Blocks that may be on their way to ClickHouse at once."`
	Memory     int64         `min:"1048576" default:"268435456" help:"Bytes that may be read and not yet stored; beyond it reading waits. The process takes up to four times as much."`
}

// Run runs the consumer alone.
func (c *consumerCmd) Run(e *env) error {
	kcfg, err := c.kafkaFlags.config()
	if err != nil {
		return err
	}
	if c.Leave {
		return c.leave(e, kcfg)
	}
	ch, err := c.patientClient()
	if err != nil {
		return err
	}
	defer ch.Close()
	reg, health := ops.NewRegistry(), new(ops.Health)
	opt := c.options()
	opt.Kafka, opt.ClickHouse, opt.Logger, opt.Registry, opt.Health = kcfg, ch, e.log, reg, health
	svc, err := consumer.New(opt)
	if err != nil {
		return err
	}
	kafkaProbe, err := probeKafka(kcfg, health, e.log, kafka.TopicEvents, kafka.TopicAlerts)
	if err != nil {
		return err
	}
	clickhouseProbe := probeClickHouse(ch, c.Clickhouse, health, e.log)
	g := run.Group{Log: e.log}
	if err := serveOps(&g, c.MetricsListen, reg, health); err != nil {
		return err
	}
	g.Start("clickhouse probe", clickhouseProbe.Run)
	return runOnKafka(e, &g, kafkaProbe, "consumer", svc.Run)
}

func (c *consumerCmd) leave(e *env, cfg kafka.Config) error {
	if c.InstanceID == "" {
		return usagef("--leave needs --instance-id: which member?")
	}
	if err := checkKafka(cfg, kafkaHint); err != nil {
		return err
	}
	return consumer.Leave(e.ctx, cfg, c.Group, c.InstanceID)
}

func (f consumerFlags) options() consumer.Options {
	return consumer.Options{
		Group: f.Group, InstanceID: f.InstanceID, MaxRows: f.BatchRows, MaxBytes: f.BatchBytes, MaxAge: f.BatchAge, Inserts: f.Inserts, MemoryBytes: f.Memory,
	}
}
