package engine

import (
	"container/heap"
	"errors"
	"math"

	"github.com/zeebo/xxh3"

	"github.com/audittrail/audittrail/detector/rule"
	"github.com/audittrail/audittrail/detector/wire"
	"github.com/audittrail/audittrail/schemas/audit"
)

// DefaultMaxGroups bounds the groups of one partition.
const DefaultMaxGroups = 200_000

// Options say how a partition works.
type Options struct {
	// Rules must have passed rule.Validate; the partition keeps them.
	Rules []rule.Rule
	// MaxGroups bounds the groups in memory; DefaultMaxGroups when 0. Beyond it the one with the fewest events among those without a match for the
	// longest time is given up, and counted. All replicas must use the same number.
	MaxGroups int
}

// Partition is the state of one partition of audit.matches. It is used by one goroutine.
type Partition struct {
	rules     map[uint32]*compiled
	maxGroups int

	clock  clock
	groups int
	// first and last are the ends of the chain of groups, least recently matched first.
	first, last *group
	due         queue
	pin         pin
	// longest is the longest life of the rules, published the greatest Kafka time of a match.
	longest, published int64
	marks              marks
	// swept is the clock at the last sweep, rewound at the last that moved the rewind offset.
	swept, rewound int64

	stats Stats
	rec   wire.Record
	out   []audit.Alert
}

// Stats count what happened since they were last taken.
type Stats struct {
	// Matches are match records, Late those of late events, Duplicates those of events that were there already.
	Matches, Late, Duplicates int
	// Dropped are events that a full group gave up, Evicted and Refused groups that a full partition gave up or did not take in.
	Dropped, Evicted, Refused int
	// UnknownRules are matches of rules that this partition does not have.
	UnknownRules int
}

// New returns the partition as it was at the checkpoint; a zero Checkpoint but for the offset begins without a past.
func New(o Options, at Checkpoint) *Partition {
	p := &Partition{rules: make(map[uint32]*compiled), maxGroups: o.MaxGroups, clock: at.clock.clone()}
	if p.maxGroups == 0 {
		p.maxGroups = DefaultMaxGroups
	}
	for i := range o.Rules {
		c := compile(&o.Rules[i])
		p.rules[c.Key()] = c
		p.longest = max(p.longest, c.life)
	}
	p.marks.begin(Checkpoint{at.Offset, p.clock.clone()})
	return p
}

// ErrUnreadable is a record that no match stage has written.
var ErrUnreadable = errors.New("unreadable record")

// Apply takes in the record at this offset; offsets must ascend. The alerts that it gives are valid until the next call. An error wraps
// ErrUnreadable: the record changed nothing.
func (p *Partition) Apply(offset int64, key, value []byte) ([]audit.Alert, error) {
	p.out = p.out[:0]
	if err := wire.Parse(value, &p.rec); err != nil {
		return nil, errors.Join(ErrUnreadable, err)
	}
	if p.rec.IsClock {
		p.tick(&p.rec.Clock)
		p.marks.add(offset+1, &p.clock)
		return p.out, nil
	}
	p.stats.Matches++
	for _, id := range p.rec.Match.Rules {
		r := p.rules[id]
		if r == nil {
			p.stats.UnknownRules++
			continue
		}
		g, err := p.group(r, key, offset, p.rec.Match.Published)
		if err != nil {
			return nil, errors.Join(ErrUnreadable, err)
		}
		if g != nil {
			p.observe(g, offset, &p.rec.Match)
		}
	}
	return p.out, nil
}

// observe takes a match into its group.
func (p *Partition) observe(g *group, offset int64, m *wire.Match) {
	r, now := g.rule, p.clock.now
	allowance := p.clock.allowance(r.lateness)
	// What arrives after the clock has passed it (its partition was unavailable) is as if published now: it lives as long as others.
	published := max(m.Published, now)
	g.win.expire(now, r.life)
	g.published = max(g.published, published)
	need := g.win.firstOffset(offset)

	newest, any := g.win.newest()
	if any && m.Time < newest-r.slack(allowance) {
		p.stats.Late++
	}
	e := entry{time: m.Time, published: published, offset: offset, id: xxh3.HashString(m.Detail.IDBytes()), detail: m.Detail}
	if i := g.win.find(e.id); i >= 0 {
		p.repeat(g, i, &e, need)
	} else {
		g.examine(g.win.insert(e), published)
		newest = max(newest, m.Time)
	}
	if over := len(g.win.entries) - r.capacity(allowance); over > 0 {
		g.pin.at(need)
		g.pin.dropped(g.truncate(over, newest-r.slack(allowance)-r.timespan) + r.life)
		p.stats.Dropped += over
	}
	if len(g.episodes) > 0 {
		g.pin.at(need)
	}
	p.out = g.settle(m.Time, now, allowance, p.out)
	g.pin.saw(g.published+r.life, now, g.busy())
	p.published = max(p.published, published)
	p.pin.saw(p.published+p.longest, now, false)
	p.schedule(g)
}

// repeat takes in an event whose id is there already, at entry i: it only makes that one live longer.
func (p *Partition) repeat(g *group, i int, e *entry, need int64) {
	p.stats.Duplicates++
	old := &g.win.entries[i]
	switch {
	case e.published < old.published:
		// It would have died first anyway.
	case e.time == old.time:
		old.published, old.offset = e.published, e.offset
	default:
		g.pin.at(need)
		g.pin.dropped(e.published + g.rule.life)
	}
}

// examine finds out what entry i changes: every window that it falls into ends at it or at a later entry.
func (g *group) examine(i int, published int64) {
	t := g.win.entries[i].time
	for j := i; j < len(g.win.entries) && g.win.entries[j].time < t+g.rule.timespan; j++ {
		switch {
		case g.win.entries[j].held:
			g.joinAt(g.win.entries[j].time, i)
		case g.win.reaches(j, g.rule.Threshold, g.rule.timespan):
			g.hold(j, published)
		}
	}
}

// busy says whether episodes depend on the group's state.
func (g *group) busy() bool { return len(g.episodes) > 0 || len(g.resolved) > 0 }

// tick takes in a clock record and does what its time calls for.
func (p *Partition) tick(rec *wire.Clock) {
	if !p.clock.apply(rec) {
		return
	}
	now := p.clock.now
	for len(p.due.groups) > 0 && p.due.groups[0].due <= now {
		g := heap.Pop(&p.due).(*group)
		g.due = 0
		allowance := p.clock.allowance(g.rule.lateness)
		p.out = g.settle(math.MinInt64, now, allowance, p.out)
		p.schedule(g)
	}
}

// schedule makes sure that the group is looked at when it is due.
func (p *Partition) schedule(g *group) {
	due := g.nextDue()
	if due == 0 {
		return
	}
	// The allowance has kept it from being done: look again a second later.
	due = max(due, p.clock.now+1000)
	switch {
	case g.due == 0:
		g.due = due
		heap.Push(&p.due, g)
	case due < g.due:
		g.due = due
		heap.Fix(&p.due, g.index)
	}
}

// Groups returns how many groups are in memory.
func (p *Partition) Groups() int { return p.groups }

// Clock returns the Kafka time up to which all source partitions are matched, in milliseconds since 1970; 0 before all of them have reported.
func (p *Partition) Clock() int64 { return p.clock.now }

// Published returns the Kafka time of the last match record, in milliseconds since 1970.
func (p *Partition) Published() int64 { return p.rec.Match.Published }

// TakeStats returns the counts since the last call.
func (p *Partition) TakeStats() Stats {
	s := p.stats
	p.stats = Stats{}
	return s
}

// queue is a heap of groups by when they are due.
type queue struct{ groups []*group }

func (q *queue) Len() int { return len(q.groups) }

// Less orders groups that are due at the same time by what they are, so that no order depends on chance.
func (q *queue) Less(i, j int) bool {
	a, b := q.groups[i], q.groups[j]
	switch {
	case a.due != b.due:
		return a.due < b.due
	case a.key != b.key:
		return a.key < b.key
	}
	return a.rule.ID < b.rule.ID
}

func (q *queue) Swap(i, j int) {
	q.groups[i], q.groups[j] = q.groups[j], q.groups[i]
	q.groups[i].index, q.groups[j].index = i, j
}

func (q *queue) Push(x any) {
	g := x.(*group)
	g.index = len(q.groups)
	q.groups = append(q.groups, g)
}

func (q *queue) Pop() any {
	last := len(q.groups) - 1
	g := q.groups[last]
	q.groups[last] = nil
	q.groups = q.groups[:last]
	return g
}
