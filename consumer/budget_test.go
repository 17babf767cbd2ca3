package consumer

import (
	"testing"
	"time"

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
