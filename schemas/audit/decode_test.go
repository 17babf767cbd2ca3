package audit

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

func decode(t *testing.T, value string, headers ...Header) *Event {
	t.Helper()
	rec := coordinates()
	rec.Value, rec.Headers = []byte(value), headers
	var e Event
	if err := NewDecoder().Decode(&rec, &e); err != nil {
		t.Fatalf("%v\n%s", err, value)
	}
	return e.Clone()
}

func wantReject(t *testing.T, err error, reason Reason, field string) {
	t.Helper()
	var reject *Reject
	if !errors.As(err, &reject) || reject.Reason != reason || reject.Field != field {
		t.Errorf("got %v, want %s of %q", err, reason, field)
	}
}

func TestDecodeLimits(t *testing.T) {
	rec := coordinates()
	fill := func(n int) []byte {
		const start, end = `{"action":"a.b","message":"`, `"}`
		return []byte(start + strings.Repeat("x", n-len(start)-len(end)) + end)
	}
	d := NewDecoder()
	var e Event
	rec.Value = fill(MaxEventBytes)
	if err := d.Decode(&rec, &e); err != nil {
		t.Errorf("an event of the largest size: %v", err)
	}
	rec.Value = fill(MaxEventBytes + 1)
	wantReject(t, d.Decode(&rec, &e), ReasonTooLarge, "")
	rec.Value = nil
	wantReject(t, d.Decode(&rec, &e), ReasonEmpty, "")

	deep := strings.Repeat("[", 9000)
	rec.Value = []byte(`{"action":"a.b","x":` + deep + strings.Repeat("]", 9000) + `}`)
	if err := d.Decode(&rec, &e); err != nil {
		t.Errorf("9,000 levels: %v", err)
	}
	rec.Value = bytes.Repeat([]byte("["), MaxEventBytes)
	err := d.Decode(&rec, &e)
	wantReject(t, err, ReasonBadJSON, "")
	if n := len(err.Error()); n > 200 {
		t.Errorf("the error has %d bytes: %.100s", n, err)
	}
	rec.Value = bytes.Repeat([]byte(`{"actor":`), MaxEventBytes/9)
	wantReject(t, d.Decode(&rec, &e), ReasonBadJSON, "")
}

// TestDecodeReuse decodes everything with one decoder into one event, in random order, and compares with a new decoder and a new event each.
func TestDecodeReuse(t *testing.T) {
	files := recordFiles(t)
	d := NewDecoder()
	var reused Event
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		file := files[r.IntN(len(files))]
		rec := readRecord(t, file)
		var fresh Event
		want := NewDecoder().Decode(rec, &fresh)
		got := d.Decode(rec, &reused)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%s: got %v, want %v", file, got, want)
		}
		if got == nil && !reflect.DeepEqual(reused.Clone(), fresh.Clone()) {
			t.Fatalf("%s: got\n%+v\nwant\n%+v", file, reused, fresh)
		}
	}
}

// TestHugeListsAreLetGo checks that one hostile event does not hold its memory in the reused one.
func TestHugeListsAreLetGo(t *testing.T) {
	d := NewDecoder()
	var e Event
	for _, value := range []string{`{"action":"a.b","targets":[` + strings.Repeat("{},", 5000) + `{}]}`, `{"action":"a.b"}`} {
		rec := coordinates()
		rec.Value = []byte(value)
		if err := d.Decode(&rec, &e); err != nil {
			t.Fatal(err)
		}
	}
	if n := cap(e.Targets); n > maxKept {
		t.Errorf("room for %d targets is kept", n)
	}
}

// TestCloneDetaches overwrites the record, and the decoder's memory with another event, under a clone.
func TestCloneDetaches(t *testing.T) {
	d := NewDecoder()
	var e Event
	for _, file := range recordFiles(t) {
		rec := readRecord(t, file)
		if d.Decode(rec, &e) != nil {
			continue
		}
		before := string(Encode(nil, &e))
		clone := e.Clone()
		for i := range rec.Value {
			rec.Value[i] = '#'
		}
		for _, h := range rec.Headers {
			copy(h.Value, "####################")
		}
		other := coordinates()
		other.Value = []byte(`{"action":"x.y","message":"` + strings.Repeat(`\n`, 500) + `","targets":[{"id":"\n"},{},{}]}`)
		if err := d.Decode(&other, &e); err != nil {
			t.Fatal(err)
		}
		if after := string(Encode(nil, clone)); after != before {
			t.Errorf("%s changed\nfrom %s\nto   %s", file, before, after)
		}
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	d := NewDecoder()
	var e Event
	for name, rec := range map[string]*Record{
		"binary": usualRecord(),
		"bare":   {Value: []byte(usualEvent)},
		"escapes": {
			Value: []byte(`{"id":"1","time":"2026-11-24T09:15:27Z","action":"a.b","outcome":"success","service":{"n\u0061me":"x\ny"},"metadata":{"a":{"b" : 1}}}`),
		},
		"repaired": {
			Value: []byte(`{"id":"1","action":"a.b","outcome":"won","actor":7,"time":"2026-11-24T09:15:27Z","metadata":{"a\u00e9":"` + "\xff" + `"}}`),
		},
		"structured": {
			Value: []byte(`{"specversion":"1.0","id":"1","type":"t","source":"s","time":"2026-11-24T09:15:27Z","data":{"action":"a.b","outcome":"success"}}`),
		},
	} {
		t.Run(name, func(t *testing.T) {
			allocs := testing.AllocsPerRun(100, func() {
				if err := d.Decode(rec, &e); err != nil {
					t.Fatal(err)
				}
			})
			if allocs != 0 {
				t.Errorf("%v allocations an event", allocs)
			}
		})
	}
}

func TestCoordinatesID(t *testing.T) {
	rec := coordinates()
	rec.Value = []byte(`{"action":"auth.login"}`)
	id := func() string {
		var e Event
		if err := NewDecoder().Decode(&rec, &e); err != nil {
			t.Fatal(err)
		}
		return e.ID
	}
	// Computed with Python's uuid.uuid5(namespace, bytes): it must never change, for a replay has to give the same id.
	const want = "23eec2d3-3884-5064-96a7-9520fb35d367"
	if got := id(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	seen := map[string]bool{want: true}
	for _, change := range []func(){func() { rec.Offset++ }, func() { rec.Partition++ }, func() { rec.TopicID[15]++ }} {
		change()
		if got := id(); seen[got] || got != id() {
			t.Errorf("%s is repeated or differs between two runs", got)
		} else {
			seen[got] = true
		}
	}
}

func TestRecordTimeIsHeldInRange(t *testing.T) {
	rec := coordinates()
	rec.Value = []byte(`{"action":"auth.login"}`)
	for in, want := range map[time.Time]string{
		{}:                              "1900-01-01T00:00:00Z",
		time.UnixMilli(-1):              "1969-12-31T23:59:59.999Z",
		time.UnixMilli(1 << 62):         "2299-12-31T23:59:59.999999Z",
		time.Unix(endUnix-1, 999999999): "2299-12-31T23:59:59.999999Z",
	} {
		rec.Time = in
		var e Event
		if err := NewDecoder().Decode(&rec, &e); err != nil {
			t.Fatal(err)
		}
		if got := string(appendTime(nil, e.Time)); got != want {
			t.Errorf("%v: got %s, want %s", in, got, want)
		}
	}
}

func TestSourceIP(t *testing.T) {
	for in, want := range map[string]string{
		"203.0.113.7":          "203.0.113.7",
		"::ffff:203.0.113.7":   "203.0.113.7",
		"2001:DB8:0:0::1":      "2001:db8::1",
		"fe80::1%eth0":         "fe80::1",
		"::ffff:1.2.3.4%eth0":  "1.2.3.4",
		"::":                   "::",
		"203.0.113.7:443":      "",
		"[2001:db8::1]":        "",
		"010.0.0.1":            "",
		"203.0.113.7, 1.1.1.1": "",
	} {
		e := decode(t, `{"action":"a.b","source":{"ip":"`+in+`"}}`)
		kept, warned := e.Metadata.Get(MetaWarn + ".source.ip")
		switch {
		case want == "" && (e.Source.IP.IsValid() || !warned || kept != in):
			t.Errorf("%s: got %v, warned %q", in, e.Source.IP, kept)
		case want != "" && (e.Source.IP != netip.MustParseAddr(want) || warned):
			t.Errorf("%s: got %v, warned %q", in, e.Source.IP, kept)
		}
	}
}

func TestMetadataLimit(t *testing.T) {
	var pairs []string
	for i := range MaxMetadata {
		pairs = append(pairs, fmt.Sprintf(`"k%d":"%d"`, i, i))
	}
	full := strings.Join(pairs, ",")
	tests := []struct {
		name, more, dropped string
	}{
		{"at the limit", ``, ""},
		{"one of them again", `,"k5":"new"`, ""},
		{"a reserved key", `,"audittrail.warn.actor":"x"`, ""},
		{"one beyond", `,"x":"y"`, "1"},
		{"a key that looks reserved", `,"audittrail.other":"y","audittrail.warn.x":"y"`, "2"},
		{"counted before", `,"audittrail.metadata_dropped":"9"`, "9"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := decode(t, `{"id":"1","time":"2026-11-24T09:15:27Z","action":"a.b","outcome":"error","service":{"name":"s"},"metadata":{`+full+test.more+`}}`)
			counted := 0
			for _, m := range e.Metadata {
				if !isReserved(m.Key) {
					counted++
				}
			}
			if got, _ := e.Metadata.Get(MetaDropped); got != test.dropped || counted != MaxMetadata {
				t.Errorf("dropped %q, want %q; %d entries", got, test.dropped, counted)
			}
		})
	}
}

// TestReadKeepsGaps pins the difference between Read and Decode: what is missing stays missing.
func TestReadKeepsGaps(t *testing.T) {
	var e Event
	d := NewDecoder()
	if err := d.Read([]byte(`{"outcome":"unknown"}`), nil, &e); err != nil || !d.SaidOutcome() {
		t.Errorf("outcome unknown was not said: %v", err)
	}
	if err := d.Read([]byte(`{"severity":"low"}`), nil, &e); err != nil || d.SaidOutcome() {
		t.Fatalf("no outcome was said: %v", err)
	}
	if want := (&Event{Severity: SeverityLow}); !reflect.DeepEqual(e.Clone(), want) {
		t.Errorf("got %+v", e)
	}
	if err := NewDecoder().Read([]byte(`{"time":"soon","outcome":"won"}`), []Header{{"ce_id", []byte("1")}}, &e); err != nil {
		t.Fatal(err)
	}
	want := Metadata{{"audittrail.warn.outcome", "won"}, {MetaTime, "soon"}, {MetaWarn, "outcome"}}
	if e.ID != "1" || !e.Time.IsZero() || !reflect.DeepEqual(e.Metadata, want) {
		t.Errorf("got %+v", e)
	}
	wantReject(t, NewDecoder().Read([]byte(`{`), nil, &e), ReasonBadJSON, "")
}

func TestActionAlias(t *testing.T) {
	tests := []struct {
		name, action string
		outcomes     []Outcome
		ok           bool
	}{
		{"LOGIN", "auth.login", nil, true},
		{"LOGOUT", "auth.logout", nil, true},
		{"FAILED_LOGIN", "auth.login", []Outcome{OutcomeFailure, OutcomeDenied}, true},
		{"CREATE", "record.create", nil, true},
		{"UPDATE", "record.update", nil, true},
		{"DELETE", "record.delete", nil, true},
		{"EXPORT", "data.export", nil, true},
		{"API_ACCESS", "api.access", nil, true},
		{"login", "", nil, false},
		{"auth.login", "", nil, false},
		{"", "", nil, false},
	}
	for _, test := range tests {
		action, outcomes, ok := ActionAlias(test.name)
		if action != test.action || !reflect.DeepEqual(outcomes, test.outcomes) || ok != test.ok {
			t.Errorf("%s: got %q %v %v", test.name, action, outcomes, ok)
		}
		if test.ok {
			if e := decode(t, `{"action":"`+test.name+`"}`); e.Action != test.action {
				t.Errorf("%s was decoded as %s", test.name, e.Action)
			}
		}
	}
	headers := []Header{{HeaderType, []byte(TypePrefix + "FAILED_LOGIN")}}
	if e := decode(t, `{}`, headers...); e.Action != "auth.login" || e.Outcome != OutcomeFailure {
		t.Errorf("as a CloudEvents type: got %s %s", e.Action, e.Outcome)
	}
}

func TestCategoryOf(t *testing.T) {
	for action, want := range map[string]Category{
		"auth.login": CategoryAuth, "record.read": CategoryData, "data.export": CategoryData, "api.access": CategoryAccess,
		"audit.search": CategoryAccess, "user.create": CategoryAdmin, "role.grant": CategoryAdmin, "cron.run": CategorySystem,
		"authority.x": CategorySystem, "auth": CategoryAuth, "": CategorySystem,
	} {
		if got := CategoryOf(action); got != want {
			t.Errorf("%s: got %s, want %s", action, got, want)
		}
	}
}

func TestReasonsAreAllAndOnce(t *testing.T) {
	seen := map[Reason]bool{}
	for _, reason := range Reasons() {
		if seen[reason] || reason == "" {
			t.Errorf("%q is empty or there twice", reason)
		}
		seen[reason] = true
	}
	for _, file := range recordFiles(t) {
		var e Event
		var reject *Reject
		if errors.As(NewDecoder().Decode(readRecord(t, file), &e), &reject) && !seen[reject.Reason] {
			t.Errorf("%s: %s is not in Reasons", file, reject.Reason)
		}
	}
}
