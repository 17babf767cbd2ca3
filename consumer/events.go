package consumer

import (
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/zeebo/xxh3"

	"github.com/audittrail/audittrail/schemas/audit"
	tables "github.com/audittrail/audittrail/schemas/clickhouse"
)

const (
	outcomeType  = "Enum8('unknown' = 0, 'success' = 1, 'failure' = 2, 'denied' = 3, 'error' = 4)"
	severityType = "Enum8('info' = 0, 'low' = 1, 'medium' = 2, 'high' = 3, 'critical' = 4)"
)

// eventRows are events as columns of the table events. They are reused: Reset keeps the memory.
type eventRows struct {
	dec   *audit.Decoder
	event audit.Event

	provenance
	time     micros
	hour     proto.ColInt32
	id       strCol
	tenant   lowCard
	action   lowCard
	category lowCard
	outcome  enum8
	reason   lowCard
	severity enum8

	actorType lowCard
	actorID   strCol
	actorName strCol

	sourceIP        proto.ColIPv6
	sourceUserAgent strCol
	sessionID       strCol

	targetType    lowCard
	targetID      strCol
	targetName    strCol
	moreTargets   strArray
	changedFields lowCardArray

	serviceName     lowCard
	serviceVersion  lowCard
	serviceInstance lowCard
	sequence        proto.ColUInt64

	requestID     strCol
	requestMethod lowCard
	requestRoute  lowCard
	requestStatus proto.ColUInt16
	traceID       strCol
	correlationID strCol

	message  strCol
	metadata lowCardMap
	raw      strCol
	rawHash  proto.ColUInt64

	input proto.Input
}

func newEventRows() rows {
	r := &eventRows{dec: audit.NewDecoder()}
	r.outcome.typ = outcomeType
	r.severity.typ = severityType
	r.input = append(r.provenance.columns(), proto.Input{
		{Name: "time", Data: &r.time},
		{Name: "hour", Data: &r.hour},
		{Name: "id", Data: &r.id},
		{Name: "tenant", Data: &r.tenant},
		{Name: "action", Data: &r.action},
		{Name: "category", Data: &r.category},
		{Name: "outcome", Data: &r.outcome},
		{Name: "reason", Data: &r.reason},
		{Name: "severity", Data: &r.severity},
		{Name: "actor_type", Data: &r.actorType},
		{Name: "actor_id", Data: &r.actorID},
		{Name: "actor_name", Data: &r.actorName},
		{Name: "source_ip", Data: &r.sourceIP},
		{Name: "source_user_agent", Data: &r.sourceUserAgent},
		{Name: "session_id", Data: &r.sessionID},
		{Name: "target_type", Data: &r.targetType},
		{Name: "target_id", Data: &r.targetID},
		{Name: "target_name", Data: &r.targetName},
		{Name: "more_targets", Data: &r.moreTargets},
		{Name: "changed_fields", Data: &r.changedFields},
		{Name: "service_name", Data: &r.serviceName},
		{Name: "service_version", Data: &r.serviceVersion},
		{Name: "service_instance", Data: &r.serviceInstance},
		{Name: "sequence", Data: &r.sequence},
		{Name: "request_id", Data: &r.requestID},
		{Name: "request_method", Data: &r.requestMethod},
		{Name: "request_route", Data: &r.requestRoute},
		{Name: "request_status", Data: &r.requestStatus},
		{Name: "trace_id", Data: &r.traceID},
		{Name: "correlation_id", Data: &r.correlationID},
		{Name: "message", Data: &r.message},
		{Name: "metadata", Data: &r.metadata},
		{Name: "raw", Data: &r.raw},
		{Name: "raw_hash", Data: &r.rawHash},
	}...)
	return r
}

func (r *eventRows) Table() string        { return tables.TableEvents }
func (r *eventRows) Len() int             { return r.rawHash.Rows() }
func (r *eventRows) SetDay(day time.Time) { r.setDay(day) }
func (r *eventRows) Columns() proto.Input { return r.input }
func (r *eventRows) Reset()               { r.input.Reset() }

// Append decodes the record and appends it as a row. After a *audit.Reject nothing was appended.
func (r *eventRows) Append(s *source, rec *audit.Record) (uint64, error) {
	e := &r.event
	if err := r.dec.Decode(rec, e); err != nil {
		return 0, err
	}
	r.provenance.append(s, rec)
	r.time.append(e.Time)
	r.hour.Append(hourOf(e.Time))
	r.id.Append(e.ID)
	r.tenant.Append(e.Tenant)
	r.action.Append(e.Action)
	r.category.Append(string(e.Category))
	r.outcome.Append(int8(e.Outcome))
	r.reason.Append(e.Reason)
	r.severity.Append(int8(e.Severity))
	r.actorType.Append(string(e.Actor.Type))
	r.actorID.Append(e.Actor.ID)
	r.actorName.Append(e.Actor.Name)
	r.sourceIP.Append(ipv6(e))
	r.sourceUserAgent.Append(e.Source.UserAgent)
	r.sessionID.Append(e.SessionID)
	r.appendTargets(e.Targets)
	for i := range e.Changes {
		r.changedFields.data.Append(e.Changes[i].Field)
	}
	r.changedFields.end()
	r.serviceName.Append(e.Service.Name)
	r.serviceVersion.Append(e.Service.Version)
	r.serviceInstance.Append(e.Service.Instance)
	r.sequence.Append(e.Sequence)
	r.requestID.Append(e.Request.ID)
	r.requestMethod.Append(e.Request.Method)
	r.requestRoute.Append(e.Request.Route)
	r.requestStatus.Append(e.Request.Status)
	r.traceID.Append(e.TraceID)
	r.correlationID.Append(e.CorrelationID)
	r.message.Append(e.Message)
	for i := range e.Metadata {
		r.metadata.put(e.Metadata[i].Key, e.Metadata[i].Value)
	}
	r.metadata.end()
	r.raw.AppendBytes(rec.Value)
	hash := xxh3.Hash(rec.Value)
	r.rawHash.Append(hash)
	return hash, nil
}

// appendTargets puts the first target into columns of its own and the others into an array of type/id.
func (r *eventRows) appendTargets(targets []audit.Target) {
	var first audit.Target
	if len(targets) > 0 {
		first = targets[0]
	}
	r.targetType.Append(first.Type)
	r.targetID.Append(first.ID)
	r.targetName.Append(first.Name)
	for i := 1; i < len(targets); i++ {
		r.moreTargets.data.Append(targets[i].Type + "/" + targets[i].ID)
	}
	r.moreTargets.end()
}

// ipv6 returns the address as ClickHouse's IPv6 holds it: IPv4 as ::ffff:a.b.c.d, and :: when absent.
func ipv6(e *audit.Event) proto.IPv6 {
	if !e.Source.IP.IsValid() {
		return proto.IPv6{}
	}
	return proto.IPv6(e.Source.IP.As16())
}

// hourOf returns the hours since 1970, rounded down also before it.
func hourOf(t time.Time) int32 {
	s := t.Unix()
	h := s / 3600
	if s%3600 < 0 {
		h--
	}
	return int32(h)
}
