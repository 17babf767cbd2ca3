package consumer

import (
	"math"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// laneCollector shows, for each partition that the consumer owns, where it stands when it is asked.
type laneCollector struct {
	c *Consumer

	lagRecords, lagSeconds, pendingSeconds, unstable, retentionLeft *prometheus.Desc
}

func newLaneCollector(c *Consumer) *laneCollector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"topic", "partition"}, nil)
	}
	return &laneCollector{
		c:              c,
		lagRecords:     desc("audittrail_consumer_lag_records", "Records between the settled offset and the high watermark."),
		lagSeconds:     desc("audittrail_consumer_lag_seconds", "Age of the oldest record that is not settled, by its Kafka timestamp; 0 when all are."),
		pendingSeconds: desc("audittrail_consumer_oldest_pending_seconds", "Age of the oldest intent whose range is not settled; 0 when there is none."),
		unstable:       desc("audittrail_consumer_unstable_records", "Records between the last stable offset and the high watermark: open transactions hold them back."),
		retentionLeft: desc("audittrail_consumer_retention_left_seconds",
			"Time until Kafka may delete the oldest record that is not settled, by the topic's retention.ms; +Inf when none waits or nothing is deleted by time."),
	}
}

func (m *laneCollector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

func (m *laneCollector) Collect(ch chan<- prometheus.Metric) {
	m.c.mu.Lock()
	lanes := make([]*lane, 0, len(m.c.lanes))
	for _, l := range m.c.lanes {
		lanes = append(lanes, l)
	}
	retention := m.c.retention
	m.c.mu.Unlock()
	now := m.c.opt.Now()
	for _, l := range lanes {
		s, ok := l.standing()
		if !ok {
			continue
		}
		gauge := func(d *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, l.key.topic, strconv.Itoa(int(l.key.partition)))
		}
		gauge(m.lagRecords, float64(s.lag))
		gauge(m.unstable, float64(s.unstable))
		gauge(m.lagSeconds, age(now, s.oldest))
		gauge(m.pendingSeconds, age(now, s.pending))
		left := math.Inf(1)
		if r := retention[l.key.topic]; r > 0 && !s.oldest.IsZero() {
			left = (r - now.Sub(s.oldest)).Seconds()
		}
		gauge(m.retentionLeft, left)
	}
}

func age(now, since time.Time) float64 {
	if since.IsZero() {
		return 0
	}
	return max(now.Sub(since).Seconds(), 0)
}

// standing is where a lane stands.
type standing struct {
	lag, unstable int64
	// oldest is the Kafka timestamp of the oldest record that is not settled, or, when none of those has been read yet, of the last one that is. Zero when all
	// are settled, or nothing is known.
	oldest time.Time
	// pending is when the oldest intent that is not settled was written; zero when there is none.
	pending time.Time
}

// standing returns where the lane stands; false before it knows that itself.
func (l *lane) standing() (standing, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.begun {
		return standing{}, false
	}
	watermark := l.watermark.Load()
	s := standing{lag: max(watermark-l.offset, 0), unstable: max(watermark-l.lastStable.Load(), 0)}
	for _, sp := range l.spans {
		if s.oldest.IsZero() {
			s.oldest = sp.oldest
		}
		if !sp.since.IsZero() && (s.pending.IsZero() || sp.since.Before(s.pending)) {
			s.pending = sp.since
		}
	}
	switch {
	case !s.oldest.IsZero():
	case !l.filling.IsZero():
		s.oldest = l.filling
	case len(l.queue) > 0:
		s.oldest = l.queue[0].first
	case s.lag > 0:
		s.oldest = l.settledTime
	}
	return s, true
}
