package clickhouse

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Insert is one INSERT: one Native block with a deduplication token. ClickHouse ignores a block whose token it has seen within the table's
// deduplication window, table by table and rollup by rollup, so sending it again is safe and completes what is missing. That only works if the
// rows are in the same single block.
type Insert struct {
	// Table is in Database unless it has a dot.
	Table string
	Block Block
	// Token names exactly these rows.
	Token string
	// QueryID names the statement in system.processes; it must be new for each attempt.
	QueryID string
	// Settings are further settings of the statement.
	Settings map[string]string
}

// maxAnswer bounds what is read of an answer: an insert answers with nothing, or an error text.
const maxAnswer = 64 << 10

// Insert posts the block and returns when ClickHouse has acknowledged it. ctx must have a deadline: what is left of it is passed on as max_execution_time,
// so that an abandoned insert does not land later, and with nothing left nothing is sent. After any error the outcome is unknown unless Classify says
// ClassRefused.
func (c *Client) Insert(ctx context.Context, in Insert) error {
	d, ok := ctx.Deadline()
	if !ok {
		return fmt.Errorf("clickhouse: insert into %s: the context has no deadline", in.Table)
	}
	left := time.Until(d)
	if left < time.Millisecond { // 0 would be no limit at all
		return fmt.Errorf("clickhouse: insert into %s: %w", in.Table, context.DeadlineExceeded)
	}
	u, n := c.insertURL(in, left)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u, nil)
	if err != nil {
		return fmt.Errorf("clickhouse: insert into %s: %w", in.Table, err)
	}
	body := body{segments: in.Block.Body}
	req.Body, _ = body.open()
	req.GetBody = body.open
	req.ContentLength = int64(in.Block.Size)
	// The transport may still read the body when it has its answer; the block's memory is the caller's again when this function returns.
	defer body.wait()
	req.Header.Set("X-ClickHouse-User", c.opt.Username)
	if c.opt.Password != "" {
		req.Header.Set("X-ClickHouse-Key", c.opt.Password)
	}
	res, err := c.http.Do(req)
	if err != nil {
		c.failover(n)
		return fmt.Errorf("clickhouse: insert into %s: %w", in.Table, redact(err))
	}
	defer res.Body.Close()
	// The whole answer is read: an exception may come after the status line.
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		c.failover(n)
		return fmt.Errorf("clickhouse: insert into %s: read answer: %w", in.Table, err)
	}
	if res.StatusCode != http.StatusOK || res.Header.Get("X-ClickHouse-Exception-Code") != "" || len(answer) > 0 {
		e := exceptionOf(res, string(answer))
		if Classify(e) != ClassRefused {
			c.failover(n)
		}
		return fmt.Errorf("insert into %s: %w", in.Table, e)
	}
	return checkSummary(res, in)
}

// checkSummary guards against an answer that says OK while nothing arrived. A block that was deduplicated counts as written.
func checkSummary(res *http.Response, in Insert) error {
	var s struct {
		Written string `json:"written_rows"`
	}
	if err := json.Unmarshal([]byte(res.Header.Get("X-ClickHouse-Summary")), &s); err != nil {
		return fmt.Errorf("clickhouse: insert into %s: answer has no usable X-ClickHouse-Summary", in.Table)
	}
	if n, _ := strconv.Atoi(s.Written); n < in.Block.Rows {
		return fmt.Errorf("clickhouse: insert into %s: %s of %d rows were written", in.Table, s.Written, in.Block.Rows)
	}
	return nil
}

func (c *Client) insertURL(in Insert, left time.Duration) (string, uint32) {
	n := c.at.Load()
	u := *c.urls[int(n)%len(c.urls)]
	q := url.Values{}
	q.Set("query", "INSERT INTO "+qualified(in.Table)+" ("+strings.Join(in.Block.Columns, ", ")+") FORMAT Native")
	q.Set("async_insert", "0")
	q.Set("insert_deduplicate", "1")
	q.Set("deduplicate_blocks_in_dependent_materialized_views", "1")
	q.Set("input_format_native_allow_types_conversion", "0")
	q.Set("wait_end_of_query", "1")
	if in.QueryID != "" {
		q.Set("query_id", in.QueryID)
	}
	if in.Token != "" {
		q.Set("insert_deduplication_token", in.Token)
	}
	q.Set("max_execution_time", strconv.FormatFloat(left.Truncate(time.Millisecond).Seconds(), 'f', 3, 64))
	for k, v := range in.Settings {
		q.Set(k, v)
	}
	u.RawQuery = q.Encode()
	return u.String(), n
}

// failover moves inserts to the next replica, unless somebody else has done so already.
func (c *Client) failover(from uint32) { c.at.CompareAndSwap(from, from+1) }

func qualified(table string) string {
	if strings.Contains(table, ".") {
		return table
	}
	return Database + "." + table
}

// redact drops the URL, which holds the whole statement, from a transport error.
func redact(err error) error {
	if e, ok := err.(*url.Error); ok {
		return e.Err
	}
	return err
}
