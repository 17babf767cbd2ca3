package consumer

import (
	"strings"

	"github.com/ClickHouse/ch-go/proto"
)

// lowCard is a LowCardinality(String) column that builds its dictionary while rows are appended. Unlike ch-go's it copies a value once, when it is new,
// instead of keeping every row's string until the block is encoded: those strings alias Kafka's buffers, which must be free to go.
type lowCard struct {
	dict  strCol
	index map[string]uint32
	keys  []uint32
	// last is the key of the row before, since neighbouring rows often have the same value.
	last uint32
	vals []string
}

// The layout of a LowCardinality column in Native format: ClickHouse's SerializationLowCardinality.cpp.
const (
	lowCardVersion   = 1            // SharedDictionariesWithAdditionalKeys
	lowCardUpdateAll = 1<<9 | 1<<10 // HasAdditionalKeys, NeedUpdateDictionary
	lowCardType      = "LowCardinality(String)"
)

func (c *lowCard) Append(v string) {
	if len(c.keys) > 0 && c.vals[c.last] == v {
		c.keys = append(c.keys, c.last)
		return
	}
	k, ok := c.index[v]
	if !ok {
		if c.index == nil {
			c.index = make(map[string]uint32)
		}
		v = strings.Clone(v)
		k = uint32(len(c.vals))
		c.vals = append(c.vals, v)
		c.index[v] = k
		c.dict.Append(v)
	}
	c.last = k
	c.keys = append(c.keys, k)
}

// Type implements proto.ColInput.
func (c *lowCard) Type() proto.ColumnType { return lowCardType }

// Rows implements proto.ColInput.
func (c *lowCard) Rows() int { return len(c.keys) }

// Reset forgets the rows and the dictionary.
func (c *lowCard) Reset() {
	c.dict.Reset()
	clear(c.index)
	clear(c.vals)
	c.vals = c.vals[:0]
	c.keys = c.keys[:0]
	c.last = 0
}

// EncodeState implements proto.StateEncoder.
func (c *lowCard) EncodeState(b *proto.Buffer) { b.PutInt64(lowCardVersion) }

// EncodedSize is at least what the column takes when it is encoded.
func (c *lowCard) EncodedSize() int { return c.dict.EncodedSize() + 4*len(c.keys) + 24 }

// EncodeColumn implements proto.ColInput.
func (c *lowCard) EncodeColumn(b *proto.Buffer) {
	if len(c.keys) == 0 {
		return // an empty column has no dictionary either
	}
	width := int64(0) // UInt8
	switch n := len(c.vals); {
	case n > 1<<16:
		width = 2
	case n > 1<<8:
		width = 1
	}
	b.PutInt64(lowCardUpdateAll | width)
	b.PutInt64(int64(len(c.vals)))
	c.dict.EncodeColumn(b)
	b.PutInt64(int64(len(c.keys)))
	for _, k := range c.keys {
		switch width {
		case 0:
			b.PutUInt8(uint8(k))
		case 1:
			b.PutUInt16(uint16(k))
		default:
			b.PutUInt32(k)
		}
	}
}

// WriteColumn implements proto.ColInput.
func (c *lowCard) WriteColumn(w *proto.Writer) { w.ChainBuffer(c.EncodeColumn) }

// strArray is Array(String).
type strArray struct {
	offsets proto.ColUInt64
	data    strCol
}

// end closes the row: what was appended to data since the last one is its array.
func (c *strArray) end() { c.offsets = append(c.offsets, uint64(c.data.Rows())) }

func (c *strArray) append(values []string) {
	for _, v := range values {
		c.data.Append(v)
	}
	c.end()
}

func (c *strArray) Type() proto.ColumnType { return "Array(String)" }
func (c *strArray) Rows() int              { return len(c.offsets) }
func (c *strArray) Reset()                 { c.offsets = c.offsets[:0]; c.data.Reset() }
func (c *strArray) EncodedSize() int       { return 8*len(c.offsets) + c.data.EncodedSize() }
func (c *strArray) EncodeColumn(b *proto.Buffer) {
	c.offsets.EncodeColumn(b)
	c.data.EncodeColumn(b)
}
func (c *strArray) WriteColumn(w *proto.Writer) { w.ChainBuffer(c.EncodeColumn) }

// lowCardArray is Array(LowCardinality(String)).
type lowCardArray struct {
	offsets proto.ColUInt64
	data    lowCard
}

func (c *lowCardArray) end() { c.offsets = append(c.offsets, uint64(c.data.Rows())) }

func (c *lowCardArray) Type() proto.ColumnType      { return "Array(" + lowCardType + ")" }
func (c *lowCardArray) Rows() int                   { return len(c.offsets) }
func (c *lowCardArray) Reset()                      { c.offsets = c.offsets[:0]; c.data.Reset() }
func (c *lowCardArray) EncodeState(b *proto.Buffer) { c.data.EncodeState(b) }
func (c *lowCardArray) WriteColumn(w *proto.Writer) { w.ChainBuffer(c.EncodeColumn) }
func (c *lowCardArray) EncodedSize() int            { return 8*len(c.offsets) + c.data.EncodedSize() }

func (c *lowCardArray) EncodeColumn(b *proto.Buffer) {
	c.offsets.EncodeColumn(b)
	c.data.EncodeColumn(b)
}

// lowCardMap is Map(LowCardinality(String), String).
type lowCardMap struct {
	offsets proto.ColUInt64
	keys    lowCard
	values  strCol
}

func (c *lowCardMap) put(k, v string) { c.keys.Append(k); c.values.Append(v) }
func (c *lowCardMap) end()            { c.offsets = append(c.offsets, uint64(c.keys.Rows())) }

func (c *lowCardMap) Type() proto.ColumnType      { return "Map(" + lowCardType + ", String)" }
func (c *lowCardMap) Rows() int                   { return len(c.offsets) }
func (c *lowCardMap) Reset()                      { c.offsets = c.offsets[:0]; c.keys.Reset(); c.values.Reset() }
func (c *lowCardMap) EncodeState(b *proto.Buffer) { c.keys.EncodeState(b) }
func (c *lowCardMap) WriteColumn(w *proto.Writer) { w.ChainBuffer(c.EncodeColumn) }
func (c *lowCardMap) EncodedSize() int {
	return 8*len(c.offsets) + c.keys.EncodedSize() + c.values.EncodedSize()
}

func (c *lowCardMap) EncodeColumn(b *proto.Buffer) {
	c.offsets.EncodeColumn(b)
	c.keys.EncodeColumn(b)
	c.values.EncodeColumn(b)
}

// strMap is Map(String, String).
type strMap struct {
	offsets proto.ColUInt64
	keys    strCol
	values  strCol
}

func (c *strMap) end() { c.offsets = append(c.offsets, uint64(c.keys.Rows())) }

func (c *strMap) Type() proto.ColumnType      { return "Map(String, String)" }
func (c *strMap) Rows() int                   { return len(c.offsets) }
func (c *strMap) Reset()                      { c.offsets = c.offsets[:0]; c.keys.Reset(); c.values.Reset() }
func (c *strMap) WriteColumn(w *proto.Writer) { w.ChainBuffer(c.EncodeColumn) }
func (c *strMap) EncodedSize() int {
	return 8*len(c.offsets) + c.keys.EncodedSize() + c.values.EncodedSize()
}

func (c *strMap) EncodeColumn(b *proto.Buffer) {
	c.offsets.EncodeColumn(b)
	c.keys.EncodeColumn(b)
	c.values.EncodeColumn(b)
}
