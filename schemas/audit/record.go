package audit

import "time"

// Record is what the codec needs of a Kafka record. Decode never keeps a reference to it, but the strings of the Event that it fills may alias
// Value and the header values: they are valid as long as those bytes are.
type Record struct {
	TopicID   [16]byte
	Partition int32
	Offset    int64
	// Time is the broker's timestamp of the record.
	Time    time.Time
	Key     []byte
	Value   []byte
	Headers []Header
}

// Header is one header of a Kafka record.
type Header struct {
	Key   string
	Value []byte
}
