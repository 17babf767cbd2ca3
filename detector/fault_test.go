package detector

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/audittrail/audittrail/detector/engine"
	"github.com/audittrail/audittrail/detector/rule"
	"github.com/audittrail/audittrail/detector/wire"
	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/schemas/audit"
)

// traffic publishes the logins of many addresses, a few of each at a time: each one is an attack of its own length.
type traffic struct {
	w    *world
	rng  *rand.Rand
	left []*audit.Event
	sent int
	// want is how many failures each address has.
	want map[string]int
}

func newTraffic(w *world, rng *rand.Rand, addresses int) *traffic {
	t := &traffic{w: w, rng: rng, want: make(map[string]int)}
	for a := range addresses {
		source := fmt.Sprintf("198.51.%d.%d", 100+a/250, a%250)
		n := 3 + rng.IntN(12)
		t.want[source] = n
		for i := range n {
			t.left = append(t.left, failedLogin(fmt.Sprintf("%s-%d", source, i), source, at.Add(time.Duration(a*i%7)*time.Second)))
		}
	}
	rng.Shuffle(len(t.left), func(i, j int) { t.left[i], t.left[j] = t.left[j], t.left[i] })
	return t
}

// some publishes up to n more events.
func (t *traffic) some(n int) {
	n = min(n, len(t.left))
	t.w.publish(t.left[:n]...)
	t.sent += n
	t.left = t.left[n:]
}

// check waits until all alerts are there and resolved, and compares everything with what must be.
func (t *traffic) check() {
	t.w.t.Helper()
	t.some(len(t.left))
	attacks := 0
	for _, n := range t.want {
		if n >= 5 {
			attacks++
		}
	}
	t.w.eventually("all events are matched", func() bool { return len(t.matches()) == t.sent })
	t.w.eventually(fmt.Sprintf("%d alerts", attacks), func() bool {
		open, closed := resolved(t.w.alerts())
		return open+closed == attacks
	})
	t.w.skew.Add(int64(15 * time.Minute))
	t.w.eventually("all alerts are resolved", func() bool {
		open, closed := resolved(t.w.alerts())
		return open == 0 && closed == attacks
	})
	alerts := t.w.alerts()
	if want := t.w.expected(rule.BuiltIn()); !t.w.sameAlerts(alerts, want) {
		t.w.t.Errorf("%d alert versions were published, an undisturbed reader of the same matches gets %d, or others", len(alerts), len(want))
	}
	for _, a := range alerts {
		source := netip.MustParsePrefix(a.Key["source.ip_prefix"]).Addr().String()
		if a.State == audit.AlertResolved && int(a.Count) != t.want[source] {
			t.w.t.Errorf("%s: the alert has %d events, want %d", source, a.Count, t.want[source])
		}
	}
}

// matches returns how often each event is in audit.matches; more than once is an error.
func (t *traffic) matches() map[string]int {
	out := make(map[string]int)
	for _, r := range t.w.read(kafka.TopicMatches) {
		var rec wire.Record
		if err := wire.Parse(r.Value, &rec); err != nil {
			t.w.t.Fatal(err)
		}
		if !rec.IsClock {
			id := rec.Match.Detail.Facts().ID
			if out[id]++; out[id] > 1 {
				t.w.t.Fatalf("event %s was matched %d times", id, out[id])
			}
		}
	}
	return out
}

func TestKillsAndRebalancesLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	rounds := 1
	if slow() {
		rounds = 25
	}
	for seed := range rounds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(seed), 5))
			w := newWorld(t, 4)
			traffic := newTraffic(w, rng, 150)
			running := map[string]*detector{"a": w.start("a", nil), "b": w.start("b", nil)}
			for range 8 {
				for range rng.IntN(6) {
					traffic.some(rng.IntN(40))
				}
				name := []string{"a", "b", "c"}[rng.IntN(3)]
				d := running[name]
				switch {
				case d == nil: // one more: a rebalance
				case rng.IntN(3) == 0:
					d.stop(t)
				default:
					d.kill()
				}
				running[name] = w.start(name, nil) // at once: what is left of the last one is a zombie
				if rng.IntN(2) == 0 {
					// Let it get somewhere before the next blow.
					before := len(w.read(kafka.TopicAlerts))
					traffic.some(60)
					deadline := time.Now().Add(time.Duration(rng.IntN(1500)) * time.Millisecond)
					w.eventually("time or progress", func() bool { return time.Now().After(deadline) || len(w.read(kafka.TopicAlerts)) > before })
				}
			}
			traffic.check()
		})
	}
}

// Faults of the brokers at every request that a transaction consists of.
func TestAbortedTransactionsLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	type faulty struct {
		kfake.Fault
		// aborts says that the transaction cannot be saved by asking again.
		aborts bool
		// broker are options of the broker.
		broker []kfake.Opt
	}
	end := func(err *kerr.Error) kfake.Fault {
		return kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, TopLevel: true, Err: err}
	}
	offsets := func(err *kerr.Error) kfake.Fault {
		return kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: err}
	}
	produce := func(topic string, err *kerr.Error) kfake.Fault {
		return kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: err}
	}
	for name, fault := range map[string]faulty{
		"end":                  {end(kerr.UnknownServerError), true, nil},
		"end coordinator":      {end(kerr.NotCoordinator), false, nil},
		"end concurrent":       {end(kerr.ConcurrentTransactions), false, nil},
		"end abortable":        {end(kerr.TransactionAbortable), true, nil},
		"end done but unknown": {end(kerr.RequestTimedOut), true, nil},
		"fenced":               {end(kerr.InvalidProducerEpoch), true, nil},
		"offsets":              {offsets(kerr.UnknownServerError), true, nil},
		"offsets rebalance":    {offsets(kerr.RebalanceInProgress), true, nil},
		"offsets generation":   {offsets(kerr.IllegalGeneration), true, nil},
		"offsets member":       {offsets(kerr.UnknownMemberID), true, nil},
		"produce":              {produce(kafka.TopicMatches, kerr.NotLeaderForPartition), false, nil},
		"produce refused":      {produce(kafka.TopicAlerts, kerr.InvalidRecord), true, nil},
		"heartbeat":            {kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, TopLevel: true, Err: kerr.UnknownMemberID}, false, nil},
		// Only brokers before transaction version 2 are asked this.
		"add offsets": {
			kfake.Fault{Keys: []kmsg.Key{kmsg.AddOffsetsToTxn}, TopLevel: true, Err: kerr.UnknownServerError}, true, []kfake.Opt{kfake.MaxVersions(kversion.V3_6_0())},
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(7, 7))
			w := newWorld(t, 2, fault.broker...)
			traffic := newTraffic(w, rng, 60)
			d := w.start("a", nil)
			traffic.some(250)
			w.eventually("some alerts", func() bool { return len(w.alerts()) > 0 })
			for range 3 {
				h := w.broker.Fault(fault.Fault)
				traffic.some(60)
				w.eventually("the fault happens", func() bool {
					traffic.some(1)
					return h.Hits() > 0
				})
				h.Remove()
			}
			traffic.check()
			aborted := 0.0
			for name, n := range values(t, d.registry) {
				if strings.HasPrefix(name, "transactions_total") && !strings.HasSuffix(name, resultCommitted) {
					aborted += n
				}
			}
			if fault.aborts && aborted == 0 {
				t.Error("no transaction was aborted: the test did not test anything")
			}
		})
	}
}

// A worker that was cut off long enough to lose its partitions, and then goes on, must be refused.
func TestZombieIsFenced(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(8, 8))
	w := newWorld(t, 3)
	traffic := newTraffic(w, rng, 100)
	zombie := w.start("a", nil)
	traffic.some(100)
	w.eventually("some alerts", func() bool { return len(w.alerts()) > 0 })
	zombie.net.stalled.Lock()
	traffic.some(200)
	w.start("b", nil)
	w.eventually("another one takes over", func() bool { return len(traffic.matches()) >= 300 })
	zombie.net.stalled.Unlock()
	traffic.some(200)
	traffic.check()
}

// The broker is gone for a while, with what is on its disk.
func TestWholeDetectorStartsAgainWhereItWas(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	first := w.start("a", nil)
	w.publish(burst("x", "203.0.113.7", at, 4)...)
	w.eventually("four matches", func() bool { return values(t, first.registry)["matches_total"] == 4 })
	w.eventually("they are correlated", func() bool { return values(t, first.registry)["keys 0"] == 1 })
	first.stop(t)
	w.start("another host", nil)
	w.publish(failedLogin("x-4", "203.0.113.7", at.Add(10*time.Second)))
	w.eventually("an alert", func() bool { return len(w.alerts()) == 1 })
	if a := w.alerts()[0]; a.Count != 5 {
		t.Errorf("the alert has %d events", a.Count)
	}
}

func TestGapsAreCountedAndGoneBeyond(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	first := w.start("a", nil)
	w.publish(burst("x", "203.0.113.7", at, 6)...)
	w.eventually("an alert", func() bool { return len(w.alerts()) == 1 })
	first.stop(t)
	// The state of the open episode depends on records that are deleted now.
	end := w.broker.PartitionInfo(w.cfg.Topic(kafka.TopicMatches), 0).HighWatermark
	if err := w.broker.DeleteRecords(w.cfg.Topic(kafka.TopicMatches), 0, end); err != nil {
		t.Fatal(err)
	}
	second := w.start("a", nil)
	w.publish(burst("y", "203.0.113.8", at, 5)...)
	w.eventually("another alert", func() bool { return len(w.alerts()) == 2 })
	if got := values(t, second.registry)["gaps_total correlate"]; got != 1 {
		t.Errorf("%v gaps were counted", got)
	}
	second.stop(t)
	// What was not matched yet is gone as well.
	w.publish(burst("z", "203.0.113.9", at, 5)...)
	end = w.broker.PartitionInfo(w.cfg.Topic(kafka.TopicEvents), 0).HighWatermark
	if err := w.broker.DeleteRecords(w.cfg.Topic(kafka.TopicEvents), 0, end); err != nil {
		t.Fatal(err)
	}
	third := w.start("a", nil)
	w.publish(burst("v", "203.0.113.10", at, 5)...)
	w.eventually("a third alert", func() bool { return len(w.alerts()) == 3 })
	if got := values(t, third.registry)["gaps_total match"]; got != 1 {
		t.Errorf("%v gaps were counted", got)
	}
}

// Unknown own state ends the detector: to begin without a past would lose or double alerts.
func TestForeignCommitMetadataIsFatal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	adm := kadm.NewClient(w.cl)
	offsets := make(kadm.Offsets)
	offsets.Add(kadm.Offset{Topic: w.cfg.Topic(kafka.TopicMatches), Partition: 0, At: 0, LeaderEpoch: -1, Metadata: "from the future"})
	if err := adm.CommitAllOffsets(t.Context(), DefaultName+"-correlate", offsets); err != nil {
		t.Fatal(err)
	}
	d := w.start("a", nil)
	err := <-d.done
	d.done <- nil
	if err == nil || !strings.Contains(err.Error(), "audit.matches/0") || !strings.Contains(err.Error(), "reset the offsets of group") {
		t.Errorf("it ended with %v", err)
	}
}

func TestForeignRecordInMatchesIsSkipped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	d := w.start("a", nil)
	r := &kgo.Record{Topic: w.cfg.Topic(kafka.TopicMatches), Key: []byte("k"), Value: []byte("{}")}
	if err := w.cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	w.publish(burst("x", "203.0.113.7", at, 5)...)
	w.eventually("an alert", func() bool { return len(w.alerts()) == 1 })
	w.eventually("the record is counted", func() bool { return values(t, d.registry)["unreadable_total correlate"] == 1 })
}

// Every commit of the correlate stage can be read back, and fits what brokers take; and the rewind offset follows when nothing is alive any more.
func TestRewindOffsetFollows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	d := w.start("a", nil)
	w.publish(burst("x", "203.0.113.7", at, 5)...)
	w.eventually("an alert", func() bool { return len(w.alerts()) == 1 })
	rewind := func() (from, committed int64) {
		got, err := kadm.NewClient(w.cl).FetchOffsets(t.Context(), DefaultName+"-correlate")
		if err != nil {
			t.Fatal(err)
		}
		o, ok := got.Lookup(w.cfg.Topic(kafka.TopicMatches), 0)
		if !ok {
			return 0, 0
		}
		cp, err := engine.ParseCheckpoint(o.Metadata)
		if err != nil {
			t.Fatal(err)
		}
		return cp.Offset, o.At
	}
	w.eventually("offsets are committed", func() bool { _, committed := rewind(); return committed > 10 })
	if from, _ := rewind(); from > 5 {
		t.Errorf("an episode is open, and the rewind offset is %d", from)
	}
	for range 3 {
		w.skew.Add(int64(15 * time.Minute))
		_, before := rewind()
		w.eventually("more is committed", func() bool { _, committed := rewind(); return committed > before+20 })
	}
	if from, committed := rewind(); committed-from > committed/2 {
		t.Errorf("nothing is alive, and the rewind offset is %d of %d", from, committed)
	}
	d.stop(t)
}

func TestMatchesOfOneGroupAreInOnePartition(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 6)
	w.start("a", nil)
	traffic := newTraffic(w, rand.New(rand.NewPCG(9, 9)), 50)
	traffic.some(len(traffic.left))
	w.eventually("all events are matched", func() bool { return len(traffic.matches()) == traffic.sent })
	where := make(map[string][]int32)
	used := make(map[int32]bool)
	for _, r := range w.read(kafka.TopicMatches) {
		if r.Key != nil && !slices.Contains(where[string(r.Key)], r.Partition) {
			where[string(r.Key)] = append(where[string(r.Key)], r.Partition)
			used[r.Partition] = true
		}
	}
	for key, partitions := range where {
		if len(partitions) != 1 {
			t.Errorf("the matches of %q are in partitions %v", key, partitions)
		}
	}
	if len(where) != 50 || len(used) < 4 {
		t.Errorf("%d groups in %d partitions", len(where), len(used))
	}
}

// The same against a real Kafka, whose address AUDITTRAIL_TEST_KAFKA gives. Its topics get a prefix of their own and stay behind.
func TestAgainstRealKafka(t *testing.T) {
	brokers := os.Getenv("AUDITTRAIL_TEST_KAFKA")
	if brokers == "" {
		t.Skip("AUDITTRAIL_TEST_KAFKA names no brokers")
	}
	prefix := fmt.Sprintf("test-%d.", time.Now().UnixNano())
	w := connect(t, kafka.Config{Brokers: strings.Split(brokers, ","), TopicPrefix: prefix}, 4)
	real := func(o *Options) {
		o.Name = prefix + "detector"
		o.ClockInterval = 200 * time.Millisecond
		o.TransactionTimeout = 5 * time.Second
		o.Group = GroupOptions{SessionTimeout: 6 * time.Second, HeartbeatInterval: time.Second, RebalanceTimeout: 10 * time.Second}
	}
	w.start("a", real)
	w.start("b", real)
	traffic := newTraffic(w, rand.New(rand.NewPCG(10, 10)), 300)
	for traffic.some(300); len(w.alerts()) == 0; {
		w.eventually("an alert", func() bool { return len(w.alerts()) > 0 })
	}
	for _, name := range []string{"a", "b", "c"} {
		d := w.start(name, real) // fences the one of the same name
		before := len(w.alerts())
		traffic.some(500)
		w.eventually("more alerts", func() bool { return len(w.alerts()) > before })
		if name != "c" {
			d.kill()
		}
	}
	traffic.check()
}
