package queryapi

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// statement names what a query to ClickHouse is for: the label of its metric.
type statement string

// The statements.
const (
	stmtEventPage     statement = "event_page"
	stmtEventTies     statement = "event_ties"
	stmtEventCount    statement = "event_count"
	stmtAlertPin      statement = "alert_pin"
	stmtAlertPage     statement = "alert_page"
	stmtAlertCount    statement = "alert_count"
	stmtAlertVersions statement = "alert_versions"
)

var statements = []statement{stmtEventPage, stmtEventTies, stmtEventCount, stmtAlertPin, stmtAlertPage, stmtAlertCount, stmtAlertVersions}

type metrics struct {
	querySeconds *prometheus.HistogramVec
	waiting      prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		querySeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "audittrail_query_seconds",
			Help:    "Time of the query API's statements in ClickHouse, from sending to the last row, by what they are for; failed ones too.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"statement"}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "audittrail_query_waiting",
			Help: "Requests that wait because the most allowed work in ClickHouse already.",
		}),
	}
	for _, s := range statements {
		m.querySeconds.WithLabelValues(string(s))
	}
	for _, c := range []prometheus.Collector{m.querySeconds, m.waiting} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}
