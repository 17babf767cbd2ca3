package audit

// The fields that the decoder can warn about. A closed list: only these make metadata entries beyond MaxMetadata.
const (
	fieldID            = "id"
	fieldTime          = "time"
	fieldTenant        = "tenant"
	fieldAction        = "action"
	fieldCategory      = "category"
	fieldOutcome       = "outcome"
	fieldReason        = "reason"
	fieldSeverity      = "severity"
	fieldActor         = "actor"
	fieldActorType     = "actor.type"
	fieldActorID       = "actor.id"
	fieldActorName     = "actor.name"
	fieldSource        = "source"
	fieldSourceIP      = "source.ip"
	fieldForwardedFor  = "source.forwarded_for"
	fieldUserAgent     = "source.user_agent"
	fieldSessionID     = "session_id"
	fieldTargets       = "targets"
	fieldTargetType    = "targets.type"
	fieldTargetID      = "targets.id"
	fieldTargetName    = "targets.name"
	fieldChanges       = "changes"
	fieldChangeField   = "changes.field"
	fieldRedacted      = "changes.redacted"
	fieldData          = "data"
	fieldRecords       = "data.records"
	fieldBytes         = "data.bytes"
	fieldFilter        = "data.filter"
	fieldService       = "service"
	fieldServiceName   = "service.name"
	fieldVersion       = "service.version"
	fieldInstance      = "service.instance"
	fieldRequest       = "request"
	fieldRequestID     = "request.id"
	fieldMethod        = "request.method"
	fieldRoute         = "request.route"
	fieldStatus        = "request.status"
	fieldTraceID       = "trace_id"
	fieldSpanID        = "span_id"
	fieldCorrelationID = "correlation_id"
	fieldSequence      = "sequence"
	fieldMessage       = "message"
	fieldMetadata      = "metadata"
)

// warnFields lists them for isReserved.
var warnFields = [...]string{
	fieldID, fieldTime, fieldTenant, fieldAction, fieldCategory, fieldOutcome, fieldReason, fieldSeverity,
	fieldActor, fieldActorType, fieldActorID, fieldActorName,
	fieldSource, fieldSourceIP, fieldForwardedFor, fieldUserAgent,
	fieldSessionID,
	fieldTargets, fieldTargetType, fieldTargetID, fieldTargetName,
	fieldChanges, fieldChangeField, fieldRedacted,
	fieldData, fieldRecords, fieldBytes, fieldFilter,
	fieldService, fieldServiceName, fieldVersion, fieldInstance,
	fieldRequest, fieldRequestID, fieldMethod, fieldRoute, fieldStatus,
	fieldTraceID, fieldSpanID, fieldCorrelationID, fieldSequence, fieldMessage, fieldMetadata,
}

// event reads the members of an event up to its closing brace.
func (d *Decoder) event() {
	e := d.e
	for key := d.firstKey(); key != nil; key = d.nextKey() {
		switch string(key) {
		case "id":
			d.text(fieldID, &e.ID)
		case "time":
			d.time()
		case "tenant":
			d.text(fieldTenant, &e.Tenant)
		case "action":
			d.text(fieldAction, &e.Action)
		case "category":
			d.category()
		case "outcome":
			d.outcome()
		case "reason":
			d.text(fieldReason, &e.Reason)
		case "severity":
			d.severity()
		case "actor":
			d.actor()
		case "source":
			d.source()
		case "session_id":
			d.text(fieldSessionID, &e.SessionID)
		case "targets":
			d.targets()
		case "changes":
			d.changes()
		case "data":
			d.data()
		case "service":
			d.service()
		case "request":
			d.request()
		case "trace_id":
			d.text(fieldTraceID, &e.TraceID)
		case "span_id":
			d.text(fieldSpanID, &e.SpanID)
		case "correlation_id":
			d.text(fieldCorrelationID, &e.CorrelationID)
		case "sequence":
			d.number(fieldSequence, &e.Sequence)
		case "message":
			d.text(fieldMessage, &e.Message)
		case "metadata":
			d.metadata()
		case "specversion":
			d.sawSpec = true
			fallthrough
		default:
			d.setMetadata(alias(key), d.anyText())
		}
	}
}

func (d *Decoder) actor() {
	if !d.enterObject(fieldActor) {
		return
	}
	a := &d.e.Actor
	for key := d.firstKey(); key != nil; key = d.nextKey() {
		switch string(key) {
		case "type":
			d.actorType()
		case "id":
			d.text(fieldActorID, &a.ID)
		case "name":
			d.text(fieldActorName, &a.Name)
		default:
			d.nested(fieldActor, key)
		}
	}
}

func (d *Decoder) source() {
	if !d.enterObject(fieldSource) {
		return
	}
	for key := d.firstKey(); key != nil; key = d.nextKey() {
		switch string(key) {
		case "ip":
			d.ip()
		case "forwarded_for":
			d.forwardedFor()
		case "user_agent":
			d.text(fieldUserAgent, &d.e.Source.UserAgent)
		default:
			d.nested(fieldSource, key)
		}
	}
}

// forwardedFor takes a list of addresses, or one text, as the header X-Forwarded-For has it.
func (d *Decoder) forwardedFor() {
	s := &d.e.Source
	s.ForwardedFor = s.ForwardedFor[:0]
	if !d.enter('[') {
		if text, ok := d.scalar(fieldForwardedFor); ok {
			s.ForwardedFor = append(s.ForwardedFor, text)
		}
		return
	}
	for ok := d.firstElement(); ok; ok = d.nextElement() {
		if text, ok := d.scalar(fieldForwardedFor); ok {
			s.ForwardedFor = append(s.ForwardedFor, text)
		}
	}
}

func (d *Decoder) targets() {
	e := d.e
	e.Targets = e.Targets[:0]
	if !d.enterArray(fieldTargets) {
		return
	}
	for ok := d.firstElement(); ok; ok = d.nextElement() {
		if d.enterObject(fieldTargets) {
			e.Targets = append(e.Targets, Target{})
			d.target(&e.Targets[len(e.Targets)-1])
		}
	}
}

func (d *Decoder) target(t *Target) {
	for key := d.firstKey(); key != nil; key = d.nextKey() {
		switch string(key) {
		case "type":
			d.text(fieldTargetType, &t.Type)
		case "id":
			d.text(fieldTargetID, &t.ID)
		case "name":
			d.text(fieldTargetName, &t.Name)
		default:
			d.nested(fieldTargets, key)
		}
	}
}

func (d *Decoder) changes() {
	e := d.e
	e.Changes = e.Changes[:0]
	if !d.enterArray(fieldChanges) {
		return
	}
	for ok := d.firstElement(); ok; ok = d.nextElement() {
		if d.enterObject(fieldChanges) {
			e.Changes = append(e.Changes, Change{})
			d.change(&e.Changes[len(e.Changes)-1])
		}
	}
}

func (d *Decoder) change(c *Change) {
	for key := d.firstKey(); key != nil; key = d.nextKey() {
		switch string(key) {
		case "field":
			d.text(fieldChangeField, &c.Field)
		case "old":
			c.Old = d.rawText()
		case "new":
			c.New = d.rawText()
		case "redacted":
			d.boolean(fieldRedacted, &c.Redacted)
		default:
			d.nested(fieldChanges, key)
		}
	}
}

func (d *Decoder) data() {
	if !d.enterObject(fieldData) {
		return
	}
	d.sawData = true
	for key := d.firstKey(); key != nil; key = d.nextKey() {
		switch string(key) {
		case "records":
			d.number(fieldRecords, &d.e.Data.Records)
		case "bytes":
			d.number(fieldBytes, &d.e.Data.Bytes)
		case "filter":
			d.text(fieldFilter, &d.e.Data.Filter)
		default:
			d.nested(fieldData, key)
		}
	}
}

func (d *Decoder) service() {
	if !d.enterObject(fieldService) {
		return
	}
	s := &d.e.Service
	for key := d.firstKey(); key != nil; key = d.nextKey() {
		switch string(key) {
		case "name":
			d.text(fieldServiceName, &s.Name)
		case "version":
			d.text(fieldVersion, &s.Version)
		case "instance":
			d.text(fieldInstance, &s.Instance)
		default:
			d.nested(fieldService, key)
		}
	}
}

func (d *Decoder) request() {
	if !d.enterObject(fieldRequest) {
		return
	}
	r := &d.e.Request
	for key := d.firstKey(); key != nil; key = d.nextKey() {
		switch string(key) {
		case "id":
			d.text(fieldRequestID, &r.ID)
		case "method":
			d.text(fieldMethod, &r.Method)
		case "route":
			d.text(fieldRoute, &r.Route)
		case "status":
			d.status()
		default:
			d.nested(fieldRequest, key)
		}
	}
}

// metadata reads the metadata object: texts as they are, other values as compact JSON.
func (d *Decoder) metadata() {
	if !d.enterObject(fieldMetadata) {
		return
	}
	for key := d.firstKey(); key != nil; key = d.nextKey() {
		d.setMetadata(alias(key), d.anyText())
	}
}
