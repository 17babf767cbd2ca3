package consumer

import (
	"context"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/audittrail/audittrail/internal/kafka"
)

// TestMetricNames: dashboards and alarms hang on the names and their labels.
func TestMetricNames(t *testing.T) {
	w := newWorld(t, 1)
	w.produce(0, 50)
	w.produceRaw("{")
	p := w.proxied(times(1, "events", answer(503, "", "try later")))
	opt := w.options()
	reg := prometheus.NewRegistry()
	opt.Registry, opt.ReconcileEvery = reg, 20*time.Millisecond
	c := w.start(opt)
	w.settled(DefaultGroup)
	if p.struck() == 0 {
		t.Fatal("the fault never struck")
	}
	eventually(t, "a reconciliation", func() bool { return value(t, reg, "audittrail_consumer_proof_timestamp_seconds") > 0 })
	eventually(t, "a look at the engine", func() bool { return has(t, reg, "audittrail_consumer_deduplicated_blocks") })
	want := strings.Fields(`
		audittrail_consumer_batch_age_seconds{topic}
		audittrail_consumer_batch_rows{topic}
		audittrail_consumer_buffer_limit_bytes{}
		audittrail_consumer_buffered_bytes{}
		audittrail_consumer_commits_total{result}
		audittrail_consumer_deduplicated_blocks{}
		audittrail_consumer_divided_ranges_total{}
		audittrail_consumer_drain_timeouts_total{}
		audittrail_consumer_fetch_errors_total{}
		audittrail_consumer_freshness_seconds{}
		audittrail_consumer_incidents_total{kind}
		audittrail_consumer_insert_bytes_total{topic}
		audittrail_consumer_insert_retries_total{topic}
		audittrail_consumer_inserts_total{result,table}
		audittrail_consumer_lag_records{partition,topic}
		audittrail_consumer_lag_seconds{partition,topic}
		audittrail_consumer_oldest_pending_seconds{partition,topic}
		audittrail_consumer_partitions{}
		audittrail_consumer_paused_partitions{}
		audittrail_consumer_proof_failures_total{}
		audittrail_consumer_proof_findings{kind}
		audittrail_consumer_proof_rows{}
		audittrail_consumer_proof_timestamp_seconds{}
		audittrail_consumer_quarantined_total{reason,topic}
		audittrail_consumer_rebalances_total{kind}
		audittrail_consumer_records_total{topic}
		audittrail_consumer_retention_left_seconds{partition,topic}
		audittrail_consumer_rows_total{topic}
		audittrail_consumer_stage_seconds{stage}
		audittrail_consumer_unstable_records{partition,topic}`)
	doc, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`audittrail_consumer_[a-z_]+`).FindAllString(string(doc), -1) {
		if !slices.ContainsFunc(want, func(w string) bool { return strings.HasPrefix(w, name+"{") }) {
			t.Errorf("docs/operations.md speaks of %s, which does not exist", name)
		}
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range families {
		var labels []string
		for _, l := range f.Metric[0].Label {
			labels = append(labels, l.GetName())
		}
		got = append(got, f.GetName()+"{"+strings.Join(labels, ",")+"}")
		if f.GetHelp() == "" {
			t.Errorf("%s has no help", f.GetName())
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the metrics are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for name, want := range map[string]float64{
		"audittrail_consumer_records_total": 51, "audittrail_consumer_rows_total": 50, "audittrail_consumer_quarantined_total": 1,
		"audittrail_consumer_insert_retries_total": 1, "audittrail_consumer_lag_records": 0, "audittrail_consumer_lag_seconds": 0,
	} {
		if got := value(t, reg, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	c.stop(t)
}

// TestLagWhileClickHouseIsDown: what waits has an age, and Kafka will delete it some day.
func TestLagWhileClickHouseIsDown(t *testing.T) {
	w := newWorld(t, 1)
	w.retain(time.Hour)
	w.proxied(func(string, []byte) fault { return answer(http.StatusServiceUnavailable, "", "down") })
	opt := w.options()
	reg := prometheus.NewRegistry()
	opt.Registry = reg
	now := time.Now()
	opt.Now = func() time.Time { return time.Now().Add(10 * time.Minute) } // the records are that old
	c := w.start(opt)
	w.produce(0, 40)
	eventually(t, "the lag to show", func() bool { return value(t, reg, "audittrail_consumer_lag_records") == 40 })
	eventually(t, "the intent to show", func() bool { return value(t, reg, "audittrail_consumer_oldest_pending_seconds") > 0 })
	slack := time.Since(now).Seconds() + 1
	if s := value(t, reg, "audittrail_consumer_lag_seconds"); s < 590 || s > 600+slack {
		t.Errorf("the lag is %v s, want 600", s)
	}
	if s := value(t, reg, "audittrail_consumer_retention_left_seconds"); s > 3010 || s < 3000-slack {
		t.Errorf("%v s of retention are left, want 3,000", s)
	}
	c.stop(t) // what is not stored is the next owner's, and the stop does not wait for it
}

// TestOpenTransactionsShow: an open transaction holds back everything behind it.
func TestOpenTransactionsShow(t *testing.T) {
	w := newWorld(t, 1)
	opt := w.options()
	reg := prometheus.NewRegistry()
	opt.Registry, opt.watchEvery = reg, 20*time.Millisecond
	c := w.start(opt)
	w.produce(0, 5)
	w.settled(DefaultGroup)
	cl := w.client(kgo.TransactionalID("open-"+w.tenant), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(t.Context(), eventRecordTo(w, 5, 0)).FirstErr(); err != nil {
		t.Fatal(err)
	}
	w.produce(6, 8)
	eventually(t, "the records behind it to show", func() bool { return value(t, reg, "audittrail_consumer_unstable_records") == 3 })
	if n := value(t, reg, "audittrail_consumer_lag_records"); n != 3 {
		t.Errorf("the lag is %v records, want 3", n)
	}
	if err := cl.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	w.settled(DefaultGroup)
	c.stop(t)
	w.exactly(8, 0, 1)
}

// value is the value of a counter or gauge of the world's events, or the sum over other labels.
func value(t *testing.T, reg *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.Metric {
			alerts := false
			for _, l := range m.Label {
				alerts = alerts || strings.HasSuffix(l.GetValue(), kafka.TopicAlerts)
			}
			if !alerts {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func has(t *testing.T, reg *prometheus.Registry, name string) bool {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return true
		}
	}
	return false
}

// retain sets how long the broker keeps the events.
func (w *world) retain(d time.Duration) {
	w.t.Helper()
	v := strconv.FormatInt(d.Milliseconds(), 10)
	res, err := kadm.NewClient(w.client()).AlterTopicConfigs(context.Background(), []kadm.AlterConfig{{Name: "retention.ms", Value: &v}}, w.topic())
	if err == nil {
		_, err = res.On(w.topic(), func(r *kadm.AlterConfigsResponse) error { return r.Err })
	}
	if err != nil {
		w.t.Fatal(err)
	}
}
