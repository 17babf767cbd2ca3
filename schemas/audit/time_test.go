package audit

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

var timeTexts = []string{
	"2026-11-24T09:15:27Z", "2026-11-24T09:15:27.1Z", "2026-11-24T09:15:27.123456Z", "2026-11-24T09:15:27.123456789Z",
	"2026-11-24T09:15:27.1234567890123Z", "2026-11-24T09:15:27+02:00", "2026-11-24T09:15:27.5-11:45", "2026-11-24 09:15:27Z",
	"2026-11-24t09:15:27z", "2024-02-29T00:00:00Z", "2026-02-29T00:00:00Z", "2000-02-29T00:00:00Z", "2100-02-29T00:00:00Z",
	"2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z",
	"2026-12-31T23:59:60Z", "1900-01-01T00:00:00Z", "1899-12-31T23:59:59.999999Z", "2299-12-31T23:59:59.999999Z", "2300-01-01T00:00:00Z",
	"1900-01-01T00:00:00+00:01", "2299-12-31T23:59:59-00:01", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-11-24T09:15:27",
	"2026-11-24T09:15:27.Z", "2026-11-24T09:15:27,5Z", "2026-11-24T09:15:27+0200", "2026-11-24T09:15:27+24:00", "2026-11-24T09:15:27+02:60",
	"2026-11-24", "", "now", "２０26-11-24T09:15:27Z", "2026-11-24T9:15:27Z", "2026-11-24T09:15:27ZZ", "+026-11-24T09:15:27Z",
}

// checkParseTime compares with time.Parse, which knows neither a space nor small letters.
func checkParseTime(t *testing.T, s string) {
	t.Helper()
	got, ok := parseTime(s)
	standard := s
	if len(s) > 11 && (s[10] == ' ' || s[10] == 't') {
		standard = s[:10] + "T" + s[11:]
	}
	if body, small := strings.CutSuffix(standard, "z"); small {
		standard = body + "Z"
	}
	want, err := time.Parse(time.RFC3339Nano, standard)
	want = want.UTC()
	if err != nil || want.Year() < 1900 || want.Year() > 2299 {
		if ok {
			t.Errorf("%q was read as %v; time.Parse says %v, %v", s, got, want, err)
		}
		return
	}
	if !ok {
		// The lenient forms are read only together with what is usual otherwise.
		if standard == s {
			t.Errorf("%q was not read; time.Parse says %v", s, want)
		}
		return
	}
	if want = want.Truncate(time.Microsecond); !got.Equal(want) || got.Location() != time.UTC {
		t.Errorf("%q: got %v, want %v", s, got, want)
	}
}

func TestParseTime(t *testing.T) {
	for _, s := range timeTexts {
		checkParseTime(t, s)
	}
	for _, s := range []string{"2026-11-24 09:15:27Z", "2026-11-24t09:15:27.25z"} {
		if _, ok := parseTime(s); !ok {
			t.Errorf("%q was not read", s)
		}
	}
	if n := testing.AllocsPerRun(10, func() { parseTime("2026-11-24T09:15:27.123456+02:00") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestParseTimeEveryDay reads one time of each day of the range, in a random zone.
func TestParseTimeEveryDay(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for day := int64(minUnix); day < endUnix; day += 86400 {
		at := time.Unix(day+r.Int64N(86400), r.Int64N(1e9)).In(time.FixedZone("", 60*(r.IntN(2*23*60)-23*60)))
		got, ok := parseTime(at.Format(time.RFC3339Nano))
		if want := at.UTC().Truncate(time.Microsecond); !ok || got != want {
			t.Fatalf("%v: got %v %v", want, got, ok)
		}
	}
}

func TestAppendTime(t *testing.T) {
	for want, at := range map[string]time.Time{
		"2026-11-24T09:15:27Z":        time.Date(2026, 11, 24, 11, 15, 27, 999, time.FixedZone("", 7200)),
		"2026-11-24T09:15:27.1Z":      time.Date(2026, 11, 24, 9, 15, 27, 100000000, time.UTC),
		"2026-11-24T09:15:27.123456Z": time.Date(2026, 11, 24, 9, 15, 27, 123456789, time.UTC),
	} {
		if got := string(appendTime(nil, at)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
