package wire

import "encoding/binary"

// Clock says up to which Kafka time a match worker has matched its source partitions. One goes to every partition of audit.matches, without a key.
type Clock struct {
	// Total is how many partitions audit.events has.
	Total int32
	// Sources are the source partitions of that worker, in ascending order.
	Sources []Source
}

// Source is how far one partition of audit.events is matched.
type Source struct {
	Partition int32
	// Time is the Kafka time up to which it is matched, in milliseconds since 1970.
	Time int64
	// Unavailable says that it could not be read for so long that nobody should wait for it.
	Unavailable bool
}

// MaxSources is how many partitions audit.events may have: the clocks of all of them must fit into the metadata of an offset commit.
const MaxSources = 512

// AppendClock appends the record's value to dst.
func AppendClock(dst []byte, c *Clock) []byte {
	dst = append(dst, kindClock)
	dst = binary.AppendUvarint(dst, uint64(c.Total))
	dst = binary.AppendUvarint(dst, uint64(len(c.Sources)))
	last := int32(-1)
	for _, s := range c.Sources {
		dst = binary.AppendUvarint(dst, uint64(s.Partition-last-1))
		last = s.Partition
		timeAndFlag := uint64(s.Time) << 1
		if s.Unavailable {
			timeAndFlag |= 1
		}
		dst = binary.AppendUvarint(dst, timeAndFlag)
	}
	return dst
}

func parseClock(value []byte, c *Clock) error {
	r := reader{rest: value}
	c.Total = int32(r.uvarint(MaxSources))
	n := r.uvarint(uint64(c.Total))
	c.Sources = c.Sources[:0]
	next := uint64(0)
	for range n {
		partition := next + r.uvarint(MaxSources)
		timeAndFlag := r.uvarint(2*(maxMicros/1000) + 1)
		if r.bad || partition >= uint64(c.Total) {
			return errClock
		}
		c.Sources = append(c.Sources, Source{int32(partition), int64(timeAndFlag >> 1), timeAndFlag&1 != 0})
		next = partition + 1
	}
	if r.bad || len(r.rest) > 0 {
		return errClock
	}
	return nil
}
