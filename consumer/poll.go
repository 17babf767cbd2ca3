package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// poll hands fetched records to the lanes until ctx ends. While the memory budget is used up it waits, unless nothing but more records can free some.
func (c *Consumer) poll(ctx context.Context) {
	barren := make(map[partitionKey]bool)
	for ctx.Err() == nil {
		room, freed := c.budget.room()
		if room {
			c.pollOnce(ctx)
			continue
		}
		if key, ok := c.starving(barren); ok {
			if c.pollAlone(ctx, key) == 0 {
				barren[key] = true
			}
			continue
		}
		select {
		case <-freed:
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// pollOnce returns how many records came.
func (c *Consumer) pollOnce(ctx context.Context) int {
	defer c.client.AllowRebalance()
	fetches := c.client.PollFetches(ctx)
	fetches.EachTopic(func(t kgo.FetchTopic) {
		for i := range t.Partitions {
			c.take(t.Topic, &t.Partitions[i])
		}
	})
	return fetches.NumRecords()
}

// starving returns the partition to read on though the memory budget is used up: when all of it is held by lanes that must fill a range to the end that
// somebody planned, waiting would be for ever. The one that holds most goes first, but after those that may have records: barren gave none.
func (c *Consumer) starving(barren map[partitionKey]bool) (next partitionKey, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var most int64
	for key, l := range c.lanes {
		held, idle := l.idle()
		if !idle {
			return next, false
		}
		if held > most && !barren[key] {
			next, most, found = key, held, true
		}
	}
	if !found && len(barren) > 0 {
		clear(barren)
	}
	return next, found
}

// pollAlone reads once from one partition only, and returns how many records came.
func (c *Consumer) pollAlone(ctx context.Context, key partitionKey) int {
	others := make(map[string][]int32)
	c.mu.Lock()
	for k := range c.lanes {
		if k != key {
			others[k.topic] = append(others[k.topic], k.partition)
		}
	}
	c.mu.Unlock()
	// None of them is paused for its own sake: their queues are empty.
	c.client.PauseFetchPartitions(others)
	defer c.client.ResumeFetchPartitions(others)
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return c.pollOnce(ctx)
}

func (c *Consumer) take(topic string, p *kgo.FetchPartition) {
	if p.Err != nil && !errors.Is(p.Err, context.Canceled) && !errors.Is(p.Err, context.DeadlineExceeded) && !errors.Is(p.Err, kgo.ErrClientClosed) {
		c.fetchFailed(partitionKey{topic, p.Partition}, p.Err)
	}
	c.mu.Lock()
	l := c.lanes[partitionKey{topic, p.Partition}]
	c.mu.Unlock()
	if l == nil {
		return // of a partition that was just taken away: its next owner reads them
	}
	var then gap
	var bomb *kgo.ErrDecompressTooLarge
	if errors.As(p.Err, &bomb) {
		// The client stops before the batch. What it unpacks to nobody knows, and nobody should.
		then = gap{bomb.NextOffset, stageFetch, reasonInflated}
		c.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{topic: {p.Partition: {Epoch: -1, Offset: bomb.NextOffset}}})
	}
	if len(p.Records) == 0 && then == (gap{}) {
		return
	}
	if p.HighWatermark > 0 {
		l.watermark.Store(p.HighWatermark)
		l.lastStable.Store(p.LastStableOffset)
	}
	l.push(p, then)
}

// fetchFailed deals with an error of fetching. Most pass by themselves; after these the client would never fetch the partition again, or go on over a log
// that is another one.
func (c *Consumer) fetchFailed(key partitionKey, err error) {
	c.m.fetchErrors.Inc()
	c.log.Error("fetch failed", "topic", key.topic, "partition", key.partition, "error", err)
	var loss *kgo.ErrDataLoss
	switch {
	case errors.As(err, &loss):
		c.mu.Lock()
		c.rewind[key] = loss.ResetTo
		c.mu.Unlock()
		c.abort(fmt.Errorf("%w: %w", errStartOver, err))
	case errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.InconsistentTopicID), errors.Is(err, kerr.UnknownTopicOrPartition):
		c.abort(fmt.Errorf("%w: %w", errStartOver, err))
	}
}

func (c *Consumer) pause(key partitionKey) {
	c.m.paused.Inc()
	c.client.PauseFetchPartitions(map[string][]int32{key.topic: {key.partition}})
}

func (c *Consumer) resume(key partitionKey) {
	c.m.paused.Dec()
	c.client.ResumeFetchPartitions(map[string][]int32{key.topic: {key.partition}})
}
