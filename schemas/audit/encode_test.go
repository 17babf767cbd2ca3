package audit

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

// TestRoundTrip encodes random events as records and decodes them again.
func TestRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	d := NewDecoder()
	var got Event
	for range 1000 {
		want := randomEvent(r)
		if err := want.Validate(); err != nil {
			t.Fatalf("%v: %+v", err, want)
		}
		_, value, headers := EncodeRecord(want)
		if err := d.Decode(&Record{Value: value, Headers: headers}, &got); err != nil {
			t.Fatalf("%v: %s", err, value)
		}
		if !reflect.DeepEqual(got.Clone(), want) {
			t.Fatalf("encoded as %s\ngot  %+v\nwant %+v", value, got, *want)
		}
		checkAgainstStandard(t, value, want)
	}
}

// checkAgainstStandard reads the encoded event with encoding/json, the simple oracle.
func checkAgainstStandard(t *testing.T, value []byte, want *Event) {
	t.Helper()
	var plain plainEvent
	if err := json.Unmarshal(value, &plain); err != nil {
		t.Fatalf("%v: %s", err, value)
	}
	metadata := map[string]string{}
	for _, m := range want.Metadata {
		metadata[m.Key] = m.Value
	}
	if plain.Metadata == nil {
		plain.Metadata = map[string]string{}
	}
	pairs := [][2]any{
		{plain.ID, want.ID},
		{plain.Time, want.Time},
		{plain.Action, want.Action},
		{plain.Outcome, want.Outcome.String()},
		{plain.Severity, want.Severity.String()},
		{plain.Actor.Name, want.Actor.Name},
		{plain.Source.IP, want.Source.IP},
		{plain.Source.ForwardedFor, want.Source.ForwardedFor},
		{len(plain.Targets), len(want.Targets)},
		{len(plain.Changes), len(want.Changes)},
		{plain.Data.Filter, want.Data.Filter},
		{plain.Request.Status, want.Request.Status},
		{plain.Sequence, want.Sequence},
		{plain.Message, want.Message},
		{plain.Metadata, metadata},
	}
	for i := range plain.Changes {
		pairs = append(pairs, [2]any{string(plain.Changes[i].Old), want.Changes[i].Old}, [2]any{string(plain.Changes[i].New), want.Changes[i].New})
	}
	for i, pair := range pairs {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Fatalf("pair %d of %s: encoding/json reads %#v, the event has %#v", i, value, pair[0], pair[1])
		}
	}
}

// TestStandardReads decodes what encoding/json reads of the usual event to the same values.
func TestStandardReads(t *testing.T) {
	e := decode(t, usualEvent)
	checkAgainstStandard(t, []byte(usualEvent), e)
	if got := string(Encode(nil, e)); got != usualEvent {
		t.Errorf("the usual event is not canonical:\n%s", got)
	}
	if n := len(usualEvent); n != 540 {
		t.Errorf("the usual event has %d bytes, the measurements speak of 540", n)
	}
}

func TestEncodeAppends(t *testing.T) {
	got := Encode([]byte("before "), smallestEvent())
	if want := "before " + string(Encode(nil, smallestEvent())); string(got) != want {
		t.Errorf("got %s", got)
	}
	buf, e := make([]byte, 0, 4096), decode(t, usualEvent)
	if n := testing.AllocsPerRun(10, func() { Encode(buf, e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 300 {
		want := randomEvent(r)
		// Both ways of encoding/json: by value and by pointer, inside another value.
		data, err := json.Marshal(map[string]any{"items": []Event{*want}, "one": want})
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Items []Event `json:"items"`
			One   *Event  `json:"one"`
		}
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatalf("%v: %s", err, data)
		}
		for i := range data {
			data[i] = '#'
		}
		// encoding/json escapes <, > and & in what it embeds, so changes are compared by value.
		wantChanges, gotChanges := want.Changes, got.One.Changes
		for i := range wantChanges {
			if !sameJSON(wantChanges[i].Old, gotChanges[i].Old) || !sameJSON(wantChanges[i].New, gotChanges[i].New) {
				t.Fatalf("change %d: got %+v, want %+v", i, gotChanges[i], wantChanges[i])
			}
		}
		want.Changes, got.One.Changes, got.Items[0].Changes = nil, nil, nil
		if !reflect.DeepEqual(got.One, want) || !reflect.DeepEqual(&got.Items[0], want) {
			t.Fatalf("got  %+v\nwant %+v", got.One, want)
		}
	}
}

func sameJSON(a, b string) bool {
	if a == "" || b == "" {
		return a == b
	}
	var va, vb any
	return json.Unmarshal([]byte(a), &va) == nil && json.Unmarshal([]byte(b), &vb) == nil && reflect.DeepEqual(va, vb)
}

func TestUnmarshalJSON(t *testing.T) {
	e := *fullEvent()
	if err := json.Unmarshal([]byte("null"), &e); err != nil || e.ID != fullEvent().ID {
		t.Errorf("null: %v, %+v", err, e)
	}
	if err := json.Unmarshal([]byte(`{"action":"a.b"}`), &e); err != nil || !reflect.DeepEqual(e, Event{Action: "a.b"}) {
		t.Errorf("%v: got %+v, expected nothing of the event before and no defaults", err, e)
	}
	wantReject(t, json.Unmarshal([]byte(`[]`), &e), ReasonNotObject, "")
	if e.Action != "a.b" {
		t.Error("a refused text changed the event")
	}
	if data, err := json.Marshal(Event{}); err != nil || string(data) != `{"outcome":"unknown","severity":"info"}` {
		t.Errorf("the zero event: %s, %v", data, err)
	}
}

func TestPartitionKey(t *testing.T) {
	ip := netip.MustParseAddr("::ffff:198.51.100.7")
	tests := []struct {
		name string
		e    Event
		want string
	}{
		{"actor", Event{Tenant: "acme", Actor: Actor{ID: "u-1"}, Source: Source{IP: ip}}, "acme\x00u-1"},
		{"address", Event{Tenant: "acme", Actor: Actor{Name: "u-1"}, Source: Source{IP: ip}}, "acme\x00198.51.100.7"},
		{"no tenant", Event{Actor: Actor{ID: "u-1"}}, "default\x00u-1"},
	}
	for _, test := range tests {
		if got := PartitionKey(&test.e); string(got) != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
	if got := PartitionKey(&Event{Tenant: "acme"}); got != nil {
		t.Errorf("neither: got %q, want none", got)
	}
}

// TestCloudEventsMarks checks what a CloudEvents reader asks for, and that the headers say the same as the value.
func TestCloudEventsMarks(t *testing.T) {
	e := fullEvent()
	key, value, headers := EncodeRecord(e)
	if !bytes.Equal(key, PartitionKey(e)) || !bytes.Equal(value, Encode(nil, e)) {
		t.Error("key or value differ from PartitionKey and Encode")
	}
	got := map[string]string{}
	for _, h := range headers {
		got[h.Key] = string(h.Value)
	}
	want := map[string]string{
		"ce_specversion": "1.0", "ce_id": e.ID, "ce_source": "billing", "ce_type": "audittrail.event.record.update",
		"ce_time": e.Time.Format(time.RFC3339Nano), "content-type": "application/json",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	stripped := decode(t, `{"outcome":"denied"}`, headers...)
	if stripped.ID != e.ID || stripped.Time != e.Time || stripped.Action != e.Action || stripped.Service.Name != e.Service.Name {
		t.Errorf("the headers alone give %+v", stripped)
	}
}

func TestEnumNames(t *testing.T) {
	for o := range Outcome(len(outcomeNames)) {
		if got, ok := ParseOutcome(o.String()); !ok || got != o {
			t.Errorf("%v: got %v %v", o, got, ok)
		}
	}
	for s := range Severity(len(severityNames)) {
		if got, ok := ParseSeverity(s.String()); !ok || got != s {
			t.Errorf("%v: got %v %v", s, got, ok)
		}
	}
	if Outcome(99).String() != "unknown" || Severity(99).String() != "info" {
		t.Error("values out of range have no name")
	}
	for _, bad := range []string{"", "Success", "info"} {
		if _, ok := ParseOutcome(bad); ok {
			t.Errorf("%q is an outcome", bad)
		}
	}
}
