// Package testtrail is a real ClickHouse with the product's tables for the tests of the query API, and the rows that stand in them. No product code
// uses it.
package testtrail

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/internal/embedded/enginetest"
	"github.com/audittrail/audittrail/schemas/audit"
	tables "github.com/audittrail/audittrail/schemas/clickhouse"
)

// opened is the one client of the package's engine.
var opened struct {
	once   sync.Once
	client *clickhouse.Client
	err    error
}

// Run runs the tests of a package and then stops the engine if a test has started it. It is for TestMain.
func Run(m *testing.M) int { return enginetest.Main(m) }

// Open returns a client of the package's engine with empty tables, and skips the test where the library is missing.
func Open(t testing.TB) *clickhouse.Client {
	t.Helper()
	url := enginetest.URL(t)
	opened.once.Do(func() {
		opened.client, opened.err = clickhouse.New(clickhouse.Options{URLs: []string{url}, MaxConns: 20})
		if opened.err == nil {
			opened.err = opened.client.Migrate(context.Background(), tables.Migrations(), slog.New(slog.DiscardHandler))
		}
	})
	if opened.err != nil {
		t.Fatal(opened.err)
	}
	for _, table := range []string{tables.TableEvents, tables.TableAlertVersions, tables.TableRollupMinute, tables.TableRollupHour} {
		if err := opened.client.Exec(context.Background(), "TRUNCATE TABLE audit."+table, nil); err != nil {
			t.Fatal(err)
		}
	}
	return opened.client
}

// Topic is the id of the topic that rows come from unless they say otherwise.
var Topic = uuid.MustParse("0192f0c1-0000-7000-8000-000000000001")

// Row is an event at its Kafka coordinates.
type Row struct {
	Topic     uuid.UUID
	Partition int32
	Offset    int64
	Event     audit.Event
	// Raw is the record's value; the event's encoding when nil.
	Raw []byte
}

const (
	dateTime = "2006-01-02 15:04:05.000000"
	// received is how long after the event its record was written.
	received = 250 * time.Millisecond
)

// InsertEvents stores the rows in one block.
func InsertEvents(t testing.TB, client *clickhouse.Client, rows ...Row) {
	t.Helper()
	var b bytes.Buffer
	for _, r := range rows {
		writeLine(t, &b, r.columns())
	}
	insert(t, client, tables.TableEvents, b.String())
}

func insert(t testing.TB, client *clickhouse.Client, table, lines string) {
	t.Helper()
	sql := "INSERT INTO audit." + table + " SETTINGS async_insert = 0 FORMAT JSONEachRow " + lines
	if err := client.Exec(context.Background(), sql, nil); err != nil {
		t.Fatal(err)
	}
}

func writeLine(t testing.TB, b *bytes.Buffer, columns map[string]any) {
	t.Helper()
	line, err := json.Marshal(columns)
	if err != nil {
		t.Fatal(err)
	}
	b.Write(append(line, '\n'))
}

func (r Row) columns() map[string]any {
	e := r.Event
	if r.Topic == uuid.Nil {
		r.Topic = Topic
	}
	if r.Raw == nil {
		r.Raw = audit.Encode(nil, &e)
	}
	var first audit.Target
	more := []string{}
	for i, target := range e.Targets {
		if i == 0 {
			first = target
		} else {
			more = append(more, target.Type+"/"+target.ID)
		}
	}
	changed := []string{}
	for _, c := range e.Changes {
		changed = append(changed, c.Field)
	}
	metadata := map[string]string{}
	for _, m := range e.Metadata {
		metadata[m.Key] = m.Value
	}
	ip := netip.IPv6Unspecified()
	if e.Source.IP.IsValid() {
		ip = netip.AddrFrom16(e.Source.IP.As16())
	}
	return map[string]any{
		"ingest_day": today(), "src_topic": "audit.events", "src_topic_id": r.Topic, "src_partition": r.Partition, "src_offset": r.Offset,
		"src_time": e.Time.Add(received).UTC().Format("2006-01-02 15:04:05.000"),
		"time":     e.Time.UTC().Format(dateTime), "hour": floorHour(e.Time), "id": e.ID, "tenant": e.Tenant, "action": e.Action,
		"category": string(e.Category), "outcome": e.Outcome.String(), "reason": e.Reason, "severity": e.Severity.String(),
		"actor_type": string(e.Actor.Type), "actor_id": e.Actor.ID, "actor_name": e.Actor.Name,
		"source_ip": ip.String(), "source_user_agent": e.Source.UserAgent, "session_id": e.SessionID,
		"target_type": first.Type, "target_id": first.ID, "target_name": first.Name, "more_targets": more, "changed_fields": changed,
		"service_name": e.Service.Name, "service_version": e.Service.Version, "service_instance": e.Service.Instance, "sequence": e.Sequence,
		"request_id": e.Request.ID, "request_method": e.Request.Method, "request_route": e.Request.Route, "request_status": e.Request.Status,
		"trace_id": e.TraceID, "correlation_id": e.CorrelationID, "message": e.Message, "metadata": metadata, "raw": string(r.Raw),
	}
}

// today is an ingest day that retention keeps, whenever the tests run.
func today() string { return time.Now().UTC().Format(time.DateOnly) }

func floorHour(t time.Time) int64 {
	s := t.Unix()
	h := s / 3600
	if s%3600 < 0 {
		h--
	}
	return h
}

// Version is one version of an alert and when it was published.
type Version struct {
	audit.Alert
	Offset    int64
	Published time.Time
}

// InsertAlerts stores the versions in one block.
func InsertAlerts(t testing.TB, client *clickhouse.Client, versions ...Version) {
	t.Helper()
	var b bytes.Buffer
	for _, v := range versions {
		raw, err := json.Marshal(v.Alert)
		if err != nil {
			t.Fatal(err)
		}
		writeLine(t, &b, map[string]any{
			"ingest_day": today(), "src_topic": "audit.alerts", "src_topic_id": Topic, "src_partition": 0, "src_offset": v.Offset,
			"src_time": v.Published.UTC().Format("2006-01-02 15:04:05.000"),
			"id":       v.ID, "version": v.Alert.Version, "state": v.State, "rule_id": v.RuleID, "rule_name": v.RuleName, "level": v.Level, "tenant": v.Tenant,
			"key": v.Key, "first_seen": v.FirstSeen.UTC().Format(dateTime), "last_seen": v.LastSeen.UTC().Format(dateTime), "window": v.Window, "count": v.Count,
			"users": list(v.Users.Values), "users_total": v.Users.Total, "sources": list(v.Sources.Values), "sources_total": v.Sources.Total,
			"samples": list(v.Samples), "actions": list(v.Actions), "tags": list(v.Tags), "approximate": v.Approximate, "raw": string(raw),
		})
	}
	insert(t, client, tables.TableAlertVersions, b.String())
}

func list(values []string) []string {
	if values == nil {
		return []string{}
	}
	return values
}

// FillEvents stores n events, one each 86 ms from the first of January 2026 on with up to 2 s of disorder, in runs of the offsets of four partitions as
// the consumer writes them. It is made inside ClickHouse.
func FillEvents(t testing.TB, client *clickhouse.Client, n int) {
	t.Helper()
	const block = 50_000
	for from := 0; from < n; from += block {
		sql := fmt.Sprintf(fillSQL, from, min(block, n-from))
		if err := client.Exec(context.Background(), sql, nil); err != nil {
			t.Fatal(err)
		}
	}
}

const fillSQL = `INSERT INTO audit.events (ingest_day, src_topic, src_topic_id, src_partition, src_offset, src_time, time, hour, id, tenant, action, category,
	outcome, severity, actor_type, actor_id, actor_name, source_ip, session_id, target_type, target_id, service_name, message, metadata, raw)
SELECT today(), 'audit.events', toUUID('0192f0c1-0000-7000-8000-000000000001'), number %% 4, intDiv(number, 4), sent, happened,
	intDiv(toUnixTimestamp(happened), 3600), concat('id-', toString(number)) AS id, ['default', 'acme', 'umbrella'][1 + cityHash64(number) %% 3],
	['auth.login', 'record.read', 'record.update', 'api.access'][1 + cityHash64(number, 1) %% 4] AS action, 'auth', cityHash64(number, 2) %% 5, 0, 'user',
	concat('u', toString(cityHash64(number, 3) %% 5000)), concat('user ', toString(cityHash64(number, 3) %% 5000)),
	toIPv6(concat('10.0.', toString(cityHash64(number, 4) %% 20), '.', toString(cityHash64(number, 5) %% 250))),
	toString(cityHash64(number, 6) %% 100000), 'record', toString(cityHash64(number, 7) %% 50000), 'billing',
	concat('user did ', action, ' on record ', toString(number)), map('k', toString(cityHash64(number, 8) %% 1000), 'r', toString(number)),
	concat('{"id":"', id, '","action":"', action, '","pad":"', hex(sipHash128(number)), hex(sipHash128(number, 2)), repeat('x', 250), '"}')
FROM (SELECT number, toDateTime64('2026-01-01 00:00:00', 6, 'UTC') + toIntervalMillisecond(number * 86) AS sent,
	sent + toIntervalMicrosecond(cityHash64(number, 9) %% 2000000) AS happened FROM numbers(%d, %d))`
