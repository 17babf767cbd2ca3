package detector

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/audittrail/audittrail/detector/rule"
	"github.com/audittrail/audittrail/detector/wire"
	"github.com/audittrail/audittrail/schemas/audit"
)

// recordOf is an event as it comes from Kafka.
func recordOf(e *audit.Event, published time.Time) *audit.Record {
	key, value, headers := audit.EncodeRecord(e)
	return &audit.Record{TopicID: [16]byte{1}, Partition: 3, Offset: 42, Time: published, Key: key, Value: value, Headers: headers}
}

func TestMatcherWritesWhatTheRulesCount(t *testing.T) {
	byUser := rule.BruteForceIP()
	byUser.ID, byUser.Name = "by user", "by_user"
	byUser.GroupBy = []rule.Field{rule.Tenant(), {Name: "actor.name", Value: func(e *audit.Event) (string, bool) { return e.Actor.Name, e.Actor.Name != "" }}}
	other := rule.BruteForceIP()
	other.ID, other.Name, other.Threshold = "other", "other", 50
	never := rule.BruteForceIP()
	never.ID, never.Name, never.Match = "never", "never", func(*audit.Event) bool { return false }
	rules := []rule.Rule{rule.BruteForceIP(), byUser, other, never}

	e := failedLogin("0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", "::ffff:203.0.113.7", at)
	m := newMatcher(rules)
	var keys []string
	var got []wire.Match
	emit := func(key, value []byte) {
		var rec wire.Record
		if err := wire.Parse(value, &rec); err != nil {
			t.Fatal(err)
		}
		keys, got = append(keys, string(key)), append(got, rec.Match)
	}
	if clamped, err := m.apply(recordOf(e, at.Add(time.Second)), emit); err != nil || clamped {
		t.Fatalf("clamped: %t, %v", clamped, err)
	}
	detail := wire.Detail(wire.AppendDetail(nil, &wire.Facts{ID: e.ID, User: "root", Source: netip.MustParseAddr("203.0.113.7")}))
	want := wire.Match{
		RuleSet: rule.SetVersion(rules), Rules: []uint32{rules[0].Key(), rules[2].Key()}, Time: at.UnixMicro(), Published: at.Add(time.Second).UnixMilli(),
		Partition: 3, Offset: 42, Detail: detail,
	}
	second := want
	second.Rules = []uint32{byUser.Key()}
	if !reflect.DeepEqual(got, []wire.Match{want, second}) {
		t.Errorf("got  %+v\nwant %+v", got, []wire.Match{want, second})
	}
	wantKeys := []string{string(rule.NewGrouping(rules[0].GroupBy).AppendKey(nil, e)), string(rule.NewGrouping(byUser.GroupBy).AppendKey(nil, e))}
	if !slices.Equal(keys, wantKeys) {
		t.Errorf("keys %q, want %q", keys, wantKeys)
	}

	got = nil
	success := failedLogin("x", "203.0.113.7", at)
	success.Outcome = audit.OutcomeSuccess
	if _, err := m.apply(recordOf(success, at), emit); err != nil || got != nil {
		t.Errorf("a success was matched: %+v, %v", got, err)
	}
	if _, err := m.apply(&audit.Record{Value: []byte("{"), Time: at}, emit); err == nil || got != nil {
		t.Errorf("a record that is no event was matched: %+v", got)
	}
}

func TestEventsFromTheFutureGetTheirKafkaTime(t *testing.T) {
	for ahead, clamps := range map[time.Duration]bool{-time.Hour: false, 2 * time.Minute: false, 2*time.Minute + time.Microsecond: true, 1000 * time.Hour: true} {
		m := newMatcher(rule.BuiltIn())
		want := at.Add(ahead)
		if clamps {
			want = at
		}
		clamped, err := m.apply(recordOf(failedLogin("x", "203.0.113.7", at.Add(ahead)), at), func(_, value []byte) {
			var rec wire.Record
			if err := wire.Parse(value, &rec); err != nil || rec.Match.Time != want.UnixMicro() || rec.Match.Clamped != clamps {
				t.Errorf("%s ahead: %v, clamped: %t, %v", ahead, time.UnixMicro(rec.Match.Time).UTC(), rec.Match.Clamped, err)
			}
		})
		if err != nil || clamped != clamps {
			t.Errorf("%s ahead: clamped: %t, %v", ahead, clamped, err)
		}
	}
}

// Whatever an event holds, its match record stays small and can be read.
func TestHugeEventsGiveSmallMatches(t *testing.T) {
	e := failedLogin(strings.Repeat("i", 10_000), "2001:db8::1", at)
	e.Actor.Name = strings.Repeat("ü", 10_000)
	e.Tenant = strings.Repeat("t", 10_000)
	m := newMatcher(rule.BuiltIn())
	n := 0
	if _, err := m.apply(recordOf(e, at), func(key, value []byte) {
		var rec wire.Record
		if err := wire.Parse(value, &rec); err != nil || len(key)+len(value) > 700 {
			t.Errorf("%d bytes of key, %d of value, %v", len(key), len(value), err)
		}
		n++
	}); err != nil || n != 1 {
		t.Errorf("%d matches, %v", n, err)
	}
}

func BenchmarkMatcher(b *testing.B) {
	e := failedLogin("0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", "203.0.113.7", at)
	e.Source.UserAgent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36"
	e.Request = audit.Request{ID: "req-8f14e45f", Method: "POST", Route: "/api/auth/login/", Status: 401}
	e.TraceID, e.SpanID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	e.Message = "login of root was refused: wrong password"
	success := *e
	success.Outcome = audit.OutcomeSuccess
	for name, e := range map[string]*audit.Event{"match": e, "other": &success} {
		b.Run(name, func(b *testing.B) {
			rec := recordOf(e, at)
			m := newMatcher(rule.BuiltIn())
			b.SetBytes(int64(len(rec.Value)))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if _, err := m.apply(rec, func(key, value []byte) { n++ }); err != nil {
					b.Fatal(err)
				}
			}
			if (n > 0) != (name == "match") {
				b.Fatal(fmt.Sprint(n, " matches"))
			}
		})
	}
}
