package queryapi

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/audittrail/audittrail/internal/filter"
	"github.com/audittrail/audittrail/schemas/audit"
)

// eventCondition makes the values of one parameter, alternatives, into a condition on events.
type eventCondition func(values []string) (filter.Expr, error)

// eventParameters are the conditions of a search over events; those of different parameters must all hold.
var eventParameters = []struct {
	parameter
	condition eventCondition
}{
	{parameter{name: "action"}, actionIs},
	{parameter{name: "actor"}, actorIs},
	{parameter{name: "actor_id"}, fieldIs("actor.id")},
	{parameter{name: "actor_name"}, fieldIs("actor.name")},
	{parameter{name: "source_ip", aliases: []string{"ip"}}, fieldIs("source.ip")},
	{parameter{name: "outcome"}, fieldIs("outcome")},
	{parameter{name: "category"}, fieldIs("category")},
	{parameter{name: "severity"}, fieldIs("severity")},
	{parameter{name: "target_type"}, fieldIs("target.type")},
	{parameter{name: "target_id"}, fieldIs("target.id")},
	{parameter{name: "service"}, fieldIs("service.name")},
	{parameter{name: "tenant"}, fieldIs("tenant")},
	{parameter{name: "session_id"}, fieldIs("session_id")},
	{parameter{name: "id"}, fieldIs("id")},
	{parameter{name: "request_id"}, fieldIs("request.id")},
	{parameter{name: "trace_id"}, fieldIs("trace_id")},
	{parameter{name: "search"}, hasWords},
	{parameter{name: "q"}, inLanguage},
}

var categories = []string{
	string(audit.CategoryAuth), string(audit.CategoryData), string(audit.CategoryAccess), string(audit.CategoryAdmin), string(audit.CategorySystem),
}

// eventSearch is a list of events.
type eventSearch struct {
	*list
	// where is what the caller asks for and may see, the time range included.
	where filter.Expr
}

// parseEventSearch reads a search over events. The scope is added after everything else has been parsed.
func parseEventSearch(scope Scope, values url.Values, now time.Time) (*eventSearch, error) {
	known := make([]parameter, len(eventParameters))
	for i, p := range eventParameters {
		known[i] = p.parameter
	}
	s := &eventSearch{list: parseList("events", scope, values, known, now)}
	s.closed("category", categories...)
	conditions := []filter.Expr{filter.TimeRange(s.from, s.to)}
	for _, p := range eventParameters {
		given := s.values[p.name]
		if len(given) == 0 {
			continue
		}
		x, err := p.condition(given)
		if err != nil {
			s.fail(p.name, filterDetail(err))
			continue
		}
		conditions = append(conditions, x)
	}
	if err := s.err(); err != nil {
		return nil, err
	}
	s.where = filter.And(scope.events(), filter.And(conditions...))
	return s, nil
}

// filterDetail is an error of the filter without the field's name in front, which the parameter's name stands for.
func filterDetail(err error) string {
	var e *filter.Error
	if errors.As(err, &e) && e.Pos == 0 && e.Field != "" {
		return strings.TrimPrefix(e.Error(), e.Field+": ")
	}
	return err.Error()
}

func fieldIs(field string) eventCondition {
	return func(values []string) (filter.Expr, error) { return filter.Equal(field, values...) }
}

// actionIs takes names and prefixes (auth.*), also those of the first product.
func actionIs(values []string) (filter.Expr, error) {
	var any []filter.Expr
	for _, value := range values {
		op, text := filter.OpEqual, value
		if prefix, ok := strings.CutSuffix(value, "*"); ok {
			op, text = filter.OpPrefix, prefix
		}
		if strings.Contains(text, "*") {
			return nil, fmt.Errorf("%.40q: a * may only stand at the end", value)
		}
		x, err := filter.Compare("action", op, false, text)
		if err != nil {
			return nil, err
		}
		any = append(any, x)
	}
	return filter.Or(any...), nil
}

func actorIs(values []string) (filter.Expr, error) {
	id, err := filter.Equal("actor.id", values...)
	if err != nil {
		return nil, err
	}
	name, err := filter.Equal("actor.name", values...)
	if err != nil {
		return nil, err
	}
	return filter.Or(id, name), nil
}

func hasWords(values []string) (filter.Expr, error) {
	var any []filter.Expr
	for _, value := range values {
		if strings.TrimSpace(value) == "" {
			return nil, errors.New("has no words")
		}
		any = append(any, filter.Words(value))
	}
	return filter.Or(any...), nil
}

func inLanguage(values []string) (filter.Expr, error) {
	var any []filter.Expr
	for _, value := range values {
		x, err := filter.Parse(value)
		if err != nil {
			return nil, err
		}
		any = append(any, x)
	}
	return filter.Or(any...), nil
}
