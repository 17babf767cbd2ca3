package main

import (
	"github.com/audittrail/audittrail/detector"
	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/internal/ops"
	"github.com/audittrail/audittrail/internal/run"
)

type detectorCmd struct {
	kafkaFlags
	MetricsListen string `default:"127.0.0.1:9465" placeholder:"HOST:PORT" help:"Address of /metrics, /livez and /readyz, or none."`

	InstanceID string   `help:"Name of this process among its like, the same at each start; default: the host name."`
	Stages     []string `default:"match,correlate" enum:"match,correlate" help:"Stages to run here (${enum})."`
	Workers    int      `min:"1" default:"1" help:"Workers of each stage."`
}

// Run runs the detector alone.
func (c *detectorCmd) Run(e *env) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	reg, health := ops.NewRegistry(), new(ops.Health)
	opt := detector.Options{Kafka: cfg, InstanceID: c.InstanceID, Workers: c.Workers, Logger: e.log, Registry: reg, Health: health}
	for _, s := range c.Stages {
		opt.Stages = append(opt.Stages, detector.Stage(s))
	}
	svc, err := detector.New(opt)
	if err != nil {
		return err
	}
	probe, err := probeKafka(cfg, health, e.log, kafka.TopicEvents, kafka.TopicMatches, kafka.TopicAlerts)
	if err != nil {
		return err
	}
	g := run.Group{Log: e.log}
	if err := serveOps(&g, c.MetricsListen, reg, health); err != nil {
		return err
	}
	return runOnKafka(e, &g, probe, "detector", svc.Run)
}
