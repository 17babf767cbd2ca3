package detector

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/audittrail/audittrail/detector/engine"
	"github.com/audittrail/audittrail/schemas/audit"
)

// metrics are what the detector shows of itself. Counters count what was committed: what a transaction's abort undoes is counted when it is done again.
type metrics struct {
	events       prometheus.Counter
	matches      prometheus.Counter
	clamped      prometheus.Counter
	unreadable   *prometheus.CounterVec // stage
	unknownRules prometheus.Counter
	late         prometheus.Counter
	duplicates   prometheus.Counter
	dropped      prometheus.Counter
	evicted      prometheus.Counter
	refused      prometheus.Counter
	alerts       *prometheus.CounterVec // rule, state
	transactions *prometheus.CounterVec // stage, result
	restarts     *prometheus.CounterVec // stage
	gaps         *prometheus.CounterVec // stage
	groups       *prometheus.GaugeVec   // worker
	lag          *prometheus.GaugeVec   // stage, worker
	restore      prometheus.Histogram
	delay        prometheus.Histogram
}

// Results of a transaction, as label values.
const (
	resultCommitted = "committed"
	resultAborted   = "aborted"
	resultFailed    = "failed"
)

// What an alert's version says, as label values.
const (
	stateOpened   = "opened"
	stateUpdated  = "updated"
	stateResolved = "resolved"
)

func newMetrics(o *Options) (*metrics, error) {
	m := &metrics{
		events:       counter("audittrail_detector_events_total", "Events read, readable or not."),
		matches:      counter("audittrail_detector_matches_total", "Match records written: one for each event and group key that a rule counts."),
		clamped:      counter("audittrail_detector_clamped_total", "Matched events that claimed to be from the future and got their Kafka time instead."),
		unreadable:   counters("audittrail_detector_unreadable_total", "Records that were skipped because they cannot be read.", "stage"),
		unknownRules: counter("audittrail_detector_unknown_rules_total", "Matches of rules that the correlate stage does not have."),
		late:         counter("audittrail_detector_late_total", "Matches of events older than their group's newest by more than a timespan and the allowance: what else was in their window may be gone."),
		duplicates:   counter("audittrail_detector_duplicates_total", "Matches of events that were counted already."),
		dropped:      counter("audittrail_detector_dropped_total", "Events that a group gave up because it holds enough for an alert."),
		evicted:      counter("audittrail_detector_evicted_groups_total", "Groups given up because a partition has too many: their next events begin anew."),
		refused:      counter("audittrail_detector_refused_matches_total", "Matches of new groups for which there was no room."),
		alerts:       counters("audittrail_detector_alerts_total", "Alert versions published.", "rule", "state"),
		transactions: counters("audittrail_detector_transactions_total", "Transactions by how they ended.", "stage", "result"),
		restarts:     counters("audittrail_detector_restarts_total", "Workers that had to start over after an error.", "stage"),
		gaps:         counters("audittrail_detector_gaps_total", "Partitions whose records, or those that their state depends on, were not in the log any more: alerts may be missing.", "stage"),
		groups:       gauges("audittrail_detector_keys", "Group keys in memory.", "worker"),
		lag:          gauges("audittrail_detector_lag_seconds", "How far the slowest partition is behind the wall clock, in Kafka time.", "stage", "worker"),
		restore: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "audittrail_detector_restore_seconds", Help: "Time to rebuild one partition's state.", Buckets: prometheus.ExponentialBuckets(0.01, 4, 8),
		}),
		delay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "audittrail_detector_alert_delay_seconds", Help: "From the Kafka time of the event that opened an alert to the alert's commit.", Buckets: prometheus.ExponentialBuckets(0.02, 2, 14),
		}),
	}
	m.label(o)
	if o.Registry == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.events, m.matches, m.clamped, m.unreadable, m.unknownRules, m.late, m.duplicates, m.dropped, m.evicted, m.refused, m.alerts, m.transactions,
		m.restarts, m.gaps, m.groups, m.lag, m.restore, m.delay,
	} {
		if err := o.Registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// label makes every time series there will be, so that the first event of a kind is a step and not an appearance.
func (m *metrics) label(o *Options) {
	for _, s := range o.Stages {
		m.unreadable.WithLabelValues(string(s))
		m.restarts.WithLabelValues(string(s))
		m.gaps.WithLabelValues(string(s))
		for _, r := range []string{resultCommitted, resultAborted, resultFailed} {
			m.transactions.WithLabelValues(string(s), r)
		}
		for n := range o.Workers {
			m.lag.WithLabelValues(string(s), strconv.Itoa(n))
			if s == StageCorrelate {
				m.groups.WithLabelValues(strconv.Itoa(n))
			}
		}
	}
	for i := range o.Rules {
		for _, s := range []string{stateOpened, stateUpdated, stateResolved} {
			m.alerts.WithLabelValues(o.Rules[i].Name, s)
		}
	}
}

func (m *metrics) transaction(s Stage, ok bool, err error) {
	result := resultAborted
	switch {
	case err != nil:
		result = resultFailed
	case ok:
		result = resultCommitted
	}
	m.transactions.WithLabelValues(string(s), result).Inc()
}

func (m *metrics) correlated(s engine.Stats) {
	m.unknownRules.Add(float64(s.UnknownRules))
	m.late.Add(float64(s.Late))
	m.duplicates.Add(float64(s.Duplicates))
	m.dropped.Add(float64(s.Dropped))
	m.evicted.Add(float64(s.Evicted))
	m.refused.Add(float64(s.Refused))
}

// said is the label for what an alert's version says.
func said(a *audit.Alert) string {
	switch {
	case a.State == audit.AlertResolved:
		return stateResolved
	case a.Version == 1:
		return stateOpened
	}
	return stateUpdated
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
}
