package audit

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"unicode/utf8"
)

// FuzzDecode holds the decoder against encoding/json, which knows best what JSON is, and against itself: an event that was encoded again is the same
// event.
func FuzzDecode(f *testing.F) {
	for _, file := range recordFiles(f) {
		rec := readRecord(f, file)
		var headers [4]string
		for _, h := range rec.Headers {
			for i, key := range fuzzHeaders {
				if h.Key == key {
					headers[i] = string(h.Value)
				}
			}
		}
		f.Add(rec.Value, headers[0], headers[1], headers[2], headers[3])
	}
	d := NewDecoder()
	var e, again Event
	f.Fuzz(func(t *testing.T, value []byte, id, eventTime, eventType, contentType string) {
		rec := coordinates()
		rec.Value = value
		for i, text := range [...]string{id, eventTime, eventType, contentType} {
			if text != "" {
				rec.Headers = append(rec.Headers, Header{Key: fuzzHeaders[i], Value: []byte(text)})
			}
		}
		rec.Headers = append(rec.Headers, Header{Key: "ce_extension", Value: []byte(id)})
		err := d.Decode(&rec, &e)
		checkVerdict(t, value, err)
		if err != nil {
			return
		}
		checkDecoded(t, &e)
		want := e.Clone()
		encoded := Encode(nil, want)
		if !json.Valid(encoded) {
			t.Fatalf("not JSON: %s", encoded)
		}
		if len(encoded) > MaxEventBytes {
			return
		}
		rec = Record{Value: encoded}
		if err := d.Decode(&rec, &again); err != nil {
			t.Fatalf("encoded as %s, which gives %v", encoded, err)
		}
		if got := again.Clone(); !reflect.DeepEqual(got, want) {
			t.Fatalf("encoded as %s\ngot  %+v\nwant %+v", encoded, got, want)
		}
	})
}

var fuzzHeaders = [...]string{HeaderID, HeaderTime, HeaderType, HeaderContentType}

// checkVerdict compares why a value was refused with what encoding/json says of it.
func checkVerdict(t *testing.T, value []byte, err error) {
	t.Helper()
	reason := Reason("none")
	var reject *Reject
	if errors.As(err, &reject) {
		reason = reject.Reason
	} else if err != nil {
		t.Fatalf("the error is a %T", err)
	}
	isJSON := json.Valid(value)
	var object map[string]any
	isObject := isJSON && json.Unmarshal(value, &object) == nil && object != nil
	var want bool
	switch reason {
	case ReasonEmpty:
		want = len(value) == 0
	case ReasonTooLarge:
		want = len(value) > MaxEventBytes
	case ReasonBadJSON:
		want = !isJSON
	case ReasonNotObject:
		want = isJSON && !isObject
	default:
		want = isObject
	}
	if !want {
		t.Fatalf("%v, but encoding/json says JSON %v, object %v", err, isJSON, isObject)
	}
}

// checkDecoded checks what every event in the trail has.
func checkDecoded(t *testing.T, e *Event) {
	t.Helper()
	if e.ID == "" || e.Tenant == "" || e.Action == "" || e.Category == "" || !inRange(e.Time) || e.Time.Nanosecond()%1000 != 0 {
		t.Fatalf("incomplete: %+v", e)
	}
	if len(e.Metadata) > MaxMetadata+len(warnFields)+3 {
		t.Fatalf("%d metadata entries", len(e.Metadata))
	}
	for field, text := range e.texts() {
		if !utf8.ValidString(*text) {
			t.Fatalf("%s is not UTF-8: %q", field, *text)
		}
	}
}

// FuzzParseTime holds the time parser against time.Parse.
func FuzzParseTime(f *testing.F) {
	for _, s := range timeTexts {
		f.Add(s)
	}
	f.Fuzz(checkParseTime)
}
