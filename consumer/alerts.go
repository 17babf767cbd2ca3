package consumer

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/zeebo/xxh3"

	"github.com/audittrail/audittrail/schemas/audit"
	tables "github.com/audittrail/audittrail/schemas/clickhouse"
)

// reasonBadAlert is why a record of the alerts topic is quarantined: it is not the JSON of an alert with an id and a version.
const reasonBadAlert audit.Reason = "bad_alert"

// alertRows are versions of alerts as columns of the table alert_versions.
type alertRows struct {
	provenance
	id           strCol
	version      proto.ColUInt64
	state        lowCard
	ruleID       lowCard
	ruleName     lowCard
	level        lowCard
	tenant       lowCard
	key          lowCardMap
	firstSeen    micros
	lastSeen     micros
	window       lowCard
	count        proto.ColUInt64
	users        strArray
	usersTotal   proto.ColUInt64
	sources      strArray
	sourcesTotal proto.ColUInt64
	samples      strArray
	actions      strArray
	tags         lowCardArray
	approximate  proto.ColBool
	raw          strCol
	rawHash      proto.ColUInt64

	input proto.Input
}

func newAlertRows() rows {
	r := new(alertRows)
	r.input = append(r.provenance.columns(), proto.Input{
		{Name: "id", Data: &r.id},
		{Name: "version", Data: &r.version},
		{Name: "state", Data: &r.state},
		{Name: "rule_id", Data: &r.ruleID},
		{Name: "rule_name", Data: &r.ruleName},
		{Name: "level", Data: &r.level},
		{Name: "tenant", Data: &r.tenant},
		{Name: "key", Data: &r.key},
		{Name: "first_seen", Data: &r.firstSeen},
		{Name: "last_seen", Data: &r.lastSeen},
		{Name: "window", Data: &r.window},
		{Name: "count", Data: &r.count},
		{Name: "users", Data: &r.users},
		{Name: "users_total", Data: &r.usersTotal},
		{Name: "sources", Data: &r.sources},
		{Name: "sources_total", Data: &r.sourcesTotal},
		{Name: "samples", Data: &r.samples},
		{Name: "actions", Data: &r.actions},
		{Name: "tags", Data: &r.tags},
		{Name: "approximate", Data: &r.approximate},
		{Name: "raw", Data: &r.raw},
		{Name: "raw_hash", Data: &r.rawHash},
	}...)
	return r
}

func (r *alertRows) Table() string        { return tables.TableAlertVersions }
func (r *alertRows) Len() int             { return r.rawHash.Rows() }
func (r *alertRows) SetDay(day time.Time) { r.setDay(day) }
func (r *alertRows) Columns() proto.Input { return r.input }
func (r *alertRows) Reset()               { r.input.Reset() }

// Append implements rows.
func (r *alertRows) Append(s *source, rec *audit.Record) (uint64, error) {
	var a audit.Alert
	if err := json.Unmarshal(rec.Value, &a); err != nil {
		return 0, &audit.Reject{Reason: reasonBadAlert, Detail: err.Error()}
	}
	if a.ID == "" || a.Version == 0 {
		return 0, &audit.Reject{Reason: reasonBadAlert, Detail: "no id or no version"}
	}
	r.provenance.append(s, rec)
	r.id.Append(a.ID)
	r.version.Append(a.Version)
	r.state.Append(string(a.State))
	r.ruleID.Append(a.RuleID)
	r.ruleName.Append(a.RuleName)
	r.level.Append(a.Level)
	r.tenant.Append(a.Tenant)
	for _, k := range slices.Sorted(maps.Keys(a.Key)) {
		r.key.put(k, a.Key[k])
	}
	r.key.end()
	r.firstSeen.append(a.FirstSeen)
	r.lastSeen.append(a.LastSeen)
	r.window.Append(a.Window)
	r.count.Append(a.Count)
	r.users.append(a.Users.Values)
	r.usersTotal.Append(a.Users.Total)
	r.sources.append(a.Sources.Values)
	r.sourcesTotal.Append(a.Sources.Total)
	r.samples.append(a.Samples)
	r.actions.append(a.Actions)
	for _, t := range a.Tags {
		r.tags.data.Append(t)
	}
	r.tags.end()
	r.approximate.Append(a.Approximate)
	r.raw.AppendBytes(rec.Value)
	hash := xxh3.Hash(rec.Value)
	r.rawHash.Append(hash)
	return hash, nil
}
