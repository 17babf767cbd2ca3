package detector

import (
	"slices"
	"time"

	"github.com/audittrail/audittrail/detector/wire"
)

// sources is how far a match worker is with each of its partitions of audit.events: what its clock records say.
type sources struct {
	parts map[int32]*source
	// patience is how long a partition may be unavailable before it is reported so.
	patience time.Duration
}

// source is one partition. Its progress is what was matched, the committed one what the last commit covers.
type source struct {
	progress, committed progress
	// failing is since when it has been unavailable, zero when it is not.
	failing time.Time
}

// progress is how far a partition is matched.
type progress struct {
	// position is the next offset.
	position int64
	// time is the Kafka time up to which all is matched, in milliseconds; 0 when that is not known.
	time int64
}

// probe is what the brokers said about audit.events at one moment.
type probe struct {
	// at is the moment just before they were asked.
	at time.Time
	// topicID and total are the topic's identity and its number of partitions; matches is how many audit.matches has.
	topicID        [16]byte
	total, matches int32
	// ends are the high watermarks of the partitions that are available.
	ends map[int32]int64
}

func newSources(patience time.Duration) *sources {
	return &sources{parts: make(map[int32]*source), patience: patience}
}

func (s *sources) assign(partition int32, offset int64) {
	s.parts[partition] = &source{progress: progress{position: offset}, committed: progress{position: offset}}
}

func (s *sources) drop(partition int32) { delete(s.parts, partition) }

// read notes that the record at this offset was matched, or is none to match (published is zero then). A record from the future says no more than
// now.
func (s *sources) read(partition int32, offset int64, published, now time.Time) {
	p := s.parts[partition]
	p.progress.position = offset + 1
	if !published.IsZero() {
		p.progress.time = max(p.progress.time, min(published.UnixMilli(), now.UnixMilli()))
	}
}

// take learns from a probe: a partition of which all is matched that was there at the time of the probe is matched up to that time.
func (s *sources) take(pr *probe) {
	for n, p := range s.parts {
		end, available := pr.ends[n]
		switch {
		case !available && p.failing.IsZero():
			p.failing = pr.at
		case available:
			p.failing = time.Time{}
			if p.progress.position >= end {
				p.progress.time = max(p.progress.time, pr.at.UnixMilli())
			}
		}
	}
}

// clock returns the clock record, without the partitions of which nothing is known yet; and false when there is nothing to say.
func (s *sources) clock(total int32, now time.Time) (wire.Clock, bool) {
	c := wire.Clock{Total: total}
	for n, p := range s.parts {
		unavailable := !p.failing.IsZero() && now.Sub(p.failing) >= s.patience
		if p.progress.time > 0 || unavailable {
			c.Sources = append(c.Sources, wire.Source{Partition: n, Time: p.progress.time, Unavailable: unavailable})
		}
		c.Total = max(c.Total, n+1)
	}
	slices.SortFunc(c.Sources, func(a, b wire.Source) int { return int(a.Partition - b.Partition) })
	return c, len(c.Sources) > 0
}

func (s *sources) commit() {
	for _, p := range s.parts {
		p.committed = p.progress
	}
}

// rollback forgets what the last commit does not cover: it will be read again, and is not matched before that.
func (s *sources) rollback() {
	for _, p := range s.parts {
		p.progress = p.committed
	}
}

// slowest returns the Kafka time of the slowest partition, false when there is none or nothing is known of it.
func (s *sources) slowest() (time.Time, bool) {
	lowest, any := int64(0), false
	for _, p := range s.parts {
		if !any || p.progress.time < lowest {
			lowest, any = p.progress.time, true
		}
	}
	return time.UnixMilli(lowest), any && lowest > 0
}
