package audit

import "fmt"

// Reason is why a record or an event was refused: a closed list, used as a metric label and in the quarantine table.
type Reason string

// The reasons. Decode gives those of records, Validate those of events and ReasonTooLarge.
const (
	// ReasonEmpty is a record without a value: a tombstone, which an audit topic should never hold.
	ReasonEmpty Reason = "empty"
	// ReasonTooLarge is a value, or an event once encoded, of more than MaxEventBytes.
	ReasonTooLarge Reason = "too_large"
	// ReasonBadJSON is a value that is not one JSON text, or that has bytes after it.
	ReasonBadJSON Reason = "bad_json"
	// ReasonNotObject is JSON that is no object.
	ReasonNotObject Reason = "not_object"
	// ReasonNoAction is an event that does not say what was done.
	ReasonNoAction Reason = "no_action"

	// ReasonMissing is a required field without a value.
	ReasonMissing Reason = "missing"
	// ReasonInvalid is a field whose value has the wrong form.
	ReasonInvalid Reason = "invalid"
	// ReasonTooMany is a list with too many entries.
	ReasonTooMany Reason = "too_many"
	// ReasonTooLong is a text with too many bytes.
	ReasonTooLong Reason = "too_long"
)

// Reasons returns all reasons, so that a metric can have every label value from the start.
func Reasons() []Reason {
	return []Reason{
		ReasonEmpty, ReasonTooLarge, ReasonBadJSON, ReasonNotObject, ReasonNoAction,
		ReasonMissing, ReasonInvalid, ReasonTooMany, ReasonTooLong,
	}
}

// Reject says why a record cannot be read as an event or an event cannot be published. It is an error about data: put the data aside and go on.
type Reject struct {
	Reason Reason
	// Field is the JSON path at fault, empty when it is the whole record.
	Field string
	// Detail says what was found, without quoting more than a short piece of it.
	Detail string
}

func (r *Reject) Error() string {
	if r.Field == "" {
		return fmt.Sprintf("%s: %s", r.Reason, r.Detail)
	}
	return fmt.Sprintf("%s: %s: %s", r.Reason, r.Field, r.Detail)
}
