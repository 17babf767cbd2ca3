package consumer

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/schemas/audit"
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
		{"last ledger row gone", "ALTER TABLE audit.ledger DELETE WHERE src_topic_id = {topic:UUID} AND end_offset = 302", "gap [300, 302) 0 2", true},
		{
			"range gone with its ledger row",
			"ALTER TABLE audit.ledger DELETE WHERE src_topic_id = {topic:UUID} AND first_offset = 100; ALTER TABLE audit.events DELETE WHERE src_topic_id = {topic:UUID} AND src_offset BETWEEN 100 AND 149",
			"gap [100, 150) 0 0", true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := stored(t)
			for sql := range strings.SplitSeq(c.damage, "; ") {
				w.exec(sql)
			}
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

// TestVerifyFindsWhatIsLackingAtTheStart: Kafka still has records in front of the first that the ledger knows.
func TestVerifyFindsWhatIsLackingAtTheStart(t *testing.T) {
	w := stored(t)
	w.exec("ALTER TABLE audit.ledger DELETE WHERE src_topic_id = {topic:UUID} AND first_offset = 0")
	if got := describe(w.verify(VerifyOptions{})); got != "gap [0, 50) 0 50" {
		t.Errorf("found %q", got)
	}
	if r := w.verify(VerifyOptions{Repair: true}); !r.OK() || len(r.Findings) != 1 {
		t.Errorf("after the repair the report is %+v", r)
	}
	w.exactly(300, 2, 0)
}

func TestVerifyComparesTheQuarantineWithKafka(t *testing.T) {
	w := stored(t)
	w.exec("ALTER TABLE audit.quarantine UPDATE raw_hash = bitXor(raw_hash, 5) WHERE src_topic_id = {topic:UUID} AND src_offset = 150")
	if got := describe(w.verify(VerifyOptions{})); got != "altered [150, 200) 50 50" {
		t.Errorf("found %q", got)
	}
}

// TestVerifyWithoutKafkaLetsTheYoungBe: nobody says what is settled, and ranges are inserted side by side.
func TestVerifyWithoutKafkaLetsTheYoungBe(t *testing.T) {
	w := stored(t)
	w.exec("ALTER TABLE audit.ledger DELETE WHERE src_topic_id = {topic:UUID} AND first_offset = 100")
	verify := func(after time.Duration) string {
		r, err := Verify(context.Background(), VerifyOptions{
			Kafka: kafka.Config{Brokers: []string{"127.0.0.1:1"}}, ClickHouse: w.ch, SkipKafka: true, topicID: w.topicID(), skipRollups: true, now: time.Now().Add(after),
		})
		if err != nil {
			t.Fatal(err)
		}
		return describe(r)
	}
	if got := verify(0); got != "" {
		t.Errorf("found %q in what was just stored", got)
	}
	if got := verify(10 * time.Minute); got != "gap [100, 150) 0 50" {
		t.Errorf("found %q", got)
	}
}

func TestVerifySaysThatKafkaIsAway(t *testing.T) {
	w := stored(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	away := kafka.Config{Brokers: []string{"127.0.0.1:1"}}
	if _, err := Verify(ctx, VerifyOptions{Kafka: away, ClickHouse: w.ch, topicID: w.topicID(), skipRollups: true}); err == nil {
		t.Error("without Kafka the comparison with it was done")
	}
}

// TestRepairLeavesWhatIsUnderWay: a consumer may be at work on what is not settled.
func TestRepairLeavesWhatIsUnderWay(t *testing.T) {
	w := stored(t)
	w.exec("ALTER TABLE audit.events DELETE WHERE src_topic_id = {topic:UUID} AND src_offset = 5")
	w.commit(0, "by hand")
	r := w.verify(VerifyOptions{Repair: true})
	if got := describe(r); got != "missing [0, 50) 50 49" || r.OK() || !strings.Contains(r.Findings[0].Detail, "has not settled") {
		t.Errorf("the report is %+v", r)
	}
}

// TestVerifyBesideAConsumerAtWork: what is under way is nobody's finding.
func TestVerifyBesideAConsumerAtWork(t *testing.T) {
	w := newWorld(t, 3)
	opt := w.options()
	opt.MaxAge, opt.MaxRows, opt.ReconcileEvery = time.Millisecond, 20, time.Millisecond
	c := w.start(opt)
	for i := range 20 {
		w.produce(100*i, 100*i+100)
		for _, skip := range []bool{true, false} {
			r, err := Verify(context.Background(), VerifyOptions{Kafka: w.cfg, ClickHouse: w.ch, SkipKafka: skip, topicID: w.topicID(), skipRollups: true})
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Findings) > 0 {
				t.Fatalf("found %+v", r.Findings)
			}
		}
	}
	w.settled(DefaultGroup)
	eventually(t, "a reconciliation", func() bool { return testutil.ToFloat64(c.proof.rows) > 0 })
	for _, kind := range []FindingKind{FindingGap, FindingMissing, FindingExtra, FindingAltered} {
		if n := testutil.ToFloat64(c.proof.findings.WithLabelValues(string(kind))); n != 0 {
			t.Errorf("the consumer has found %v times %s in its own work", n, kind)
		}
	}
	c.stop(t)
	w.exactly(2000, 0, 0)
}

// rollupDays makes each run of the test below have a day of its own.
var rollupDays atomic.Int32

// TestRollupsAreVerifiedAndRebuilt, on a day that no other test has.
func TestRollupsAreVerifiedAndRebuilt(t *testing.T) {
	w := newWorld(t, 1)
	w.produce(0, 100)
	past := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -30-int(rollupDays.Add(1)))
	w.commit(0, w.planOf(0, audit.DecoderVersion, plannedRange{First: 0, End: 100, Day: past}))
	w.consumed(w.options())
	w.exactly(100, 0, 0)
	verify := func(repair bool) *Report {
		opt := VerifyOptions{Kafka: w.cfg, ClickHouse: w.ch, From: past, To: past, Repair: repair, topicID: w.topicID(), openDayLooks: time.Millisecond}
		r, err := Verify(context.Background(), opt)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := verify(false); len(r.Findings) > 0 || r.Events != 100 {
		t.Fatalf("the report is %+v", r)
	}
	var before, after string
	const sums = "SELECT toString(groupArray(tuple(*))) FROM (SELECT bucket, sum(events), sum(bytes), min(first_seen), max(last_seen), uniqMerge(actors)" +
		" FROM audit.rollup_1h WHERE tenant = {tenant:String} GROUP BY bucket ORDER BY bucket)"
	w.one(sums, &before)
	w.exec("ALTER TABLE audit.rollup_1h DELETE WHERE tenant = {tenant:String}")
	w.exec("INSERT INTO audit.rollup_1m SELECT * FROM audit.rollup_1m WHERE tenant = {tenant:String} LIMIT 1")
	r := verify(false)
	if len(r.Findings) != 2 || r.OK() {
		t.Fatalf("the report is %+v", r)
	}
	if r = verify(true); len(r.Findings) != 2 || !r.OK() {
		t.Fatalf("the report of the repair is %+v", r)
	}
	if r = verify(false); len(r.Findings) > 0 {
		t.Errorf("after the repair there is still %+v", r.Findings)
	}
	if w.one(sums, &after); after != before || after == "" {
		t.Errorf("the rebuilt rollup is\n%s\nwant\n%s", after, before)
	}
	if n := w.count("SELECT count() FROM system.tables WHERE database = 'audit' AND name LIKE 'rebuild%'"); n != 0 {
		t.Errorf("%d tables are left over", n)
	}
	// A day that somebody still has ranges of is not rebuilt beside them.
	w.exec("ALTER TABLE audit.rollup_1h DELETE WHERE tenant = {tenant:String}")
	w.commit(100, w.planOf(0, audit.DecoderVersion, plannedRange{First: 100, End: 200, Day: past}))
	if r = verify(true); r.OK() || len(r.Findings) != 1 || !strings.Contains(r.Findings[0].Detail, "when the day is over") {
		t.Errorf("the report is %+v", r)
	}
}

// TestExpiredDaysAreNoGap: Kafka keeps the log longer than ClickHouse keeps events, as its retention allows and as that of alerts always does.
func TestExpiredDaysAreNoGap(t *testing.T) {
	w := newWorld(t, 1)
	w.produce(0, 50)
	old := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -403)
	w.commit(0, w.planOf(0, audit.DecoderVersion, plannedRange{First: 0, End: 50, Day: old}))
	w.consumed(w.options())
	w.produce(50, 100)
	w.consumed(w.options())
	w.exec("ALTER TABLE audit.events DROP PARTITION ID '" + old.Format("20060102") + "'") // what the TTL does
	if r := w.verify(VerifyOptions{Repair: true}); len(r.Findings) > 0 || r.Events != 50 {
		t.Errorf("the report is %+v", r)
	}
	w.rows("events that have not expired", w.events(), 50)
}

// TestGapIsRepairedAsFarAsKafkaHoldsIt: the rest is said to be beyond repair.
func TestGapIsRepairedAsFarAsKafkaHoldsIt(t *testing.T) {
	w := stored(t)
	w.exec("ALTER TABLE audit.ledger DELETE WHERE src_topic_id = {topic:UUID} AND first_offset = 100")
	w.exec("ALTER TABLE audit.events DELETE WHERE src_topic_id = {topic:UUID} AND src_offset BETWEEN 100 AND 149")
	if err := w.broker.DeleteRecords(w.topic(), 0, 120); err != nil {
		t.Fatal(err)
	}
	r := w.verify(VerifyOptions{Repair: true})
	if got := describe(r); got != "gap [100, 120) 0 0; gap [120, 150) 0 0" || r.Findings[0].Repaired || !r.Findings[1].Repaired {
		t.Errorf("the report is %+v", r)
	}
	w.rows("events", w.events(), 280)
}

// TestRepairWaitsForLaggingReplicas: the replica that answers has not fetched the offsets from 50 on yet.
func TestRepairWaitsForLaggingReplicas(t *testing.T) {
	w := newWorld(t, 1)
	w.produce(0, 100)
	opt := w.options()
	opt.MaxRows = 50
	w.consumed(opt)
	var synced atomic.Bool
	p := w.proxied(func(string, []byte) fault { return nil })
	p.query = func(sql string) fault {
		switch {
		case strings.HasPrefix(sql, "SYSTEM SYNC REPLICA"): // these tables have none
			synced.Store(true)
			return func(_ *faultyProxy, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }
		case strings.Contains(sql, "FROM audit.events WHERE src_topic_id") && !synced.Load():
			lagging := strings.Replace(sql, "src_offset < {end:Int64}", "src_offset < least({end:Int64}, 50)", 1)
			return func(p *faultyProxy, rw http.ResponseWriter, r *http.Request) {
				r.Body, r.ContentLength = io.NopCloser(strings.NewReader(lagging)), int64(len(lagging))
				p.next.ServeHTTP(rw, r)
			}
		}
		return nil
	}
	replicated := true
	if r := w.verify(VerifyOptions{Repair: true, replicated: &replicated}); len(r.Findings) > 0 {
		t.Errorf("the report is %+v", r)
	}
	if !synced.Load() {
		t.Error("nobody waited for the replicas")
	}
	w.exactly(100, 0, 0)
}
