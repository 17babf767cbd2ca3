package consumer

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/audittrail/audittrail/internal/clickhouse"
)

func (w *world) verify(opt VerifyOptions) *Report {
	w.t.Helper()
	opt.Kafka, opt.ClickHouse, opt.Logger = w.cfg, w.ch, testLogger(w.t)
	opt.topicID, opt.skipRollups = w.topicID(), true // the tests of this package share the tables
	if opt.SkipKafka && opt.settled == nil {
		opt.settled = w.settledOffsets() // as a consumer does
	}
	r, err := Verify(context.Background(), opt)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// settledOffsets is what the group has settled.
func (w *world) settledOffsets() map[partitionKey]settledOffset {
	w.t.Helper()
	v := &verifier{opt: VerifyOptions{Kafka: w.cfg, Group: DefaultGroup}}
	if err := v.readSettled(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	return v.settled
}

func (w *world) exec(sql string) {
	w.t.Helper()
	ctx := clickhouse.WithSettings(context.Background(), map[string]any{"mutations_sync": 2, "lightweight_mutation_projection_mode": "rebuild"})
	if err := w.ch.Exec(ctx, sql, clickhouse.Params{"topic": uuidText(w.topicID()), "tenant": w.tenant}); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// stored is a world with 300 events and 2 unreadable records in ranges of 50, all settled.
func stored(t *testing.T) *world {
	w := newWorld(t, 1)
	w.produce(0, 150)
	w.produceRaw("{", "}")
	w.produce(150, 300)
	opt := w.options()
	opt.MaxRows = 50
	w.consumed(opt)
	w.exactly(300, 2, 0)
	return w
}

func TestVerifyFindsNothingWrong(t *testing.T) {
	w := stored(t)
	r := w.verify(VerifyOptions{})
	if !r.OK() || len(r.Findings) != 0 || r.Events != 300 || r.Quarantined != 2 || r.Ranges < 7 || r.FromKafka != r.Ranges {
		t.Errorf("the report is %+v", r)
	}
}

func TestVerifyFindsAndRepairs(t *testing.T) {
	for _, c := range []struct {
		name, damage string
		want         string
		repairable   bool
	}{
		{"rows gone", "ALTER TABLE audit.events DELETE WHERE src_topic_id = {topic:UUID} AND src_offset BETWEEN 110 AND 119", "missing [100, 150) 50 40", true},
		{"range gone", "ALTER TABLE audit.events DELETE WHERE src_topic_id = {topic:UUID} AND src_offset >= 50 AND src_offset < 100", "missing [50, 100) 50 0", true},
		{"quarantined row gone", "ALTER TABLE audit.quarantine DELETE WHERE src_topic_id = {topic:UUID} AND src_offset = 151", "missing [150, 200) 2 1", true},
		{"row altered", "ALTER TABLE audit.events UPDATE raw_hash = raw_hash + 1 WHERE src_topic_id = {topic:UUID} AND src_offset = 7", "altered [0, 50) 50 50", false},
		{"row doubled", "INSERT INTO audit.events SELECT * FROM audit.events WHERE src_topic_id = {topic:UUID} AND src_offset = 7", "extra [0, 50) 50 51", false},
		{"ledger row gone", "ALTER TABLE audit.ledger DELETE WHERE src_topic_id = {topic:UUID} AND first_offset = 100", "gap [100, 150) 0 50", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := stored(t)
			w.exec(c.damage)
			r := w.verify(VerifyOptions{SkipKafka: true})
			if got := describe(r); got != c.want {
				t.Fatalf("found %q, want %q", got, c.want)
			}
			if r.OK() {
				t.Error("the report says that all is well")
			}
			r = w.verify(VerifyOptions{Repair: true})
			if r.OK() != c.repairable {
				t.Errorf("after the repair the report is %+v", r)
			}
			if c.repairable {
				if r = w.verify(VerifyOptions{}); !r.OK() || len(r.Findings) > 0 {
					t.Errorf("after the repair there is still %+v", r.Findings)
				}
				if s := w.state(); s.Events != 300 || s.Offsets != 300 || s.Quarantined != 2 {
					t.Errorf("after the repair ClickHouse has %+v", s)
				}
			}
		})
	}
}

// describe is the findings about offsets, without those about rollups, whose days the tests share.
func describe(r *Report) string {
	var out []string
	for _, f := range r.Findings {
		if f.Kind != FindingRollup {
			out = append(out, fmt.Sprintf("%s [%d, %d) %d %d", f.Kind, f.First, f.End, f.Want, f.Got))
		}
	}
	return strings.Join(out, "; ")
}

func TestVerifyComparesWithKafka(t *testing.T) {
	w := stored(t)
	// Rows and ledger changed alike agree with each other: only Kafka knows better.
	w.exec("ALTER TABLE audit.events UPDATE raw_hash = bitXor(raw_hash, 5) WHERE src_topic_id = {topic:UUID} AND src_offset = 7")
	w.exec("ALTER TABLE audit.ledger UPDATE hash_xor = bitXor(hash_xor, 5) WHERE src_topic_id = {topic:UUID} AND first_offset = 0")
	if r := w.verify(VerifyOptions{SkipKafka: true}); len(r.Findings) != 0 {
		t.Fatalf("rows and ledger disagree: %+v", r.Findings)
	}
	if got := describe(w.verify(VerifyOptions{})); got != "altered [0, 50) 50 50" {
		t.Errorf("found %q", got)
	}
}

func TestVerifyIsBoundedByDays(t *testing.T) {
	w := stored(t)
	w.exec("ALTER TABLE audit.events DELETE WHERE src_topic_id = {topic:UUID} AND src_offset = 5")
	tomorrow := time.Now().Add(24 * time.Hour)
	if r := w.verify(VerifyOptions{From: tomorrow}); r.Ranges != 0 || len(r.Findings) != 0 {
		t.Errorf("tomorrow already has %+v", r)
	}
	if r := w.verify(VerifyOptions{From: time.Now().Add(-24 * time.Hour), To: tomorrow}); r.OK() {
		t.Error("the damage of today was not found")
	}
}

func TestRepeatedIDsAreReported(t *testing.T) {
	w := newWorld(t, 1)
	e := w.event(1)
	w.produceEvents(e, e, w.event(2), e)
	w.consumed(w.options())
	r := w.verify(VerifyOptions{})
	if !r.OK() || len(r.Repeated) != 1 || r.Repeated[0] != (RepeatedID{e.ID, 3}) {
		t.Errorf("the report is %+v", r)
	}
}
