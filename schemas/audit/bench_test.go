package audit

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"
)

// usualEvent is what most records of a trail look like: no escapes, no white space, 540 bytes.
const usualEvent = `{"id":"0193609a-4c51-7f10-8a3e-5d1c9b7e2f64","time":"2026-11-24T09:15:27.123456Z","tenant":"acme","action":"record.update",` +
	`"category":"data","outcome":"success","severity":"info","actor":{"type":"user","id":"u-10482","name":"alice.martin"},` +
	`"source":{"ip":"203.0.113.42","user_agent":"curl/8.5"},"session_id":"s-7f3a9c",` +
	`"targets":[{"type":"invoice","id":"inv-004711"}],"service":{"name":"billing"},` +
	`"request":{"id":"req-5c1b","method":"PUT","route":"/invoices/{id}","status":200},` +
	`"message":"Invoice updated","metadata":{"region":"eu-west-1"}}`

// plainEvent is the Event as encoding/json reads it.
type plainEvent struct {
	ID       string    `json:"id"`
	Time     time.Time `json:"time"`
	Tenant   string    `json:"tenant"`
	Action   string    `json:"action"`
	Category string    `json:"category"`
	Outcome  string    `json:"outcome"`
	Reason   string    `json:"reason"`
	Severity string    `json:"severity"`
	Actor    struct {
		Type string `json:"type"`
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"actor"`
	Source struct {
		IP           netip.Addr `json:"ip"`
		ForwardedFor []string   `json:"forwarded_for"`
		UserAgent    string     `json:"user_agent"`
	} `json:"source"`
	SessionID string `json:"session_id"`
	Targets   []struct {
		Type string `json:"type"`
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"targets"`
	Changes []struct {
		Field    string          `json:"field"`
		Old      json.RawMessage `json:"old"`
		New      json.RawMessage `json:"new"`
		Redacted bool            `json:"redacted"`
	} `json:"changes"`
	Data struct {
		Records uint64 `json:"records"`
		Bytes   uint64 `json:"bytes"`
		Filter  string `json:"filter"`
	} `json:"data"`
	Service struct {
		Name     string `json:"name"`
		Version  string `json:"version"`
		Instance string `json:"instance"`
	} `json:"service"`
	Request struct {
		ID     string `json:"id"`
		Method string `json:"method"`
		Route  string `json:"route"`
		Status uint16 `json:"status"`
	} `json:"request"`
	TraceID       string            `json:"trace_id"`
	SpanID        string            `json:"span_id"`
	CorrelationID string            `json:"correlation_id"`
	Sequence      uint64            `json:"sequence"`
	Message       string            `json:"message"`
	Metadata      map[string]string `json:"metadata"`
}

// usualRecord is the usual event in CloudEvents binary mode.
func usualRecord() *Record {
	return &Record{
		TopicID: [16]byte{1}, Partition: 3, Offset: 4711, Time: time.Date(2026, 11, 24, 9, 15, 28, 0, time.UTC),
		Value: []byte(usualEvent),
		Headers: []Header{
			{HeaderSpecVersion, []byte("1.0")},
			{HeaderID, []byte("0193609a-4c51-7f10-8a3e-5d1c9b7e2f64")},
			{HeaderSource, []byte("billing")},
			{HeaderType, []byte("audittrail.event.record.update")},
			{HeaderTime, []byte("2026-11-24T09:15:27.123456Z")},
			{HeaderContentType, []byte("application/json")},
		},
	}
}

func BenchmarkDecode(b *testing.B) {
	rec := usualRecord()
	b.Run("encoding_json", func(b *testing.B) {
		b.SetBytes(int64(len(rec.Value)))
		b.ReportAllocs()
		for b.Loop() {
			var e plainEvent
			if err := json.Unmarshal(rec.Value, &e); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("event", func(b *testing.B) { benchmarkDecode(b, rec) })
	b.Run("event_bare", func(b *testing.B) {
		bare := *rec
		bare.Headers = nil
		benchmarkDecode(b, &bare)
	})
	b.Run("event_escapes", func(b *testing.B) {
		escaped := *rec
		escaped.Value = []byte(usualEvent[:len(usualEvent)-1] + `,"note":"a \"quoted\" word"}`)
		benchmarkDecode(b, &escaped)
	})
}

func benchmarkDecode(b *testing.B, rec *Record) {
	d := NewDecoder()
	var e Event
	b.SetBytes(int64(len(rec.Value)))
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Decode(rec, &e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	rec := usualRecord()
	var e Event
	if err := NewDecoder().Decode(rec, &e); err != nil {
		b.Fatal(err)
	}
	b.Run("encoding_json", func(b *testing.B) {
		var plain plainEvent
		if err := json.Unmarshal(rec.Value, &plain); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(rec.Value)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.Marshal(&plain); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("event", func(b *testing.B) {
		var buf []byte
		b.SetBytes(int64(len(rec.Value)))
		b.ReportAllocs()
		for b.Loop() {
			buf = Encode(buf[:0], &e)
		}
	})
	b.Run("record", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			EncodeRecord(&e)
		}
	})
	b.Run("validate", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := e.Validate(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
