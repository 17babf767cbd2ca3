package audit

import (
	"iter"
	"slices"
	"strings"
)

// maxKept is the longest list whose memory a reused Event keeps, so that one huge event does not hold its memory for ever.
const maxKept = 1024

// reset empties the event and keeps the memory of its lists.
func (e *Event) reset() {
	*e = Event{
		Source:   Source{ForwardedFor: kept(e.Source.ForwardedFor)},
		Targets:  kept(e.Targets),
		Changes:  kept(e.Changes),
		Metadata: kept(e.Metadata),
	}
}

func kept[S ~[]T, T any](list S) S {
	if cap(list) > maxKept {
		return nil
	}
	return list[:0]
}

// Clone returns a copy that shares no memory with e, so that it stays valid when the buffer that e was decoded from is used again.
func (e *Event) Clone() *Event {
	c := *e
	c.Source.ForwardedFor = cloned(e.Source.ForwardedFor)
	c.Targets = cloned(e.Targets)
	c.Changes = cloned(e.Changes)
	c.Metadata = cloned(e.Metadata)
	for _, text := range c.texts() {
		*text = strings.Clone(*text)
	}
	return &c
}

// cloned is slices.Clone, but nil for every empty list.
func cloned[S ~[]T, T any](list S) S {
	if len(list) == 0 {
		return nil
	}
	return slices.Clone(list)
}

// texts yields every free text of the event, with its JSON path (that of a list's entries without an index).
func (e *Event) texts() iter.Seq2[string, *string] {
	return func(yield func(string, *string) bool) {
		single := [...]struct {
			field string
			text  *string
		}{
			{fieldID, &e.ID},
			{fieldTenant, &e.Tenant},
			{fieldAction, &e.Action},
			{fieldReason, &e.Reason},
			{fieldActorID, &e.Actor.ID},
			{fieldActorName, &e.Actor.Name},
			{fieldUserAgent, &e.Source.UserAgent},
			{fieldSessionID, &e.SessionID},
			{fieldFilter, &e.Data.Filter},
			{fieldServiceName, &e.Service.Name},
			{fieldVersion, &e.Service.Version},
			{fieldInstance, &e.Service.Instance},
			{fieldRequestID, &e.Request.ID},
			{fieldMethod, &e.Request.Method},
			{fieldRoute, &e.Request.Route},
			{fieldTraceID, &e.TraceID},
			{fieldSpanID, &e.SpanID},
			{fieldCorrelationID, &e.CorrelationID},
			{fieldMessage, &e.Message},
		}
		for _, s := range single {
			if !yield(s.field, s.text) {
				return
			}
		}
		e.listTexts(yield)
	}
}

func (e *Event) listTexts(yield func(string, *string) bool) {
	for i := range e.Source.ForwardedFor {
		if !yield(fieldForwardedFor, &e.Source.ForwardedFor[i]) {
			return
		}
	}
	for i := range e.Targets {
		t := &e.Targets[i]
		if !yield(fieldTargetType, &t.Type) || !yield(fieldTargetID, &t.ID) || !yield(fieldTargetName, &t.Name) {
			return
		}
	}
	for i := range e.Changes {
		c := &e.Changes[i]
		if !yield(fieldChangeField, &c.Field) || !yield("changes.old", &c.Old) || !yield("changes.new", &c.New) {
			return
		}
	}
	for i := range e.Metadata {
		m := &e.Metadata[i]
		if !yield(fieldMetadata, &m.Key) || !yield(fieldMetadata, &m.Value) {
			return
		}
	}
}
