package main

import (
	"context"
	"fmt"
	"time"

	"github.com/audittrail/audittrail/producer"
	"github.com/audittrail/audittrail/producer/generate"
)

type generateCmd struct {
	target
	Count    uint64        `help:"Publish so many events."`
	Rate     float64       `min:"0" help:"Events a second; 0: as fast as Kafka takes them."`
	Duration time.Duration `min:"0" help:"Publish for so long."`
	Seed     uint64        `help:"Chooses the events: the same seed makes the same ones; 0: from the clock."`
	Span     time.Duration `min:"0" help:"Spread the events' times over so long before now, instead of now."`
}

// Run publishes made-up events.
func (c *generateCmd) Run(e *env) error {
	if c.Count == 0 && c.Duration == 0 && c.Rate == 0 {
		return usagef("how many events? Give --count, --duration or --rate (which goes on until it is interrupted)")
	}
	return publish(e, c.target, "generate", func(ctx context.Context, p *producer.Producer, bar *progress) error {
		g, err := generate.New(generate.Options{
			Producer: p, Seed: c.Seed, Count: c.Count, Duration: c.Duration, Rate: c.Rate, Span: c.Span, Progress: bar.update,
		})
		if err != nil {
			return err
		}
		start := time.Now()
		res, err := g.Run(ctx)
		bar.done()
		took := time.Since(start)
		fmt.Printf("%d events published (%d acknowledged) in %s, %.0f a second, seed %d\n",
			res.Sent, res.Acknowledged, took.Round(time.Millisecond), float64(res.Acknowledged)/took.Seconds(), res.Seed)
		return err
	})
}
