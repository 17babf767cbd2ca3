package engine

import (
	"encoding/binary"
	"errors"

	"github.com/audittrail/audittrail/detector/rule"
	"github.com/audittrail/audittrail/detector/wire"
)

// maxAllowance is rule.MaxAllowance in milliseconds.
const maxAllowance = int64(rule.MaxAllowance / 1e6)

// clock is what the clock records of one partition have said so far. It is the only source of time: a replay of the same records gives the same
// clock. Times are Kafka times in milliseconds.
type clock struct {
	// now is the time up to which every source partition is matched: nothing published before it can still arrive. It never goes back; 0 means that
	// not all source partitions have reported yet.
	now     int64
	sources []source
}

// source is one partition of audit.events.
type source struct {
	// time is 0 until it has reported.
	time        int64
	unavailable bool
}

// apply takes in a clock record and says whether the time went on.
func (c *clock) apply(rec *wire.Clock) bool {
	for int(rec.Total) > len(c.sources) {
		c.sources = append(c.sources, source{})
	}
	for _, s := range rec.Sources {
		to := &c.sources[s.Partition]
		to.time = max(to.time, s.Time) // a new owner may know less than the last one did
		to.unavailable = s.Unavailable
	}
	lowest, any := int64(0), false
	for _, s := range c.sources {
		if s.time == 0 && !s.unavailable {
			return false
		}
		if !s.unavailable && (!any || s.time < lowest) {
			lowest, any = s.time, true
		}
	}
	if !any || lowest <= c.now {
		return false
	}
	c.now = lowest
	return true
}

// distance is how far the fastest source partition is ahead of the slowest.
func (c *clock) distance() int64 {
	lowest, highest := int64(0), int64(0)
	for _, s := range c.sources {
		if s.time == 0 || s.unavailable {
			continue
		}
		if lowest == 0 || s.time < lowest {
			lowest = s.time
		}
		highest = max(highest, s.time)
	}
	return highest - lowest
}

// allowance returns how late an event of a rule with this lateness may be, in milliseconds like the lateness.
func (c *clock) allowance(lateness int64) int64 {
	return min(lateness+c.distance(), max(lateness, maxAllowance))
}

func (c *clock) clone() clock {
	return clock{c.now, append([]source(nil), c.sources...)}
}

// append appends the clock's bytes: times as distances from the greatest one, which are small.
func (c *clock) append(dst []byte) []byte {
	highest := int64(0)
	for _, s := range c.sources {
		highest = max(highest, s.time)
	}
	dst = binary.AppendUvarint(dst, uint64(c.now))
	dst = binary.AppendUvarint(dst, uint64(highest))
	dst = binary.AppendUvarint(dst, uint64(len(c.sources)))
	for _, s := range c.sources {
		v := uint64(0) // has not reported
		if s.time != 0 {
			v = uint64(highest-s.time+1) << 1
		}
		if s.unavailable {
			v |= 1
		}
		dst = binary.AppendUvarint(dst, v)
	}
	return dst
}

var errClock = errors.New("the clock is damaged")

// parseClock reads what append wrote and returns what follows it.
func parseClock(b []byte) (clock, []byte, error) {
	bad := false
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			bad = true
			return 0
		}
		b = b[n:]
		return v
	}
	var c clock
	c.now = int64(next())
	highest := int64(next())
	n := next()
	if n > wire.MaxSources {
		return clock{}, nil, errClock
	}
	for range n {
		v := next()
		s := source{unavailable: v&1 != 0}
		if v > 1 {
			s.time = highest + 1 - int64(v>>1)
		}
		if bad || s.time < 0 {
			return clock{}, nil, errClock
		}
		c.sources = append(c.sources, s)
	}
	if bad || c.now < 0 || highest < 0 {
		return clock{}, nil, errClock
	}
	return c, b, nil
}
