package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/schemas/audit"
	tables "github.com/audittrail/audittrail/schemas/clickhouse"
)

// HeaderRedriven is the header of a record that was taken out of the quarantine and published again: it names the place that it was put aside from. The
// decoder keeps it in the event's metadata.
const HeaderRedriven = "ce_redriven_from"

// Quarantined is one record in quarantine.
type Quarantined struct {
	Topic     string            `json:"topic"`
	TopicID   uuid.UUID         `json:"topic_id"`
	Partition uint32            `json:"partition"`
	Offset    int64             `json:"offset"`
	Time      time.Time         `json:"time"`
	Stage     string            `json:"stage"`
	Reason    string            `json:"reason"`
	Error     string            `json:"error"`
	Size      uint64            `json:"size"`
	Key       string            `json:"key,omitempty"`
	Headers   map[string]string `json:"headers,omitempty"`
	// Value is the record's value; only Show fills it.
	Value []byte `json:"value,omitempty"`
}

// Place names the record: TOPIC/PARTITION/OFFSET.
func (q *Quarantined) Place() string { return fmt.Sprintf("%s/%d/%d", q.Topic, q.Partition, q.Offset) }

// QuarantineFilter chooses records in quarantine; the zero value chooses all.
type QuarantineFilter struct {
	// Reason and Place (TOPIC/PARTITION/OFFSET) are exact.
	Reason, Place string
	// From and To bound the records' Kafka time, [From, To).
	From, To time.Time
	// Limit bounds how many; 100 when 0.
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
	limit := f.Limit
	if limit == 0 {
		limit = 100
	}
	rows, err := ch.Query(ctx, fmt.Sprintf("SELECT src_topic, src_topic_id, src_partition, src_offset, src_time, stage, reason, error, length(raw), key, headers, %s"+
		" FROM audit.%s WHERE %s ORDER BY src_time DESC, src_topic, src_partition, src_offset DESC LIMIT %d", value, tables.TableQuarantine, where, limit), params)
	if err != nil {
		return fmt.Errorf("read the quarantine: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var q Quarantined
		var raw string
		err := rows.Scan(&q.Topic, &q.TopicID, &q.Partition, &q.Offset, &q.Time, &q.Stage, &q.Reason, &q.Error, &q.Size, &q.Key, &q.Headers, &raw)
		if err != nil {
			return fmt.Errorf("read the quarantine: %w", err)
		}
		q.Value = []byte(raw)
		if err := each(&q); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Redriven is what Redrive did with one record.
type Redriven struct {
	Record *Quarantined
	// Err says why it was left where it is: it still cannot be read, it was redriven before, or its bytes are gone. Nil: it was published again.
	Err error
}

var (
	errRedriven = errors.New("was redriven before")
	errNoBytes  = errors.New("stands for records that kafka had deleted, there are no bytes to publish")
)

// Redrive publishes the chosen records again, if they can be read as events by now. They go the way of every event, at a new offset, with a header that
// says where they were put aside; the quarantine keeps its row as evidence. What was redriven before is left alone.
func Redrive(ctx context.Context, cfg kafka.Config, ch *clickhouse.Client, log *slog.Logger, f QuarantineFilter, each func(Redriven)) error {
	cl, err := kafka.NewClient(cfg, log, kgo.RequiredAcks(kgo.AllISRAcks()))
	if err != nil {
		return err
	}
	defer cl.Close()
	dec := audit.NewDecoder()
	return ShowQuarantine(ctx, ch, f, func(q *Quarantined) error {
		err := redrivable(ctx, ch, dec, q)
		var reject *audit.Reject
		if errors.Is(err, errRedriven) || errors.Is(err, errNoBytes) || errors.As(err, &reject) {
			each(Redriven{q, err})
			return nil
		}
		if err != nil {
			return err
		}
		if err := cl.ProduceSync(ctx, q.record()).FirstErr(); err != nil {
			return fmt.Errorf("publish %s again: %w", q.Place(), err)
		}
		each(Redriven{q, nil})
		return nil
	})
}

func redrivable(ctx context.Context, ch *clickhouse.Client, dec *audit.Decoder, q *Quarantined) error {
	if q.Stage == stageRetention {
		return errNoBytes
	}
	var (
		e   audit.Event
		rec audit.Record
	)
	kafka.FillRecord(&rec, q.TopicID, q.record())
	if err := dec.Decode(&rec, &e); err != nil {
		return err
	}
	var n uint64
	err := ch.QueryRow(ctx, "SELECT count() FROM audit."+tables.TableEvents+" WHERE metadata[{header:String}] = {place:String}",
		clickhouse.Params{"header": HeaderRedriven, "place": q.Place()}, &n)
	if err != nil {
		return fmt.Errorf("look for %s among the events: %w", q.Place(), err)
	}
	if n > 0 {
		return errRedriven
	}
	return nil
}

// record is the quarantined record to be published again.
func (q *Quarantined) record() *kgo.Record {
	r := &kgo.Record{Topic: q.Topic, Key: []byte(q.Key), Value: q.Value}
	for _, k := range slices.Sorted(maps.Keys(q.Headers)) {
		if k != HeaderRedriven {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: k, Value: []byte(q.Headers[k])})
		}
	}
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: HeaderRedriven, Value: []byte(q.Place())})
	return r
}
