package producer

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the counters of one Producer. Emitted = acknowledged + failed + buffered, always; what was dropped or rejected was never emitted.
type metrics struct {
	emitted      prometheus.Counter
	acknowledged prometheus.Counter
	failed       prometheus.Counter
	dropped      prometheus.Counter
	rejected     prometheus.Counter
	buffered     prometheus.Gauge
	bytes        prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		emitted:      counter("audittrail_producer_emitted_total", "Events handed to the Kafka client."),
		acknowledged: counter("audittrail_producer_acknowledged_total", "Events that all in-sync replicas acknowledged."),
		failed:       counter("audittrail_producer_failed_total", "Events handed to the Kafka client that it gave up on: whether they are in the trail is unknown."),
		dropped:      counter("audittrail_producer_dropped_total", "Events that were not taken because the buffer was full or the producer closed."),
		rejected:     counter("audittrail_producer_rejected_total", "Events that were refused because they are invalid."),
		buffered: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "audittrail_producer_buffered_events", Help: "Events that wait for Kafka's acknowledgement.",
		}),
		bytes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "audittrail_producer_buffered_bytes", Help: "Encoded bytes of the events that wait for Kafka's acknowledgement.",
		}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.emitted, m.acknowledged, m.failed, m.dropped, m.rejected, m.buffered, m.bytes} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("producer: register metrics: %w", err)
		}
	}
	return m, nil
}
