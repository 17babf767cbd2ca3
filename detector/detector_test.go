package detector

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/audittrail/audittrail/detector/rule"
	"github.com/audittrail/audittrail/detector/wire"
	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/schemas/audit"
)

// values returns all counters and gauges of a registry, without those that are zero.
func values(t testing.TB, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name, labels := f.GetName(), make(map[string]string)
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			for _, l := range []string{"rule", "stage", "worker", "state", "result"} {
				if labels[l] != "" {
					name += " " + labels[l]
				}
			}
			v := m.GetCounter().GetValue() + m.GetGauge().GetValue()
			if f.GetType() == dto.MetricType_HISTOGRAM {
				v = float64(m.GetHistogram().GetSampleCount())
			}
			if v != 0 {
				out[strings.TrimPrefix(name, "audittrail_detector_")] = v
			}
		}
	}
	return out
}

func TestFailedLoginsBecomeOneAlertThatTheClockResolves(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	d := w.start("a", nil)
	now := time.Now()
	expired := failedLogin("expired", "203.0.113.7", now)
	expired.Reason = "session_expired"
	success := failedLogin("success", "203.0.113.7", now)
	success.Outcome = audit.OutcomeSuccess
	future := failedLogin("future", "203.0.113.8", now.Add(time.Hour))
	twice := failedLogin("attack-0", "203.0.113.7", now)
	w.publish(expired, success, future, twice)
	w.publish(burst("attack", "203.0.113.7", now, 4)...)
	if err := w.cl.ProduceSync(t.Context(), &kgo.Record{Topic: w.cfg.Topic(kafka.TopicEvents), Value: []byte("no event")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	w.eventually("all events are read", func() bool { return values(t, d.registry)["events_total"] == 9 })
	if got := w.alerts(); len(got) != 0 {
		t.Fatalf("four failures raised %v", got)
	}
	last := failedLogin("attack-4", "203.0.113.7", now.Add(4*time.Second))
	last.Outcome = audit.OutcomeDenied
	w.publish(last)
	w.eventually("an alert", func() bool { return len(w.alerts()) == 1 })
	w.eventually("the alert is counted", func() bool { return values(t, d.registry)["alerts_total brute_force_ip opened"] == 1 })

	// Nothing happens any more, but the clock goes on.
	w.skew.Store(int64(12 * time.Minute))
	w.eventually("the alert is resolved", func() bool { return len(w.alerts()) == 2 })
	alerts := w.alerts()
	if a := alerts[1]; a.State != audit.AlertResolved || a.Count != 5 || a.RuleName != "brute_force_ip" || a.Key["source.ip_prefix"] != "203.0.113.7/32" || len(a.Actions) != 3 {
		t.Errorf("the resolved alert is %+v", a)
	}
	if want := w.expected(rule.BuiltIn()); !w.sameAlerts(alerts, want) {
		t.Errorf("published %+v, want %+v", alerts, want)
	}
	w.eventually("ready", func() bool { return len(d.health.NotReady()) == 0 })
	d.stop(t)
	got := values(t, d.registry)
	for _, changing := range []string{
		"transactions_total match committed", "transactions_total correlate committed", "lag_seconds match 0", "lag_seconds correlate 0", "keys 0",
	} {
		delete(got, changing)
	}
	want := map[string]float64{
		"events_total": 10, "matches_total": 7, "clamped_total": 1, "unreadable_total match": 1, "duplicates_total": 1,
		"alerts_total brute_force_ip opened": 1, "alerts_total brute_force_ip resolved": 1, "alert_delay_seconds": 1, "restore_seconds": 3,
	}
	if !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}

func TestImportBesideLiveTraffic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	w.start("a", nil)
	old := time.Date(2017, 3, 1, 12, 0, 0, 0, time.UTC)
	now := time.Now().Add(-40 * time.Second)
	live := burst("live", "203.0.113.1", now, 5)
	for i := range 5 {
		for s := range 20 {
			w.publish(failedLogin(fmt.Sprintf("old-%d-%d", s, i), fmt.Sprintf("198.51.100.%d", s), old.Add(time.Duration(i)*10*time.Second)))
			// The same address as the live attack, but never five in a minute.
			w.publish(failedLogin(fmt.Sprintf("sparse-%d-%d", s, i), "203.0.113.1", old.Add(time.Duration(i*20+s)*20*time.Second)))
		}
		w.publish(live[i])
	}
	w.eventually("21 alerts", func() bool { return len(w.alerts()) == 21 })
	w.skew.Store(int64(20 * time.Minute))
	w.eventually("all resolved", func() bool { open, closed := resolved(w.alerts()); return open == 0 && closed == 21 })
	years := make(map[int]int)
	for _, a := range w.alerts() {
		if a.State == audit.AlertResolved {
			years[a.FirstSeen.Year()]++
			if a.Count != 5 {
				t.Errorf("%v has %d events", a.Key, a.Count)
			}
		}
	}
	if years[2017] != 20 || years[now.Year()] != 1 {
		t.Errorf("alerts by year: %v", years)
	}
}

func TestStagesRunApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	correlate := w.start("b", func(o *Options) { o.Stages = []Stage{StageCorrelate}; o.Workers = 3 })
	match := w.start("a", func(o *Options) { o.Stages = []Stage{StageMatch}; o.Workers = 3 }) // more than partitions
	w.publish(burst("attack", "203.0.113.7", at, 5)...)
	w.publish(burst("nowhere", "", at, 5)...)
	w.eventually("two alerts", func() bool { return len(w.alerts()) == 2 })
	for _, d := range []*detector{match, correlate} {
		w.eventually("ready", func() bool { return len(d.health.NotReady()) == 0 })
		d.stop(t)
	}
	var keys []string
	for _, a := range w.alerts() {
		keys = append(keys, a.Key["source.ip_prefix"])
	}
	slices.Sort(keys)
	if !slices.Equal(keys, []string{rule.Missing, "203.0.113.7/32"}) {
		t.Errorf("alerts are about %v", keys)
	}
}

// An idle worker commits offsets too: without them its clock records would not be fenced.
func TestIdleWorkerCommitsItsOffsets(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	d := w.start("a", nil)
	w.eventually("all partitions have an offset", func() bool {
		got, err := kadm.NewClient(w.cl).FetchOffsets(t.Context(), DefaultName+"-match")
		return err == nil && len(got[w.cfg.Topic(kafka.TopicEvents)]) == 3
	})
	w.eventually("the clock is known", func() bool { return values(t, d.registry)["lag_seconds correlate 0"] != 0 })
}

// The clock does not wait for ever for a partition that has no leader.
func TestUnavailablePartitionDoesNotHoldUpTheClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	d := w.start("a", func(o *Options) { o.UnavailableAfter = 200 * time.Millisecond })
	w.publish(burst("attack", "203.0.113.7", time.Now(), 5)...)
	w.eventually("an alert", func() bool { return len(w.alerts()) == 1 })
	w.eventually("the clock is known", func() bool { return values(t, d.registry)["lag_seconds correlate 0"] != 0 })
	used := w.read(kafka.TopicEvents)[0].Partition
	other := []int32{1 - used}
	w.broker.Fault(
		kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: w.cfg.Topic(kafka.TopicEvents), Partitions: other, Err: kerr.LeaderNotAvailable, Count: -1},
		kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: w.cfg.Topic(kafka.TopicEvents), Partitions: other, Err: kerr.LeaderNotAvailable, Count: -1},
	)
	w.skew.Store(int64(12 * time.Minute))
	w.eventually("the alert is resolved", func() bool { return len(w.alerts()) == 2 })
	unavailable := false
	for _, r := range w.read(kafka.TopicMatches) {
		var rec wire.Record
		if err := wire.Parse(r.Value, &rec); err != nil {
			t.Fatal(err)
		}
		unavailable = unavailable || rec.IsClock && slices.ContainsFunc(rec.Clock.Sources, func(s wire.Source) bool { return s.Unavailable && s.Partition == other[0] })
	}
	if !unavailable {
		t.Error("the partition was never reported as unavailable")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	good := Options{Kafka: kafka.Config{Brokers: []string{"127.0.0.1:9092"}}}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Options){
		"no broker":           func(o *Options) { o.Kafka.Brokers = nil },
		"unknown stage":       func(o *Options) { o.Stages = []Stage{"guess"} },
		"rule without a name": func(o *Options) { o.Rules = []rule.Rule{{}} },
		"negative workers":    func(o *Options) { o.Workers = -1 },
		"negative groups":     func(o *Options) { o.MaxGroups = -1 },
		"negative time":       func(o *Options) { o.ClockInterval = -1 },
		"rare heartbeats":     func(o *Options) { o.Group.HeartbeatInterval = time.Minute },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestMissingTopicIsReportedAndWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	if err := w.broker.DeleteTopic(w.cfg.Topic(kafka.TopicMatches)); err != nil {
		t.Fatal(err)
	}
	d := w.start("a", func(o *Options) { o.Stages = []Stage{StageMatch} })
	w.eventually("the topic is named", func() bool {
		return strings.Contains(strings.Join(d.health.NotReady(), "\n"), "detector match 0: kafka: topic audit.matches")
	})
	if err := w.broker.CreateTopic(w.cfg.Topic(kafka.TopicMatches), 1, nil); err != nil {
		t.Fatal(err)
	}
	w.eventually("ready", func() bool { return len(d.health.NotReady()) == 0 })
	if values(t, d.registry)["restarts_total match"] == 0 {
		t.Error("no restart was counted")
	}
}

// BenchmarkDetector is the whole way from audit.events to audit.matches and audit.alerts, one worker a stage, with a broker in the same process.
func BenchmarkDetector(b *testing.B) {
	const events = 200_000
	for rounds := 1; b.Loop(); rounds++ {
		b.StopTimer()
		w := newWorld(b, 4)
		var batch []*audit.Event
		for i := range events {
			e := failedLogin(fmt.Sprintf("0190a1b2-c3d4-7e5f-8a9b-%012x", i), fmt.Sprintf("10.%d.%d.%d", i%5000>>16, i%5000>>8&255, i%5000&255), at.Add(time.Duration(i)*time.Millisecond))
			if i%20 != 0 {
				e.Outcome = audit.OutcomeSuccess
			}
			if batch = append(batch, e); len(batch) == 5000 {
				w.publish(batch...)
				batch = batch[:0]
			}
		}
		b.StartTimer()
		d := w.start("a", func(o *Options) { o.ClockInterval = time.Second })
		w.eventually("all events are matched", func() bool { return values(b, d.registry)["events_total"] == events })
		b.ReportMetric(float64(rounds*events)/b.Elapsed().Seconds(), "events/s")
		d.kill()
	}
}
