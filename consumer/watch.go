package consumer

import (
	"context"
	"time"

	"github.com/audittrail/audittrail/internal/kafka"
)

// watch asks now and then how one of the systems stands, sooner again after a failure, until ctx ends.
func (c *Consumer) watch(ctx context.Context, ask func(context.Context) error) {
	for {
		wait := c.opt.watchEvery
		asking, cancel := context.WithTimeout(ctx, 10*time.Second)
		if ask(asking) != nil {
			wait = min(wait, time.Second)
		}
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// watchClickHouse sets the readiness check, before the first insert has told, and shows how many repeats the server has left out.
func (c *Consumer) watchClickHouse(ctx context.Context) error {
	var n uint64
	err := c.opt.ClickHouse.QueryRow(ctx, "SELECT sum(value) FROM system.events WHERE event = 'DuplicatedInsertedBlocks'", nil, &n)
	c.clickhouseOK.Set(err)
	if err == nil {
		c.m.deduplicated.Set(float64(n))
	}
	return err
}

// watchKafka sets the readiness check and notes where the partitions end: fetches tell that too, but not while an open transaction holds back all that is new, or reading waits.
func (c *Consumer) watchKafka(ctx context.Context) error {
	ends, err := kafka.FetchEndOffsets(ctx, c.client, c.topics()...)
	c.kafkaOK.Set(err)
	if err != nil {
		return err
	}
	stable, err := kafka.FetchStableOffsets(ctx, c.client, c.topics()...)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, l := range c.lanes {
		if end, ok := ends[key.topic][key.partition]; ok {
			l.watermark.Store(end)
			l.lastStable.Store(min(stable[key.topic][key.partition], end))
		}
	}
	return nil
}
