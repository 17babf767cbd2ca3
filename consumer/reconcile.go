package consumer

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/audittrail/audittrail/internal/kafka"
)

// reconcileEvery is how often a running consumer verifies the recent days.
const reconcileEvery = time.Minute

// recentDays is how far back it looks: far enough for what midnight cuts in two.
const recentDays = 2

// proof are the metrics of the reconciliation.
type proof struct {
	findings *prometheus.GaugeVec
	rows     prometheus.Gauge
	last     prometheus.Gauge
	failures prometheus.Counter
}

func newProof(reg prometheus.Registerer) *proof {
	p := &proof{
		findings: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "audittrail_consumer_proof_findings",
			Help: "What the last reconciliation of the recent days found wrong with this consumer's partitions, by kind. Anything but 0 needs a person.",
		}, []string{"kind"}),
		rows: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "audittrail_consumer_proof_rows", Help: "Rows that the last reconciliation compared.",
		}),
		last: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "audittrail_consumer_proof_timestamp_seconds", Help: "When the last reconciliation was done.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "audittrail_consumer_proof_failures_total", Help: "Reconciliations that could not be finished.",
		}),
	}
	for _, k := range findingKinds {
		p.findings.WithLabelValues(string(k))
	}
	if reg != nil {
		reg.MustRegister(p.findings, p.rows, p.last, p.failures)
	}
	return p
}

// reconcile verifies the recent days of the owned partitions now and then, until ctx ends.
func (c *Consumer) reconcile(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(c.opt.ReconcileEvery):
		}
		c.reconcileOnce(ctx)
	}
}

func (c *Consumer) reconcileOnce(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	settled := c.settled()
	// The rollups, which no partition owns, are the business of the owner of the first one.
	_, first := settled[partitionKey{c.opt.Kafka.Topic(kafka.TopicEvents), 0}]
	report, err := Verify(bounded, VerifyOptions{
		Kafka: c.opt.Kafka, ClickHouse: c.opt.ClickHouse, Group: c.opt.Group, Logger: c.log,
		From: c.opt.Now().Add(-recentDays * 24 * time.Hour), SkipKafka: true, SkipRepeated: true,
		settled: settled, skipRollups: !first, openDayLooks: c.opt.openDayLooks,
	})
	if ctx.Err() != nil && err != nil {
		return // the consumer stops
	}
	if err != nil {
		c.proof.failures.Inc()
		c.log.Warn("the recent days could not be verified", "error", err)
		return
	}
	count := make(map[FindingKind]int)
	for _, f := range report.Findings {
		count[f.Kind]++
		c.log.Error("verification found something wrong", "finding", f.String())
	}
	for _, k := range findingKinds {
		c.proof.findings.WithLabelValues(string(k)).Set(float64(count[k]))
	}
	c.proof.rows.Set(float64(report.Events + report.AlertVersions))
	c.proof.last.Set(float64(c.opt.Now().UnixMilli()) / 1e3)
}

// settled returns how far the own partitions are settled.
func (c *Consumer) settled() map[partitionKey]settledOffset {
	out := make(map[partitionKey]settledOffset)
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, l := range c.lanes {
		l.mu.Lock()
		if l.begun {
			out[key] = settledOffset{topicID: l.topicID, offset: l.offset}
		}
		l.mu.Unlock()
	}
	return out
}
