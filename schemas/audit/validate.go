package audit

import (
	"fmt"
	"unicode/utf8"

	"github.com/go-faster/jx"
)

// Limits that Validate sets for producers, in bytes. Decode keeps longer texts.
const (
	// MaxIDBytes bounds the id and the action, which are index keys everywhere.
	MaxIDBytes = 128
	// MaxNameBytes bounds the tenant, the service's name and the metadata keys, of which there should be few different ones.
	MaxNameBytes = 128
)

// Validate reports what a producer must mend before the event can be published, the first thing found, as a *Reject with one of the reasons
// ReasonMissing, ReasonInvalid, ReasonTooMany, ReasonTooLong and ReasonTooLarge. An event that passes is what Decode gives back for it, up to texts
// that have more than one form (an IP, white space in the JSON of a change).
func (e *Event) Validate() error {
	for _, check := range [...]func(*Event) *Reject{
		checkRequired, checkAction, checkEnums, checkLengths, checkStatus, checkChanges, checkMetadata, checkTexts,
	} {
		if reject := check(e); reject != nil {
			return reject
		}
	}
	return nil
}

func checkRequired(e *Event) *Reject {
	switch {
	case e.ID == "":
		return &Reject{Reason: ReasonMissing, Field: fieldID, Detail: "every event needs an id"}
	case e.Time.IsZero():
		return &Reject{Reason: ReasonMissing, Field: fieldTime, Detail: "every event needs the time at which it happened"}
	case !inRange(e.Time):
		return &Reject{Reason: ReasonInvalid, Field: fieldTime, Detail: fmt.Sprintf("the year %d is outside 1900 to 2299", e.Time.UTC().Year())}
	case e.Action == "":
		return &Reject{Reason: ReasonMissing, Field: fieldAction, Detail: "every event needs an action, such as record.update"}
	case e.Service.Name == "":
		return &Reject{Reason: ReasonMissing, Field: fieldServiceName, Detail: "every event needs the name of the service that publishes it"}
	}
	return nil
}

func checkAction(e *Event) *Reject {
	if len(e.Action) > MaxIDBytes {
		return tooLong(fieldAction, len(e.Action), MaxIDBytes)
	}
	if !isDotted(e.Action) {
		return &Reject{
			Reason: ReasonInvalid, Field: fieldAction,
			Detail: fmt.Sprintf("%.40q is not two or more words of a-z, 0-9, _ and - joined by dots, such as record.update", e.Action),
		}
	}
	return nil
}

// isDotted reports whether s is two or more words joined by dots, the first beginning with a letter.
func isDotted(s string) bool {
	dots, word := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', i > 0 && c >= '0' && c <= '9', i > 0 && (c == '_' || c == '-'):
			word++
		case c == '.' && word > 0:
			dots++
			word = 0
		default:
			return false
		}
	}
	return dots > 0 && word > 0
}

func checkEnums(e *Event) *Reject {
	invalid := func(field string, value any) *Reject {
		return &Reject{Reason: ReasonInvalid, Field: field, Detail: fmt.Sprintf("%.40q is not one of the known values", fmt.Sprint(value))}
	}
	if _, ok := parseCategory(string(e.Category)); !ok && e.Category != "" {
		return invalid(fieldCategory, e.Category)
	}
	if int(e.Outcome) >= len(outcomeNames) {
		return invalid(fieldOutcome, uint8(e.Outcome))
	}
	if int(e.Severity) >= len(severityNames) {
		return invalid(fieldSeverity, uint8(e.Severity))
	}
	if _, ok := parseActorType(string(e.Actor.Type)); !ok && e.Actor.Type != "" {
		return invalid(fieldActorType, e.Actor.Type)
	}
	return nil
}

func checkLengths(e *Event) *Reject {
	switch {
	case len(e.ID) > MaxIDBytes:
		return tooLong(fieldID, len(e.ID), MaxIDBytes)
	case len(e.Tenant) > MaxNameBytes:
		return tooLong(fieldTenant, len(e.Tenant), MaxNameBytes)
	case len(e.Service.Name) > MaxNameBytes:
		return tooLong(fieldServiceName, len(e.Service.Name), MaxNameBytes)
	}
	return nil
}

func tooLong(field string, length, limit int) *Reject {
	return &Reject{Reason: ReasonTooLong, Field: field, Detail: fmt.Sprintf("%d bytes, the limit is %d", length, limit)}
}

func checkStatus(e *Event) *Reject {
	if s := e.Request.Status; s != 0 && (s < 100 || s > 999) {
		return &Reject{Reason: ReasonInvalid, Field: fieldStatus, Detail: fmt.Sprintf("%d is not a status of three digits", s)}
	}
	return nil
}

func checkChanges(e *Event) *Reject {
	for i := range e.Changes {
		c := &e.Changes[i]
		if c.Field == "" {
			return &Reject{Reason: ReasonMissing, Field: fieldChangeField, Detail: fmt.Sprintf("change %d does not name its field", i)}
		}
		if !isJSON(c.Old) || !isJSON(c.New) {
			return &Reject{Reason: ReasonInvalid, Field: fieldChanges, Detail: fmt.Sprintf("old or new of %.40q is not JSON", c.Field)}
		}
	}
	return nil
}

func isJSON(s string) bool { return s == "" || jx.Valid([]byte(s)) }

func checkMetadata(e *Event) *Reject {
	counted := 0
	for i := range e.Metadata {
		key := e.Metadata[i].Key
		switch {
		case key == "":
			return &Reject{Reason: ReasonInvalid, Field: fieldMetadata, Detail: fmt.Sprintf("the key of entry %d is empty", i)}
		case len(key) > MaxNameBytes:
			return tooLong(fieldMetadata, len(key), MaxNameBytes)
		}
		if !isReserved(key) {
			counted++
		}
		if counted > MaxMetadata {
			return &Reject{Reason: ReasonTooMany, Field: fieldMetadata, Detail: fmt.Sprintf("more than %d entries", MaxMetadata)}
		}
		for j := range i {
			if e.Metadata[j].Key == key {
				return &Reject{Reason: ReasonInvalid, Field: fieldMetadata, Detail: fmt.Sprintf("the key %.40q is there twice", key)}
			}
		}
	}
	return nil
}

// checkTexts checks the encoding of all texts and, with their lengths at hand, the size of the event.
func checkTexts(e *Event) *Reject {
	bytes, texts := 0, 0
	for field, text := range e.texts() {
		if !utf8.ValidString(*text) {
			return &Reject{Reason: ReasonInvalid, Field: field, Detail: fmt.Sprintf("%.40q is not UTF-8", *text)}
		}
		bytes += len(*text)
		texts++
	}
	// A byte takes at most six in JSON (\u00XX), keys and punctuation at most 32 a text: only a large event has to be encoded to be measured.
	const fixed = 1024
	if 6*bytes+32*texts+fixed <= MaxEventBytes {
		return nil
	}
	if n := len(Encode(nil, e)); n > MaxEventBytes {
		return &Reject{Reason: ReasonTooLarge, Detail: fmt.Sprintf("%d bytes of JSON, the limit is %d", n, MaxEventBytes)}
	}
	return nil
}
