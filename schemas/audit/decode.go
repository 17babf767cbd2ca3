package audit

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/google/uuid"
)

// DecoderVersion names what Decode makes of a record's bytes. It changes whenever the same bytes give another Event.
const DecoderVersion = 1

// Decoder decodes records into a reused Event. It is not safe for concurrent use.
type Decoder struct {
	cursor
	// e is the event being filled, nil between calls.
	e *Event
	// clean holds the value once its invalid UTF-8 is replaced.
	clean []byte

	ce         ceContext
	hasOutcome bool
	// badTime is the text that was no time, or missing.
	badTime string
	// sawSpec and sawData are the marks of a CloudEvent in structured mode.
	sawSpec, sawData bool
	// counted is how many metadata entries count towards MaxMetadata, dropped how many were beyond it.
	counted, dropped int
	// warned are the fields to be listed under MetaWarn.
	warned []string
}

// NewDecoder returns a decoder.
func NewDecoder() *Decoder { return &Decoder{} }

// Decode fills e, whatever it held before, with the record's event. It is a pure function of the record.
//
// The strings of e alias the record's value and header values, or memory of the decoder: they are valid until the next call, and no longer than
// those bytes are; Clone detaches an event. All of them are valid UTF-8: other bytes are replaced by U+FFFD, each one.
//
// Content that can be kept is never refused. Unknown keys land in the metadata, those of nested objects under their path (actor.email). A field of
// an unusable type, form or name keeps its default; its text is kept and MetaWarn lists it, as it lists the required fields outcome and
// service.name when they are missing. Numbers are taken as text where text is expected, and numeric strings as numbers. null is absent. Of a
// repeated key the last one counts, member by member. A missing or unreadable time is replaced by the record's (MetaTime), a missing id by the
// UUIDv5 of the record's coordinates.
//
// The error is a *Reject, with one of the reasons ReasonEmpty, ReasonTooLarge, ReasonBadJSON, ReasonNotObject and ReasonNoAction; the content of e is
// then unspecified.
func (d *Decoder) Decode(rec *Record, e *Event) error {
	defer d.release()
	if err := d.read(rec.Value, rec.Headers, e); err != nil {
		return err
	}
	if e.Action == "" {
		return d.noAction()
	}
	d.complete(rec)
	d.noteRepairs()
	return nil
}

// Read fills e with an event that is not in a topic yet: what a gateway receives, an importer builds or an API answers. It reads what Decode reads,
// CloudEvents headers included, and repairs values in the same way, but what is missing stays missing, for the producer to fill and for Validate to
// report. The error is a *Reject.
func (d *Decoder) Read(value []byte, headers []Header, e *Event) error {
	defer d.release()
	if err := d.read(value, headers, e); err != nil {
		return err
	}
	d.noteRepairs()
	return nil
}

// SaidOutcome reports whether what was read last brought an outcome, usable or not: OutcomeUnknown may be meant, or stand for nothing.
func (d *Decoder) SaidOutcome() bool { return d.hasOutcome }

// release lets go of the event and of the record, which belong to the caller.
func (d *Decoder) release() {
	d.e, d.buf, d.ce = nil, nil, ceContext{}
	d.jx.ResetBytes(nil)
}

// read fills the event with what the value and the headers say.
func (d *Decoder) read(value []byte, headers []Header, e *Event) error {
	switch {
	case len(value) == 0:
		return &Reject{Reason: ReasonEmpty, Detail: "the record has no value"}
	case len(value) > MaxEventBytes:
		return &Reject{Reason: ReasonTooLarge, Detail: fmt.Sprintf("%d bytes, the limit is %d", len(value), MaxEventBytes)}
	}
	d.e = e
	d.ce.fromHeaders(headers)
	if !utf8.Valid(value) {
		d.clean = appendValidUTF8(d.clean[:0], alias(value))
		value = d.clean
	}

	err := d.object(value, d.ce.structured)
	if err == nil && d.sawSpec && !d.ce.structured && (d.sawData || e.Action == "") {
		d.ce.structured = true
		err = d.object(value, true)
	}
	if err != nil {
		return err
	}
	d.applyContext(headers)
	d.translateAlias()
	return nil
}

// object reads the whole value as an event, or as a CloudEvent that holds one.
func (d *Decoder) object(value []byte, structured bool) error {
	d.e.reset()
	d.hasOutcome, d.badTime = false, ""
	d.sawSpec, d.sawData = false, false
	d.counted, d.dropped = 0, 0
	d.warned = d.warned[:0]

	d.cursor.reset(value)
	isObject := d.enter('{')
	switch {
	case !isObject:
		d.value()
	case structured:
		d.envelope()
	default:
		d.event()
	}
	if !d.end() {
		d.expected("the end")
	}
	if d.err != nil {
		return &Reject{Reason: ReasonBadJSON, Detail: d.err.Error()}
	}
	if !isObject {
		return &Reject{Reason: ReasonNotObject, Detail: "the value is JSON, but not an object"}
	}
	return nil
}

func (d *Decoder) noAction() error {
	if text, ok := d.e.Metadata.Get(warnPrefix + fieldAction); ok {
		return &Reject{Reason: ReasonNoAction, Field: fieldAction, Detail: fmt.Sprintf("found %.40q, expected text", text)}
	}
	return &Reject{Reason: ReasonNoAction, Field: fieldAction, Detail: "the event does not say what was done"}
}

// complete fills what every event in the trail has.
func (d *Decoder) complete(rec *Record) {
	e := d.e
	if e.ID == "" {
		e.ID = coordinatesID(rec)
	}
	if e.Time.IsZero() {
		e.Time = recordTime(rec.Time)
		if d.badTime == "" {
			d.badTime = missing
		}
	}
	if e.Tenant == "" {
		e.Tenant = DefaultTenant
	}
	if e.Category == "" {
		e.Category = CategoryOf(e.Action)
	}
	if !d.hasOutcome {
		d.warn(fieldOutcome, missing)
	}
	if e.Service.Name == "" {
		d.warn(fieldServiceName, missing)
	}
}

// coordinatesNamespace is the UUIDv5 namespace of ids derived from Kafka coordinates. It must never change.
const coordinatesNamespace = "6f0c9a52-6c1e-5d43-9a47-2f6b7d0c51e8"

// coordinatesID returns the id of a record that brings none: the same for the same topic id, partition and offset, whoever reads it.
func coordinatesID(rec *Record) string {
	var name [28]byte
	copy(name[:], rec.TopicID[:])
	binary.BigEndian.PutUint32(name[16:], uint32(rec.Partition))
	binary.BigEndian.PutUint64(name[20:], uint64(rec.Offset))
	return uuid.NewSHA1(uuid.MustParse(coordinatesNamespace), name[:]).String()
}

// appendValidUTF8 appends the text with every byte that is not part of valid UTF-8 replaced by U+FFFD.
func appendValidUTF8(dst []byte, text string) []byte {
	if utf8.ValidString(text) {
		return append(dst, text...)
	}
	for _, r := range text {
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}
