package consumer

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func (c *Consumer) assigned(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
	<-c.ready // the group may be faster than Run
	c.m.rebalances.WithLabelValues("assigned").Inc()
	c.mu.Lock()
	defer c.mu.Unlock()
	for topic, ps := range parts {
		for _, p := range ps {
			key := partitionKey{topic, p}
			c.lanes[key] = newLane(c, key)
		}
	}
	c.m.lanes.Set(float64(len(c.lanes)))
}

// offsetsFetched comes after the assignment and before adjust: it keeps what the group committed.
func (c *Consumer) offsetsFetched(_ context.Context, _ *kgo.Client, res *kmsg.OffsetFetchResponse) error {
	for _, g := range res.Groups {
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				c.committed(t.Topic, p.Partition, p.Offset, p.Metadata)
			}
		}
	}
	for _, t := range res.Topics { // older brokers
		for _, p := range t.Partitions {
			c.committed(t.Topic, p.Partition, p.Offset, p.Metadata)
		}
	}
	return nil
}

func (c *Consumer) committed(topic string, partition int32, offset int64, metadata *string) {
	c.mu.Lock()
	l := c.lanes[partitionKey{topic, partition}]
	c.mu.Unlock()
	if l == nil || offset < 0 {
		return
	}
	var text string
	if metadata != nil {
		text = *metadata
	}
	p, err := parsePlan(text)
	if err != nil {
		// Somebody else committed. What ClickHouse has beyond the offset is found by asking it.
		l.log.Error("the offset's metadata cannot be read", "offset", offset, "error", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.found = &committedState{offset: offset, plan: p}
}

func (c *Consumer) revoked(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
	c.m.rebalances.WithLabelValues("revoked").Inc()
	c.giveUp(parts, false)
}

func (c *Consumer) lost(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
	c.m.rebalances.WithLabelValues("lost").Inc()
	c.giveUp(parts, true)
}
