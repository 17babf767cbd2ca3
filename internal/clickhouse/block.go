package clickhouse

import (
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/ClickHouse/ch-go/proto"
)

// Block is a block of rows in Native format.
type Block struct {
	// Columns are the names of the columns, in the order of the body.
	Columns []string
	Rows    int
	// Body are the bytes, in segments to be sent one after the other; Size is how many there are.
	Body [][]byte
	Size int
}

// Segmented is a column that lends its bytes as they are, instead of having them copied into the buffer.
type Segmented interface {
	Segments() [][]byte
}

// EncodeBlock encodes the columns, which are of equal length, appending to buf, whose bytes the block shares, as it shares those of Segmented columns. An
// error is about the columns: it will not pass by trying again.
func EncodeBlock(buf *proto.Buffer, cols proto.Input) (Block, error) {
	b := Block{Columns: make([]string, len(cols))}
	for i, c := range cols {
		b.Columns[i] = c.Name
		b.Rows = c.Data.Rows()
	}
	buf.Buf = slices.Grow(buf.Buf, encodedSize(cols))
	start := len(buf.Buf)
	buffered := func() { // ends the segment that lies in the buffer
		if len(buf.Buf) > start {
			b.add(buf.Buf[start:])
			start = len(buf.Buf)
		}
	}
	buf.PutInt(len(cols))
	buf.PutInt(b.Rows)
	for _, c := range cols {
		if n := c.Data.Rows(); n != b.Rows {
			return Block{}, fmt.Errorf("clickhouse: encode block: column %s has %d rows, others have %d", c.Name, n, b.Rows)
		}
		c.EncodeStart(buf, 0) // the revision that the HTTP interface reads unless told otherwise
		if v, ok := c.Data.(proto.Preparable); ok {
			if err := v.Prepare(); err != nil {
				return Block{}, fmt.Errorf("clickhouse: encode block: column %s: %w", c.Name, err)
			}
		}
		if b.Rows == 0 {
			continue
		}
		if v, ok := c.Data.(proto.StateEncoder); ok {
			v.EncodeState(buf)
		}
		if v, ok := c.Data.(Segmented); ok {
			buffered()
			for _, s := range v.Segments() {
				b.add(s)
			}
			continue
		}
		c.Data.EncodeColumn(buf)
	}
	buffered()
	return b, nil
}

func (b *Block) add(segment []byte) {
	b.Body = append(b.Body, segment)
	b.Size += len(segment)
}

// encodedSize estimates what the columns take in the buffer, so that it need not grow in steps.
func encodedSize(cols proto.Input) int {
	size := 16
	for _, c := range cols {
		size += len(c.Name) + 64
		if _, ok := c.Data.(Segmented); ok {
			continue
		}
		if known, ok := c.Data.(interface{ EncodedSize() int }); ok {
			size += known.EncodedSize()
		} else {
			size += 8 * c.Data.Rows() // numbers, times; the few longer ones make up for the shorter
		}
	}
	return size
}

// body is a block on its way, which may be read more than once.
type body struct {
	segments [][]byte
	readers  sync.WaitGroup
}

func (b *body) open() (io.ReadCloser, error) {
	b.readers.Add(1)
	return &segmentReader{left: b.segments, close: sync.OnceFunc(b.readers.Done)}, nil
}

// wait returns when all readers are closed.
func (b *body) wait() { b.readers.Wait() }

// segmentReader reads segments one after the other.
type segmentReader struct {
	left [][]byte
	// at is how much of the first of them has been read.
	at    int
	close func()
}

func (r *segmentReader) Read(p []byte) (n int, err error) {
	for len(r.left) > 0 && n < len(p) {
		k := copy(p[n:], r.left[0][r.at:])
		n += k
		if r.at += k; r.at == len(r.left[0]) {
			r.left, r.at = r.left[1:], 0
		}
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// WriteTo spares io.Copy its buffer.
func (r *segmentReader) WriteTo(w io.Writer) (sum int64, err error) {
	for len(r.left) > 0 {
		n, err := w.Write(r.left[0][r.at:])
		sum += int64(n)
		if err != nil {
			return sum, err
		}
		r.left, r.at = r.left[1:], 0
	}
	return sum, nil
}

func (r *segmentReader) Close() error { r.close(); return nil }
