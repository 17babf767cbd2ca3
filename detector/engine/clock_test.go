package engine

import (
	"reflect"
	"strings"
	"testing"

	"github.com/audittrail/audittrail/detector/wire"
)

func sources(times ...int64) *wire.Clock {
	c := &wire.Clock{Total: int32(len(times))}
	for i, t := range times {
		if t > 0 {
			c.Sources = append(c.Sources, wire.Source{Partition: int32(i), Time: t})
		}
	}
	return c
}

func TestClockIsTheSlowestSource(t *testing.T) {
	unavailable := &wire.Clock{Total: 3, Sources: []wire.Source{{Partition: 2, Time: 140, Unavailable: true}}}
	steps := []struct {
		name     string
		rec      *wire.Clock
		now      int64
		distance int64
	}{
		{"no clock before all have reported", sources(100, 200, 0), 0, 100},
		{"the last one reports", sources(0, 0, 150), 100, 100},
		{"one goes on", sources(180, 0, 0), 150, 50},
		{"a new owner knows less", sources(0, 120, 0), 150, 50},
		{"the slowest becomes unavailable", unavailable, 180, 20},
		{"others go on without it", sources(300, 400, 0), 300, 100},
		{"it comes back, far behind", sources(0, 0, 160), 300, 240},
		{"and catches up", sources(310, 410, 500), 310, 190},
		{"a partition is added", sources(320, 420, 510, 0), 310, 190},
		{"and reports", sources(0, 0, 0, 330), 320, 190},
	}
	var c clock
	for _, s := range steps {
		before := c.now
		advanced := c.apply(s.rec)
		if c.now != s.now || c.distance() != s.distance || advanced != (c.now > before) {
			t.Errorf("%s: the clock is %d and the distance %d, want %d and %d (advanced: %t)", s.name, c.now, c.distance(), s.now, s.distance, advanced)
		}
	}
}

func TestAllowanceGrowsWithTheDistance(t *testing.T) {
	var c clock
	for _, s := range []struct{ fast, want int64 }{
		{1, 60_000}, {120_001, 180_000}, {3_000_000_001, 3_600_000},
	} {
		c.apply(sources(1, s.fast))
		if got := c.allowance(60_000); got != s.want {
			t.Errorf("sources %d ms apart give an allowance of %d ms, want %d", s.fast-1, got, s.want)
		}
	}
}

func TestCheckpointSurvivesText(t *testing.T) {
	many := make([]source, wire.MaxSources)
	for i := range many {
		many[i] = source{time: 1_764_000_000_000 - int64(i)*3_600_000, unavailable: i%7 == 0} // three weeks apart
	}
	for name, cp := range map[string]Checkpoint{
		"start": Start(0),
		"plain": {Offset: 123_456_789, clock: clock{now: 1_764_000_000_000, sources: []source{{time: 1_764_000_000_000}, {}, {time: 1_763_999_999_999, unavailable: true}}}},
		"large": {Offset: 1 << 50, clock: clock{now: 1_764_000_000_000, sources: many}},
	} {
		text := cp.String()
		if len(text) > MaxCheckpoint {
			t.Errorf("%s: %d bytes are more than brokers take", name, len(text))
		}
		back, err := ParseCheckpoint(text)
		if err != nil || !reflect.DeepEqual(back, cp) {
			t.Errorf("%s: came back as %+v, %v", name, back, err)
		}
	}
}

func TestCheckpointsOfOthersAreRefused(t *testing.T) {
	good := Checkpoint{Offset: 7, clock: clock{now: 5, sources: []source{{time: 5}}}}.String()
	for _, bad := range []string{"", "member-1234", "AA", good + "AAAA", good[:len(good)-2], "!" + good[1:], strings.Repeat("B", 50)} {
		if cp, err := ParseCheckpoint(bad); err == nil {
			t.Errorf("%q was read as %+v", bad, cp)
		}
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add(Start(0).String())
	f.Add(Checkpoint{Offset: 7, clock: clock{now: 5, sources: []source{{time: 5}, {}, {time: 3, unavailable: true}}}}.String())
	f.Fuzz(func(t *testing.T, s string) {
		cp, err := ParseCheckpoint(s)
		if err != nil {
			return
		}
		if back, err := ParseCheckpoint(cp.String()); err != nil || back.Offset != cp.Offset || back.clock.now != cp.clock.now || len(back.clock.sources) != len(cp.clock.sources) {
			t.Fatalf("%q became %+v and then %+v, %v", s, cp, back, err)
		}
	})
}
