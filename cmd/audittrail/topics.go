package main

import (
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/audittrail/audittrail/internal/kafka"
)

type topicsCmd struct {
	kafkaFlags
	Partitions int32 `min:"1" default:"12" help:"Partitions of the topics that carry the load."`
}

// Run creates the topics that are missing.
func (c *topicsCmd) Run(e *env) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	if err := checkKafka(cfg, kafkaHint); err != nil {
		return err
	}
	cl, err := kafka.NewClient(cfg, e.log)
	if err != nil {
		return err
	}
	defer cl.Close()
	topics := kafka.Topics(c.Partitions)
	if err := kafka.EnsureTopics(e.ctx, cl, cfg, topics); err != nil {
		return err
	}
	names := make([]string, len(topics))
	for i, t := range topics {
		names[i] = cfg.Topic(t.Name)
	}
	there, err := kafka.FetchMetadata(e.ctx, cl, names...)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "TOPIC\tPARTITIONS")
	for _, name := range names {
		fmt.Fprintf(w, "%s\t%d\n", name, there.Topics[name].Partitions)
	}
	return w.Flush()
}
