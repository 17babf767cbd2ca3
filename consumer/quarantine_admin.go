package consumer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/audittrail/audittrail/internal/clickhouse"
	tables "github.com/audittrail/audittrail/schemas/clickhouse"
)

// Quarantined is one record in quarantine.
type Quarantined struct {
	Topic     string    `json:"topic"`
	TopicID   uuid.UUID `json:"topic_id"`
	Partition uint32    `json:"partition"`
	Offset    int64     `json:"offset"`
	Time      time.Time `json:"time"`
	Stage     string    `json:"stage"`
	Reason    string    `json:"reason"`
	Error     string    `json:"error"`
	Size      uint64    `json:"size"`
	Key       string    `json:"key,omitempty"`
	// Headers are in their order; a name may be there several times.
	Headers []QuarantinedHeader `json:"headers,omitempty"`
	// Value is the record's value; only Show fills it.
	Value []byte `json:"value,omitempty"`
}

// QuarantinedHeader is one header of a record in quarantine.
type QuarantinedHeader struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Place names the record: TOPIC/PARTITION/OFFSET.
func (q *Quarantined) Place() string { return fmt.Sprintf("%s/%d/%d", q.Topic, q.Partition, q.Offset) }

// QuarantineFilter chooses records in quarantine; the zero value chooses all.
type QuarantineFilter struct {
	// Reason and Place (TOPIC/PARTITION/OFFSET) are exact.
	Reason, Place string
	// From and To bound the records' Kafka time, [From, To).
	From, To time.Time
	// Limit bounds how many are listed, or published again; 100 when 0.
	Limit int
}

// where is the filter as a condition.
func (f QuarantineFilter) where() (string, clickhouse.Params, error) {
	conds, p := []string{"1"}, clickhouse.Params{}
	if f.Reason != "" {
		conds, p["reason"] = append(conds, "reason = {reason:String}"), f.Reason
	}
	if f.Place != "" {
		topic, partition, offset, err := parsePlace(f.Place)
		if err != nil {
			return "", nil, err
		}
		conds = append(conds, "src_topic = {topic:String} AND src_partition = {partition:UInt32} AND src_offset = {offset:Int64}")
		p["topic"], p["partition"], p["offset"] = topic, partition, offset
	}
	if !f.From.IsZero() {
		conds, p["from"] = append(conds, "src_time >= fromUnixTimestamp64Milli({from:Int64})"), strconv.FormatInt(f.From.UnixMilli(), 10)
	}
	if !f.To.IsZero() {
		conds, p["to"] = append(conds, "src_time < fromUnixTimestamp64Milli({to:Int64})"), strconv.FormatInt(f.To.UnixMilli(), 10)
	}
	return strings.Join(conds, " AND "), p, nil
}

func parsePlace(s string) (topic, partition, offset string, err error) {
	f := strings.Split(s, "/")
	if len(f) == 3 {
		_, perr := strconv.ParseUint(f[1], 10, 31)
		_, oerr := strconv.ParseInt(f[2], 10, 64)
		err = errors.Join(perr, oerr)
	}
	if len(f) != 3 || err != nil || f[0] == "" {
		return "", "", "", fmt.Errorf("%q is not a place: TOPIC/PARTITION/OFFSET, as list prints it", s)
	}
	return f[0], f[1], f[2], nil
}

func (f QuarantineFilter) limit() int {
	if f.Limit == 0 {
		return 100
	}
	return f.Limit
}

// ListQuarantine calls each with the chosen records, latest first, without their values.
func ListQuarantine(ctx context.Context, ch *clickhouse.Client, f QuarantineFilter, each func(*Quarantined) error) error {
	return readQuarantine(ctx, ch, f, "''", each)
}

// ShowQuarantine calls each with the chosen records, latest first, with their values.
func ShowQuarantine(ctx context.Context, ch *clickhouse.Client, f QuarantineFilter, each func(*Quarantined) error) error {
	return readQuarantine(ctx, ch, f, "raw", each)
}

func readQuarantine(ctx context.Context, ch *clickhouse.Client, f QuarantineFilter, value string, each func(*Quarantined) error) error {
	where, params, err := f.where()
	if err != nil {
		return err
	}
	return selectQuarantine(ctx, ch, value, where, "src_time DESC, src_topic, src_partition, src_offset DESC", f.limit(), params, each)
}

func selectQuarantine(ctx context.Context, ch *clickhouse.Client, value, where, order string, limit int, params clickhouse.Params, each func(*Quarantined) error) error {
	// Not the map of headers itself: the driver would make a Go map of it, which has each name once.
	rows, err := ch.Query(ctx, fmt.Sprintf("SELECT src_topic, src_topic_id, src_partition, src_offset, src_time, stage, reason, error, length(raw), key,"+
		" mapKeys(headers), mapValues(headers), %s FROM audit.%s WHERE %s ORDER BY %s LIMIT %d", value, tables.TableQuarantine, where, order, limit), params)
	if err != nil {
		return fmt.Errorf("read the quarantine: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var (
			q            Quarantined
			names, texts []string
			raw          string
		)
		err := rows.Scan(&q.Topic, &q.TopicID, &q.Partition, &q.Offset, &q.Time, &q.Stage, &q.Reason, &q.Error, &q.Size, &q.Key, &names, &texts, &raw)
		if err != nil {
			return fmt.Errorf("read the quarantine: %w", err)
		}
		for i, name := range names {
			q.Headers = append(q.Headers, QuarantinedHeader{name, texts[i]})
		}
		q.Value = []byte(raw)
		if err := each(&q); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the quarantine: %w", err)
	}
	return nil
}
