package audit

import (
	"strings"
	"unicode/utf8"
)

// TypePrefix and the action make the CloudEvents type of an event.
const TypePrefix = "audittrail.event."

// The headers of the CloudEvents 1.0 Kafka binding that the codec writes and reads.
const (
	HeaderSpecVersion = "ce_specversion"
	HeaderID          = "ce_id"
	HeaderSource      = "ce_source"
	HeaderType        = "ce_type"
	HeaderTime        = "ce_time"
	HeaderContentType = "content-type"

	headerDataContentType = "ce_datacontenttype"
	headerPrefix          = "ce_"
)

const (
	contentTypeJSON = "application/json"
	// contentTypeStructured marks a value that is the whole CloudEvent; parameters may follow.
	contentTypeStructured = "application/cloudevents+json"
	specVersion           = "1.0"

	// usualBytes is room for most events.
	usualBytes = 768
)

// ceContext holds the CloudEvents attributes that stand in for fields which the JSON lacks.
type ceContext struct {
	id, time, typ, source string
	// structured says that the value is a whole CloudEvent, whose data is the event.
	structured bool
	// extra says that there are headers of further attributes.
	extra bool
}

// fromHeaders takes the attributes of binary mode. Their bytes are not checked yet.
func (c *ceContext) fromHeaders(headers []Header) {
	*c = ceContext{}
	for i := range headers {
		h := &headers[i]
		switch h.Key {
		case HeaderSpecVersion, headerDataContentType:
		case HeaderID:
			c.id = alias(h.Value)
		case HeaderTime:
			c.time = alias(h.Value)
		case HeaderType:
			c.typ = alias(h.Value)
		case HeaderSource:
			c.source = alias(h.Value)
		case HeaderContentType:
			c.structured = isStructured(h.Value)
		default:
			switch {
			case strings.HasPrefix(h.Key, headerPrefix):
				c.extra = true
			case strings.EqualFold(h.Key, HeaderContentType):
				c.structured = isStructured(h.Value)
			}
		}
	}
}

func isStructured(contentType []byte) bool {
	const n = len(contentTypeStructured)
	return len(contentType) >= n && strings.EqualFold(alias(contentType[:n]), contentTypeStructured)
}

// envelope reads the members of a CloudEvent in structured mode up to its closing brace. Attributes that have no field of ours land in the metadata
// under the name that their header has in binary mode.
func (d *Decoder) envelope() {
	for key := d.firstKey(); key != nil; key = d.nextKey() {
		switch string(key) {
		case "specversion", "datacontenttype":
			d.value()
		case "id":
			d.text(fieldID, &d.ce.id)
		case "time":
			d.text(fieldTime, &d.ce.time)
		case "type":
			d.text(fieldAction, &d.ce.typ)
		case "source":
			d.text(fieldServiceName, &d.ce.source)
		case "data":
			if d.enterObject(fieldData) {
				d.event()
			}
		default:
			name := d.join(headerPrefix, alias(key))
			d.keepMetadata(name, d.anyText())
		}
	}
}

// applyContext lets the CloudEvents attributes stand in for what the JSON lacks: id, time, the action if the type is one of ours, and the service's
// name. Headers of further attributes land in the metadata unless the JSON has the same key there.
func (d *Decoder) applyContext(headers []Header) {
	e := d.e
	if e.ID == "" && d.ce.id != "" {
		e.ID = d.validText(d.ce.id)
	}
	if e.Time.IsZero() && d.badTime == "" && d.ce.time != "" {
		d.setTime(d.validText(d.ce.time))
	}
	if e.Action == "" {
		if action, ok := strings.CutPrefix(d.ce.typ, TypePrefix); ok {
			e.Action = d.validText(action)
		}
	}
	if e.Service.Name == "" && d.ce.source != "" {
		e.Service.Name = d.validText(d.ce.source)
	}
	if d.ce.extra {
		d.keepExtensions(headers)
	}
}

func (d *Decoder) keepExtensions(headers []Header) {
	for i := range headers {
		h := &headers[i]
		switch h.Key {
		case HeaderSpecVersion, headerDataContentType, HeaderID, HeaderTime, HeaderType, HeaderSource:
		default:
			if strings.HasPrefix(h.Key, headerPrefix) {
				d.keepMetadata(d.validText(h.Key), d.validText(alias(h.Value)))
			}
		}
	}
}

// validText returns the text with invalid UTF-8 replaced.
func (d *Decoder) validText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	start := len(d.scratch)
	d.scratch = appendValidUTF8(d.scratch, s)
	return alias(d.scratch[start:])
}

// EncodeRecord returns the event as a Kafka record in CloudEvents binary mode: its partitioning key, JSON value and ce_ headers. An attribute
// without a value is left out. Every slice is new.
func EncodeRecord(e *Event) (key, value []byte, headers []Header) {
	headers = make([]Header, 0, 6)
	add := func(key, value string) {
		if value != "" {
			headers = append(headers, Header{Key: key, Value: appendValidUTF8(nil, value)})
		}
	}
	add(HeaderSpecVersion, specVersion)
	add(HeaderID, e.ID)
	add(HeaderSource, e.Service.Name)
	if e.Action != "" {
		add(HeaderType, TypePrefix+e.Action)
	}
	if !e.Time.IsZero() {
		headers = append(headers, Header{Key: HeaderTime, Value: appendTime(nil, e.Time)})
	}
	add(HeaderContentType, contentTypeJSON)
	return PartitionKey(e), Encode(make([]byte, 0, usualBytes), e), headers
}

// PartitionKey returns what the event is partitioned by, so that the events of one actor, or the failed logins from one address, stay in order: the
// tenant, a NUL and the actor's id, or the source IP where there is no id. It is nil, so any partition, when there is neither.
func PartitionKey(e *Event) []byte {
	tenant := e.Tenant
	if tenant == "" {
		tenant = DefaultTenant
	}
	switch {
	case e.Actor.ID != "":
		return append(append([]byte(tenant), 0), e.Actor.ID...)
	case e.Source.IP.IsValid():
		return plainIP(e.Source.IP).AppendTo(append([]byte(tenant), 0))
	}
	return nil
}
