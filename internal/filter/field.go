package filter

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/audittrail/audittrail/schemas/audit"
)

// Kind is how a field's values compare.
type Kind uint8

// The kinds of fields.
const (
	// KindString is text that compares as a whole.
	KindString Kind = iota
	// KindText is the message: a plain value in query text means its words.
	KindText
	// KindEnum is one of a closed list of names.
	KindEnum
	// KindNumber is a whole number from 0, which means absent, to 2^64-1.
	KindNumber
	// KindTime is an instant with microseconds.
	KindTime
	// KindIP is an IP address, compared with addresses and networks.
	KindIP
	// KindList is several strings; a comparison is true when it is for one of them.
	KindList
)

// Field is one thing that a filter can ask about: a path of the event's JSON.
type Field struct {
	// Name is the canonical name, such as actor.name.
	Name string
	Kind Kind
	// Aliases are the other names under which the field is found.
	Aliases []string
	// Names are the values of a KindEnum, in ascending order.
	Names []string
	// Ordered says that the order of Names means something.
	Ordered bool
	// Column is the ClickHouse expression over a row of audit.events. It is empty for the fields that only the matcher can read, because the
	// table has no column for them, and for metadata, whose key has to be a query parameter.
	Column string

	key    string // of metadata.KEY
	text   func(e *audit.Event) string
	number func(e *audit.Event) uint64
	list   func(e *audit.Event, test func(string) bool) bool // whether test holds for an element
}

const metadataPrefix = "metadata."

// fields is the registry: what can be asked. Names and columns are fixed by the event's JSON and by the table.
//
// data.records, data.bytes and span_id have no column. They could be taken out of raw with JSONExtract, but that would be another decoder of the
// record with another opinion on invalid UTF-8, repeated keys, numbers in strings and CloudEvents envelopes: an event that a rule sees and a search
// does not. So they are for rules; SQL refuses them by name until the table has columns for them.
var fields = []Field{
	{Name: "id", Aliases: []string{"event.id"}, Column: "id", text: func(e *audit.Event) string { return e.ID }},
	{Name: "time", Kind: KindTime, Aliases: []string{"@timestamp"}, Column: "time"},
	{Name: "tenant", Column: "tenant", text: func(e *audit.Event) string { return e.Tenant }},
	{Name: "action", Aliases: []string{"event.action"}, Column: "action", text: func(e *audit.Event) string { return e.Action }},
	{Name: "category", Aliases: []string{"event.category"}, Column: "category", text: func(e *audit.Event) string { return string(e.Category) }},
	{
		Name: "outcome", Kind: KindEnum, Aliases: []string{"event.outcome"}, Column: "outcome",
		Names: enumNames(audit.OutcomeError, audit.Outcome.String), text: func(e *audit.Event) string { return e.Outcome.String() },
	},
	{Name: "reason", Aliases: []string{"event.reason"}, Column: "reason", text: func(e *audit.Event) string { return e.Reason }},
	{
		Name: "severity", Kind: KindEnum, Ordered: true, Column: "severity",
		Names: enumNames(audit.SeverityCritical, audit.Severity.String), text: func(e *audit.Event) string { return e.Severity.String() },
	},
	{Name: "actor.type", Column: "actor_type", text: func(e *audit.Event) string { return string(e.Actor.Type) }},
	{Name: "actor.id", Aliases: []string{"user.id"}, Column: "actor_id", text: func(e *audit.Event) string { return e.Actor.ID }},
	{Name: "actor.name", Aliases: []string{"user.name"}, Column: "actor_name", text: func(e *audit.Event) string { return e.Actor.Name }},
	{Name: "source.ip", Kind: KindIP, Column: "source_ip"},
	{Name: "source.ip_prefix", Kind: KindIP, Column: ""},
	{
		Name: "source.user_agent", Aliases: []string{"user_agent.original"}, Column: "source_user_agent",
		text: func(e *audit.Event) string { return e.Source.UserAgent },
	},
	{Name: "session_id", Column: "session_id", text: func(e *audit.Event) string { return e.SessionID }},
	{Name: "target.type", Column: "target_type", text: func(e *audit.Event) string { return firstTarget(e).Type }},
	{Name: "target.id", Column: "target_id", text: func(e *audit.Event) string { return firstTarget(e).ID }},
	{Name: "target.name", Column: "target_name", text: func(e *audit.Event) string { return firstTarget(e).Name }},
	{Name: "changes.field", Kind: KindList, Column: "changed_fields", list: anyChangedField},
	{Name: "data.records", Kind: KindNumber, number: func(e *audit.Event) uint64 { return e.Data.Records }},
	{Name: "data.bytes", Kind: KindNumber, number: func(e *audit.Event) uint64 { return e.Data.Bytes }},
	{Name: "service.name", Column: "service_name", text: func(e *audit.Event) string { return e.Service.Name }},
	{Name: "service.version", Column: "service_version", text: func(e *audit.Event) string { return e.Service.Version }},
	{
		Name: "service.instance", Aliases: []string{"service.node.name"}, Column: "service_instance",
		text: func(e *audit.Event) string { return e.Service.Instance },
	},
	{
		Name: "sequence", Kind: KindNumber, Aliases: []string{"event.sequence"}, Column: "sequence",
		number: func(e *audit.Event) uint64 { return e.Sequence },
	},
	{Name: "request.id", Aliases: []string{"http.request.id"}, Column: "request_id", text: func(e *audit.Event) string { return e.Request.ID }},
	{
		Name: "request.method", Aliases: []string{"http.request.method"}, Column: "request_method",
		text: func(e *audit.Event) string { return e.Request.Method },
	},
	{Name: "request.route", Column: "request_route", text: func(e *audit.Event) string { return e.Request.Route }},
	{
		Name: "request.status", Kind: KindNumber, Aliases: []string{"http.response.status_code"}, Column: "request_status",
		number: func(e *audit.Event) uint64 { return uint64(e.Request.Status) },
	},
	{Name: "trace_id", Aliases: []string{"trace.id"}, Column: "trace_id", text: func(e *audit.Event) string { return e.TraceID }},
	{Name: "span_id", Aliases: []string{"span.id"}, text: func(e *audit.Event) string { return e.SpanID }},
	{Name: "correlation_id", Column: "correlation_id", text: func(e *audit.Event) string { return e.CorrelationID }},
	{Name: "message", Kind: KindText, Column: "message", text: func(e *audit.Event) string { return e.Message }},
}

// fieldIndex finds a field by any of its names.
var fieldIndex = func() map[string]int {
	index := make(map[string]int, 2*len(fields))
	for i, f := range fields {
		index[f.Name] = i
		for _, alias := range f.Aliases {
			index[alias] = i
		}
	}
	return index
}()

// Fields returns every field in the order of the event's JSON. metadata.KEY, of which there is one for each key, is not among them.
func Fields() []Field { return slices.Clone(fields) }

// Lookup finds a field by its name, an alias, or metadata.KEY (in ECS terms labels.KEY). The error is an *Error with the nearest name.
func Lookup(name string) (Field, error) {
	if i, ok := fieldIndex[name]; ok {
		return fields[i], nil
	}
	for _, prefix := range []string{metadataPrefix, "labels."} {
		if key, ok := strings.CutPrefix(name, prefix); ok && key != "" {
			return metadataField(key), nil
		}
	}
	return Field{}, &Error{Field: name, Msg: "there is no field " + short(name), Suggest: nearestField(name)}
}

func metadataField(key string) Field {
	return Field{Name: metadataPrefix + key, key: key, text: func(e *audit.Event) string {
		value, _ := e.Metadata.Get(key)
		return value
	}}
}

// Text returns the field's value of e as text, "" when it is absent: a group key of rules. Lists are joined with commas.
func (f Field) Text(e *audit.Event) string {
	switch {
	case f.text != nil:
		return f.text(e)
	case f.number != nil:
		if n := f.number(e); n != 0 {
			return strconv.FormatUint(n, 10)
		}
		return ""
	case f.list != nil:
		var all []string
		f.list(e, func(s string) bool { all = append(all, s); return false })
		return strings.Join(all, ",")
	case f.Kind == KindTime:
		return formatMicro(e.Time.UnixMicro())
	}
	ip, ok := sourceIP(e)
	switch {
	case !ok:
		return ""
	case f.Name == ipPrefixField:
		return ipPrefix(ip).String()
	}
	return ip.String()
}

// Number returns the field's value of e as a number and whether it is one: what rules add up.
func (f Field) Number(e *audit.Event) (float64, bool) {
	if f.number != nil {
		n := f.number(e)
		return float64(n), n != 0
	}
	if f.text == nil {
		return 0, false
	}
	s := f.text(e)
	if !isDecimal(s) {
		return 0, false
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil
}

// ipPrefixField is derived from source.ip: comparisons with it are rewritten into comparisons with the address.
const ipPrefixField = "source.ip_prefix"

// ipPrefix groups what is likely one client: the IPv4 address, the /64 of an IPv6 address.
func ipPrefix(ip netip.Addr) netip.Prefix {
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	p, _ := ip.Prefix(bits) // fails only for bits out of range
	return p
}

// sourceIP returns the client's address, unmapped. The table stores an absent one as ::, so :: is absent here as well.
func sourceIP(e *audit.Event) (netip.Addr, bool) {
	ip := e.Source.IP.Unmap()
	return ip, ip.IsValid() && ip != netip.IPv6Unspecified()
}

func firstTarget(e *audit.Event) audit.Target {
	if len(e.Targets) == 0 {
		return audit.Target{}
	}
	return e.Targets[0]
}

func anyChangedField(e *audit.Event, test func(string) bool) bool {
	for i := range e.Changes {
		if name := e.Changes[i].Field; name != "" && test(name) {
			return true
		}
	}
	return false
}

func enumNames[T ~uint8](last T, name func(T) string) []string {
	var names []string
	for v := T(0); v <= last; v++ {
		names = append(names, name(v))
	}
	return names
}

// formatMicro is the canonical text of an instant.
func formatMicro(micro int64) string {
	return time.UnixMicro(micro).UTC().Format("2006-01-02T15:04:05.999999Z07:00")
}
