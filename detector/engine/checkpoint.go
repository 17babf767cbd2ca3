package engine

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Checkpoint is where a replay begins and what the clock was there.
type Checkpoint struct {
	// Offset is that of the first record to replay.
	Offset int64
	clock  clock
}

// Start is a checkpoint without a past.
func Start(offset int64) Checkpoint { return Checkpoint{Offset: offset} }

// checkpointVersion is the first byte of a checkpoint.
const checkpointVersion = 1

// MaxCheckpoint is how long String may be: what brokers take as the metadata of an offset commit.
const MaxCheckpoint = 4096

// String returns the checkpoint as text, for the metadata of an offset commit.
func (c Checkpoint) String() string {
	b := binary.AppendUvarint([]byte{checkpointVersion}, uint64(c.Offset))
	return base64.RawStdEncoding.EncodeToString(c.clock.append(b))
}

var errCheckpoint = errors.New("not a checkpoint of a known version")

// ParseCheckpoint reads what String wrote.
func ParseCheckpoint(s string) (Checkpoint, error) {
	b, err := base64.RawStdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) == 0 || b[0] != checkpointVersion {
		return Checkpoint{}, fmt.Errorf("checkpoint %.40q: %w", s, errCheckpoint)
	}
	offset, n := binary.Uvarint(b[1:])
	if n <= 0 || offset > 1<<62 {
		return Checkpoint{}, fmt.Errorf("checkpoint %.40q: %w", s, errCheckpoint)
	}
	clock, rest, err := parseClock(b[1+n:])
	if err != nil || len(rest) > 0 {
		return Checkpoint{}, fmt.Errorf("checkpoint %.40q: %w", s, errCheckpoint)
	}
	return Checkpoint{int64(offset), clock}, nil
}

const (
	// markEvery is how far apart checkpoints are, in milliseconds of the clock.
	markEvery = 5_000
	// maxMarks bounds how many are kept.
	maxMarks = 256
	// sweepEvery is how often the groups are swept, in milliseconds of the clock; smallPartition is how many groups are swept each time.
	sweepEvery     = 10_000
	smallPartition = 256
)

// marks are the checkpoints that a replay may have to begin at, by offset. The first is the one to begin at now.
type marks struct{ list []Checkpoint }

func (m *marks) begin(at Checkpoint) { m.list = append(m.list[:0], at) }

// add keeps the clock as it is before the record at offset, now and then.
func (m *marks) add(offset int64, c *clock) {
	last := &m.list[len(m.list)-1]
	if c.now == 0 || c.now < last.clock.now+markEvery {
		return
	}
	if len(m.list) >= maxMarks {
		// Every second one will do: replaying more than needed is no harm.
		kept := m.list[:0]
		for i, cp := range m.list {
			if i%2 == 0 {
				kept = append(kept, cp)
			}
		}
		m.list = kept
	}
	m.list = append(m.list, Checkpoint{offset, c.clone()})
}

// Rewind returns where a replay must begin to end in the present state, before the record at offset next. It may lie a few seconds further back
// than it must.
func (p *Partition) Rewind(next int64) Checkpoint {
	now := p.clock.now
	if p.groups < smallPartition || now >= p.rewound+sweepEvery {
		p.rewound = now
		p.sweep()
		need := p.need(next)
		i, found := slices.BinarySearchFunc(p.marks.list, need, func(c Checkpoint, offset int64) int { return cmp.Compare(c.Offset, offset) })
		if !found {
			i-- // the last one before it
		}
		p.marks.list = slices.Delete(p.marks.list, 0, max(i, 0))
	}
	return p.marks.list[0]
}
