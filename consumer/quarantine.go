package consumer

import (
	"github.com/ClickHouse/ch-go/proto"
	"github.com/zeebo/xxh3"

	"github.com/audittrail/audittrail/schemas/audit"
)

// The stages at which something is put aside.
const (
	// stageDecode: the record cannot be read.
	stageDecode = "decode"
	// stageFetch: a batch cannot be unpacked; one row stands for its records.
	stageFetch = "kafka-fetch"
	// stageRetention: Kafka has deleted records before they were read; one row stands for all of them.
	stageRetention = "kafka-retention"
)

const (
	// reasonLost is the reason of rows that stand for records that are gone.
	reasonLost audit.Reason = "records_lost"
	// reasonInflated is the reason of rows that stand for a batch that is compressed from more than a client may unpack.
	reasonInflated audit.Reason = "batch_too_large"
)

// quarantineRows are records that cannot be read, as columns of the table quarantine: with all their bytes and the reason.
type quarantineRows struct {
	provenance
	stage   lowCard
	reason  lowCard
	detail  strCol
	key     strCol
	headers strMap
	raw     strCol
	rawHash proto.ColUInt64

	input proto.Input
}

func newQuarantineRows() *quarantineRows {
	q := new(quarantineRows)
	q.input = append(q.provenance.columns(), proto.Input{
		{Name: "stage", Data: &q.stage},
		{Name: "reason", Data: &q.reason},
		{Name: "error", Data: &q.detail},
		{Name: "key", Data: &q.key},
		{Name: "headers", Data: &q.headers},
		{Name: "raw", Data: &q.raw},
		{Name: "raw_hash", Data: &q.rawHash},
	}...)
	return q
}

func (q *quarantineRows) len() int { return q.rawHash.Rows() }
func (q *quarantineRows) reset()   { q.input.Reset() }

func (q *quarantineRows) append(s *source, rec *audit.Record, stage string, why *audit.Reject) {
	q.provenance.append(s, rec)
	q.stage.Append(stage)
	q.reason.Append(string(why.Reason))
	q.detail.Append(why.Error())
	q.key.AppendBytes(rec.Key)
	for _, h := range rec.Headers {
		q.headers.keys.Append(h.Key)
		q.headers.values.AppendBytes(h.Value)
	}
	q.headers.end()
	q.raw.AppendBytes(rec.Value)
	q.rawHash.Append(xxh3.Hash(rec.Value))
}
