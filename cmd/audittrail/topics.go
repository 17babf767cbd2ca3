package main

import (
	"fmt"

	"github.com/audittrail/audittrail/internal/kafka"
)

type topicsCmd struct {
	kafkaFlags
	Partitions int32 `default:"12" help:"Partitions of the topics that carry the load."`
}

// Run creates the topics that are missing.
func (c *topicsCmd) Run(e *env) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	if c.Partitions < 1 {
		return fmt.Errorf("--partitions %d: at least one", c.Partitions)
	}
	cl, err := kafka.NewClient(cfg, e.log)
	if err != nil {
		return err
	}
	defer cl.Close()
	return kafka.EnsureTopics(e.ctx, cl, cfg, kafka.Topics(c.Partitions))
}
