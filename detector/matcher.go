package detector

import (
	"time"

	"github.com/audittrail/audittrail/detector/rule"
	"github.com/audittrail/audittrail/detector/wire"
	"github.com/audittrail/audittrail/schemas/audit"
)

// maxSkew is how far an event may be ahead of its Kafka time. One that is further ahead was written by a wrong clock, or by somebody who wants the
// windows of others to look old: it gets its Kafka time.
const maxSkew = 2 * time.Minute

// matcher turns events into match records: the stateless half of all rules. It is not safe for concurrent use.
type matcher struct {
	version   uint32
	groupings []grouping

	decoder *audit.Decoder
	event   audit.Event
	match   wire.Match
	detail  []byte
}

// grouping are the rules that group alike: they share match records.
type grouping struct {
	rule.Grouping
	rules []*rule.Rule
}

func newMatcher(rules []rule.Rule) *matcher {
	m := &matcher{version: rule.SetVersion(rules), decoder: audit.NewDecoder()}
	at := make(map[uint32]int)
	for i := range rules {
		g := rule.NewGrouping(rules[i].GroupBy)
		n, known := at[g.Signature()]
		if !known {
			n = len(m.groupings)
			at[g.Signature()] = n
			m.groupings = append(m.groupings, grouping{Grouping: g})
		}
		m.groupings[n].rules = append(m.groupings[n].rules, &rules[i])
	}
	return m
}

// apply calls emit with key and value of each match record of an event; the value must not be kept. It returns whether the event's time was replaced,
// and an error when the record is no event.
func (m *matcher) apply(rec *audit.Record, emit func(key, value []byte)) (clamped bool, err error) {
	if err := m.decoder.Decode(rec, &m.event); err != nil {
		return false, err
	}
	e, ready := &m.event, false
	for i := range m.groupings {
		g := &m.groupings[i]
		m.match.Rules = m.match.Rules[:0]
		for _, r := range g.rules {
			if r.Match(e) {
				m.match.Rules = append(m.match.Rules, r.Key())
			}
		}
		if len(m.match.Rules) == 0 {
			continue
		}
		if !ready {
			m.fill(rec)
			ready = true
		}
		emit(g.AppendKey(nil, e), wire.AppendMatch(nil, &m.match))
	}
	return ready && m.match.Clamped, nil
}

// fill sets the parts of the match record that do not depend on the grouping.
func (m *matcher) fill(rec *audit.Record) {
	e := &m.event
	m.match.RuleSet = m.version
	m.match.Time = e.Time.UnixMicro()
	m.match.Published = max(rec.Time.UnixMilli(), 0)
	m.match.Partition = rec.Partition
	m.match.Offset = rec.Offset
	m.match.Clamped = e.Time.After(rec.Time.Add(maxSkew))
	if m.match.Clamped {
		m.match.Time = rec.Time.UnixMicro()
	}
	m.detail = wire.AppendDetail(m.detail[:0], &wire.Facts{
		ID: rule.Shorten(e.ID), User: rule.Shorten(e.Actor.Name), Source: e.Source.IP.Unmap(),
	})
	m.match.Detail = wire.Detail(m.detail)
}
