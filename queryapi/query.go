package queryapi

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/audittrail/audittrail/internal/clickhouse"
)

// settings go with every statement. The client's deadline becomes max_execution_time by itself.
var settings = map[string]any{
	// A statement whose caller hung up is stopped, not finished for nobody.
	"cancel_http_readonly_queries_on_client_close": 1,
	// One search must not take the memory that inserts need.
	"max_memory_usage": 1 << 30,
}

// begin waits until the request may work in ClickHouse and bounds how long it may. The caller calls the returned function when done.
func (s *Service) begin(ctx context.Context) (context.Context, func(), error) {
	ctx, cancel := context.WithTimeout(ctx, s.opt.QueryTimeout)
	s.metrics.waiting.Inc()
	defer s.metrics.waiting.Dec()
	select {
	case s.slots <- struct{}{}:
		return clickhouse.WithSettings(ctx, settings), func() { <-s.slots; cancel() }, nil
	case <-ctx.Done():
		err := ctx.Err()
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return nil, nil, &Error{Code: CodeBusy, Detail: searchDetails[CodeBusy], cause: err}
		}
		return nil, nil, failed(err)
	}
}

// query runs a statement and gives each row to scan. Errors of ClickHouse become an *Error.
func (s *Service) query(ctx context.Context, stmt statement, sql string, p clickhouse.Params, scan func(rows clickhouse.Rows) error) error {
	start := time.Now()
	defer func() { s.metrics.querySeconds.WithLabelValues(string(stmt)).Observe(time.Since(start).Seconds()) }()
	rows, err := s.opt.ClickHouse.Query(ctx, sql, p)
	if err != nil {
		return failed(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return &Error{Code: CodeInternal, Detail: searchDetails[CodeInternal], cause: err}
		}
	}
	if err := rows.Err(); err != nil {
		return failed(err)
	}
	return nil
}

// where is a conjunction of SQL conditions and the values of their parameters.
type where struct {
	conditions []string
	params     clickhouse.Params
}

// add adds a condition with the values of its parameters, as name, value pairs; names must not repeat.
func (w *where) add(condition string, nameValues ...string) {
	w.conditions = append(w.conditions, condition)
	if w.params == nil {
		w.params = make(clickhouse.Params)
	}
	for i := 0; i+1 < len(nameValues); i += 2 {
		w.params[nameValues[i]] = nameValues[i+1]
	}
}

// clone returns a copy to add to.
func (w *where) clone() *where {
	c := &where{}
	c.add("true")
	c.conditions = append(c.conditions[:0], w.conditions...)
	for name, value := range w.params {
		c.params[name] = value
	}
	return c
}

func (w *where) String() string {
	if len(w.conditions) == 0 {
		return "true"
	}
	return "(" + strings.Join(w.conditions, ") AND (") + ")"
}

// stringParam is a text as the value of a {name:String} parameter: ClickHouse reads those with the escapes of TSV.
func stringParam(s string) string { return tsvEscapes.Replace(s) }

var tsvEscapes = strings.NewReplacer("\\", "\\\\", "\t", "\\t", "\n", "\\n", "\r", "\\r", "\x00", "\\0", "\b", "\\b", "\f", "\\f")
