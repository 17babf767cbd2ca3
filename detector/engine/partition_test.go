package engine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/audittrail/audittrail/detector/rule"
	"github.com/audittrail/audittrail/schemas/audit"
)

// bench feeds a partition by hand.
type bench struct {
	t    testing.TB
	rule rule.Rule
	p    *Partition
	next int64
}

func newBench(t testing.TB, change func(*rule.Rule)) *bench {
	r := testRule()
	if change != nil {
		change(&r)
	}
	return &bench{t: t, rule: r, p: New(Options{Rules: ruleSet(r)}, Start(0))}
}

func (b *bench) put(r record) []audit.Alert {
	b.t.Helper()
	alerts, err := b.p.Apply(b.next, r.key, r.value)
	if err != nil {
		b.t.Fatal(err)
	}
	b.next++
	return slices.Clone(alerts)
}

// login is a failed login at a number of seconds past the epoch, published at once.
func (b *bench) login(seconds float64) []audit.Alert {
	b.t.Helper()
	return b.loginAs(fmt.Sprintf("e%d", b.next), seconds, seconds)
}

func (b *bench) loginAs(id string, seconds, published float64) []audit.Alert {
	b.t.Helper()
	return b.put(matchOf(&b.rule, event{id: id, source: "203.0.113.7", user: "root", at: after(seconds), published: after(published)}))
}

func (b *bench) clock(seconds float64) []audit.Alert {
	b.t.Helper()
	return b.put(clockOf(after(seconds)))
}

func after(seconds float64) time.Time {
	return epoch.Add(time.Duration(seconds * float64(time.Second)))
}

// brief says what an alert is about: version, state, count.
func brief(alerts []audit.Alert) (out []string) {
	for _, a := range alerts {
		out = append(out, fmt.Sprintf("v%d %s %d", a.Version, a.State, a.Count))
	}
	return out
}

func (b *bench) expect(got []audit.Alert, want ...string) {
	b.t.Helper()
	if !slices.Equal(brief(got), want) {
		b.t.Errorf("got %q, want %q", brief(got), want)
	}
}

func TestFiveInAMinuteRaiseAnAlert(t *testing.T) {
	b := newBench(t, func(r *rule.Rule) { *r = rule.BruteForceIP() })
	for s := range 4 {
		b.expect(b.login(float64(s) * 14))
	}
	got := b.loginAs("trigger", 59.999, 60)
	if len(got) != 1 {
		t.Fatalf("got %d alerts", len(got))
	}
	want := audit.Alert{
		ID: alertID(b.rule.ID, string(matchOf(&b.rule, event{source: "203.0.113.7"}).key), "trigger"), Version: 1, State: audit.AlertOpen,
		RuleID: b.rule.ID, RuleName: "brute_force_ip", Level: "high", Tenant: "default",
		Key:       map[string]string{"tenant": "default", "source.ip_prefix": "203.0.113.7/32"},
		FirstSeen: after(0), LastSeen: after(59.999), Window: "1m", Count: 5,
		Users: audit.Names{Values: []string{"root"}, Total: 1}, Sources: audit.Names{Values: []string{"203.0.113.7"}, Total: 1},
		Samples: []string{"trigger", "e3", "e2", "e1", "e0"}, Actions: b.rule.Actions, Tags: b.rule.Tags,
	}
	if !reflect.DeepEqual(got[0], want) {
		t.Errorf("got  %+v\nwant %+v", got[0], want)
	}
	if want.ID[14] != '5' {
		t.Errorf("the id %s is no UUID of version 5", want.ID)
	}
}

func TestWindowsAreHalfOpen(t *testing.T) {
	for last, raises := range map[float64]bool{59.999999: true, 60: false} {
		b := newBench(t, nil)
		for s := range 4 {
			b.login(float64(s))
		}
		if got := b.login(last); (len(got) == 1) != raises {
			t.Errorf("the fifth one after %v s gave %q", last, brief(got))
		}
	}
}

// The last five alone would not do: the late one completes a window that they have left behind.
func TestLateEventCompletesAnOlderWindow(t *testing.T) {
	b := newBench(t, nil)
	for _, s := range []float64{0, 1, 2, 3, 70, 71} {
		b.expect(b.loginAs(fmt.Sprint(s), s, 71))
	}
	b.expect(b.loginAs("30", 30, 71), "v1 open 5")
}

func TestRepeatsCountOnce(t *testing.T) {
	b := newBench(t, nil)
	for s := range 4 {
		b.login(float64(s))
	}
	for _, id := range []string{"e0", "e3", "e3"} {
		b.expect(b.loginAs(id, float64(id[1]-'0'), 5))
	}
	b.expect(b.loginAs("e1", 7, 7)) // the same id with another time is the same event
	if got := b.p.TakeStats(); got.Duplicates != 4 || got.Matches != 8 {
		t.Errorf("counted %+v", got)
	}
	b.expect(b.login(8), "v1 open 5")
}

func TestMissingAddressIsAGroupOfItsOwn(t *testing.T) {
	b := newBench(t, nil)
	var got []audit.Alert
	for s := range 5 {
		b.put(matchOf(&b.rule, event{id: fmt.Sprint("other", s), source: fmt.Sprintf("203.0.113.%d", s), at: after(0), published: after(0)}))
		got = b.put(matchOf(&b.rule, event{id: fmt.Sprint(s), at: after(float64(s)), published: after(float64(s))}))
	}
	b.expect(got, "v1 open 5")
	if len(got) == 1 && (got[0].Key["source.ip_prefix"] != rule.Missing || got[0].Sources.Total != 0) {
		t.Errorf("the alert is about %v with %d sources", got[0].Key, got[0].Sources.Total)
	}
}

func TestUpdatesAreGeometric(t *testing.T) {
	b := newBench(t, nil)
	var got []audit.Alert
	for i := range 100_000 {
		got = append(got, b.loginAs(fmt.Sprint(i), float64(i)/100, float64(i)/100)...)
	}
	b.expect(got, "v1 open 5", "v2 open 10", "v3 open 20", "v4 open 40", "v5 open 80", "v6 open 160", "v7 open 320", "v8 open 640", "v9 open 1280",
		"v10 open 2560", "v11 open 5120", "v12 open 10240", "v13 open 20480", "v14 open 40960", "v15 open 81920")
	b.expect(b.clock(100_000), "v16 resolved 100000")
	last := got[len(got)-1]
	if len(last.Samples) != audit.MaxAlertSamples || last.Approximate {
		t.Errorf("the alert has %d samples, approximate is %t", len(last.Samples), last.Approximate)
	}
}

func TestOneGroupStaysSmallHoweverManyEvents(t *testing.T) {
	b := newBench(t, nil)
	r := b.p.rules[b.rule.Key()]
	for i := range 10_000 {
		b.loginAs(fmt.Sprint(i), float64(i)/1000, float64(i)/1000)
	}
	for _, g := range r.groups {
		if limit := r.capacity(r.lateness); len(g.win.entries) > limit || limit != 20 {
			t.Errorf("%d entries are kept, the limit is %d", len(g.win.entries), limit)
		}
	}
	if b.p.TakeStats().Dropped == 0 {
		t.Error("nothing was counted as dropped")
	}
}

func TestNamesAreBounded(t *testing.T) {
	b := newBench(t, nil)
	var got []audit.Alert
	for i := range 3 * maxDistinct {
		got = append(got, b.put(matchOf(&b.rule, event{
			id: fmt.Sprint(i), source: "203.0.113.7", user: fmt.Sprintf("user%d", i), at: after(float64(i) / 1000), published: after(float64(i) / 1000),
		}))...)
	}
	got = append(got, b.clock(100_000)...)
	at20 := got[2]
	if at20.Users.Total != 20 || len(at20.Users.Values) != audit.MaxAlertNames || at20.Approximate {
		t.Errorf("with 20 events: %d users, %d shown, approximate is %t", at20.Users.Total, len(at20.Users.Values), at20.Approximate)
	}
	last := got[len(got)-1]
	if last.Users.Total != maxDistinct || !last.Approximate || last.Count != 3*maxDistinct {
		t.Errorf("at the end: %d users, approximate is %t, %d events", last.Users.Total, last.Approximate, last.Count)
	}
}

func TestEpisodeEndsByTheClock(t *testing.T) {
	b := newBench(t, nil)
	b.clock(-1)
	for s := range 5 {
		b.login(float64(s))
	}
	b.expect(b.login(300)) // no five in a minute: the condition does not hold any more, and the alert is not about this one
	b.expect(b.clock(4 + 600 + 59.999))
	b.expect(b.clock(4+600+60), "v2 resolved 5")
	b.expect(b.clock(5000))
}

func TestEpisodeEndsByALaterEvent(t *testing.T) {
	b := newBench(t, nil)
	for s := range 5 {
		b.login(float64(s))
	}
	// Up to here a late event could still make the episode longer.
	b.expect(b.login(4 + 600 + 119.9))
	b.expect(b.login(4+600+120), "v2 resolved 5")
}

func TestSecondEpisodeWaitsUntilItCannotBelongToTheFirst(t *testing.T) {
	short := func(r *rule.Rule) { r.ResolveAfter = time.Minute }
	burst := func(b *bench, from float64) (got []audit.Alert) {
		for i := range 5 {
			got = append(got, b.login(from+float64(i))...)
		}
		return got
	}
	t.Run("apart", func(t *testing.T) {
		b := newBench(t, short)
		b.expect(burst(b, 0), "v1 open 5")
		b.expect(burst(b, 100))
		b.expect(b.login(184), "v2 resolved 5", "v1 open 5")
	})
	t.Run("by the clock", func(t *testing.T) {
		b := newBench(t, short)
		b.expect(burst(b, 0), "v1 open 5")
		b.expect(burst(b, 100))
		b.expect(b.clock(4+60+60), "v2 resolved 5", "v1 open 5")
		b.expect(b.clock(104+60+60), "v2 resolved 5")
	})
	t.Run("joined", func(t *testing.T) {
		b := newBench(t, short)
		b.expect(burst(b, 0), "v1 open 5")
		b.expect(burst(b, 100))
		b.expect(b.login(50), "v2 open 11") // with it the condition holds at 50 s: 0 to 104 s are one episode
		b.expect(b.clock(1000), "v3 resolved 11")
	})
	t.Run("far apart", func(t *testing.T) {
		b := newBench(t, short)
		b.expect(burst(b, 0), "v1 open 5")
		b.expect(burst(b, 1e6), "v2 resolved 5", "v1 open 5")
	})
}

func TestEpisodeIsOpenedAgainAfterAPauseInAnImport(t *testing.T) {
	b := newBench(t, nil)
	var id string
	for i := range 5 {
		for _, a := range b.loginAs(fmt.Sprint(i), float64(i)-1e8, 0) {
			id = a.ID
		}
	}
	b.expect(b.clock(700), "v2 resolved 5")
	var got []audit.Alert
	for i := 5; i < 10; i++ {
		got = append(got, b.loginAs(fmt.Sprint(i), float64(i)-1e8+300, 701)...)
	}
	b.expect(got, "v3 open 10")
	if got[0].ID != id {
		t.Error("the episode was given another id")
	}
	b.expect(b.clock(5000), "v4 resolved 10")
	b.clock(6000)
	for i := 10; i < 15; i++ {
		got = b.loginAs(fmt.Sprint(i), float64(i)-1e8+600, 6001)
	}
	b.expect(got, "v1 open 5") // the first one is forgotten by now
}

func TestExpiryIsByTheClockNotByEventTime(t *testing.T) {
	b := newBench(t, nil)
	year := 365 * 24 * 3600.0
	b.clock(0)
	for i := range 4 {
		b.loginAs(fmt.Sprint(i), -9*year+float64(i), 1) // years old, but just imported
	}
	b.clock(100)
	b.expect(b.loginAs("4", -9*year+4, 100), "v1 open 5")

	b = newBench(t, nil)
	for i := range 4 {
		b.loginAs(fmt.Sprint(i), -9*year+float64(i), 1)
	}
	b.clock(1 + 180)
	b.expect(b.loginAs("4", -9*year+4, 181))
	b.p.sweep()
	b.clock(1000)
	b.p.sweep()
	if n := b.p.Groups(); n != 0 {
		t.Errorf("%d groups are left long after the last match", n)
	}
}

func TestOldEventsDoNotDisturbLiveOnesOfTheSameGroup(t *testing.T) {
	b := newBench(t, nil)
	old := -3e8
	var live []audit.Alert
	for s := range 5 {
		for i := range 50 { // an import that would flush any list of the last few
			b.loginAs(fmt.Sprintf("old%d.%d", s, i), old+float64(s*50+i)*20, float64(s)*14)
		}
		live = append(live, b.login(float64(s)*14)...)
	}
	live = slices.DeleteFunc(live, func(a audit.Alert) bool { return a.FirstSeen.Before(epoch.Add(-time.Hour)) })
	b.expect(live, "v1 open 5")
	if s := b.p.TakeStats(); s.Late == 0 {
		t.Error("no old event was counted as late")
	}
}

// An import beside live traffic of the same group: both attacks are seen, and the alerts do not flap with every event. The old events are late; once
// the group is full it keeps the newer ones.
func TestOldAndNewAttackAtTheSameTime(t *testing.T) {
	b := newBench(t, nil)
	var got []audit.Alert
	for s := range 300 {
		got = append(got, b.loginAs(fmt.Sprint("old", s), -3e8+float64(s), float64(s))...)
		got = append(got, b.loginAs(fmt.Sprint("new", s), float64(s), float64(s))...)
	}
	got = append(got, b.clock(1e5)...)
	last := make(map[int]audit.Alert)
	for _, a := range got {
		last[a.FirstSeen.Year()] = a
	}
	if len(last) != 2 || len(got) > 20 {
		t.Fatalf("%d alert versions of %d years: %q", len(got), len(last), brief(got))
	}
	if a := last[2026]; a.Count != 300 || a.State != audit.AlertResolved {
		t.Errorf("the new attack ended as %s with %d events", a.State, a.Count)
	}
}

func TestUnevenCatchUpMissesNothing(t *testing.T) {
	b := newBench(t, nil)
	b.put(clockOf(after(-10), after(1800)))
	// The fast source partition is half an hour ahead: its events arrive before those of the slow one.
	for _, s := range []float64{1700, 1, 2} {
		b.login(s)
	}
	b.put(clockOf(after(2.5), after(1805)))
	for _, s := range []float64{1701, 3, 4} {
		b.login(s)
	}
	b.expect(b.login(5), "v1 open 5")
	if s := b.p.TakeStats(); s.Late != 0 {
		t.Errorf("%d events were late", s.Late)
	}
}

func TestFullPartitionGivesUpTheLeastOfItsGroups(t *testing.T) {
	r := testRule()
	p := New(Options{Rules: ruleSet(r), MaxGroups: 100}, Start(0))
	next := int64(0)
	login := func(source string, at float64) []audit.Alert {
		rec := matchOf(&r, event{id: fmt.Sprint(next), source: source, at: after(at), published: after(at)})
		out, err := p.Apply(next, rec.key, rec.value)
		if err != nil {
			t.Fatal(err)
		}
		next++
		return out
	}
	login("203.0.113.7", 0)
	login("203.0.113.7", 0)
	for i := range 5000 { // a flood of addresses, one login each
		login(fmt.Sprintf("10.0.%d.%d", i/250, i%250), 1)
		if i%1500 == 1499 {
			if got := login("203.0.113.7", 2); i == 4499 && len(got) != 1 {
				t.Error("the flood has pushed out a group that was close to its threshold")
			}
		}
	}
	if s := p.TakeStats(); p.Groups() > 100 || s.Evicted < 4800 {
		t.Errorf("%d groups are kept, %d were given up", p.Groups(), s.Evicted)
	}
}

func TestGroupsWithEpisodesAreNeverGivenUp(t *testing.T) {
	r := testRule()
	p := New(Options{Rules: ruleSet(r), MaxGroups: 3}, Start(0))
	next, opened := int64(0), 0
	for i := range 5 {
		for range 5 {
			rec := matchOf(&r, event{id: fmt.Sprint(next), source: fmt.Sprintf("10.0.0.%d", i), at: after(float64(i)), published: after(float64(i))})
			out, err := p.Apply(next, rec.key, rec.value)
			if err != nil {
				t.Fatal(err)
			}
			opened += len(out)
			next++
		}
	}
	if s := p.TakeStats(); opened != 3 || s.Refused != 10 || s.Evicted != 0 {
		t.Errorf("%d alerts were opened, %d matches refused, %d groups given up", opened, s.Refused, s.Evicted)
	}
}

func TestForeignRecordsChangeNothing(t *testing.T) {
	b := newBench(t, nil)
	r := b.rule
	good := matchOf(&r, event{id: "a", source: "203.0.113.7", at: epoch, published: epoch})
	for name, rec := range map[string]record{
		"no value":    {key: good.key},
		"json":        {good.key, []byte(`{"action":"auth.login"}`)},
		"another key": {[]byte("203.0.113.7"), good.value},
		"no key":      {nil, good.value},
	} {
		if _, err := b.p.Apply(0, rec.key, rec.value); !errors.Is(err, ErrUnreadable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b.p.Groups() != 0 {
		t.Error("a foreign record made a group")
	}
	other := r
	other.ID = "another rule"
	b.expect(b.put(matchOf(&other, event{id: "a", source: "203.0.113.7", at: epoch, published: epoch})))
	if s := b.p.TakeStats(); s.UnknownRules != 1 {
		t.Errorf("counted %+v", s)
	}
}

// In order, the ids do not depend on what else is in the partition, nor on the clock.
func TestIDsDependOnTheGroupAlone(t *testing.T) {
	r := testRule()
	rng := rand.New(rand.NewPCG(1, 4))
	events := randomEvents(rng, 600, epoch)
	ids := func(p *Partition, keep func(event) bool, clocks bool) []string {
		var out []string
		for i, e := range events {
			e.published = epoch
			if keep(e) {
				rec := matchOf(&r, e)
				alerts, err := p.Apply(int64(2*i), rec.key, rec.value)
				if err != nil {
					t.Fatal(err)
				}
				for _, a := range alerts {
					if a.Version == 1 && a.Key["source.ip_prefix"] == "203.0.113.1/32" {
						out = append(out, a.ID)
					}
				}
			}
			if rec := clockOf(epoch.Add(time.Duration(i) * time.Millisecond)); clocks {
				if _, err := p.Apply(int64(2*i+1), rec.key, rec.value); err != nil {
					t.Fatal(err)
				}
			}
		}
		return out
	}
	all := ids(New(Options{Rules: ruleSet(r)}, Start(0)), func(event) bool { return true }, true)
	alone := ids(New(Options{Rules: ruleSet(r)}, Start(0)), func(e event) bool { return e.source == "203.0.113.1" }, false)
	if len(all) == 0 || !slices.Equal(all, alone) {
		t.Errorf("%d ids and %d ids, they differ", len(all), len(alone))
	}
}
