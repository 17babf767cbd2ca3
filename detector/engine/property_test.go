package engine

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/audittrail/audittrail/schemas/audit"
)

// rounds is how many random logs a property test tries.
func rounds(fast, slow int) int {
	if os.Getenv("AUDITTRAIL_SLOW") != "" {
		return slow
	}
	return fast
}

// randomEvents makes logins of a few sources, near the threshold, with bursts and pauses.
func randomEvents(rng *rand.Rand, n int, begin time.Time) []event {
	var events []event
	at := make(map[int]time.Time)
	for i := range n {
		s := rng.IntN(4)
		if at[s].IsZero() {
			at[s] = begin
		}
		pause := time.Duration(rng.Int64N(int64(24 * time.Second)))
		switch rng.IntN(12) {
		case 0:
			pause = time.Duration(rng.Int64N(int64(15 * time.Minute)))
		case 1:
			pause = 0 // ties
		}
		at[s] = at[s].Add(pause.Truncate(time.Second / 4))
		e := event{id: fmt.Sprintf("e%d", i), source: fmt.Sprintf("203.0.113.%d", s), user: fmt.Sprintf("user%d", rng.IntN(30)), at: at[s]}
		if s == 0 {
			e.source = ""
		}
		events = append(events, e)
	}
	slices.SortStableFunc(events, func(a, b event) int { return a.at.Compare(b.at) })
	return events
}

// live stamps events as published up to maxDelay after they happened, in that order, with clock records in between and at the end.
func live(rng *rand.Rand, events []event, maxDelay time.Duration, toRecord func(event) record) []record {
	for i := range events {
		events[i].published = events[i].at
		if maxDelay > 0 {
			events[i].published = events[i].at.Add(time.Duration(rng.Int64N(int64(maxDelay)))).Truncate(time.Millisecond)
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return a.published.Compare(b.published) })
	now := events[0].published.Add(-time.Second)
	var records []record
	for _, e := range events {
		for now.Before(e.published.Add(-3 * time.Second)) {
			now = now.Add(time.Duration(1+rng.Int64N(int64(20*time.Second/time.Millisecond))) * time.Millisecond)
			if now.After(e.published) {
				now = e.published
			}
			records = append(records, clockOf(now))
		}
		records = append(records, toRecord(e))
	}
	for range 5 {
		now = now.Add(20 * time.Minute)
		records = append(records, clockOf(now))
	}
	return records
}

// imported stamps events as published within a second, shuffled so that none is more than disorder older than one before it.
func imported(rng *rand.Rand, events []event, disorder time.Duration, toRecord func(event) record) []record {
	shuffle(rng, events, disorder)
	var records []record
	for i, e := range events {
		e.published = epoch.Add(time.Duration(i) * time.Millisecond)
		records = append(records, toRecord(e))
		if rng.IntN(20) == 0 {
			records = append(records, clockOf(e.published))
		}
	}
	for i := range 5 {
		records = append(records, clockOf(epoch.Add(time.Duration(i+1)*20*time.Minute)))
	}
	return records
}

func shuffle(rng *rand.Rand, events []event, disorder time.Duration) {
	if disorder == 0 {
		return
	}
	type placed struct {
		event
		place time.Time
	}
	list := make([]placed, len(events))
	for i, e := range events {
		list[i] = placed{e, e.at.Add(time.Duration(rng.Int64N(int64(disorder))))}
	}
	slices.SortStableFunc(list, func(a, b placed) int { return a.place.Compare(b.place) })
	for i := range list {
		events[i] = list[i].event
	}
}

func TestEpisodesAreThoseOfTheOracle(t *testing.T) {
	for _, resolveAfter := range []time.Duration{time.Minute, 10 * time.Minute} {
		for _, disorder := range []time.Duration{0, 5 * time.Second, time.Minute} {
			for name, arrive := range map[string]func(*rand.Rand, []event, time.Duration, func(event) record) []record{"live": live, "imported": imported} {
				t.Run(fmt.Sprintf("%s/%s/%s", name, resolveAfter, disorder), func(t *testing.T) {
					r := testRule()
					r.ResolveAfter = resolveAfter
					for seed := range rounds(12, 600) {
						rng := rand.New(rand.NewPCG(uint64(seed), 1))
						events := randomEvents(rng, 150, epoch.Add(-9*365*24*time.Hour))
						want := oracle(events, r.Threshold, r.Timespan, r.ResolveAfter)
						records := arrive(rng, events, disorder, func(e event) record { return matchOf(&r, e) })
						p := New(Options{Rules: ruleSet(r)}, Start(0))
						diff(t, episodesOf(t, apply(t, p, records, 0, len(records))), want)
						if s := p.TakeStats(); s.Late > 0 {
							t.Errorf("%d late events in a log without any", s.Late)
						}
						if t.Failed() {
							t.Fatalf("seed %d", seed)
						}
					}
				})
			}
		}
	}
}

// messy makes a log with everything that can go wrong in it: several sources partitions that are hours apart and become unavailable, repeats, late
// and future events, floods, an import beside live traffic.
func messy(rng *rand.Rand, toRecord func(event) record) []record {
	var records []record
	now := epoch
	clocks := [3]time.Time{epoch, epoch, epoch}
	old := epoch.Add(-9 * 365 * 24 * time.Hour)
	var sent []event
	n := 0
	emit := func(e event) {
		n++
		e.id = fmt.Sprintf("e%d", n)
		e.user = fmt.Sprintf("user%d", rng.IntN(50))
		sent = append(sent, e)
		records = append(records, toRecord(e))
	}
	ahead := time.Duration(rng.IntN(3)) * 20 * time.Minute
	calm := time.Duration(1 + rng.IntN(12))
	for range 120 {
		source := fmt.Sprintf("198.51.100.%d", rng.IntN(6))
		switch rng.IntN(10 * int(calm)) {
		case 0: // a flood
			for range rng.IntN(80) {
				emit(event{source: source, at: now.Add(-time.Duration(rng.IntN(3000)) * time.Millisecond), published: now})
			}
		case 1: // a repeat, sometimes with another time
			if len(sent) > 0 {
				e := sent[len(sent)-1-rng.IntN(min(len(sent), 40))]
				if rng.IntN(3) == 0 {
					e.at = e.at.Add(time.Duration(rng.IntN(100)-50) * time.Second)
				}
				e.published = now
				records = append(records, toRecord(e))
			}
		case 2: // an import of an old log
			for range rng.IntN(40) {
				old = old.Add(time.Duration(rng.IntN(40)) * time.Second)
				emit(event{source: source, at: old, published: now})
			}
		case 3: // late
			emit(event{source: source, at: now.Add(-time.Duration(rng.IntN(3600)) * time.Second), published: now})
		case 4: // many groups
			for i := range rng.IntN(20) {
				emit(event{source: fmt.Sprintf("192.0.2.%d", i), at: now, published: now})
			}
		default:
			for range 1 + rng.IntN(4) {
				emit(event{source: source, at: now.Add(-time.Duration(rng.IntN(60)) * time.Second), published: now.Add(time.Duration(rng.Int64N(int64(ahead) + 1)))})
			}
		}
		now = now.Add(calm * time.Duration(rng.IntN(30)) * time.Second)
		if rng.IntN(25) == 0 {
			now = now.Add(time.Duration(rng.IntN(40)) * time.Minute)
		}
		if rng.IntN(30) == 0 {
			ahead = time.Duration(rng.IntN(3)) * 20 * time.Minute
		}
		clocks[0] = now
		if rng.IntN(3) > 0 {
			clocks[1] = now.Add(ahead)
		}
		if rng.IntN(3) == 0 {
			clocks[2] = now
		}
		records = append(records, clockOf(clocks[:]...))
	}
	return records
}

// The state after a replay from the rewind offset must be so much the same that everything that follows is: ids, versions, counts, order.
func TestReplayFromTheRewindOffsetChangesNothing(t *testing.T) {
	for name, resolveAfter := range map[string]time.Duration{"short": time.Minute, "default": 10 * time.Minute} {
		for _, maxGroups := range []int{0, 5} {
			t.Run(fmt.Sprintf("%s/%d", name, maxGroups), func(t *testing.T) {
				r := testRule()
				r.ResolveAfter = resolveAfter
				saved, total := 0, 0
				for seed := range rounds(20, 1000) {
					rng := rand.New(rand.NewPCG(uint64(seed), 2))
					records := messy(rng, func(e event) record { return matchOf(&r, e) })
					o := Options{Rules: ruleSet(r), MaxGroups: maxGroups}
					want := perRecord(t, New(o, Start(0)), records, 0)

					p, at := New(o, Start(0)), 0
					for at < len(records) {
						end := min(at+rng.IntN(len(records)/4)+1, len(records))
						for i := at; i < end; i++ {
							got := apply(t, p, records, i, i+1)
							if !sameAlerts(got, want[i]) {
								t.Fatalf("seed %d: record %d gave %v after a restart at %d, want %v", seed, i, got, at, want[i])
							}
							if rng.IntN(10) == 0 {
								p.Rewind(int64(i) + 1)
							}
						}
						cp, err := ParseCheckpoint(p.Rewind(int64(end)).String())
						if err != nil {
							t.Fatal(err)
						}
						if cp.Offset > int64(end) {
							t.Fatalf("seed %d: rewinds to %d, beyond %d", seed, cp.Offset, end)
						}
						saved, total = saved+int(cp.Offset), total+end
						p = New(o, cp)
						apply(t, p, records, int(cp.Offset), end)
						at = end
					}
				}
				if saved*10 < total {
					t.Errorf("replays skipped %d of %d records: the rewind offset hardly moves", saved, total)
				}
				t.Logf("replays skipped %d of %d records", saved, total)
			})
		}
	}
}

// Beginning a replay earlier than needed must be as good.
func TestReplayFromEarlierChangesNothing(t *testing.T) {
	r := testRule()
	for seed := range rounds(15, 400) {
		rng := rand.New(rand.NewPCG(uint64(seed), 3))
		records := messy(rng, func(e event) record { return matchOf(&r, e) })
		o := Options{Rules: ruleSet(r)}
		want := perRecord(t, New(o, Start(0)), records, 0)
		p := New(o, Start(0))
		var checkpoints []Checkpoint
		for i := range records {
			apply(t, p, records, i, i+1)
			if cp := p.Rewind(int64(i) + 1); rng.IntN(8) == 0 {
				checkpoints = append(checkpoints, cp)
				from := checkpoints[rng.IntN(len(checkpoints))]
				q := New(o, from)
				apply(t, q, records, int(from.Offset), i+1)
				for j := i + 1; j < min(i+40, len(records)); j++ {
					if got := apply(t, q, records, j, j+1); !sameAlerts(got, want[j]) {
						t.Fatalf("seed %d: record %d gave %v after a replay of [%d, %d), want %v", seed, j, got, from.Offset, i+1, want[j])
					}
				}
			}
		}
	}
}

func perRecord(t *testing.T, p *Partition, records []record, from int) [][]audit.Alert {
	out := make([][]audit.Alert, len(records))
	for i := from; i < len(records); i++ {
		out[i] = apply(t, p, records, i, i+1)
	}
	return out
}

func sameAlerts(a, b []audit.Alert) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}

// A full group drops events for others that die before those would have: a replay that began in between would still hold them.
func TestReplayDoesNotBringBackWhatWasDropped(t *testing.T) {
	r := testRule()
	o := Options{Rules: ruleSet(r)}
	var records []record
	login := func(source string, at, published float64) {
		records = append(records, matchOf(&r, event{id: fmt.Sprint(len(records)), source: source, at: after(at), published: after(published)}))
	}
	clock := func(s float64) { records = append(records, clockOf(after(s))) }
	clock(0)
	for i := range 20 { // as many as are kept, too far apart to be an attack
		login("203.0.113.7", 3600+float64(i)*100, 0)
	}
	clock(100)
	login("203.0.113.8", 100, 100) // alive for longer than the twenty: the replay begins here
	clock(110)
	for i := range 4 { // older than the twenty: dropped at once
		login("203.0.113.7", float64(i), 110)
	}
	clock(200) // the twenty are dead
	restart := len(records)
	login("203.0.113.7", 4, 200)

	p := New(o, Start(0))
	apply(t, p, records, 0, restart)
	cp := p.Rewind(int64(restart))
	want := apply(t, p, records, restart, len(records))
	q := New(o, cp)
	apply(t, q, records, int(cp.Offset), restart)
	if got := apply(t, q, records, restart, len(records)); !sameAlerts(got, want) {
		t.Errorf("after a replay from %d there are %d alerts, without one %d", cp.Offset, len(got), len(want))
	}
	clock(400)
	apply(t, p, records, restart+1, len(records))
	if cp := p.Rewind(int64(len(records))); cp.Offset < int64(restart) {
		t.Errorf("nothing is alive, and the rewind offset is still %d of %d", cp.Offset, len(records))
	}
}
