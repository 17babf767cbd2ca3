package detector

import (
	"reflect"
	"testing"
	"time"

	"github.com/audittrail/audittrail/detector/wire"
)

func TestClockRecordsSayHowFarThePartitionsAreMatched(t *testing.T) {
	ms := func(d time.Duration) int64 { return at.Add(d).UnixMilli() }
	s := newSources(time.Minute)
	expect := func(what string, now time.Duration, want ...wire.Source) {
		t.Helper()
		c, ok := s.clock(4, at.Add(now))
		if !reflect.DeepEqual(c.Sources, want) || ok != (len(want) > 0) || c.Total != 4 {
			t.Errorf("%s: %+v, want %+v", what, c, want)
		}
	}
	expect("without partitions", 0)
	s.assign(2, 100)
	s.assign(0, 0)
	expect("nothing is known yet", 0)

	s.read(2, 100, at.Add(time.Second), at.Add(10*time.Second))
	s.read(2, 101, at.Add(-time.Second), at.Add(10*time.Second))
	expect("the greatest timestamp read", 0, wire.Source{Partition: 2, Time: ms(time.Second)})
	s.read(2, 102, at.Add(time.Hour), at.Add(10*time.Second))
	expect("but no more than now", 0, wire.Source{Partition: 2, Time: ms(10 * time.Second)})

	s.take(&probe{at: at.Add(20 * time.Second), ends: map[int32]int64{0: 0, 2: 104}})
	expect("at the end, the moment before it was asked for", 0, wire.Source{Partition: 0, Time: ms(20 * time.Second)}, wire.Source{Partition: 2, Time: ms(10 * time.Second)})
	s.read(2, 103, time.Time{}, at) // a control record
	s.take(&probe{at: at.Add(20 * time.Second), ends: map[int32]int64{0: 0, 2: 104}})
	expect("an end may be a control record", 0, wire.Source{Partition: 0, Time: ms(20 * time.Second)}, wire.Source{Partition: 2, Time: ms(20 * time.Second)})

	s.commit()
	s.read(0, 0, at.Add(30*time.Second), at.Add(40*time.Second))
	s.rollback()
	expect("what was rolled back is not matched", 0, wire.Source{Partition: 0, Time: ms(20 * time.Second)}, wire.Source{Partition: 2, Time: ms(20 * time.Second)})
	if p := s.parts[0].progress.position; p != 0 {
		t.Errorf("after the rollback the position is %d", p)
	}

	s.take(&probe{at: at.Add(60 * time.Second), ends: map[int32]int64{2: 104}})
	s.take(&probe{at: at.Add(100 * time.Second), ends: map[int32]int64{2: 104}})
	expect("a partition that fails is waited for", 119*time.Second, wire.Source{Partition: 0, Time: ms(20 * time.Second)}, wire.Source{Partition: 2, Time: ms(100 * time.Second)})
	expect("but not for ever", 120*time.Second, wire.Source{Partition: 0, Time: ms(20 * time.Second), Unavailable: true}, wire.Source{Partition: 2, Time: ms(100 * time.Second)})
	s.take(&probe{at: at.Add(130 * time.Second), ends: map[int32]int64{0: 7, 2: 104}})
	expect("and counts again when it is back", 130*time.Second, wire.Source{Partition: 0, Time: ms(20 * time.Second)}, wire.Source{Partition: 2, Time: ms(130 * time.Second)})

	if slowest, ok := s.slowest(); !ok || slowest.UnixMilli() != ms(20*time.Second) {
		t.Errorf("the slowest is at %s", slowest)
	}
	s.drop(0)
	expect("a partition that was taken away", 130*time.Second, wire.Source{Partition: 2, Time: ms(130 * time.Second)})
}
