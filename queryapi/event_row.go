package queryapi

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/schemas/audit"
)

// eventColumns are the columns that an event is shown from. The columns, not the record's bytes, say what an event is: they are what searches compare,
// and some of them come from the record's headers. Only what has no column of its own is read from raw.
const eventColumns = `src_topic, src_topic_id, src_partition, src_offset, src_time, time, id, tenant, action, category, outcome, reason, severity,
	actor_type, actor_id, actor_name, source_ip, source_user_agent, session_id, service_name, service_version, service_instance, sequence,
	request_id, request_method, request_route, request_status, trace_id, correlation_id, message, metadata, raw`

// eventValues are what eventRow scans.
const eventValues = `src_topic, src_topic_id, src_partition, src_offset, toUnixTimestamp64Milli(src_time), toUnixTimestamp64Micro(time),
	id, tenant, action, category, toString(outcome), reason, toString(severity),
	actor_type, actor_id, actor_name, source_ip, source_user_agent, session_id, service_name, service_version, service_instance, sequence,
	request_id, request_method, request_route, request_status, trace_id, correlation_id, message, mapKeys(metadata), mapValues(metadata), raw`

// eventRow is one row of audit.events.
type eventRow struct {
	source    Source
	topicID   uuid.UUID
	partition uint32
	sourceMs  int64
	micros    int64
	event     audit.Event
	outcome   string
	severity  string
	category  string
	actorType string
	ip        net.IP
	keys      []string
	values    []string
	raw       string
}

// Source says where in Kafka the record of an event is. Members are as they stand in answers.
type Source struct {
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Time      time.Time `json:"time"`
	// Unreadable says why the record's bytes give no more than what is shown; usually empty.
	Unreadable string `json:"unreadable,omitempty"`
}

// scan reads a row of eventValues with these columns in front of them.
func (r *eventRow) scan(rows clickhouse.Rows, front ...any) error {
	e := &r.event
	err := rows.Scan(append(front, &r.source.Topic, &r.topicID, &r.partition, &r.source.Offset, &r.sourceMs, &r.micros,
		&e.ID, &e.Tenant, &e.Action, &r.category, &r.outcome, &e.Reason, &r.severity,
		&r.actorType, &e.Actor.ID, &e.Actor.Name, &r.ip, &e.Source.UserAgent, &e.SessionID,
		&e.Service.Name, &e.Service.Version, &e.Service.Instance, &e.Sequence,
		&e.Request.ID, &e.Request.Method, &e.Request.Route, &e.Request.Status, &e.TraceID, &e.CorrelationID,
		&e.Message, &r.keys, &r.values, &r.raw)...)
	if err != nil {
		return fmt.Errorf("read event row: %w", err)
	}
	r.source.Partition = int32(r.partition)
	r.source.Time = time.UnixMilli(r.sourceMs).UTC()
	e.Time = time.UnixMicro(r.micros).UTC()
	e.Category = audit.Category(r.category)
	e.Outcome, _ = audit.ParseOutcome(r.outcome)
	e.Severity, _ = audit.ParseSeverity(r.severity)
	e.Actor.Type = audit.ActorType(r.actorType)
	// The table stores an absent address as ::.
	if ip, ok := netip.AddrFromSlice(r.ip); ok && ip != netip.IPv6Unspecified() {
		e.Source.IP = ip.Unmap()
	}
	for i, key := range r.keys {
		e.Metadata = append(e.Metadata, audit.MetadataEntry{Key: key, Value: r.values[i]})
	}
	return nil
}

// render returns the event's JSON with its source. d is the decoder to use.
func (r *eventRow) render(d *audit.Decoder) (json.RawMessage, error) {
	var inRaw audit.Event
	if err := d.Read([]byte(r.raw), nil, &inRaw); err != nil {
		r.source.Unreadable = err.Error()
	} else {
		e := &r.event
		e.Source.ForwardedFor, e.Targets, e.Changes = inRaw.Source.ForwardedFor, inRaw.Targets, inRaw.Changes
		e.Data, e.SpanID = inRaw.Data, inRaw.SpanID
	}
	source, err := json.Marshal(r.source)
	if err != nil {
		return nil, &Error{Code: CodeInternal, Detail: "an event cannot be shown", cause: err}
	}
	b := audit.Encode(make([]byte, 0, len(r.raw)+512), &r.event)
	b = append(b[:len(b)-1], `,"_source":`...)
	return append(append(b, source...), '}'), nil
}
