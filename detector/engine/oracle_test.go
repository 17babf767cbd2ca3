package engine

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/audittrail/audittrail/detector/rule"
	"github.com/audittrail/audittrail/detector/wire"
	"github.com/audittrail/audittrail/schemas/audit"
)

// event is a failed login as a test means it.
type event struct {
	id     string
	source string
	user   string
	at     time.Time
	// published is the Kafka time.
	published time.Time
}

// record is one record of audit.matches.
type record struct {
	key, value []byte
}

var epoch = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func testRule() rule.Rule {
	r := rule.BruteForceIP()
	r.Actions, r.Tags = nil, nil
	return r
}

// matchOf returns the match record of an event.
func matchOf(r *rule.Rule, ev event) record {
	e := audit.Event{Tenant: "default"}
	f := wire.Facts{ID: ev.id, User: ev.user}
	if ev.source != "" {
		e.Source.IP = netip.MustParseAddr(ev.source)
		f.Source = e.Source.IP
	}
	m := wire.Match{
		Rules: []uint32{r.Key()}, Time: ev.at.UnixMicro(), Published: ev.published.UnixMilli(),
		Detail: wire.Detail(wire.AppendDetail(nil, &f)),
	}
	return record{rule.NewGrouping(r.GroupBy).AppendKey(nil, &e), wire.AppendMatch(nil, &m)}
}

// clockOf returns a clock record of all source partitions, which are at the given times.
func clockOf(times ...time.Time) record {
	c := wire.Clock{Total: int32(len(times))}
	for i, t := range times {
		c.Sources = append(c.Sources, wire.Source{Partition: int32(i), Time: t.UnixMilli()})
	}
	return record{value: wire.AppendClock(nil, &c)}
}

// apply runs records[from:to) and returns copies of the alerts.
func apply(t testing.TB, p *Partition, records []record, from, to int) []audit.Alert {
	t.Helper()
	var out []audit.Alert
	for i := from; i < to; i++ {
		alerts, err := p.Apply(int64(i), records[i].key, records[i].value)
		if err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		out = append(out, alerts...)
	}
	return out
}

// truth is one episode as it must be.
type truth struct {
	source              string
	firstSeen, lastSeen time.Time
	count               uint64
}

func (e truth) String() string {
	return fmt.Sprintf("%s %s–%s %d", e.source, e.firstSeen.Format("01-02 15:04:05.000"), e.lastSeen.Format("01-02 15:04:05.000"), e.count)
}

// oracle finds the episodes from the whole list of events, in the plainest way.
func oracle(events []event, threshold int, timespan, resolveAfter time.Duration) []truth {
	groups := make(map[string][]event)
	seen := make(map[string]bool)
	for _, e := range events {
		if !seen[e.source+e.id] {
			groups[e.source] = append(groups[e.source], e)
			seen[e.source+e.id] = true
		}
	}
	var out []truth
	for _, source := range slices.Sorted(maps.Keys(groups)) {
		list := groups[source]
		slices.SortStableFunc(list, func(a, b event) int { return a.at.Compare(b.at) })
		var last time.Time
		var members map[string]event
		end := func() {
			if len(members) == 0 {
				return
			}
			ep := truth{source: source, count: uint64(len(members))}
			for _, m := range members {
				if ep.firstSeen.IsZero() || m.at.Before(ep.firstSeen) {
					ep.firstSeen = m.at
				}
				if m.at.After(ep.lastSeen) {
					ep.lastSeen = m.at
				}
			}
			out = append(out, ep)
		}
		for i, e := range list {
			var window []event
			for _, w := range list[:i+1] {
				if w.at.After(e.at.Add(-timespan)) {
					window = append(window, w)
				}
			}
			if len(window) < threshold {
				continue
			}
			if members == nil || e.at.Sub(last) >= resolveAfter {
				end()
				members = make(map[string]event)
			}
			last = e.at
			for _, w := range window {
				members[w.id] = w
			}
		}
		end()
	}
	sortTruth(out)
	return out
}

func sortTruth(list []truth) {
	slices.SortFunc(list, func(a, b truth) int {
		return cmp.Or(cmp.Compare(a.source, b.source), a.firstSeen.Compare(b.firstSeen))
	})
}

// episodesOf reduces alerts to episodes, and checks each one's versions on the way.
func episodesOf(t testing.TB, alerts []audit.Alert) []truth {
	t.Helper()
	last := make(map[string]audit.Alert)
	for _, a := range alerts {
		before := last[a.ID]
		if a.Version != before.Version+1 {
			t.Errorf("alert %s: version %d follows %d", a.ID, a.Version, before.Version)
		}
		if before.State == audit.AlertResolved && a.State == audit.AlertResolved {
			t.Errorf("alert %s: resolved twice", a.ID)
		}
		if len(a.Samples) > audit.MaxAlertSamples || len(a.Users.Values) > audit.MaxAlertNames || len(a.Sources.Values) > audit.MaxAlertNames {
			t.Errorf("alert %s: lists are too long", a.ID)
		}
		last[a.ID] = a
	}
	var out []truth
	for _, a := range last {
		if a.State != audit.AlertResolved {
			t.Errorf("alert %s was left %s", a.ID, a.State)
		}
		source := a.Key["source.ip_prefix"]
		if source == rule.Missing {
			source = ""
		} else {
			source = netip.MustParsePrefix(source).Addr().String()
		}
		out = append(out, truth{source, a.FirstSeen, a.LastSeen, a.Count})
	}
	sortTruth(out)
	return out
}

func diff(t testing.TB, got, want []truth) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	t.Errorf("%d episodes, want %d", len(got), len(want))
	for _, e := range got {
		if !slices.Contains(want, e) {
			t.Errorf("  wrong   %s", e)
		}
	}
	for _, e := range want {
		if !slices.Contains(got, e) {
			t.Errorf("  missing %s", e)
		}
	}
}
