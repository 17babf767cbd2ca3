package audit

import (
	"net/netip"
	"time"
)

// DefaultTenant is the tenant of an event that names none.
const DefaultTenant = "default"

// Limits of one event.
const (
	// MaxEventBytes is the largest record value that is an event. A larger one is quarantined, with its bytes.
	MaxEventBytes = 256 << 10
	// MaxMetadata is how many metadata entries an event keeps. Those beyond it, in the order of the record, are dropped and counted under
	// the key MetaDropped; the record's bytes are stored whole all the same.
	MaxMetadata = 64
)

// Event says who did what to which resource, from where, with what outcome. Field names on the wire are snake_case (see the JSON Schema beside
// this file). The zero value of an optional field means that it is absent.
type Event struct {
	// ID is any string that names the event; ours are UUIDv7. It is also the CloudEvents id.
	ID string
	// Time is when it happened, in UTC with microseconds.
	Time time.Time
	// Tenant separates customers; DefaultTenant when absent.
	Tenant string
	// Action is dotted, such as auth.login or record.update.
	Action string
	// Category groups actions; derived from the action when absent.
	Category Category
	Outcome  Outcome
	// Reason is a machine-readable cause, such as invalid_credentials.
	Reason   string
	Severity Severity

	Actor  Actor
	Source Source
	// SessionID joins login, activity and logout of one session.
	SessionID string
	// Targets are what was acted upon; the first one is "the" target in filters.
	Targets []Target
	Changes []Change
	// Data is what an export or bulk read took.
	Data Data

	Service Service
	Request Request

	// TraceID, SpanID and CorrelationID are the W3C trace context and the application's own correlation.
	TraceID       string
	SpanID        string
	CorrelationID string
	// Sequence counts the events of one producer instance from 1; 0 means not numbered. A gap shows lost events.
	Sequence uint64
	// Message is one sentence for people.
	Message string
	// Metadata are further key-value pairs; unknown top-level keys of the record land here.
	Metadata Metadata
}

// Actor is who did it. A failed login has the attempted name and no id.
type Actor struct {
	Type ActorType
	ID   string
	Name string
}

// Source is where the request came from.
type Source struct {
	// IP is the client's address, IPv4 in IPv6 unmapped, without a zone; the zero Addr when absent.
	IP netip.Addr
	// ForwardedFor are the addresses that proxies added, as they were sent.
	ForwardedFor []string
	UserAgent    string
}

// Target is a resource that was acted upon.
type Target struct {
	Type string
	ID   string
	Name string
}

// Change is one field's value before and after. Old and New are JSON texts, empty when absent; Redacted says that they were withheld.
type Change struct {
	Field    string
	Old, New string
	Redacted bool
}

// Data is the size of what an export or bulk read took, and the filter that chose it.
type Data struct {
	Records uint64
	Bytes   uint64
	Filter  string
}

// Service is the application that published the event; self-declared unless a gateway or an ACL vouches for it.
type Service struct {
	Name     string
	Version  string
	Instance string
}

// Request is the HTTP request (or similar) in which it happened.
type Request struct {
	ID     string
	Method string
	Route  string
	// Status is the HTTP status, 0 when absent.
	Status uint16
}

// Metadata are key-value pairs in the order of the record. It is a slice, not a map, so that a decoder can fill a reused Event without allocating.
type Metadata []MetadataEntry

// MetadataEntry is one pair of Metadata.
type MetadataEntry struct {
	Key   string
	Value string
}

// Get returns the value of key and whether it is there; of repeated keys the last one counts.
func (m Metadata) Get(key string) (string, bool) {
	for i := len(m) - 1; i >= 0; i-- {
		if m[i].Key == key {
			return m[i].Value, true
		}
	}
	return "", false
}

// Metadata keys that the decoder writes itself, so that what it had to repair stays visible.
const (
	// MetaDropped counts the metadata entries beyond MaxMetadata.
	MetaDropped = "audittrail.metadata_dropped"
	// MetaTime says why the event's own time was replaced by the broker's: "missing" or the unreadable text.
	MetaTime = "audittrail.time"
	// MetaWarn lists the fields whose values had an unusable type or form; each one's text is kept under "audittrail.warn.FIELD".
	MetaWarn = "audittrail.warn"
)
