package consumer

import (
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/schemas/audit"
)

const (
	// stageInsert: ClickHouse refuses the row.
	stageInsert = "insert"
	// reasonRefused is the reason of rows that ClickHouse refuses.
	reasonRefused audit.Reason = "refused"
)

// divide replaces a range that ClickHouse refuses by its two halves, each with an intent of its own, until the one row that it does not take stands alone
// and goes to the quarantine. It returns false when the range must be tried as it is: some of it may be in ClickHouse, or it is not its turn. Only the
// oldest range of a lane is divided, so that the plan in the offset's metadata stays short whatever is refused.
func (l *lane) divide(s *span, refusal error) bool {
	l.mu.Lock()
	oldest := len(l.spans) > 0 && l.spans[0] == s
	l.mu.Unlock()
	if !oldest || l.c.opt.Now().Before(s.unknownUntil) {
		return false
	}
	if empty, err := l.nothingStored(s); err != nil || !empty {
		l.log.Error("a refused range is not divided", "first", s.First, "end", s.End, "stored", !empty, "error", err)
		return false
	}
	parts, err := l.halves(s, refusal)
	if err != nil {
		l.log.Error("a refused range cannot be divided yet", "first", s.First, "end", s.End, "error", err)
		return false
	}
	l.c.m.divided.Inc()
	l.replace(s, parts)
	return true
}

// nothingStored reports whether no row of the range is in ClickHouse and none can come any more.
func (l *lane) nothingStored(s *span) (bool, error) {
	running, err := insertsRunning(l.ctx, l.c.opt.ClickHouse, l.topicID, l.key.partition)
	if err != nil {
		return false, err
	}
	if err := l.c.syncReplicas(l.ctx, l.key.topic); err != nil {
		return false, err
	}
	set, err := storedOffsets(l.ctx, l.c.opt.ClickHouse, tableOf(l.key.topic), l.topicID, l.key.partition, s.First, s.End)
	if err != nil {
		return false, err
	}
	// Other ranges of the partition may be on their way: only a quiet moment tells. Refusals come at once, so it comes soon. What a replay found stored
	// beforehand is none of its own.
	return running == 0 && len(set.rows) == len(s.stored.within(s.First, s.End)), nil
}

// halves reads the range again and encodes it in two parts, or as one quarantined row if it has just one row.
func (l *lane) halves(s *span, refusal error) ([]*span, error) {
	b := &batch{
		src: s.src, rows: newRows(tableOf(l.key.topic)), bad: newQuarantineRows(), first: s.First, end: s.First, stored: s.stored, quarantined: s.quarantined,
	}
	middle := s.First + (s.End-s.First)/2
	alone := s.fresh == 1
	switch {
	case alone:
		b.refusal = refusal
	case middle == s.First:
		return nil, errors.New("it is one record, and not its row is refused")
	}
	now := l.c.opt.Now()
	l.mu.Lock()
	since := s.since
	l.mu.Unlock()
	var parts []*span
	var failed error
	flush := func(end int64) {
		b.end = end
		r := s.plannedRange
		r.First, r.End = b.first, end
		e, err := b.encode(l.c.buffers.take(), r)
		if err != nil {
			failed = err
			return
		}
		// The whole stood in the plan already: its parts stay in it, whatever happens before their own intents are committed.
		parts = append(parts, &span{encoded: e, intended: make(chan struct{}), since: since})
		b.next()
	}
	var rec audit.Record
	err := reread(l.ctx, l.c.opt.Kafka, l.log, l.key, s.First, s.End, func(r *kgo.Record) {
		if !alone && len(parts) == 0 && r.Offset >= middle {
			flush(middle)
		}
		b.cost += costOf(r)
		if r.Attrs.IsControl() {
			b.skip(r.Offset, now)
			return
		}
		kafka.FillRecord(&rec, s.src.topicID, r)
		if why := b.add(&rec, now); why != nil && why.Reason == reasonRefused {
			l.quarantined(&rec, why)
		}
	})
	if err != nil {
		return nil, err
	}
	flush(s.End)
	if failed != nil {
		return nil, failed
	}
	if sum := parts[0].account.rows + parts[len(parts)-1].account.rows; !alone && sum != s.account.rows {
		return nil, fmt.Errorf("read again, the range has %d rows instead of %d", sum, s.account.rows)
	}
	if alone && parts[0].fresh != 0 {
		return nil, errors.New("read again, the range has other records")
	}
	return parts, nil
}

// replace puts the parts in the range's place and sets them going. The last part keeps the range's slot and its share of the memory.
func (l *lane) replace(s *span, parts []*span) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.spans, s)
	l.spans = slices.Replace(l.spans, i, i+1, parts...)
	for _, p := range parts {
		p.cost = 0
		p.split = true
		l.carriers.Add(1)
	}
	last := parts[len(parts)-1]
	last.cost, last.split = s.cost, s.split
	s.cost = 0
	for _, p := range parts {
		go l.carry(p)
	}
}
