package queryapi

import (
	"context"
	"encoding/json"

	"github.com/audittrail/audittrail/internal/filter"
	"github.com/audittrail/audittrail/schemas/audit"
)

// MaxRecords is how many records of one event are shown.
const MaxRecords = 100

// EventRecords are the records that carry one event id: one, or more when a producer sent it again.
type EventRecords struct {
	ID string `json:"id"`
	// Records are events, in the order in which the list shows them with order=asc.
	Records []json.RawMessage `json:"records"`
	// Truncated says that there are more than MaxRecords, or that those shown are large.
	Truncated bool `json:"truncated"`
}

// Event answers the event of that id. An id that the scope does not let the caller see is CodeNotFound.
func (s *Service) Event(ctx context.Context, scope Scope, id string) (*EventRecords, error) {
	notFound := &Error{Code: CodeNotFound, Detail: "there is no event with this id"}
	if id == "" {
		return nil, notFound // to the filter, an empty value asks for absence
	}
	byID, err := filter.Equal("id", id)
	if err != nil {
		return nil, &Error{Code: CodeInternal, Detail: searchDetails[CodeInternal], cause: err}
	}
	search := &eventSearch{list: &list{limit: MaxRecords, ascending: true}, where: filter.And(scope.events(), byID)}
	q, err := s.newEventQuery(search)
	if err != nil {
		return nil, err
	}
	ctx, done, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	rows, end, err := q.page(ctx)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, notFound
	}
	records := &EventRecords{ID: id, Truncated: end != nil}
	records.Records, err = render(rows)
	return records, err
}

// render returns the rows as JSON.
func render(rows []eventRow) ([]json.RawMessage, error) {
	items := make([]json.RawMessage, len(rows))
	decoder := audit.NewDecoder()
	var err error
	for i := range rows {
		if items[i], err = rows[i].render(decoder); err != nil {
			return nil, err
		}
	}
	return items, nil
}
