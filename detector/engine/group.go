package engine

import (
	"cmp"
	"slices"

	"github.com/audittrail/audittrail/detector/rule"
	"github.com/audittrail/audittrail/schemas/audit"
)

// compiled is a rule with its times in the units that the engine counts in.
type compiled struct {
	*rule.Rule
	grouping rule.Grouping
	// timespan and resolveAfter are in microseconds, as event times are.
	timespan, resolveAfter int64
	// lateness, resolveMillis and life are in milliseconds, as Kafka times are.
	lateness, resolveMillis int64
	// life is how long an event is kept by the clock: two events at most a timespan apart, each published within the lateness, are never further
	// apart than that.
	life   int64
	groups map[string]*group
}

func compile(r *rule.Rule) *compiled {
	c := &compiled{
		Rule:          r,
		grouping:      rule.NewGrouping(r.GroupBy),
		timespan:      r.Timespan.Microseconds(),
		resolveAfter:  r.ResolveAfter.Microseconds(),
		lateness:      r.LatenessOrDefault().Milliseconds(),
		resolveMillis: r.ResolveAfter.Milliseconds(),
		groups:        make(map[string]*group),
	}
	c.life = 2*r.Timespan.Milliseconds() + c.lateness
	return c
}

// capacity is how many events of a group are kept: if there are more that are not late, some window among them has reached the threshold, so the
// group has an episode already and the oldest can go.
func (c *compiled) capacity(allowance int64) int {
	perWindow := (allowance*1000 + c.timespan - 1) / c.timespan
	return c.Threshold * (3 + int(perWindow))
}

// slack is how much older than the newest event of its group an event may be without being late, in microseconds; the allowance is in milliseconds.
func (c *compiled) slack(allowance int64) int64 { return c.timespan + allowance*1000 }

// maxResolved is how many resolved episodes a group remembers.
const maxResolved = 8

// group is the state of one rule for one group key.
type group struct {
	rule *compiled
	key  string
	win  window
	// episodes are those that are waiting or open, by time.
	episodes []*episode
	// resolved are the last few resolved ones, until they are forgotten.
	resolved []*episode
	pin      pin
	// published is the greatest Kafka time of its matches.
	published int64

	// due is when the clock may resolve or forget something, 0 when there is no such thing; index is the place in the queue of due groups.
	due   int64
	index int
	// prev and next chain the groups by when their last match came.
	prev, next *group
}

// values are the group key for people. The partition has checked that the key is one of this rule's.
func (g *group) values() map[string]string {
	v, _ := g.rule.grouping.Values(g.key)
	return v
}

func (g *group) tenant() string {
	if t := g.values()["tenant"]; t != rule.Missing {
		return t
	}
	return ""
}

// hold notes that the condition holds at entry i, and makes the events of its window members of the episode. published is the Kafka time of what
// made it hold.
func (g *group) hold(i int, published int64) {
	e := &g.win.entries[i]
	e.held = true
	ep := g.episodeAt(e.time)
	if ep == nil {
		ep = &episode{first: e.time, last: e.time, id: alertID(g.rule.ID, g.key, e.detail.Facts().ID)}
		g.episodes = append(g.episodes, ep)
		g.sortEpisodes()
	}
	ep.first, ep.last = min(ep.first, e.time), max(ep.last, e.time)
	ep.active = max(ep.active, published)
	for j := i; j >= 0 && g.win.entries[j].time > e.time-g.rule.timespan; j-- {
		if j < i && g.win.entries[j].held {
			break // its own window reaches further back than this one does: all of that are members
		}
		if !g.win.entries[j].member {
			ep.join(&g.win.entries[j])
		}
	}
}

// joinAt makes entry i a member of the episode in which the condition held at t.
func (g *group) joinAt(t int64, i int) {
	if g.win.entries[i].member {
		return
	}
	if ep := g.episodeAt(t); ep != nil {
		ep.join(&g.win.entries[i])
	}
}

// episodeAt returns the episode that a time at which the condition holds belongs to, nil when it begins a new one. Episodes that the time connects
// become one, as they would have been had the events arrived in order; and a resolved one is opened again.
func (g *group) episodeAt(t int64) *episode {
	var found *episode
	for _, ep := range slices.Clone(g.episodes) {
		if !ep.covers(t, g.rule.resolveAfter) {
			continue
		}
		switch {
		case found == nil:
			found = ep
		case ep.standing == waiting:
			found.absorb(ep)
			g.remove(ep)
		case found.standing == waiting:
			ep.absorb(found)
			g.remove(found)
			found = ep
		}
	}
	if found == nil {
		found = g.reopen(t)
	}
	return found
}

// reopen takes back the resolved episode that a time at which the condition holds belongs to, if there is one.
func (g *group) reopen(t int64) *episode {
	i := slices.IndexFunc(g.resolved, func(ep *episode) bool { return ep.covers(t, g.rule.resolveAfter) })
	if i < 0 {
		return nil
	}
	ep := g.resolved[i]
	g.resolved = slices.Delete(g.resolved, i, i+1)
	ep.standing, ep.reopened, ep.disputed = open, true, true
	g.episodes = append(g.episodes, ep)
	g.sortEpisodes()
	return ep
}

func (g *group) sortEpisodes() {
	slices.SortStableFunc(g.episodes, func(a, b *episode) int { return cmp.Compare(a.first, b.first) })
}

func (g *group) remove(ep *episode) {
	g.episodes = slices.DeleteFunc(g.episodes, func(e *episode) bool { return e == ep })
}

// settle ends the episodes that are over, opens those that need not wait and publishes what is due. An episode is over when the clock says so, or
// when no event that is not late, seen from an event at time at, can make it longer.
func (g *group) settle(at, now, allowance int64, out []audit.Alert) []audit.Alert {
	for _, ep := range slices.Clone(g.episodes) {
		byEvent := !ep.disputed && at >= ep.last+g.rule.resolveAfter+g.rule.slack(allowance)
		byClock := now > 0 && now >= ep.active+g.rule.resolveMillis+allowance
		if !byEvent && !byClock {
			continue
		}
		if ep.standing == waiting {
			out = append(out, ep.publish(g, audit.AlertOpen))
		}
		ep.standing, ep.reopened = resolved, false
		out = append(out, ep.publish(g, audit.AlertResolved))
		ep.forget = max(now, ep.active) + g.rule.resolveMillis
		g.remove(ep)
		g.resolved = append(g.resolved, ep)
	}
	g.resolved = slices.DeleteFunc(g.resolved, func(ep *episode) bool { return now >= ep.forget })
	g.resolved = slices.Delete(g.resolved, 0, max(0, len(g.resolved)-maxResolved))
	for _, ep := range g.episodes {
		if ep.standing == waiting && !g.near(ep, allowance) {
			ep.standing = open
			out = append(out, ep.publish(g, audit.AlertOpen))
		} else if ep.standing == open && (ep.reopened || ep.count >= ep.announce) {
			ep.reopened = false
			out = append(out, ep.publish(g, audit.AlertOpen))
		}
	}
	return out
}

// near says whether another episode with an open alert is so close that events which are not late may still join the two.
func (g *group) near(ep *episode, allowance int64) bool {
	reach := g.rule.resolveAfter + g.rule.slack(allowance)
	return slices.ContainsFunc(g.episodes, func(o *episode) bool {
		return o != ep && o.standing == open && ep.first < o.last+reach && ep.last > o.first-reach
	})
}

// nextDue returns when the clock may have something to do for the group; 0 for never. The allowance may shrink meanwhile: the lateness is the least.
func (g *group) nextDue() int64 {
	due := int64(0)
	for _, ep := range g.episodes {
		if t := ep.active + g.rule.resolveMillis + g.rule.lateness; due == 0 || t < due {
			due = t
		}
	}
	for _, ep := range g.resolved {
		if due == 0 || ep.forget < due {
			due = ep.forget
		}
	}
	return due
}

// truncate drops the n oldest entries and returns the greatest published time among them. One that happened after open could still have become a
// member of an episode.
func (g *group) truncate(n int, open int64) (dropped int64) {
	for range n {
		e := &g.win.entries[0]
		dropped = max(dropped, e.published)
		if !e.member && e.time > open {
			for _, ep := range g.episodes {
				ep.approximate = true
			}
		}
		g.win.dropFirst()
	}
	return dropped
}
