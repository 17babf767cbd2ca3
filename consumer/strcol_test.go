package consumer

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ClickHouse/ch-go/proto"
)

// TestStringColumn compares with ch-go's column: values that are empty, end at a chunk's end, or take several chunks.
func TestStringColumn(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var got strCol
	for round := range 20 {
		var want proto.ColStr
		for range r.IntN(300) {
			n := r.IntN(400)
			switch r.IntN(20) {
			case 0:
				n = 0
			case 1:
				n = r.IntN(3 * chunkSize)
			case 2: // to the end of the chunk, or a byte or two beside it
				n = max(0, chunkSize-got.used-4+r.IntN(5))
			}
			v := strings.Repeat(string(rune('a'+r.IntN(26))), n)
			want.Append(v)
			if r.IntN(2) == 0 {
				got.Append(v)
			} else {
				got.AppendBytes([]byte(v))
			}
		}
		var a, b proto.Buffer
		want.EncodeColumn(&a)
		got.EncodeColumn(&b)
		if !bytes.Equal(a.Buf, b.Buf) || got.Rows() != want.Rows() || got.EncodedSize() != len(a.Buf) {
			t.Fatalf("round %d: %d rows in %d bytes, want %d in %d", round, got.Rows(), len(b.Buf), want.Rows(), len(a.Buf))
		}
		got.Reset()
		if got.Rows() != 0 || got.EncodedSize() != 0 {
			t.Fatal("a column that was reset is not empty")
		}
	}
}
