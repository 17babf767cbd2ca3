package generate_test

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/audittrail/audittrail/producer/generate"
	"github.com/audittrail/audittrail/schemas/audit"
)

var update = flag.Bool("update", false, "write the golden files anew")

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// each makes n events, step apart.
func each(seed uint64, n int, step time.Duration, do func(*audit.Event)) {
	s := generate.NewSource(seed)
	var e audit.Event
	for i := range n {
		s.Next(&e, noon.Add(time.Duration(i)*step))
		do(&e)
	}
}

func TestSourceGolden(t *testing.T) {
	var got []byte
	each(1, 60, time.Second, func(e *audit.Event) { got = append(audit.Encode(got, e), '\n') })
	path := filepath.Join("testdata", "seed1.ndjson")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("seed 1 gives other events than %s says; run with -update if that is meant", path)
	}
}

func TestSourceIsDeterministic(t *testing.T) {
	ids := func(seed uint64) []string {
		var all []string
		each(seed, 2000, time.Millisecond, func(e *audit.Event) { all = append(all, string(audit.Encode(nil, e))) })
		return all
	}
	if !slices.Equal(ids(7), ids(7)) {
		t.Error("the same seed gave other events")
	}
	if slices.Equal(ids(7), ids(8)) {
		t.Error("another seed gave the same events")
	}
}

// TestSourceMix pins what a load test may rely on.
func TestSourceMix(t *testing.T) {
	const n = 100_000
	actions := map[string]int{}
	tenants := map[string]int{}
	actors := map[string]int{}
	failures, bytes := 0, 0
	each(3, n, time.Millisecond, func(e *audit.Event) {
		if err := e.Validate(); err != nil {
			t.Fatalf("%v: %s", err, audit.Encode(nil, e))
		}
		actions[e.Action]++
		tenants[e.Tenant]++
		actors[e.Actor.ID]++
		bytes += len(audit.Encode(nil, e))
		if e.Action == "auth.login" && e.Outcome == audit.OutcomeFailure {
			failures++
			if e.Actor.ID != "" || e.Actor.Name == "" || !e.Source.IP.IsValid() {
				t.Fatalf("a failed login must have a name, an address and no id: %s", audit.Encode(nil, e))
			}
		}
		if e.Action == "data.export" && (e.Data.Records > 0) != (e.Outcome == audit.OutcomeSuccess) || e.Action == "record.update" && len(e.Changes) == 0 || e.Action == "api.access" && e.Request.Status == 0 {
			t.Fatalf("incomplete: %s", audit.Encode(nil, e))
		}
	})
	for _, action := range []string{
		"auth.login", "auth.logout", "auth.mfa", "auth.lock", "record.create", "record.read", "record.update", "record.delete",
		"data.export", "api.access", "user.create", "role.grant",
	} {
		if actions[action] == 0 {
			t.Errorf("no %s among %d events", action, n)
		}
	}
	between := func(what string, got, low, high float64) {
		t.Helper()
		if got < low || got > high {
			t.Errorf("%s: %.3f is not between %g and %g", what, got, low, high)
		}
	}
	delete(actors, "")
	busiest := 0
	for _, count := range actors {
		busiest = max(busiest, count)
	}
	between("bytes an event", float64(bytes)/n, 520, 570)
	between("share of failed logins", float64(failures)/n, 0.04, 0.06)
	between("share of reads", float64(actions["record.read"])/n, 0.45, 0.65)
	between("share of the busiest actor", float64(busiest)/n, 0.02, 0.15)
	between("actors", float64(len(actors)), 3000, 20_000)
	between("tenants", float64(len(tenants)), 5, 5)
	between("share of acme", float64(tenants["acme"])/n, 0.3, 0.7)
	t.Logf("%d bytes an event, %d failed logins, %v", bytes/n, failures, actions)
}

// TestSourceBursts: the attackers reach five failures within a minute, also when the events lie hours apart, and few others do.
func TestSourceBursts(t *testing.T) {
	for _, step := range []time.Duration{time.Millisecond, time.Hour} {
		times := map[netip.Addr][]time.Time{}
		each(5, 20_000, step, func(e *audit.Event) {
			if e.Action == "auth.login" && e.Outcome == audit.OutcomeFailure && e.Reason == "unknown_user" {
				times[e.Source.IP] = append(times[e.Source.IP], e.Time)
			}
		})
		hit := 0
		for _, all := range times {
			slices.SortFunc(all, time.Time.Compare)
			for i := 4; i < len(all); i++ {
				if all[i].Sub(all[i-4]) < time.Minute {
					hit++
					break
				}
			}
		}
		if len(times) < 10 || hit < len(times)/2 {
			t.Errorf("events %s apart: %d of %d attackers reach five in a minute", step, hit, len(times))
		}
	}
}

func TestSourceNumbersItsServices(t *testing.T) {
	next := map[audit.Service]uint64{}
	each(9, 5000, time.Millisecond, func(e *audit.Event) {
		next[e.Service]++
		if e.Sequence != next[e.Service] {
			t.Fatalf("%v: sequence %d after %d", e.Service, e.Sequence, next[e.Service]-1)
		}
	})
	if len(next) != 18 {
		t.Errorf("%d service instances, want 18", len(next))
	}
}

// TestSourceSessions: a session begins with a login and nothing carries it after the logout.
func TestSourceSessions(t *testing.T) {
	ended := map[string]bool{}
	logins := 0
	each(11, 50_000, time.Millisecond, func(e *audit.Event) {
		if e.SessionID == "" {
			return
		}
		if ended[e.SessionID] {
			t.Fatalf("%s after the session's end", e.Action)
		}
		switch e.Action {
		case "auth.login":
			logins++
		case "auth.logout":
			ended[e.SessionID] = true
		}
	})
	if logins == 0 || len(ended) < logins/2 {
		t.Errorf("%d logins, %d logouts", logins, len(ended))
	}
}

func TestSourceSurvivesTheWire(t *testing.T) {
	d := audit.NewDecoder()
	each(13, 5000, time.Millisecond, func(e *audit.Event) {
		_, value, headers := audit.EncodeRecord(e)
		var got audit.Event
		if err := d.Decode(&audit.Record{Value: value, Headers: headers}, &got); err != nil {
			t.Fatal(err)
		}
		if want, have := e.Clone(), got.Clone(); !reflect.DeepEqual(want, have) {
			t.Fatalf("got  %+v\nwant %+v", have, want)
		}
	})
}

func BenchmarkSource(b *testing.B) {
	s := generate.NewSource(1)
	var e audit.Event
	b.Run("next", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Next(&e, noon)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	})
	b.Run("next and encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Next(&e, noon)
			audit.EncodeRecord(&e)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	})
}
