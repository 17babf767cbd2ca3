package audit

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// fullEvent has a value in every field.
func fullEvent() *Event {
	return &Event{
		ID:       "0193609a-4c51-7f10-8a3e-5d1c9b7e2f64",
		Time:     time.Date(2026, 11, 24, 9, 15, 27, 123456000, time.UTC),
		Tenant:   "acme",
		Action:   "record.update",
		Category: CategoryData,
		Outcome:  OutcomeDenied,
		Reason:   "not_owner",
		Severity: SeverityHigh,
		Actor:    Actor{Type: ActorUser, ID: "u-10482", Name: "alice.martin"},
		Source: Source{
			IP: netip.MustParseAddr("2001:db8::42"), ForwardedFor: []string{"2001:db8::42", "unknown"}, UserAgent: "curl/8.5",
		},
		SessionID: "s-7f3a9c",
		Targets:   []Target{{Type: "invoice", ID: "inv-004711", Name: "November"}, {}},
		Changes: []Change{
			{Field: "amount", Old: "10", New: `{"value":12.50,"note":"a b"}`},
			{Field: "iban", Redacted: true},
		},
		Data:          Data{Records: 1, Bytes: 2048, Filter: `customer = "x"`},
		Service:       Service{Name: "billing", Version: "4.12.0", Instance: "billing-7d9f"},
		Request:       Request{ID: "req-5c1b", Method: "PUT", Route: "/invoices/{id}", Status: 403},
		TraceID:       "4bf92f3577b34da6a3ce929d0e0e4736",
		SpanID:        "00f067aa0ba902b7",
		CorrelationID: "c-1",
		Sequence:      42,
		Message:       "Alice was not allowed to update the invoice",
		Metadata:      Metadata{{"region", "eu-west-1"}, {"plan", `"gold"`}},
	}
}

func smallestEvent() *Event {
	return &Event{
		ID: "e-1", Time: time.Date(2026, 11, 24, 9, 15, 27, 0, time.UTC), Action: "auth.logout", Outcome: OutcomeSuccess,
		Service: Service{Name: "web"},
	}
}

func encodeCases() map[string]*Event {
	failed := smallestEvent()
	failed.Action, failed.Outcome, failed.Reason = "auth.login", OutcomeFailure, "invalid_credentials"
	failed.Actor = Actor{Type: ActorUser, Name: "Zoë \"root\"\n"}
	failed.Source.IP = netip.MustParseAddr("::ffff:198.51.100.7")

	// What Validate refuses is still encoded as JSON.
	unfit := smallestEvent()
	unfit.ID, unfit.Action = "\xff1", "Nicht\x00gültig"
	unfit.Time = time.Date(2026, 11, 24, 11, 15, 27, 999, time.FixedZone("", 7200))
	unfit.Outcome, unfit.Severity = 77, 78
	unfit.Changes = []Change{{Field: "f", Old: "not JSON", New: " [ 1 , \"\x80\" ]\n"}}
	unfit.Source.IP = netip.MustParseAddr("fe80::1%eth0")

	return map[string]*Event{"full": fullEvent(), "smallest": smallestEvent(), "failed_login": failed, "unfit": unfit, "zero": {}}
}

// randomEvent returns an event that Validate passes and that is in the form in which Decode gives it back.
func randomEvent(r *rand.Rand) *Event {
	e := &Event{
		ID:            "e-" + strconv.FormatUint(r.Uint64(), 36),
		Time:          time.Unix(minUnix+r.Int64N(endUnix-minUnix), r.Int64N(1e6)*1000).UTC(),
		Tenant:        "t" + strconv.Itoa(r.IntN(5)),
		Action:        pick(r, "auth.login", "record.update", "a1.b-2.c_3"),
		Category:      pick(r, CategoryAuth, CategoryData, CategoryAccess, CategoryAdmin, CategorySystem),
		Outcome:       Outcome(r.IntN(len(outcomeNames))),
		Reason:        randomText(r),
		Severity:      Severity(r.IntN(len(severityNames))),
		Actor:         Actor{Type: pick(r, "", ActorUser, ActorService, ActorAPIKey, ActorSystem, ActorAnonymous), ID: randomText(r), Name: randomText(r)},
		Source:        Source{UserAgent: randomText(r)},
		SessionID:     randomText(r),
		Data:          Data{Records: randomNumber(r), Bytes: randomNumber(r), Filter: randomText(r)},
		Service:       Service{Name: "s" + randomText(r), Version: randomText(r), Instance: randomText(r)},
		Request:       Request{ID: randomText(r), Method: randomText(r), Route: randomText(r), Status: pick[uint16](r, 0, 100, 200, 999)},
		TraceID:       randomText(r),
		SpanID:        randomText(r),
		CorrelationID: randomText(r),
		Sequence:      randomNumber(r),
		Message:       randomText(r),
	}
	switch r.IntN(3) {
	case 0:
		e.Source.IP = netip.AddrFrom4([4]byte{byte(r.Uint32()), byte(r.Uint32()), 0, 1})
	case 1:
		e.Source.IP = netip.AddrFrom16([16]byte{0x20, 0x01, byte(r.Uint32()), 15: byte(r.Uint32())})
	}
	for range r.IntN(3) {
		e.Source.ForwardedFor = append(e.Source.ForwardedFor, randomText(r))
		e.Targets = append(e.Targets, Target{Type: randomText(r), ID: randomText(r), Name: randomText(r)})
	}
	for range r.IntN(3) {
		e.Changes = append(e.Changes, Change{
			Field: "f" + randomText(r), Old: randomJSON(r), New: randomJSON(r), Redacted: r.IntN(2) == 0,
		})
	}
	for i := range pick(r, 0, 1, 5, MaxMetadata) {
		e.Metadata = append(e.Metadata, MetadataEntry{Key: fmt.Sprintf("%d-%.20s", i, strings.ToValidUTF8(randomText(r), "")), Value: randomText(r)})
	}
	return e
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func randomNumber(r *rand.Rand) uint64 { return r.Uint64() >> r.IntN(65) }

func randomText(r *rand.Rand) string {
	const letters = "aZ09 \"\\/{}[]:,\n\t\x00\x1f\x7fé€😀\u2028\ufffd<&'"
	runes := []rune(letters)
	var b strings.Builder
	for range pick(r, 0, 0, 1, 3, 8, 20) {
		b.WriteRune(runes[r.IntN(len(runes))])
	}
	return b.String()
}

func randomJSON(r *rand.Rand) string {
	switch r.IntN(6) {
	case 0:
		return ""
	case 1:
		return strconv.FormatFloat(r.NormFloat64(), 'g', -1, 64)
	case 2:
		return pick(r, "null", "true", "false", "[]", "{}")
	case 3:
		return `{"a":[` + strconv.Itoa(r.IntN(100)) + `,"x y"]}`
	}
	return string(appendEscaped(nil, randomText(r)))
}
