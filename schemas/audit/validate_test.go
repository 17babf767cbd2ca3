package audit

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestValidateAccepts(t *testing.T) {
	for _, e := range []*Event{fullEvent(), smallestEvent()} {
		if err := e.Validate(); err != nil {
			t.Error(err)
		}
	}
	e := smallestEvent()
	e.ID, e.Tenant, e.Service.Name = strings.Repeat("i", MaxIDBytes), strings.Repeat("t", MaxNameBytes), strings.Repeat("s", MaxNameBytes)
	e.Action = "a." + strings.Repeat("b", MaxIDBytes-2)
	e.Outcome = OutcomeUnknown
	if err := e.Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateRefuses(t *testing.T) {
	long := strings.Repeat("x", 129)
	entries := func(n int) Metadata {
		var m Metadata
		for i := range n {
			m = append(m, MetadataEntry{Key: fmt.Sprint(i)})
		}
		return m
	}
	tests := []struct {
		name   string
		spoil  func(e *Event)
		reason Reason
		field  string
		says   string
	}{
		{"no id", func(e *Event) { e.ID = "" }, ReasonMissing, "id", "needs an id"},
		{"no time", func(e *Event) { e.Time = time.Time{} }, ReasonMissing, "time", "needs the time"},
		{"early", func(e *Event) { e.Time = time.Unix(minUnix-1, 0) }, ReasonInvalid, "time", "1899"},
		{"late", func(e *Event) { e.Time = time.Unix(endUnix, 0) }, ReasonInvalid, "time", "2300"},
		{"no action", func(e *Event) { e.Action = "" }, ReasonMissing, "action", "needs an action"},
		{"no service", func(e *Event) { e.Service.Name = "" }, ReasonMissing, "service.name", "needs the name"},
		{"action of the first product", func(e *Event) { e.Action = "LOGIN" }, ReasonInvalid, "action", `"LOGIN"`},
		{"action without a dot", func(e *Event) { e.Action = "login" }, ReasonInvalid, "action", `"login"`},
		{"long action", func(e *Event) { e.Action = "a." + long }, ReasonTooLong, "action", "131 bytes, the limit is 128"},
		{"category", func(e *Event) { e.Category = "sports" }, ReasonInvalid, "category", `"sports"`},
		{"outcome", func(e *Event) { e.Outcome = 5 }, ReasonInvalid, "outcome", `"5"`},
		{"severity", func(e *Event) { e.Severity = 5 }, ReasonInvalid, "severity", `"5"`},
		{"actor type", func(e *Event) { e.Actor.Type = "robot" }, ReasonInvalid, "actor.type", `"robot"`},
		{"long id", func(e *Event) { e.ID = long }, ReasonTooLong, "id", "129 bytes"},
		{"long tenant", func(e *Event) { e.Tenant = long }, ReasonTooLong, "tenant", "129 bytes"},
		{"long service", func(e *Event) { e.Service.Name = long }, ReasonTooLong, "service.name", "129 bytes"},
		{"status", func(e *Event) { e.Request.Status = 99 }, ReasonInvalid, "request.status", "99"},
		{"status of four digits", func(e *Event) { e.Request.Status = 1000 }, ReasonInvalid, "request.status", "1000"},
		{"change without a field", func(e *Event) { e.Changes[0].Field = "" }, ReasonMissing, "changes.field", "change 0"},
		{"change that is not JSON", func(e *Event) { e.Changes[0].New = "gold" }, ReasonInvalid, "changes", `"amount" is not JSON`},
		{"metadata without a key", func(e *Event) { e.Metadata[1].Key = "" }, ReasonInvalid, "metadata", "entry 1"},
		{"long metadata key", func(e *Event) { e.Metadata[1].Key = long }, ReasonTooLong, "metadata", "129 bytes"},
		{"repeated metadata key", func(e *Event) { e.Metadata[1].Key = "region" }, ReasonInvalid, "metadata", `"region" is there twice`},
		{"metadata", func(e *Event) { e.Metadata = entries(MaxMetadata + 1) }, ReasonTooMany, "metadata", "more than 64"},
		{"UTF-8", func(e *Event) { e.Actor.Name = "Zo\xeb" }, ReasonInvalid, "actor.name", "not UTF-8"},
		{"UTF-8 in a list", func(e *Event) { e.Targets[1].Name = "\xff" }, ReasonInvalid, "targets.name", "not UTF-8"},
		{"size", func(e *Event) { e.Message = strings.Repeat("x", MaxEventBytes) }, ReasonTooLarge, "", "the limit is 262144"},
		{"size with escapes", func(e *Event) { e.Message = strings.Repeat("\x01", MaxEventBytes/6) }, ReasonTooLarge, "", "bytes of JSON"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := fullEvent()
			test.spoil(e)
			err := e.Validate()
			wantReject(t, err, test.reason, test.field)
			if err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("%q does not say %q", err, test.says)
			}
		})
	}
	e := fullEvent()
	e.Metadata = append(entries(MaxMetadata), MetadataEntry{MetaTime, missing})
	if err := e.Validate(); err != nil {
		t.Errorf("a full event that was repaired: %v", err)
	}
}

// TestSizeLimitIsThatOfDecode grows an event until Validate refuses it and holds that against the decoder.
func TestSizeLimitIsThatOfDecode(t *testing.T) {
	e := smallestEvent()
	room := MaxEventBytes - len(Encode(nil, e)) - len(`"message":"",`)
	for more := -1; more <= 1; more++ {
		e.Message = strings.Repeat("m", room+more)
		rec := Record{Value: Encode(nil, e)}
		var got Event
		refused, unread := e.Validate() != nil, NewDecoder().Decode(&rec, &got) != nil
		if want := more > 0; refused != want || unread != want {
			t.Errorf("%d bytes: Validate refused %v, Decode refused %v", len(rec.Value), refused, unread)
		}
	}
}

// TestIsDotted holds the check of actions against the pattern in the schema.
func TestIsDotted(t *testing.T) {
	var schema struct {
		Properties struct {
			Action struct{ Pattern string }
		}
	}
	if err := json.Unmarshal(EventSchema(), &schema); err != nil {
		t.Fatal(err)
	}
	pattern := regexp.MustCompile(schema.Properties.Action.Pattern)
	r := rand.New(rand.NewPCG(9, 10))
	accepted := 0
	for range 20000 {
		s := make([]byte, r.IntN(6))
		for i := range s {
			s[i] = "ab.._-0A é"[r.IntN(11)]
		}
		got := isDotted(string(s))
		if want := pattern.Match(s); got != want {
			t.Fatalf("%q: got %v, the schema says %v", s, got, want)
		}
		if got {
			accepted++
		}
	}
	if accepted < 100 {
		t.Errorf("only %d of the texts were actions", accepted)
	}
}
