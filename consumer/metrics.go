package consumer

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/audittrail/audittrail/internal/clickhouse"
	tables "github.com/audittrail/audittrail/schemas/clickhouse"
)

// metrics are what the consumer shows of itself; laneCollector has what it shows of each partition.
type metrics struct {
	readMetrics
	storeMetrics
	trustMetrics
}

func newMetrics(reg prometheus.Registerer, b *budget) *metrics {
	f := promauto.With(reg)
	return &metrics{newReadMetrics(f, b), newStoreMetrics(f), newTrustMetrics(f)}
}

// readMetrics are about Kafka's side.
type readMetrics struct {
	records       *prometheus.CounterVec
	quarantine    *prometheus.CounterVec
	fetchErrors   prometheus.Counter
	lanes         prometheus.Gauge
	paused        prometheus.Gauge
	rebalances    *prometheus.CounterVec
	drainTimeouts prometheus.Counter
}

func newReadMetrics(f promauto.Factory, b *budget) readMetrics {
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "audittrail_consumer_buffered_bytes", Help: "Estimated memory of what is read and not yet settled.",
	}, func() float64 { return float64(b.inUse()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "audittrail_consumer_buffer_limit_bytes", Help: "Bound of audittrail_consumer_buffered_bytes, beyond which reading waits.",
	}, func() float64 { return float64(b.limit) })
	return readMetrics{
		records: f.NewCounterVec(prometheus.CounterOpts{
			Name: "audittrail_consumer_records_total", Help: "Kafka records read, control records apart.",
		}, []string{"topic"}),
		quarantine: f.NewCounterVec(prometheus.CounterOpts{
			Name: "audittrail_consumer_quarantined_total", Help: "Records that could not be stored as what they are and were put aside, by reason.",
		}, []string{"topic", "reason"}),
		fetchErrors: f.NewCounter(prometheus.CounterOpts{
			Name: "audittrail_consumer_fetch_errors_total", Help: "Errors that fetching from Kafka gave.",
		}),
		lanes: f.NewGauge(prometheus.GaugeOpts{
			Name: "audittrail_consumer_partitions", Help: "Partitions that this consumer owns.",
		}),
		paused: f.NewGauge(prometheus.GaugeOpts{
			Name: "audittrail_consumer_paused_partitions", Help: "Partitions whose fetching is paused because too much of them is buffered.",
		}),
		rebalances: f.NewCounterVec(prometheus.CounterOpts{
			Name: "audittrail_consumer_rebalances_total", Help: "Changes of the owned partitions, by kind (assigned, revoked, lost).",
		}, []string{"kind"}),
		drainTimeouts: f.NewCounter(prometheus.CounterOpts{
			Name: "audittrail_consumer_drain_timeouts_total", Help: "Partitions given up with inserts still under way.",
		}),
	}
}

// storeMetrics are about ClickHouse's side, and the offset commits.
type storeMetrics struct {
	rows         *prometheus.CounterVec
	insertBytes  *prometheus.CounterVec
	batchRows    *prometheus.HistogramVec
	batchSeconds *prometheus.HistogramVec
	stageSeconds *prometheus.HistogramVec
	inserts      *prometheus.CounterVec
	retries      *prometheus.CounterVec
	deduplicated prometheus.Gauge
	commits      *prometheus.CounterVec
	freshness    prometheus.Histogram
	divided      prometheus.Counter
}

func newStoreMetrics(f promauto.Factory) storeMetrics {
	m := storeMetrics{
		rows: f.NewCounterVec(prometheus.CounterOpts{
			Name: "audittrail_consumer_rows_total", Help: "Rows settled in ClickHouse.",
		}, []string{"topic"}),
		insertBytes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "audittrail_consumer_insert_bytes_total", Help: "Bytes of Native blocks planned for ClickHouse.",
		}, []string{"topic"}),
		batchRows: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "audittrail_consumer_batch_rows", Help: "Records of a range when it was cut.", Buckets: prometheus.ExponentialBuckets(1, 8, 7),
		}, []string{"topic"}),
		batchSeconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "audittrail_consumer_batch_age_seconds", Help: "Age of a range's first record in the consumer when it was cut.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}, []string{"topic"}),
		stageSeconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "audittrail_consumer_stage_seconds", Help: "Duration of one step: an insert into a table, or an offset commit.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 9),
		}, []string{"stage"}),
		inserts: f.NewCounterVec(prometheus.CounterOpts{
			Name: "audittrail_consumer_inserts_total", Help: "Inserts into ClickHouse, by table and result (ok, retry, refused, operator).",
		}, []string{"table", "result"}),
		retries: f.NewCounterVec(prometheus.CounterOpts{
			Name: "audittrail_consumer_insert_retries_total", Help: "Ranges that wait for another attempt at their inserts.",
		}, []string{"topic"}),
		deduplicated: f.NewGauge(prometheus.GaugeOpts{
			Name: "audittrail_consumer_deduplicated_blocks",
			Help: "Blocks that the ClickHouse server has left out since its start because it knew their tokens, whoever sent them: repeats that doubled nothing.",
		}),
		commits: f.NewCounterVec(prometheus.CounterOpts{
			Name: "audittrail_consumer_commits_total", Help: "Offset commits of partitions, by result (ok, retry, fenced).",
		}, []string{"result"}),
		freshness: f.NewHistogram(prometheus.HistogramOpts{
			Name: "audittrail_consumer_freshness_seconds", Help: "From a range's oldest Kafka timestamp until it is settled in ClickHouse.", Buckets: prometheus.ExponentialBuckets(0.05, 2, 12),
		}),
		divided: f.NewCounter(prometheus.CounterOpts{
			Name: "audittrail_consumer_divided_ranges_total", Help: "Ranges that ClickHouse refused and that were divided to find the row at fault.",
		}),
	}
	for _, table := range []string{tables.TableEvents, tables.TableAlertVersions, tables.TableQuarantine, tables.TableLedger} {
		for _, result := range []string{"ok", "retry", "refused", "operator"} {
			m.inserts.WithLabelValues(table, result)
		}
	}
	for _, result := range []string{"ok", "retry", "fenced"} {
		m.commits.WithLabelValues(result)
	}
	return m
}

// trustMetrics are about what recovery found.
type trustMetrics struct {
	checks    *prometheus.CounterVec
	incidents *prometheus.CounterVec
}

func newTrustMetrics(f promauto.Factory) trustMetrics {
	m := trustMetrics{
		checks: f.NewCounterVec(prometheus.CounterOpts{
			Name: "audittrail_consumer_range_checks_total", Help: "Ranges for which ClickHouse was asked what it has, by result (empty, full, partial, over).",
		}, []string{"result"}),
		incidents: f.NewCounterVec(prometheus.CounterOpts{
			Name: "audittrail_consumer_incidents_total",
			Help: "Things that must not happen and were survived, by kind (topic_recreated, intents_lost, doubled, log_cut, log_replaced, batch_too_large).",
		}, []string{"kind"}),
	}
	for _, kind := range []string{"topic_recreated", "intents_lost", "doubled", "log_cut", "log_replaced", "batch_too_large"} {
		m.incidents.WithLabelValues(kind)
	}
	return m
}

func (m *metrics) cut(e *encoded, age time.Duration) {
	m.batchRows.WithLabelValues(e.src.topic).Observe(float64(e.account.rows + e.account.bad))
	m.batchSeconds.WithLabelValues(e.src.topic).Observe(age.Seconds())
	for _, b := range e.blocks {
		m.insertBytes.WithLabelValues(e.src.topic).Add(float64(b.Size))
	}
}

func (m *metrics) settled(e *encoded, now time.Time) {
	m.rows.WithLabelValues(e.src.topic).Add(float64(e.account.rows))
	if !e.oldest.IsZero() {
		m.freshness.Observe(now.Sub(e.oldest).Seconds())
	}
}

func (m *metrics) insert(table string, err error, took time.Duration) {
	result := "ok"
	if err != nil {
		result = clickhouse.Classify(err).String()
	}
	m.inserts.WithLabelValues(table, result).Inc()
	m.stage("insert_"+table, took)
}

func (m *metrics) stage(name string, took time.Duration) {
	m.stageSeconds.WithLabelValues(name).Observe(took.Seconds())
}

func (m *metrics) checked(result string) { m.checks.WithLabelValues(result).Inc() }

func (m *metrics) commit(result string) { m.commits.WithLabelValues(result).Inc() }
