package consumer

import (
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/audittrail/audittrail/schemas/audit"
)

// TestRangeStaysPlannedWhileItsIntentIsWrittenAnew: some of such a range may be in ClickHouse, so a drain must leave it to the next owner.
func TestRangeStaysPlannedWhileItsIntentIsWrittenAnew(t *testing.T) {
	l := &lane{recovered: true, state: laneDraining, c: new(Consumer)}
	longAgo := time.Now().Add(-time.Hour).Truncate(time.Second)
	for i := range int64(3) {
		r := plannedRange{First: 10 * i, End: 10*i + 10, Day: time.Unix(0, 0)}
		s := &span{encoded: &encoded{plannedRange: r}}
		if i < 2 {
			s.since = longAgo.Add(time.Duration(i) * time.Minute)
		}
		l.spans = append(l.spans, s)
	}
	l.spans[0].intentAt = time.Now()
	s, ok := l.snapshot(time.Now())
	p, err := parsePlan(s.metadata)
	if !ok || err != nil || len(p.Ranges) != 2 || p.Ranges[1].End != 20 || !p.Since.Equal(longAgo) {
		t.Errorf("the last commit plans %+v, %v, want the two ranges that were ever intended, since %s", p, err, longAgo)
	}
}

// TestPlanSurvivesAnOwnerThatNeverReadsIt: ClickHouse is down while partitions go from owner to owner. Each leaves what the one before has planned.
func TestPlanSurvivesAnOwnerThatNeverReadsIt(t *testing.T) {
	w := newWorld(t, 1)
	w.produce(0, 60)
	today := time.Now().UTC().Truncate(24 * time.Hour)
	left := w.planOf(0, audit.DecoderVersion, plannedRange{First: 0, End: 40, Day: today}, plannedRange{First: 40, End: 60, Day: today})
	w.commit(0, left)
	real := w.ch
	p := w.proxied(func(string, []byte) fault { return answer(http.StatusServiceUnavailable, "", "down") })
	asked := make(chan struct{}, 1000)
	p.query = func(string) fault {
		asked <- struct{}{}
		return answer(http.StatusServiceUnavailable, "", "down")
	}
	opt := w.options()
	opt.testWindows = &windows{blocks: 100_000}
	c := w.start(opt)
	eventually(t, "the partition to be assigned", func() bool { return testutil.ToFloat64(c.m.lanes) == 2 })
	for range 3 {
		<-asked
	}
	c.stop(t)
	if got := w.broker.GroupInfo(DefaultGroup).Commits[w.topic()][0].Metadata; got != left {
		t.Errorf("the plan that is left is %q, want %q", got, left)
	}
	w.ch = real
	c = w.consumed(w.options())
	w.exactly(60, 0, 0)
	if n := testutil.CollectAndCount(c.m.checks); n != 0 {
		t.Errorf("%d range checks were made, the tokens are enough", n)
	}
}

// TestManyPlannedRangesStayPlanned: the next owner gets all that it cannot insert either.
func TestManyPlannedRangesStayPlanned(t *testing.T) {
	w := newWorld(t, 1)
	w.produce(0, 200)
	today := time.Now().UTC().Truncate(24 * time.Hour)
	var ranges []plannedRange
	for first := int64(0); first < 200; first += 10 {
		ranges = append(ranges, plannedRange{First: first, End: first + 10, Day: today})
	}
	w.commit(0, w.planOf(0, audit.DecoderVersion, ranges...))
	real := w.ch
	p := w.proxied(func(string, []byte) fault { return answer(http.StatusServiceUnavailable, "", "down") })
	c := w.start(w.options())
	eventually(t, "inserts to be tried", func() bool { return p.struck() >= 4 })
	c.stop(t)
	left, err := parsePlan(w.broker.GroupInfo(DefaultGroup).Commits[w.topic()][0].Metadata)
	if err != nil || !slices.Equal(left.Ranges, ranges) {
		t.Errorf("the ranges that are left are %+v, %v", left.Ranges, err)
	}
	w.ch = real
	w.consumed(w.options())
	w.exactly(200, 0, 0)
}

// TestRewoundLogIsNoticed: records come again below what was read, without a word from the client. They are other records.
func TestRewoundLogIsNoticed(t *testing.T) {
	w := newWorld(t, 1)
	w.produce(0, 20)
	c := w.start(w.shortIntents())
	w.settled(DefaultGroup)
	c.mu.Lock()
	l := c.lanes[partitionKey{w.topic(), 0}]
	c.mu.Unlock()
	r := eventRecordTo(w, 500, 0)
	r.Offset, r.Topic = 7, w.topic()
	l.push(&kgo.FetchPartition{Partition: 0, Records: []*kgo.Record{r}, HighWatermark: 20}, gap{})
	eventually(t, "the session to start over", func() bool { return testutil.ToFloat64(c.m.rebalances.WithLabelValues("assigned")) >= 2 })
	w.produce(20, 30)
	w.settled(DefaultGroup)
	c.stop(t)
	w.exactlyRows(30)
}

// TestRollingRestartOfStaticMembersMovesNothing: the group waits for a member that has a name of its own.
func TestRollingRestartOfStaticMembersMovesNothing(t *testing.T) {
	w := newWorld(t, 4)
	start := func(name string) *running {
		opt := w.options()
		opt.InstanceID, opt.SessionTimeout = name, 30*time.Second
		return w.start(opt)
	}
	a, b := start("a"), start("b")
	owned := func(r *running) float64 { return testutil.ToFloat64(r.m.lanes) }
	eventually(t, "the partitions to be shared", func() bool { return owned(a) > 0 && owned(b) > 0 && owned(a)+owned(b) == 5 })
	w.produce(0, 200)
	w.settled(DefaultGroup)
	before := a.lanesNow()
	had := owned(b)
	for range 2 {
		b.stop(t)
		b = start("b")
		eventually(t, "the partitions to come back", func() bool { return owned(b) == had })
		w.produce(200, 300)
		w.settled(DefaultGroup)
	}
	if after := a.lanesNow(); !maps.Equal(after, before) {
		t.Errorf("the member that stayed had the lanes %v and has %v", before, after)
	}
	// A scale-down says that it is one: the partitions move at once, not when the session times out.
	b.stop(t)
	if err := Leave(t.Context(), w.cfg, DefaultGroup, "b"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the partitions to move", func() bool { return owned(a) == 5 })
	w.produce(300, 400)
	w.settled(DefaultGroup)
	a.stop(t)
	w.exactlyRows(500)
	if err := Leave(t.Context(), w.cfg, DefaultGroup, "nobody"); err == nil {
		t.Error("a member that is not in the group can leave it")
	}
}

// lanesNow is what the consumer owns; a partition that went and came back has another lane.
func (r *running) lanesNow() map[partitionKey]*lane {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.lanes)
}

func TestQuarantineLogIsBounded(t *testing.T) {
	var q quarantineLog
	now := time.Now()
	var got []int
	for i := range 25 {
		got = append(got, q.note(now.Add(time.Duration(i)*time.Second)))
	}
	want := make([]int, 25)
	want[0], want[10], want[20] = 1, 10, 10
	if !slices.Equal(got, want) {
		t.Errorf("records are mentioned as %v, want %v", got, want)
	}
}
