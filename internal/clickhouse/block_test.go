package clickhouse

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"

	"github.com/ClickHouse/ch-go/proto"
)

// segmented is a String column in segments of a few bytes.
type segmented struct{ proto.ColStr }

func (c *segmented) Segments() (out [][]byte) {
	var b proto.Buffer
	c.EncodeColumn(&b)
	for len(b.Buf) > 0 {
		n := min(3, len(b.Buf))
		out = append(out, b.Buf[:n])
		b.Buf = b.Buf[n:]
	}
	return out
}

// TestSegmentsAreTheSameBlock: with and without segments the bytes are those that ch-go writes.
func TestSegmentsAreTheSameBlock(t *testing.T) {
	var numbers proto.ColUInt64
	var plain proto.ColStr
	var inPieces segmented
	low := new(proto.ColStr).LowCardinality()
	for i, s := range []string{"", "a", "some longer text", "a"} {
		numbers.Append(uint64(i))
		plain.Append(s)
		inPieces.Append(s)
		low.Append(s)
	}
	cols := func(text proto.ColInput) proto.Input {
		return proto.Input{{Name: "t", Data: text}, {Name: "n", Data: &numbers}, {Name: "l", Data: low}, {Name: "u", Data: text}}
	}
	var want proto.Buffer
	if err := (proto.Block{Rows: 4, Columns: 4}).EncodeRawBlock(&want, 0, cols(&plain)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]proto.ColInput{"plain": &plain, "segmented": &inPieces} {
		buf := proto.Buffer{Buf: []byte("something in front")}
		b, err := EncodeBlock(&buf, cols(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := bytes.Join(b.Body, nil); !bytes.Equal(got, want.Buf) || b.Size != len(got) || b.Rows != 4 {
			t.Errorf("%s: %d rows, size %d, body\n%q, want\n%q", name, b.Rows, b.Size, got, want.Buf)
		}
	}
	numbers.Append(9)
	if _, err := EncodeBlock(new(proto.Buffer), cols(&plain)); err == nil {
		t.Error("columns of different lengths were encoded")
	}
}

func TestBodyIsReadInAnyWay(t *testing.T) {
	b := body{segments: [][]byte{[]byte("one "), nil, []byte("two "), []byte("three")}}
	const want = "one two three"
	for name, read := range map[string]func(io.Reader) ([]byte, error){
		"whole":    io.ReadAll,
		"bytewise": func(r io.Reader) ([]byte, error) { return io.ReadAll(iotest.OneByteReader(r)) },
		"copied": func(r io.Reader) ([]byte, error) {
			var out bytes.Buffer
			_, err := io.Copy(&out, r)
			return out.Bytes(), err
		},
		"half, all": func(r io.Reader) ([]byte, error) {
			half := make([]byte, 6)
			if _, err := io.ReadFull(r, half); err != nil {
				return nil, err
			}
			var rest bytes.Buffer
			_, err := io.Copy(&rest, r)
			return append(half, rest.Bytes()...), err
		},
	} {
		r, _ := b.open()
		if got, err := read(r); string(got) != want || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		_ = r.Close()
		_ = r.Close()
	}
	b.wait()
}
