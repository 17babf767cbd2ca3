package consumer

import (
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/producer/generate"
	"github.com/audittrail/audittrail/schemas/audit"
)

// usualRecords are n records as the load generator makes them.
func usualRecords(n int) []audit.Record {
	src := generate.NewSource(1)
	at := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	out := make([]audit.Record, n)
	var e audit.Event
	for i := range out {
		src.Next(&e, at.Add(time.Duration(i)*time.Millisecond))
		key, value, headers := audit.EncodeRecord(&e)
		out[i] = audit.Record{Offset: int64(i), Time: at, Key: key, Value: value, Headers: headers}
	}
	return out
}

// BenchmarkColumns is what the consumer does with an event: decode, append to columns; and once a block, encode. encoding/json decoding the same events
// stands in schemas/audit's benchmarks.
func BenchmarkColumns(b *testing.B) {
	records := usualRecords(20_000)
	bytes := 0
	for i := range records {
		bytes += len(records[i].Value)
	}
	src := source{topic: "audit.events"}
	b.Run("decode", func(b *testing.B) {
		dec := audit.NewDecoder()
		var e audit.Event
		b.SetBytes(int64(bytes / len(records)))
		b.ReportAllocs()
		for i := range b.N {
			if err := dec.Decode(&records[i%len(records)], &e); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("append", func(b *testing.B) {
		r := newEventRows()
		fill(b, r, &src, records)
		r.Reset()
		b.SetBytes(int64(bytes / len(records)))
		b.ReportAllocs()
		b.ResetTimer()
		for i := range b.N {
			if i%len(records) == 0 {
				r.Reset()
			}
			if _, err := r.Append(&src, &records[i%len(records)]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encode", func(b *testing.B) {
		r := newEventRows()
		fill(b, r, &src, records)
		r.SetDay(time.Now())
		var buf proto.Buffer
		b.ReportAllocs()
		for range b.N {
			buf.Reset()
			if _, err := clickhouse.EncodeBlock(&buf, r.Columns()); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(records)), "ns/event")
	})
}

func fill(tb testing.TB, r rows, src *source, records []audit.Record) {
	tb.Helper()
	for i := range records {
		if _, err := r.Append(src, &records[i]); err != nil {
			tb.Fatal(err)
		}
	}
}

func TestColumnsTakeEventsWithoutAllocating(t *testing.T) {
	records := usualRecords(5_000)
	src := source{topic: "audit.events"}
	r := newEventRows()
	fill(t, r, &src, records)
	r.Reset()
	// Growing and the dictionaries of the first block are paid for by now; what remains are new dictionary values after a reset.
	i := 0
	got := testing.AllocsPerRun(len(records)-1, func() {
		if _, err := r.Append(&src, &records[i]); err != nil {
			t.Fatal(err)
		}
		i = (i + 1) % len(records)
	})
	if got > 0.2 {
		t.Errorf("%.2f allocations an event", got)
	}
}
