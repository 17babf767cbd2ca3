package consumer

import (
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"
)

// ledgerRow are the columns of one row of the table ledger: what was done with one range.
type ledgerRow struct {
	topic      lowCard
	topicID    proto.ColUUID
	partition  proto.ColUInt32
	first, end proto.ColInt64
	rows       proto.ColUInt64
	bad        proto.ColUInt64
	holes      proto.ColUInt64
	offsetSum  proto.ColInt128
	hashXor    proto.ColUInt64
	token      strCol
	ingestDay  proto.ColDate
	replay     proto.ColUInt32
	generation proto.ColInt32
	member     lowCard
	settledAt  millis
}

// account sums up a range while it is filled.
type account struct {
	rows, bad uint64
	// offsetSum and hashXor are over the rows, so that they compare with the table's own proof projection.
	offsetSum proto.Int128
	hashXor   uint64
}

func (a *account) add(offset int64, hash uint64) {
	a.rows++
	a.hashXor ^= hash
	low := a.offsetSum.Low + uint64(offset)
	if low < a.offsetSum.Low {
		a.offsetSum.High++
	}
	a.offsetSum.Low = low
}

// ledgerInput returns the ledger row of a range.
func ledgerInput(s *encoded, token string, settledAt time.Time, generation int32, member string) proto.Input {
	l := new(ledgerRow)
	src := &s.src
	l.topic.Append(src.topic)
	l.topicID.Append(uuid.UUID(src.topicID))
	l.partition.Append(uint32(src.partition))
	l.first.Append(s.First)
	l.end.Append(s.End)
	a := s.account
	l.rows.Append(a.rows)
	l.bad.Append(a.bad)
	l.holes.Append(uint64(s.End-s.First) - a.rows - a.bad)
	l.offsetSum.Append(a.offsetSum)
	l.hashXor.Append(a.hashXor)
	l.token.Append(token)
	l.ingestDay.Append(s.Day)
	l.replay.Append(s.Replay)
	l.generation.Append(generation)
	l.member.Append(member)
	l.settledAt.append(settledAt)
	return proto.Input{
		{Name: "src_topic", Data: &l.topic},
		{Name: "src_topic_id", Data: &l.topicID},
		{Name: "src_partition", Data: &l.partition},
		{Name: "first_offset", Data: &l.first},
		{Name: "end_offset", Data: &l.end},
		{Name: "rows", Data: &l.rows},
		{Name: "quarantined", Data: &l.bad},
		{Name: "holes", Data: &l.holes},
		{Name: "offset_sum", Data: &l.offsetSum},
		{Name: "hash_xor", Data: &l.hashXor},
		{Name: "token", Data: &l.token},
		{Name: "ingest_day", Data: &l.ingestDay},
		{Name: "replay", Data: &l.replay},
		{Name: "generation", Data: &l.generation},
		{Name: "member", Data: &l.member},
		{Name: "settled_at", Data: &l.settledAt},
	}
}
