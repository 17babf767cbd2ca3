package consumer

import (
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"

	"github.com/audittrail/audittrail/schemas/audit"
)

// source is what all rows of a range have in common: where they come from.
type source struct {
	topic     string
	topicID   [16]byte
	partition int32
}

// provenance are the columns that every table with one row a record begins with: a pure function of the record and of the plan, never of the clock.
type provenance struct {
	ingestDay proto.ColDate
	topic     lowCard
	topicID   proto.ColUUID
	partition proto.ColUInt32
	offset    proto.ColInt64
	time      millis
}

func (p *provenance) append(s *source, rec *audit.Record) {
	p.topic.Append(s.topic)
	p.topicID.Append(uuid.UUID(s.topicID))
	p.partition.Append(uint32(s.partition))
	p.offset.Append(rec.Offset)
	p.time.append(rec.Time)
}

// setDay fills the ingest day of all rows: it is known only when the range is planned.
func (p *provenance) setDay(day time.Time) {
	d := proto.ToDate(day)
	p.ingestDay = p.ingestDay[:0]
	for range p.offset {
		p.ingestDay = append(p.ingestDay, d)
	}
}

func (p *provenance) columns() proto.Input {
	return proto.Input{
		{Name: "ingest_day", Data: &p.ingestDay},
		{Name: "src_topic", Data: &p.topic},
		{Name: "src_topic_id", Data: &p.topicID},
		{Name: "src_partition", Data: &p.partition},
		{Name: "src_offset", Data: &p.offset},
		{Name: "src_time", Data: &p.time},
	}
}

// millis is DateTime64(3, 'UTC').
type millis struct{ proto.ColInt64 }

func (c *millis) append(t time.Time)     { c.Append(t.UnixMilli()) }
func (c *millis) Type() proto.ColumnType { return "DateTime64(3, 'UTC')" }

// micros is DateTime64(6, 'UTC').
type micros struct{ proto.ColInt64 }

func (c *micros) append(t time.Time)     { c.Append(t.UnixMicro()) }
func (c *micros) Type() proto.ColumnType { return "DateTime64(6, 'UTC')" }

// enum8 is an Enum8 column of small numbers.
type enum8 struct {
	proto.ColInt8
	typ proto.ColumnType
}

func (c *enum8) Type() proto.ColumnType { return c.typ }
