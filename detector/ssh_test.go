package detector

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/audittrail/audittrail/detector/engine"
	"github.com/audittrail/audittrail/detector/rule"
	"github.com/audittrail/audittrail/detector/wire"
	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/producer"
	"github.com/audittrail/audittrail/producer/sshd"
	"github.com/audittrail/audittrail/schemas/audit"
)

// The log of a real SSH server of 2017: 1,042 failed logins of 105 addresses, of which 101 fail five times within a minute.
const (
	realLog       = "../producer/sshd/testdata/auth.log"
	realAddresses = 101
)

// realEpisodes is how many episodes the log has, by ResolveAfter.
var realEpisodes = map[time.Duration]int{10 * time.Minute: 101, time.Minute: 107}

func resolveAfter(d time.Duration) []rule.Rule {
	r := rule.BruteForceIP()
	r.ResolveAfter = d
	return []rule.Rule{r}
}

// importLog publishes the real log.
func (w *world) importLog() {
	w.t.Helper()
	p, err := producer.New(producer.Options{Brokers: w.cfg.Brokers, Topic: w.cfg.Topic(kafka.TopicEvents)})
	if err != nil {
		w.t.Fatal(err)
	}
	defer p.Close(context.Background())
	i, err := sshd.New(sshd.Options{Producer: p, Path: realLog, Year: 2017})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := i.Run(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// tally counts the episodes and the addresses that they are about.
func tally(alerts []audit.Alert) (episodes, addresses int) {
	ids, sources := make(map[string]bool), make(map[string]bool)
	for _, a := range alerts {
		ids[a.ID] = true
		sources[a.Key["source.ip_prefix"]] = true
	}
	return len(ids), len(sources)
}

func TestRealLogThroughKafka(t *testing.T) {
	t.Parallel()
	for after, want := range realEpisodes {
		t.Run(after.String(), func(t *testing.T) {
			w := newWorld(t, 4)
			rules := resolveAfter(after)
			first := w.start("a", func(o *Options) { o.Rules = rules })
			w.importLog()
			w.eventually("the first alerts", func() bool { return len(w.alerts()) > 0 })
			first.stop(t)
			w.start("a", func(o *Options) { o.Rules = rules })
			w.start("b", func(o *Options) { o.Rules = rules })
			w.eventually("all addresses", func() bool { _, addresses := tally(w.alerts()); return addresses == realAddresses })
			for range 3 { // what waits for the clock
				w.skew.Add(int64(15 * time.Minute))
				before := len(w.read(kafka.TopicMatches))
				w.eventually("the clock goes on", func() bool { return len(w.read(kafka.TopicMatches)) > before+50 })
			}
			w.eventually("all are resolved", func() bool { open, _ := resolved(w.alerts()); return open == 0 })
			alerts := w.alerts()
			if episodes, addresses := tally(alerts); episodes != want || addresses != realAddresses {
				t.Errorf("%d episodes of %d addresses, want %d of %d", episodes, addresses, want, realAddresses)
			}
			if want := w.expected(rules); !w.sameAlerts(alerts, want) {
				t.Errorf("%d alert versions were published, want %d, or others", len(alerts), len(want))
			}
		})
	}
}

// In any order within the allowance, and wherever it is cut, the log has the same episodes: those that it has in order.
func TestRealLogInAnyOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.importLog()
	type match struct {
		time       int64
		key, value []byte
	}
	for after, want := range realEpisodes {
		rules := resolveAfter(after)
		m := newMatcher(rules)
		var log []match
		for _, r := range w.read(kafka.TopicEvents) {
			var rec audit.Record
			kafka.FillRecord(&rec, [16]byte{1}, r)
			if _, err := m.apply(&rec, func(key, value []byte) {
				log = append(log, match{m.match.Time, key, value})
			}); err != nil {
				t.Fatal(err)
			}
		}
		if len(log) != 1042 {
			t.Fatalf("%d failed logins, want 1042", len(log))
		}
		run := func(log []match, cut func() bool) (out []audit.Alert) {
			o := engine.Options{Rules: rules}
			p := engine.New(o, engine.Start(0))
			replay := func(from engine.Checkpoint, to int) {
				p = engine.New(o, from)
				for i := from.Offset; i < int64(to); i++ {
					if _, err := p.Apply(i, log[i].key, log[i].value); err != nil {
						t.Fatal(err)
					}
				}
			}
			for i, l := range log {
				alerts, err := p.Apply(int64(i), l.key, l.value)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, alerts...)
				if cut() {
					replay(p.Rewind(int64(i)+1), i+1)
				}
			}
			for i := range 3 {
				end := time.Now().Add(time.Duration(i+1) * time.Hour).UnixMilli()
				c := wire.Clock{Total: 1, Sources: []wire.Source{{Time: end}}}
				alerts, err := p.Apply(int64(len(log)+i), nil, wire.AppendClock(nil, &c))
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, alerts...)
			}
			return out
		}
		inOrder := run(log, func() bool { return false })
		rng := rand.New(rand.NewPCG(1, 6))
		if cut := run(log, func() bool { return rng.IntN(40) == 0 }); !w.sameAlerts(inOrder, cut) {
			t.Errorf("%s: restarts change the alerts", after)
		}
		for range 20 {
			shuffled := shuffleBy(rng, log, time.Minute, func(m match) int64 { return m.time })
			got := run(shuffled, func() bool { return rng.IntN(200) == 0 })
			if episodes, addresses := tally(got); episodes != want || addresses != realAddresses {
				t.Errorf("%s: shuffled, there are %d episodes of %d addresses, want %d of %d", after, episodes, addresses, want, realAddresses)
			}
			if a, b := spans(got), spans(inOrder); !slices.Equal(a, b) {
				t.Errorf("%s: shuffled, the episodes have other spans or counts", after)
			}
		}
	}
}

// shuffleBy returns the list in an order in which nothing is more than disorder older than something before it.
func shuffleBy[T any](rng *rand.Rand, list []T, disorder time.Duration, time func(T) int64) []T {
	type placed struct {
		v     T
		place int64
	}
	var out []placed
	for _, v := range list {
		out = append(out, placed{v, time(v) + rng.Int64N(disorder.Microseconds())})
	}
	slices.SortStableFunc(out, func(a, b placed) int { return cmp.Compare(a.place, b.place) })
	shuffled := make([]T, len(out))
	for i := range out {
		shuffled[i] = out[i].v
	}
	return shuffled
}

// span is an episode without what depends on the order of arrival.
type span struct {
	source      string
	first, last time.Time
	count       uint64
}

func spans(alerts []audit.Alert) (out []span) {
	for _, a := range alerts {
		if a.State == audit.AlertResolved {
			out = append(out, span{a.Key["source.ip_prefix"], a.FirstSeen, a.LastSeen, a.Count})
		}
	}
	slices.SortFunc(out, func(a, b span) int { return cmp.Or(cmp.Compare(a.source, b.source), a.first.Compare(b.first)) })
	return out
}
