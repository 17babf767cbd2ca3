package consumer

import (
	"context"
	"crypto/rand"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/audittrail/audittrail/schemas/audit"
)

func TestBudget(t *testing.T) {
	b := newBudget(100)
	b.take(150) // what is read is read: only reading on waits
	b.give(40)
	ok, freed := b.room()
	if ok {
		t.Fatal("there is room with 110 of 100 in use")
	}
	b.give(20)
	<-freed
	if ok, _ = b.room(); !ok || b.inUse() != 90 {
		t.Errorf("room is %v with %d in use", ok, b.inUse())
	}
}

// TestPlannedRangesBeyondTheBudget: the owner before had more memory, or each of its partitions had its turn. All of its ranges must be filled to their
// ends at once, and together they are more than the budget.
func TestPlannedRangesBeyondTheBudget(t *testing.T) {
	const partitions, each = 4, 500
	w := newWorld(t, partitions)
	w.produce(0, partitions*each)
	today := time.Now().UTC().Truncate(24 * time.Hour)
	for p := range int32(partitions) {
		w.commitTo(p, 0, w.planOf(0, audit.DecoderVersion, plannedRange{First: 0, End: each, Day: today}))
	}
	opt := w.options()
	opt.MemoryBytes = 100_000 // a seventh of what one of the ranges takes
	w.consumed(opt)
	w.exactly(partitions*each, 0, 0)
	if n := w.count("SELECT count() FROM audit.ledger FINAL WHERE src_topic_id = {topic:UUID}"); n != partitions {
		t.Errorf("the ledger has %d ranges, want the %d that were planned", n, partitions)
	}
}

// TestCheckedRangesBeyondTheBudget: ranges that are checked need not be filled at once.
func TestCheckedRangesBeyondTheBudget(t *testing.T) {
	w := newWorld(t, 1)
	w.produce(0, 2000)
	w.consumed(w.options())
	w.commit(0, "")
	opt := w.shortIntents()
	opt.MemoryBytes = 100_000
	w.consumed(opt)
	w.exactlyRows(2000)
}

// TestHeadersCount: ClickHouse is away, and records come with small values and large headers.
func TestHeadersCount(t *testing.T) {
	w := newWorld(t, 1)
	const n, size, budget = 200, 500_000, 4 << 20
	cl := w.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	noise := make([]byte, size) // which does not compress: a fetch holds few of them
	_, _ = rand.Read(noise)
	for i := range n {
		r := eventRecordTo(w, i, 0)
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: "trace", Value: noise})
		if err := cl.ProduceSync(context.Background(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	w.proxied(func(string, []byte) fault { return answer(http.StatusServiceUnavailable, "", "down") })
	opt := w.options()
	opt.MemoryBytes = budget
	c := w.start(opt)
	eventually(t, "reading to stop", func() bool { ok, _ := c.budget.room(); return !ok })
	// One fetch more than fits, and no more.
	if read := testutil.ToFloat64(c.m.records.WithLabelValues(w.topic())); read > n/2 {
		t.Errorf("%v of %d records of 500 kB were read with a budget of 4 MiB", read, n)
	}
	c.stop(t)
}

// TestReadingOnAloneTakesTurns: the lane that holds most may get no more records, its leader being away.
func TestReadingOnAloneTakesTurns(t *testing.T) {
	c := &Consumer{lanes: make(map[partitionKey]*lane)}
	key := func(p int32) partitionKey { return partitionKey{"t", p} }
	for p, held := range []int64{0, 10, 30, 20} {
		c.lanes[key(int32(p))] = &lane{held: held, duties: []duty{{}}}
	}
	barren := make(map[partitionKey]bool)
	for _, want := range []int32{2, 3, 1} {
		got, ok := c.starving(barren)
		if !ok || got != key(want) {
			t.Fatalf("%v, %v is read on, want %v", got, ok, key(want))
		}
		barren[got] = true
	}
	if got, ok := c.starving(barren); ok || len(barren) != 0 {
		t.Errorf("with all barren %v is read on, and %v stay so", got, barren)
	}
	if got, ok := c.starving(barren); !ok || got != key(2) {
		t.Errorf("in the next round %v, %v is read on", got, ok)
	}
	c.lanes[key(0)].held, c.lanes[key(0)].duties = 5, nil // it will cut its range by age
	if got, ok := c.starving(barren); ok {
		t.Errorf("%v is read on although another lane will free memory", got)
	}
}

func TestStoredOffsetsTakeLittleMemory(t *testing.T) {
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	set := new(offsetSet)
	for i := range int64(250_000) {
		set.add(i, uint64(i))
	}
	got := int64(heap()) - int64(before)
	runtime.KeepAlive(set)
	if got > 8<<20 {
		t.Errorf("250,000 stored offsets take %d KiB", got>>10)
	}
}
