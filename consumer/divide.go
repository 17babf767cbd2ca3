package consumer

import (
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
	running, err := l.c.insertsRunning(l.ctx, l.topicID, l.key.partition)
	if err != nil {
		return false, err
	}
	set, err := storedOffsets(l.ctx, l.c.opt.ClickHouse, tableOf(l.key.topic), l.topicID, l.key.partition, s.First, s.End)
	if err != nil {
		return false, err
	}
	// Other ranges of the partition may be on their way: only a quiet moment tells. Refusals come at once, so it comes soon.
	return running == 0 && set.rows == 0, nil
}

// halves reads the range again and encodes it in two parts, or as one quarantined row if it has just one row.
func (l *lane) halves(s *span, refusal error) ([]*span, error) {
	b := &batch{src: s.src, rows: newRows(tableOf(l.key.topic)), bad: newQuarantineRows(), first: s.First, end: s.First}
	middle := s.First + (s.End-s.First)/2
	alone := s.account.rows == 1
	var parts []*span
	var failed error
	flush := func(end int64) {
		b.end = end
		r := s.plannedRange
		r.First, r.End = b.first, end
		e, err := b.encode(l.c.buffer(), r)
		if err != nil {
			failed = err
			return
		}
		// The whole stood in the plan already: its parts stay in it, whatever happens before their own intents are committed.
		parts = append(parts, &span{encoded: e, intended: make(chan struct{}), planned: true})
		b.next()
	}
	var rec audit.Record
	now := l.c.opt.Now()
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
		if alone {
			b.refuse(&rec, refusal)
			return
		}
		b.add(&rec, now)
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
	return parts, nil
}

// refuse quarantines the one row of a range that ClickHouse does not take. What could not be read in the first place keeps its own reason.
func (b *batch) refuse(rec *audit.Record, refusal error) {
	if _, err := b.rows.Append(&b.src, rec); err != nil {
		b.bad.append(&b.src, rec, stageDecode, rejectOf(err))
	} else {
		b.rows.Reset()
		b.bad.append(&b.src, rec, stageInsert, &audit.Reject{Reason: reasonRefused, Detail: refusal.Error()})
	}
	b.account.bad++
	b.end = rec.Offset + 1
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
