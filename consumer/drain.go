package consumer

import (
	"context"
	"sync"
	"time"
)

// stopReading ends the lane's loop: nothing more is decoded or planned.
func (l *lane) stopReading(to laneState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state >= to {
		return
	}
	if l.state == laneRunning {
		close(l.quit)
		if !l.started {
			close(l.loop)
		}
	}
	l.state = to
}

// lose gives the lane up at once: Kafka says that the partition is not ours. Nothing of it is committed any more; the next owner has the plan.
func (l *lane) lose() {
	l.stopReading(laneGone)
	l.cancel()
}

// drain lets the ranges that have an intent finish within the deadline and commits where they stand. The rest is left to the next owner.
func (l *lane) drain(ctx context.Context) {
	l.stopReading(laneDraining)
	finished := make(chan struct{})
	go func() {
		<-l.loop
		l.carriers.Wait()
		close(finished)
	}()
	select {
	case <-finished:
	case <-ctx.Done():
		l.c.m.drainTimeouts.Inc()
		l.log.Warn("inserts under way did not finish in time, the next owner will repeat them")
		l.cancel()
		<-finished
	}
	l.dropUnintended()
}

// dropUnintended forgets the ranges that never got an intent: nothing of them was inserted, and the next owner plans its own.
func (l *lane) dropUnintended() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, s := range l.spans {
		if s.since.IsZero() && !s.done {
			l.spans = l.spans[:i]
			return
		}
	}
}

// discard frees what the lane holds. It is the last thing done with a lane whose loop and carriers have ended.
func (l *lane) discard() {
	<-l.loop
	l.carriers.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = laneGone
	l.cancel()
	l.c.budget.give(l.held)
	if l.paused {
		l.paused = false
		l.c.resume(l.key)
	}
	l.queue, l.queued, l.held, l.spans, l.batch.cost = nil, 0, 0, nil, 0
}

// giveUp takes lanes out of service: drained and committed when there is time for it (revoked), at once when there is not (lost).
func (c *Consumer) giveUp(parts map[string][]int32, lost bool) {
	var lanes []*lane
	c.mu.Lock()
	for topic, ps := range parts {
		for _, p := range ps {
			key := partitionKey{topic, p}
			if l := c.lanes[key]; l != nil {
				lanes = append(lanes, l)
				delete(c.lanes, key)
			}
		}
	}
	c.m.lanes.Set(float64(len(c.lanes)))
	c.mu.Unlock()
	if lost {
		for _, l := range lanes {
			l.lose()
		}
	} else {
		c.drainAll(lanes)
	}
	for _, l := range lanes {
		l.discard()
	}
}

// drainAll drains the lanes together and commits them once more.
func (c *Consumer) drainAll(lanes []*lane) {
	ctx, cancel := context.WithTimeout(context.Background(), c.opt.DrainTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, l := range lanes {
		wg.Go(func() { l.drain(ctx) })
	}
	wg.Wait()
	// The inserts may have taken all of the time; the commit gets some of its own.
	ctx, cancel = context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if again := c.commits.commit(ctx, lanes); len(again) > 0 {
		c.log.Warn("last offset commit failed, the next owner will repeat some ranges", "partitions", len(again))
	}
}
