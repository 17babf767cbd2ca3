package consumer

import (
	"encoding/binary"
	"sync"

	"github.com/ClickHouse/ch-go/proto"
)

// chunkSize is how much of a string column's bytes lies together.
const chunkSize = 32 << 10

type chunk = [chunkSize]byte

var chunks = sync.Pool{New: func() any { return new(chunk) }}

// strCol is a String column. It holds the rows as Native has them, each behind its length, in chunks: nothing is moved while it grows, nothing copied when
// it is encoded, and the memory goes back when the bytes are sent.
type strCol struct {
	chunks []*chunk
	// used is how much of the last chunk is filled.
	used int
	rows int
}

// Append adds a row.
func (c *strCol) Append(v string) { appendTo(c, v) }

// AppendBytes adds a row.
func (c *strCol) AppendBytes(v []byte) { appendTo(c, v) }

func appendTo[T string | []byte](c *strCol, v T) {
	c.rows++
	if n := len(c.chunks); n > 0 && chunkSize-c.used >= len(v)+binary.MaxVarintLen64 {
		last := c.chunks[n-1]
		at := c.used + binary.PutUvarint(last[c.used:], uint64(len(v)))
		c.used = at + copy(last[at:], v)
		return
	}
	var length [binary.MaxVarintLen64]byte
	write(c, length[:binary.PutUvarint(length[:], uint64(len(v)))])
	write(c, v)
}

// write adds bytes, going on in further chunks.
func write[T string | []byte](c *strCol, p T) {
	for len(p) > 0 {
		if len(c.chunks) == 0 || c.used == chunkSize {
			c.chunks = append(c.chunks, chunks.Get().(*chunk))
			c.used = 0
		}
		n := copy(c.chunks[len(c.chunks)-1][c.used:], p)
		c.used += n
		p = p[n:]
	}
}

// Segments implements clickhouse.Segmented.
func (c *strCol) Segments() [][]byte {
	out := make([][]byte, len(c.chunks))
	for i, k := range c.chunks {
		out[i] = k[:]
	}
	if n := len(out); n > 0 {
		out[n-1] = out[n-1][:c.used]
	}
	return out
}

// EncodedSize is what the column takes when it is encoded.
func (c *strCol) EncodedSize() int { return max(len(c.chunks)-1, 0)*chunkSize + c.used }

// Type implements proto.ColInput.
func (c *strCol) Type() proto.ColumnType { return proto.ColumnTypeString }

// Rows implements proto.ColInput.
func (c *strCol) Rows() int { return c.rows }

// EncodeColumn implements proto.ColInput.
func (c *strCol) EncodeColumn(b *proto.Buffer) {
	for _, s := range c.Segments() {
		b.PutRaw(s)
	}
}

// WriteColumn implements proto.ColInput.
func (c *strCol) WriteColumn(w *proto.Writer) { w.ChainBuffer(c.EncodeColumn) }

// Reset forgets the rows.
func (c *strCol) Reset() { free(c.handOver()) }

// handOver forgets the rows and leaves their memory to the caller, who frees it when he has sent the segments.
func (c *strCol) handOver() []*chunk {
	out := c.chunks
	*c = strCol{}
	return out
}

func free(cs []*chunk) {
	for _, c := range cs {
		chunks.Put(c)
	}
}
