package kafka

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/audittrail/audittrail/schemas/audit"
)

// FillRecord makes dst the codec's view of r, reusing dst's header slice. The bytes are shared, not copied.
func FillRecord(dst *audit.Record, topicID [16]byte, r *kgo.Record) {
	dst.TopicID = topicID
	dst.Partition = r.Partition
	dst.Offset = r.Offset
	dst.Time = r.Timestamp
	dst.Key = r.Key
	dst.Value = r.Value
	dst.Headers = dst.Headers[:0]
	for _, h := range r.Headers {
		dst.Headers = append(dst.Headers, audit.Header{Key: h.Key, Value: h.Value})
	}
}

// EventRecord returns the event as a record of the given topic. Its timestamp is left to the client, which stamps it with now: the record's time is
// when it was published, never when the event happened.
func EventRecord(topic string, e *audit.Event) *kgo.Record {
	key, value, headers := audit.EncodeRecord(e)
	r := &kgo.Record{Topic: topic, Key: key, Value: value, Headers: make([]kgo.RecordHeader, len(headers))}
	for i, h := range headers {
		r.Headers[i] = kgo.RecordHeader{Key: h.Key, Value: h.Value}
	}
	return r
}
