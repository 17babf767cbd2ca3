package consumer

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/internal/kafka"
)

// FindingKind is what is wrong with a range of offsets or a day.
type FindingKind string

// The kinds of findings.
const (
	// FindingGap: no row of the ledger covers the range.
	FindingGap FindingKind = "gap"
	// FindingMissing: fewer rows than the ledger says.
	FindingMissing FindingKind = "missing"
	// FindingExtra: more rows than the ledger says.
	FindingExtra FindingKind = "extra"
	// FindingAltered: the rows are not those that the ledger, or Kafka, says they are.
	FindingAltered FindingKind = "altered"
	// FindingRollup: a rollup and the events of a day do not add up.
	FindingRollup FindingKind = "rollup"
)

var findingKinds = []FindingKind{FindingGap, FindingMissing, FindingExtra, FindingAltered, FindingRollup}

// Finding is one thing that is wrong.
type Finding struct {
	Kind      FindingKind `json:"kind"`
	Topic     string      `json:"topic,omitempty"`
	TopicID   string      `json:"topic_id,omitempty"`
	Partition int32       `json:"partition"`
	// First and End bound the offsets: [First, End).
	First int64 `json:"first"`
	End   int64 `json:"end"`
	// Day is the ingest day.
	Day string `json:"day,omitempty"`
	// Want and Got count rows.
	Want uint64 `json:"want"`
	Got  uint64 `json:"got"`
	// Detail says more, in words.
	Detail string `json:"detail,omitempty"`
	// Repaired says that the missing rows were read from Kafka again and are in now.
	Repaired bool `json:"repaired,omitempty"`
}

func (f Finding) String() string {
	where := fmt.Sprintf("%s partition %d offsets [%d, %d)", f.Topic, f.Partition, f.First, f.End)
	if f.Kind == FindingRollup {
		where = "day " + f.Day
	}
	s := fmt.Sprintf("%s: %s: want %d rows, got %d", f.Kind, where, f.Want, f.Got)
	if f.Detail != "" {
		s += " (" + f.Detail + ")"
	}
	if f.Repaired {
		s += ", repaired"
	}
	return s
}

// RepeatedID is an event id that several records carry: a producer has sent the event more than once. The trail keeps all of them.
type RepeatedID struct {
	ID      string `json:"id"`
	Records uint64 `json:"records"`
}

// Report is what Verify found.
type Report struct {
	// Ranges, Events, AlertVersions and Quarantined are what the ledger says of the span.
	Ranges        uint64 `json:"ranges"`
	Events        uint64 `json:"events"`
	AlertVersions uint64 `json:"alert_versions"`
	Quarantined   uint64 `json:"quarantined"`
	// FromKafka counts the ranges that were compared with Kafka's records, byte by byte through their hashes.
	FromKafka uint64       `json:"compared_with_kafka"`
	Findings  []Finding    `json:"findings"`
	Repeated  []RepeatedID `json:"repeated_ids"`
}

// OK reports whether nothing is wrong, or all that was wrong is repaired. Repeated ids are not wrong.
func (r *Report) OK() bool {
	for _, f := range r.Findings {
		if !f.Repaired {
			return false
		}
	}
	return true
}

// VerifyOptions say what to verify.
type VerifyOptions struct {
	Kafka      kafka.Config
	ClickHouse *clickhouse.Client
	// Group is the consumer's group: what it has not settled yet is its own business. DefaultGroup when empty.
	Group string
	// From and To bound the ingest days, both included. Zero: unbounded.
	From, To time.Time
	// SkipKafka leaves Kafka out altogether: what a consumer is at work on is then told by its age.
	SkipKafka bool
	// SkipRepeated leaves out the search for repeated event ids.
	SkipRepeated bool
	// Repair reads what is missing from Kafka again and inserts it.
	Repair bool
	// Progress is called now and then with the number of ranges done and of all; nil for none.
	Progress func(done, all int)
	Logger   *slog.Logger

	// topicID, unless zero, leaves out other topics, in tests that share tables.
	topicID [16]byte
	// settled, unless nil, is what a consumer has settled of its own partitions, and chooses them.
	settled map[partitionKey]settledOffset
	// openDayLooks is how long to look at the rollups of a day that may still get events; openDayLooks when zero.
	openDayLooks time.Duration
	// now replaces the clock in tests, replicated what the tables' engines say.
	now        time.Time
	replicated *bool
	// skipRollups leaves out the rollups, whose days tests share, and consumers.
	skipRollups bool
}

// maxRepeated bounds how many repeated ids a report lists.
const maxRepeated = 100

// Verify compares what the ledger says of the days with the rows in ClickHouse, with the rollups, and with Kafka as far as it still has the records. An
// error says that it could not be finished; what is wrong with the data stands in the report.
func Verify(ctx context.Context, opt VerifyOptions) (*Report, error) {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	setDefault(&opt.Group, DefaultGroup)
	setDefault(&opt.now, time.Now())
	setDefault(&opt.openDayLooks, openDayLooks)
	v := &verifier{opt: opt, ch: opt.ClickHouse, report: &Report{Findings: []Finding{}, Repeated: []RepeatedID{}}, settled: opt.settled, now: opt.now, replicated: opt.replicated}
	// Before the ledger is read: its rows of ranges that are settled by then are all there.
	if !opt.SkipKafka {
		if err := v.readSettled(ctx); err != nil {
			return nil, err
		}
	}
	if err := v.syncReplicas(ctx); err != nil {
		return nil, err
	}
	parts, err := v.partitions(ctx)
	if err != nil {
		return nil, err
	}
	for i := range parts {
		if err := v.partition(ctx, &parts[i]); err != nil {
			return nil, err
		}
	}
	if !opt.skipRollups {
		if err := v.rollups(ctx); err != nil {
			return nil, err
		}
	}
	if !v.opt.SkipRepeated {
		if err := v.repeatedIDs(ctx); err != nil {
			return nil, err
		}
	}
	return v.report, nil
}

type verifier struct {
	opt    VerifyOptions
	ch     *clickhouse.Client
	report *Report
	// settled is how far the partitions are settled; nil when that is not known.
	settled map[partitionKey]settledOffset
	now     time.Time
	// replicated says whether the tables have replicas; nil before that was asked.
	replicated *bool
	// cluster is the Kafka cluster's id, once it was asked for.
	cluster string
	// all and done count ranges, for the progress.
	all, done int
}

// settledOffset is how far a partition is settled.
type settledOffset struct {
	topicID [16]byte
	offset  int64
	// days are the ingest days of ranges that are not settled.
	days []time.Time
}

// eventDays is how long events are kept; see their table's TTL. The ledger is kept for ever.
const eventDays = 400

func (v *verifier) found(f Finding) *Finding {
	v.report.Findings = append(v.report.Findings, f)
	return &v.report.Findings[len(v.report.Findings)-1]
}

// days is the condition on ingest_day, and its parameters.
func (v *verifier) days() (string, clickhouse.Params) {
	from, to := v.now.Add(-(eventDays-1)*24*time.Hour), time.Date(2149, 6, 6, 0, 0, 0, 0, time.UTC) // the end of ClickHouse's Date
	if v.opt.From.After(from) {
		from = v.opt.From
	}
	if !v.opt.To.IsZero() {
		to = v.opt.To
	}
	return "ingest_day >= {from:Date} AND ingest_day <= {to:Date}",
		clickhouse.Params{"from": from.UTC().Format(time.DateOnly), "to": to.UTC().Format(time.DateOnly)}
}

// ofTopic narrows a condition on a table that names the topic.
func (v *verifier) ofTopic(where string, params clickhouse.Params) string {
	if v.opt.topicID == [16]byte{} {
		return where
	}
	params["topic"] = uuidText(v.opt.topicID)
	return where + " AND src_topic_id = {topic:UUID}"
}
