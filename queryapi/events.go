package queryapi

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/internal/filter"
)

// maxPageBytes bounds the records that one page is made from: a page of large events has fewer of them than its limit.
const maxPageBytes = 8 << 20

// Page is one page of a list.
type Page struct {
	// Items are JSON objects, in the order of the list.
	Items []json.RawMessage
	// Next is the cursor of the next page, "" on the last one. A page may be shorter than its limit and still not be the last.
	Next string
	// Total is how many items the whole list has, if that was asked for.
	Total *uint64
}

// Events answers one page of the events that the parameters ask for, those of them that the scope lets the caller see. The order is by time, then by
// Kafka coordinates, newest first unless order=asc. Walking from page to page by Next shows every event once that was there when the walk began; those that
// arrive meanwhile are shown at most once. The error is an *Error.
func (s *Service) Events(ctx context.Context, scope Scope, parameters url.Values) (*Page, error) {
	search, err := parseEventSearch(scope, parameters, s.opt.Now())
	if err != nil {
		return nil, err
	}
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
	page := &Page{}
	if page.Items, err = render(rows); err != nil {
		return nil, err
	}
	if end != nil {
		page.Next = search.next(*end)
	}
	if search.total {
		page.Total, err = q.count(ctx)
	}
	return page, err
}

// eventQuery reads the rows of one search.
type eventQuery struct {
	service   *Service
	where     where
	ascending bool
	limit     int
	after     *eventPosition
}

// eventPosition is a place in the order of events.
type eventPosition struct {
	micros int64
	// inside says that events of that very time are still to come, those after the coordinates; else all of them have been shown.
	inside    bool
	topicID   uuid.UUID
	partition uint32
	offset    int64
}

func (s *Service) newEventQuery(search *eventSearch) (*eventQuery, error) {
	q := &eventQuery{service: s, ascending: search.ascending, limit: search.limit}
	compiled, err := filter.SQL(search.where)
	if err != nil {
		return nil, sqlError(err)
	}
	q.where.add(compiled.Where)
	for _, p := range compiled.Params {
		q.where.params[p.Name] = p.Value
	}
	if search.after != nil {
		p, ok := positionOf(search.after)
		if !ok {
			return nil, invalid(ParameterError{"cursor", "is damaged"})
		}
		q.after = &p
	}
	return q, nil
}

// sqlError is the error of a condition that only the language of q can express.
func sqlError(err error) error {
	var e *filter.Error
	if !errors.As(err, &e) {
		return &Error{Code: CodeInternal, Detail: searchDetails[CodeInternal], cause: err}
	}
	return invalid(ParameterError{"q", e.Error()})
}

// page returns the rows of the page and where it ended, nil if there are no more.
//
// ClickHouse finds the newest rows by time alone quickly, skipping granules and reading the other columns of the chosen rows only; ordering by all of the
// key would read much more. So rows are chosen by time, one more than the page has room for. Of the oldest time among them, the edge, there may be other
// rows than the chosen ones; if the page needs any of that time, they are read again, in the order of their coordinates.
func (q *eventQuery) page(ctx context.Context) ([]eventRow, *cursor, error) {
	var rows []eventRow
	if q.after != nil && q.after.inside {
		c, err := q.ties(ctx, q.after.micros, q.after, q.limit+1, q.service.maxPageBytes)
		if err != nil {
			return nil, nil, err
		}
		if rows = c.rows; len(rows) > q.limit || c.short() {
			return q.cut(rows)
		}
	}
	room, budget := q.limit+1-len(rows), q.budget(rows)
	if budget <= 0 {
		return q.cut(rows)
	}
	c, err := q.beyond(ctx, room, budget)
	switch {
	case err != nil:
		return nil, nil, err
	case c.chosen < uint64(room) && c.short():
		return q.cut(append(rows, c.rows...))
	case c.chosen < uint64(room):
		return append(rows, c.rows...), nil, nil
	}
	before := c.beforeEdge()
	rows = append(rows, before...)
	switch {
	case len(rows) == q.limit:
		return rows, &cursor{at: rows[len(rows)-1].micros}, nil
	case c.short() && len(before) == len(c.rows):
		return q.cut(rows)
	}
	return q.settle(ctx, rows, c.edge)
}

// settle ends the page with rows of the edge, in the order of their coordinates.
func (q *eventQuery) settle(ctx context.Context, rows []eventRow, edge int64) ([]eventRow, *cursor, error) {
	budget := q.budget(rows)
	if budget <= 0 {
		return q.cut(rows)
	}
	c, err := q.ties(ctx, edge, nil, q.limit+1-len(rows), budget)
	if err != nil {
		return nil, nil, err
	}
	if rows = append(rows, c.rows...); len(rows) > q.limit || c.short() {
		return q.cut(rows)
	}
	return rows, &cursor{at: edge}, nil
}

// cut ends a page that other rows follow, perhaps of the same time as its last one.
func (q *eventQuery) cut(rows []eventRow) ([]eventRow, *cursor, error) {
	rows = rows[:min(len(rows), q.limit)]
	last := &rows[len(rows)-1]
	p := eventPosition{micros: last.micros, inside: true, topicID: last.topicID, partition: last.partition, offset: last.source.Offset}
	return rows, &cursor{at: p.micros, tie: p.tie()}, nil
}

// beyond reads the first rows by time, those of another time than the last page's, in the order of the list. Of the last of these rows' time there may
// be others.
func (q *eventQuery) beyond(ctx context.Context, n, maxBytes int) (eventChunk, error) {
	w := q.where.clone()
	if q.after != nil {
		at := strconv.FormatInt(q.after.micros, 10)
		condition := "time < fromUnixTimestamp64Micro({after:Int64}, 'UTC') AND hour <= {after_hour:Int32}"
		if q.ascending {
			condition = "time > fromUnixTimestamp64Micro({after:Int64}, 'UTC') AND hour >= {after_hour:Int32}"
		}
		w.add(condition, "after", at, "after_hour", hourOf(q.after.micros))
	}
	return q.read(ctx, stmtEventPage, w, q.order("time"), n, maxBytes)
}

// ties reads rows of one time in the order of their coordinates, those after a position or from the first one on.
func (q *eventQuery) ties(ctx context.Context, micros int64, after *eventPosition, n, maxBytes int) (eventChunk, error) {
	w := q.where.clone()
	w.add("time = fromUnixTimestamp64Micro({at:Int64}, 'UTC') AND hour = {at_hour:Int32}", "at", strconv.FormatInt(micros, 10), "at_hour", hourOf(micros))
	if after != nil {
		sign := "<"
		if q.ascending {
			sign = ">"
		}
		w.add("(src_topic_id, src_partition, src_offset) "+sign+" ({tie_topic:UUID}, {tie_partition:UInt32}, {tie_offset:Int64})",
			"tie_topic", after.topicID.String(), "tie_partition", strconv.FormatUint(uint64(after.partition), 10), "tie_offset", strconv.FormatInt(after.offset, 10))
	}
	return q.read(ctx, stmtEventTies, w, q.order("src_topic_id", "src_partition", "src_offset"), n, maxBytes)
}

// eventChunk are rows that one statement chose.
type eventChunk struct {
	// rows are the first of the chosen rows, those within the allowed bytes.
	rows []eventRow
	// chosen is how many rows there would be if bytes did not count.
	chosen uint64
	// edge is the time of the last chosen row.
	edge int64
}

// short says that rows are missing because of their bytes.
func (c *eventChunk) short() bool { return uint64(len(c.rows)) < c.chosen }

// beforeEdge returns the rows of other times than the last chosen one.
func (c *eventChunk) beforeEdge() []eventRow {
	n := len(c.rows)
	for n > 0 && c.rows[n-1].micros == c.edge {
		n--
	}
	return c.rows[:n]
}

// read chooses the first n rows by choose, and returns them in the order of the list, up to the row that reaches maxBytes, which is above 0.
func (q *eventQuery) read(ctx context.Context, stmt statement, w *where, choose string, n, maxBytes int) (eventChunk, error) {
	whole, last := q.order("time", "src_topic_id", "src_partition", "src_offset"), "min"
	if q.ascending {
		last = "max"
	}
	w.params["bytes"] = strconv.Itoa(maxBytes)
	sql := fmt.Sprintf(`SELECT chosen, toUnixTimestamp64Micro(edge), %s FROM (
	SELECT *, count() OVER () AS chosen, %s(time) OVER () AS edge, sum(length(raw)) OVER (ORDER BY %s ROWS UNBOUNDED PRECEDING) - length(raw) AS bytes_before FROM (
		SELECT %s FROM audit.events WHERE %s ORDER BY %s LIMIT %d))
WHERE bytes_before < {bytes:Int64} ORDER BY %s`, eventValues, last, whole, eventColumns, w, choose, n, whole)
	var c eventChunk
	err := q.service.query(ctx, stmt, sql, w.params, func(rows clickhouse.Rows) error {
		c.rows = append(c.rows, eventRow{})
		return c.rows[len(c.rows)-1].scan(rows, &c.chosen, &c.edge)
	})
	return c, err
}

// order is an ORDER BY list in the direction of the search.
func (q *eventQuery) order(columns ...string) string {
	direction := " DESC"
	if q.ascending {
		direction = ""
	}
	list := ""
	for i, c := range columns {
		if i > 0 {
			list += ", "
		}
		list += c + direction
	}
	return list
}

func (q *eventQuery) count(ctx context.Context) (*uint64, error) {
	var n uint64
	err := q.service.query(ctx, stmtEventCount, "SELECT count() FROM audit.events WHERE "+q.where.String(), q.where.params,
		func(r clickhouse.Rows) error { return r.Scan(&n) })
	return &n, err
}

// budget is how many bytes of records the page may still have beside rows.
func (q *eventQuery) budget(rows []eventRow) int {
	n := q.service.maxPageBytes
	for i := range rows {
		n -= len(rows[i].raw)
	}
	return n
}

// hourOf counts whole hours since 1970, downwards before it: the column hour, which comes before time in the sorting key.
func hourOf(micros int64) string {
	const hour = int64(time.Hour / time.Microsecond)
	h := micros / hour
	if micros%hour < 0 {
		h--
	}
	return strconv.FormatInt(h, 10)
}

const eventTieBytes = 16 + 4 + 8

// tie packs the coordinates, "" when the position is not inside one time.
func (p eventPosition) tie() string {
	if !p.inside {
		return ""
	}
	b := binary.BigEndian.AppendUint32(p.topicID[:], p.partition)
	return string(binary.BigEndian.AppendUint64(b, uint64(p.offset)))
}

// positionOf is the position of a cursor; false if the cursor is none of a list of events.
func positionOf(c *cursor) (eventPosition, bool) {
	p := eventPosition{micros: c.at}
	if c.tie == "" {
		return p, true
	}
	if len(c.tie) != eventTieBytes {
		return p, false
	}
	b := []byte(c.tie)
	p.inside = true
	copy(p.topicID[:], b)
	p.partition = binary.BigEndian.Uint32(b[16:])
	p.offset = int64(binary.BigEndian.Uint64(b[20:]))
	return p, true
}
