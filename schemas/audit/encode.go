package audit

import (
	"net/netip"
	"strconv"
	"unicode/utf8"

	"github.com/go-faster/jx"
)

// Encode appends the event's canonical JSON to dst: one line, snake_case keys in the order of the Event's fields, absent fields left out (severity
// and outcome are always there), the time as RFC 3339 in UTC with at most six digits after the second. It is valid JSON whatever the event holds:
// invalid UTF-8 is replaced by U+FFFD, and a change's Old or New that is not JSON is written as a string.
func Encode(dst []byte, e *Event) []byte {
	w := encoder{buf: dst}
	w.open('{')
	w.text("id", e.ID)
	if !e.Time.IsZero() {
		w.key("time")
		w.buf = append(appendTime(append(w.buf, '"'), e.Time), '"')
	}
	w.text("tenant", e.Tenant)
	w.text("action", e.Action)
	w.text("category", string(e.Category))
	w.text("outcome", e.Outcome.String())
	w.text("reason", e.Reason)
	w.text("severity", e.Severity.String())
	w.actor(&e.Actor)
	w.source(&e.Source)
	w.text("session_id", e.SessionID)
	w.targets(e.Targets)
	w.changes(e.Changes)
	w.data(&e.Data)
	w.service(&e.Service)
	w.request(&e.Request)
	w.text("trace_id", e.TraceID)
	w.text("span_id", e.SpanID)
	w.text("correlation_id", e.CorrelationID)
	w.number("sequence", e.Sequence)
	w.text("message", e.Message)
	w.metadata(e.Metadata)
	w.close('}')
	return w.buf
}

// encoder appends JSON; jx escapes the texts that need it.
type encoder struct {
	buf []byte
	// comma says that the next key or element follows another.
	comma bool
}

func (w *encoder) open(bracket byte) {
	w.buf = append(w.buf, bracket)
	w.comma = false
}

func (w *encoder) close(bracket byte) {
	w.buf = append(w.buf, bracket)
	w.comma = true
}

func (w *encoder) element() {
	if w.comma {
		w.buf = append(w.buf, ',')
	}
	w.comma = true
}

// key writes a key that needs no escapes.
func (w *encoder) key(name string) {
	w.element()
	w.buf = append(append(append(w.buf, '"'), name...), '"', ':')
}

// string writes a text as JSON.
func (w *encoder) string(s string) {
	if !utf8.ValidString(s) {
		s = string(appendValidUTF8(nil, s))
	}
	for i := range len(s) {
		if special[s[i]] {
			w.buf = appendEscaped(w.buf, s)
			return
		}
	}
	w.buf = append(append(append(w.buf, '"'), s...), '"')
}

func appendEscaped(dst []byte, s string) []byte {
	w := jx.GetWriter()
	w.Buf = dst
	w.Str(s)
	dst, w.Buf = w.Buf, nil // the pool must not keep the caller's memory
	jx.PutWriter(w)
	return dst
}

func (w *encoder) text(name, s string) {
	if s != "" {
		w.key(name)
		w.string(s)
	}
}

func (w *encoder) number(name string, n uint64) {
	if n != 0 {
		w.key(name)
		w.buf = strconv.AppendUint(w.buf, n, 10)
	}
}

// raw writes a JSON text without its white space, and any other text as a string.
func (w *encoder) raw(name, s string) {
	if s == "" {
		return
	}
	w.key(name)
	json := appendValidUTF8(nil, s)
	if jx.Valid(json) {
		w.buf = appendCompact(w.buf, json)
		return
	}
	w.string(string(json))
}

func (w *encoder) actor(a *Actor) {
	if *a == (Actor{}) {
		return
	}
	w.key("actor")
	w.open('{')
	w.text("type", string(a.Type))
	w.text("id", a.ID)
	w.text("name", a.Name)
	w.close('}')
}

func (w *encoder) source(s *Source) {
	if !s.IP.IsValid() && len(s.ForwardedFor) == 0 && s.UserAgent == "" {
		return
	}
	w.key("source")
	w.open('{')
	if s.IP.IsValid() {
		w.key("ip")
		w.buf = append(plainIP(s.IP).AppendTo(append(w.buf, '"')), '"')
	}
	if len(s.ForwardedFor) > 0 {
		w.key("forwarded_for")
		w.open('[')
		for _, address := range s.ForwardedFor {
			w.element()
			w.string(address)
		}
		w.close(']')
	}
	w.text("user_agent", s.UserAgent)
	w.close('}')
}

// plainIP returns the one form in which an address is compared and stored.
func plainIP(ip netip.Addr) netip.Addr { return ip.WithZone("").Unmap() }

func (w *encoder) targets(targets []Target) {
	if len(targets) == 0 {
		return
	}
	w.key("targets")
	w.open('[')
	for i := range targets {
		t := &targets[i]
		w.element()
		w.open('{')
		w.text("type", t.Type)
		w.text("id", t.ID)
		w.text("name", t.Name)
		w.close('}')
	}
	w.close(']')
}

func (w *encoder) changes(changes []Change) {
	if len(changes) == 0 {
		return
	}
	w.key("changes")
	w.open('[')
	for i := range changes {
		c := &changes[i]
		w.element()
		w.open('{')
		w.text("field", c.Field)
		w.raw("old", c.Old)
		w.raw("new", c.New)
		if c.Redacted {
			w.key("redacted")
			w.buf = append(w.buf, "true"...)
		}
		w.close('}')
	}
	w.close(']')
}

func (w *encoder) data(d *Data) {
	if *d == (Data{}) {
		return
	}
	w.key("data")
	w.open('{')
	w.number("records", d.Records)
	w.number("bytes", d.Bytes)
	w.text("filter", d.Filter)
	w.close('}')
}

func (w *encoder) service(s *Service) {
	if *s == (Service{}) {
		return
	}
	w.key("service")
	w.open('{')
	w.text("name", s.Name)
	w.text("version", s.Version)
	w.text("instance", s.Instance)
	w.close('}')
}

func (w *encoder) request(r *Request) {
	if *r == (Request{}) {
		return
	}
	w.key("request")
	w.open('{')
	w.text("id", r.ID)
	w.text("method", r.Method)
	w.text("route", r.Route)
	w.number("status", uint64(r.Status))
	w.close('}')
}

func (w *encoder) metadata(m Metadata) {
	if len(m) == 0 {
		return
	}
	w.key("metadata")
	w.open('{')
	for i := range m {
		w.element()
		w.string(m[i].Key)
		w.buf = append(w.buf, ':')
		w.string(m[i].Value)
	}
	w.close('}')
}
