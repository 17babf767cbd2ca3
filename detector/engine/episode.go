package engine

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/audittrail/audittrail/schemas/audit"
)

// standing is where an episode stands.
type standing uint8

const (
	// waiting: an episode close by has an open alert, and events that are not late may still join the two. It has no alert.
	waiting standing = iota
	// open: its alert is open.
	open
	// resolved: its alert is resolved; it is remembered for a while, in case it has to be opened again.
	resolved
)

// episode is a span of time in which a rule's condition held for one group, again and again: consecutive times that it held are less than
// ResolveAfter apart.
type episode struct {
	id       string
	version  uint64
	standing standing
	// reopened says that its alert was resolved and has to be published as open again.
	reopened bool
	// disputed says that it was resolved too soon once: events of two times come in turns, such as those of an import and of today. Only the clock
	// resolves it now.
	disputed bool

	// first and last are the first and the last event time at which the condition held, in microseconds.
	first, last int64
	// active is the Kafka time, in milliseconds, of what last made the condition hold.
	active int64
	// forget is when a resolved episode is forgotten, by the clock.
	forget int64

	// firstSeen and lastSeen are the first and the last event time of its events: those in a window that held.
	firstSeen, lastSeen int64
	count               uint64
	// announce is the count at which the next version is due.
	announce       uint64
	users, sources names
	samples        []string
	approximate    bool
}

// alertNamespace makes alert ids UUIDs of version 5 that no other application derives.
var alertNamespace = uuid.MustParse("6d9d0b1c-6c0e-5d0a-9f5e-3a1f4c7b2e90")

// alertID derives an alert's id from its rule, its group and the event that triggered it.
func alertID(ruleID, group, eventID string) string {
	var b []byte
	for _, s := range []string{ruleID, group, eventID} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return uuid.NewSHA1(alertNamespace, b).String()
}

// covers says whether a time at which the condition held belongs to the episode.
func (ep *episode) covers(t, resolveAfter int64) bool {
	return t > ep.first-resolveAfter && t < ep.last+resolveAfter
}

// join adds an event.
func (ep *episode) join(e *entry) {
	e.member = true
	if ep.count == 0 || e.time < ep.firstSeen {
		ep.firstSeen = e.time
	}
	if ep.count == 0 || e.time > ep.lastSeen {
		ep.lastSeen = e.time
	}
	ep.count++
	facts := e.detail.Facts()
	e.detail = "" // most of an entry's memory, and not needed again
	ep.users.add(facts.User)
	if facts.Source.IsValid() {
		ep.sources.add(facts.Source.String())
	}
	if len(ep.samples) < audit.MaxAlertSamples {
		ep.samples = append(ep.samples, facts.ID)
	}
	ep.approximate = ep.approximate || ep.users.full || ep.sources.full
}

// absorb takes in another episode, which has no alert.
func (ep *episode) absorb(o *episode) {
	ep.first, ep.last = min(ep.first, o.first), max(ep.last, o.last)
	ep.firstSeen, ep.lastSeen = min(ep.firstSeen, o.firstSeen), max(ep.lastSeen, o.lastSeen)
	ep.active = max(ep.active, o.active)
	ep.count += o.count
	ep.users.merge(&o.users)
	ep.sources.merge(&o.sources)
	ep.samples = append(ep.samples, o.samples[:min(len(o.samples), audit.MaxAlertSamples-len(ep.samples))]...)
	ep.approximate = ep.approximate || o.approximate || ep.users.full || ep.sources.full
}

// publish makes the next version of the episode's alert.
func (ep *episode) publish(g *group, state audit.AlertState) audit.Alert {
	ep.version++
	ep.announce = 2 * ep.count // so that an attack of a million events has some twenty versions
	r := g.rule
	return audit.Alert{
		ID:          ep.id,
		Version:     ep.version,
		State:       state,
		RuleID:      r.ID,
		RuleName:    r.Name,
		Level:       r.Level,
		Tenant:      g.tenant(),
		Key:         g.values(),
		FirstSeen:   time.UnixMicro(ep.firstSeen).UTC(),
		LastSeen:    time.UnixMicro(ep.lastSeen).UTC(),
		Window:      r.Window(),
		Count:       ep.count,
		Users:       ep.users.alert(),
		Sources:     ep.sources.alert(),
		Samples:     append([]string{}, ep.samples...),
		Actions:     slices.Clone(r.Actions),
		Tags:        slices.Clone(r.Tags),
		Approximate: ep.approximate,
	}
}
