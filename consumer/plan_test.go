package consumer

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

func TestPlanText(t *testing.T) {
	p := plan{TopicID: [16]byte{1, 2, 3}, Decoder: 1, At: time.Unix(1_800_000_000, 0).UTC(), Since: time.Unix(1_799_999_000, 0).UTC(), Ranges: []plannedRange{
		{First: 100, End: 350, Day: day(2026, 11, 25)},
		{First: 350, End: 351, Day: day(2026, 11, 26), Shard: 3, Replay: 2},
	}}
	const want = "a2 AQIDAAAAAAAAAAAAAAAAAA 1 tro8w0 tro848 2s+6y:g1a:0:0 9q+1:g1b:3:2"
	if got := p.String(); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	back, err := parsePlan(want)
	if err != nil || !reflect.DeepEqual(back, p) {
		t.Errorf("read back as %+v, %v", back, err)
	}
	none := plan{TopicID: [16]byte{1}, Decoder: 1, At: time.Unix(1, 0).UTC(), Since: time.Unix(1, 0).UTC()}
	if back, err := parsePlan(none.String()); err != nil || !reflect.DeepEqual(back, none) {
		t.Errorf("a plan without ranges is read back as %+v, %v", back, err)
	}
}

func TestPlanTextIsNeverTooLong(t *testing.T) {
	last := plannedRange{First: 1<<62 - 2, End: 1<<62 - 1, Day: day(2149, 6, 6), Shard: 1<<16 - 1, Replay: 1<<32 - 1}
	p := plan{Decoder: 1<<31 - 1, At: time.Unix(1<<40-1, 0), Since: time.Unix(1<<40-1, 0)}
	// A bisection of 250,000 rows lists up to two ranges a halving beside those in flight.
	for range maxPlanned + 2*18 {
		p.Ranges = append(p.Ranges, last)
	}
	if n := len(p.String()); n > maxPlanBytes || strings.Count(p.String(), "+") != len(p.Ranges) {
		t.Errorf("the longest plan of one owner has %d bytes and %d of %d ranges, the limit is %d", n, strings.Count(p.String(), "+"), len(p.Ranges), maxPlanBytes)
	}
	for range 100 {
		p.Ranges = append(p.Ranges, last)
	}
	if n := len(p.String()); n > maxPlanBytes {
		t.Errorf("a plan that does not fit has %d bytes, the limit is %d", n, maxPlanBytes)
	}
}

func TestPlanOfSomebodyElseIsRefused(t *testing.T) {
	good := plan{TopicID: [16]byte{1}, Decoder: 1, At: time.Unix(1, 0), Since: time.Unix(1, 0), Ranges: []plannedRange{{First: 1, End: 2, Day: day(2026, 1, 1)}}}.String()
	for _, text := range []string{
		"x", "kgo-member-0d3a", "a1" + good[2:], good[:20], "a2 AQIDAAAAAAAAAAAAAAAAAA 1 1",
		good + " 5+1:fs6:0:0",   // not contiguous
		good + " 2+0:fs6:0:0",   // empty
		good + " 2+1:fs6:0",     // a number short
		good + " -2+1:fs6:0:0",  // negative
		good + " 2+1:zzzz:0:0",  // beyond ClickHouse's last day
		good + " 2+1:fs6:0:x!0", // not a number
		strings.Repeat(good, 40),
	} {
		if p, err := parsePlan(text); err == nil {
			t.Errorf("%.60q was read as %+v", text, p)
		} else if !strings.Contains(err.Error(), "offset metadata") {
			t.Errorf("%.60q: the error %q does not say what it is about", text, err)
		}
	}
}

func FuzzPlan(f *testing.F) {
	f.Add("")
	f.Add("a2 AQIDAAAAAAAAAAAAAAAAAA 1 tro8w0 tro848 2s+6y:g1a:0:0 9q+1:g1b:3:2")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePlan(text)
		if err != nil || text == "" {
			return
		}
		again, err := parsePlan(p.String())
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("%q is %+v, which is written %q and read as %+v, %v", text, p, p.String(), again, err)
		}
	})
}

func TestPlanRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		p := plan{Decoder: r.IntN(100), At: time.Unix(r.Int64N(1<<40), 0).UTC(), Since: time.Unix(r.Int64N(1<<40), 0).UTC()}
		for i := range p.TopicID {
			p.TopicID[i] = byte(r.Uint32())
		}
		at := r.Int64N(1 << 40)
		for range 1 + r.IntN(8) {
			n := 1 + r.Int64N(1<<20)
			p.Ranges = append(p.Ranges, plannedRange{at, at + n, time.Unix(r.Int64N(1<<16)*secondsPerDay, 0).UTC(), uint16(r.Uint32()), r.Uint32()})
			at += n
		}
		if back, err := parsePlan(p.String()); err != nil || !reflect.DeepEqual(back, p) {
			t.Fatalf("%+v came back as %+v, %v", p, back, err)
		}
	}
}
