package main

import (
	"time"

	"github.com/audittrail/audittrail/consumer"
	"github.com/audittrail/audittrail/internal/ops"
	"github.com/audittrail/audittrail/internal/run"
)

type consumerCmd struct {
	kafkaFlags
	clickhouseFlags
	consumerFlags
	MetricsListen string `default:"127.0.0.1:9464" placeholder:"HOST:PORT" help:"Address of /metrics, /livez and /readyz; empty: none."`
}

// consumerFlags tune the consumer; their defaults suit one ClickHouse server.
type consumerFlags struct {
	Group      string        `default:"audittrail-consumer" help:"Consumer group; one a ClickHouse cluster."`
	InstanceID string        `help:"Static group member id: a restart within the session timeout then moves no partition."`
	BatchRows  int           `default:"250000" help:"Cut a block after so many rows."`
	BatchBytes int           `default:"67108864" help:"Cut a block after so many bytes of events."`
	BatchAge   time.Duration `default:"1s" help:"Cut a block when its first event is so old."`
	Inserts    int           `default:"4" help:"Blocks that may be on their way to ClickHouse at once."`
	Memory     int64         `default:"536870912" help:"Bytes that may be read and not yet stored; beyond it reading waits."`
}

// Run runs the consumer alone.
func (c *consumerCmd) Run(e *env) error {
	kcfg, err := c.kafkaFlags.config()
	if err != nil {
		return err
	}
	ch, err := c.client()
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
	g := run.Group{Log: e.log}
	if err := serveOps(&g, c.MetricsListen, reg, health); err != nil {
		return err
	}
	g.Start("consumer", svc.Run)
	return g.Wait(e.ctx)
}

func (f consumerFlags) options() consumer.Options {
	return consumer.Options{
		Group: f.Group, InstanceID: f.InstanceID, MaxRows: f.BatchRows, MaxBytes: f.BatchBytes, MaxAge: f.BatchAge, Inserts: f.Inserts, MemoryBytes: f.Memory,
	}
}
