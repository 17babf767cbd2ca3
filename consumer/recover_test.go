package consumer

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/schemas/audit"
)

// consumed runs a consumer until everything is settled.
func (w *world) consumed(opt Options) *running {
	w.t.Helper()
	c := w.start(opt)
	w.settled(DefaultGroup)
	c.stop(w.t)
	return c
}

// commit puts the group's offset of partition 0 to offset with the metadata, as an operator or an earlier owner could have.
func (w *world) commit(offset int64, metadata string) {
	w.t.Helper()
	w.commitTo(0, offset, metadata)
}

func (w *world) commitTo(partition int32, offset int64, metadata string) {
	w.t.Helper()
	adm := kadm.NewClient(w.client())
	var o kadm.Offsets
	o.Add(kadm.Offset{Topic: w.topic(), Partition: partition, At: offset, LeaderEpoch: -1, Metadata: metadata})
	if err := adm.CommitAllOffsets(context.Background(), DefaultGroup, o); err != nil {
		w.t.Fatal(err)
	}
}

// shortIntents makes the time that a check waits for earlier inserts short.
func (w *world) shortIntents() Options {
	opt := w.options()
	opt.InsertTimeout = 700 * time.Millisecond
	return opt
}

func (w *world) planOf(age time.Duration, decoder int, ranges ...plannedRange) string {
	at := time.Now().Add(-age)
	return plan{TopicID: w.topicID(), Decoder: decoder, At: at, Since: at, Ranges: ranges}.String()
}

func TestOffsetsResetToZeroDoubleNothing(t *testing.T) {
	w := newWorld(t, 1)
	w.produce(0, 300)
	w.consumed(w.options())
	w.commit(0, "") // an operator's tool knows nothing of plans
	w.produce(300, 350)
	opt := w.shortIntents()
	opt.MaxRows = 100 // so that the range is checked in pieces
	c := w.consumed(opt)
	w.exactlyRows(350)
	if n := testutil.ToFloat64(c.m.incidents.WithLabelValues("intents_lost")); n != 1 {
		t.Errorf("%v incidents of lost intents were counted, want 1", n)
	}
	if n := testutil.ToFloat64(c.m.checks.WithLabelValues("full")); n != 3 {
		t.Errorf("%v ranges were found full, want 3", n)
	}
}

// exactlyRows demands n events in the events and both rollups; unlike exactly, not that the ledger's ranges do not overlap.
func (w *world) exactlyRows(n uint64) {
	w.t.Helper()
	s := w.state()
	if s.Events != n || s.Offsets != n || s.Minute != n || s.Hour != n {
		w.t.Errorf("ClickHouse has %+v, want %d events in the events and both rollups", s, n)
	}
}

func TestPendingRangeIsRepeatedUnderItsToken(t *testing.T) {
	for name, stored := range map[string]bool{"the insert had landed": true, "it had not": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1)
			w.produce(0, 120)
			opt := w.options()
			if stored {
				opt.MaxRows = 40
				w.consumed(opt)
			}
			today := time.Now().UTC().Truncate(24 * time.Hour)
			w.commit(0, w.planOf(0, audit.DecoderVersion,
				plannedRange{First: 0, End: 40, Day: today}, plannedRange{First: 40, End: 80, Day: today}, plannedRange{First: 80, End: 120, Day: today}))
			c := w.consumed(w.options())
			w.exactly(120, 0, 0)
			if n := testutil.CollectAndCount(c.m.checks); n != 0 {
				t.Errorf("%d range checks were made, the tokens are enough", n)
			}
		})
	}
}

func TestUnsureTokensAreChecked(t *testing.T) {
	today := time.Now().UTC().Truncate(24 * time.Hour)
	for _, c := range []struct {
		name    string
		age     time.Duration
		decoder int
		replay  uint32
		windows windows
	}{
		{"intent older than half of the window", 2 * time.Hour, audit.DecoderVersion, 0, windows{blocks: 100_000, age: 3 * time.Hour}},
		{"more blocks than half of the window since", time.Minute, audit.DecoderVersion, 0, windows{blocks: 1}},
		{"another decoder", 0, audit.DecoderVersion + 1, 0, windows{blocks: 100_000}},
		{"a repair", 0, audit.DecoderVersion, 1, windows{blocks: 100_000}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 1)
			w.produce(0, 90)
			// An earlier owner has stored [0, 60) under other tokens than the plan's, as if they were forgotten, and [60, 90) not at all.
			opt := w.options()
			opt.MaxRows = 30
			opt.ClickHouse = w.ch
			w.storeOnly(opt, 60)
			w.commit(0, w.planOf(c.age, c.decoder,
				plannedRange{First: 0, End: 45, Day: today, Replay: c.replay}, plannedRange{First: 45, End: 90, Day: today, Replay: c.replay}))
			opt = w.shortIntents()
			opt.testWindows = &c.windows
			con := w.consumed(opt)
			w.exactlyRows(90)
			full, partial := testutil.ToFloat64(con.m.checks.WithLabelValues("full")), testutil.ToFloat64(con.m.checks.WithLabelValues("partial"))
			if full != 1 || partial != 1 {
				t.Errorf("%v ranges were found full and %v partial, want 1 and 1", full, partial)
			}
		})
	}
}

// storeOnly consumes the first n records by hiding the others: they are published later by nobody, so the range after them is not stored.
func (w *world) storeOnly(opt Options, n int64) {
	w.t.Helper()
	v := &verifier{opt: VerifyOptions{Kafka: w.cfg, ClickHouse: w.ch, Logger: testLogger(w.t)}, ch: w.ch, report: &Report{}}
	p := &ledgerPartition{key: partitionKey{w.topic(), 0}, topicID: w.topicID(), table: "events"}
	r := plannedRange{First: 0, End: n, Day: time.Now().UTC().Truncate(24 * time.Hour), Replay: 77}
	b, err := v.missing(context.Background(), p, &r, false)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := insertRepaired(context.Background(), w.ch, b, r, "other-cluster"); err != nil {
		w.t.Fatal(err)
	}
}

func TestTopicCreatedAnewIsReadFromItsStart(t *testing.T) {
	w := newWorld(t, 1)
	w.produce(0, 50)
	w.consumed(w.options())
	old := w.topicID()
	if err := w.broker.DeleteTopic(w.topic()); err != nil {
		t.Fatal(err)
	}
	if err := w.broker.CreateTopic(w.topic(), 1, nil); err != nil {
		t.Fatal(err)
	}
	w.produce(50, 90)
	w.commit(35, plan{TopicID: old, Decoder: audit.DecoderVersion, At: time.Now(), Since: time.Now()}.String()) // brokers drop it; a group with a stale commit must not skip
	c := w.consumed(w.options())
	w.rows("new topic", w.events(), 40)
	w.rows("both topics in the rollup", w.state().Minute, 90)
	if n := testutil.ToFloat64(c.m.incidents.WithLabelValues("topic_recreated")); n != 1 {
		t.Errorf("%v incidents were counted, want 1", n)
	}
}

func TestTopicCreatedAnewWhileRunning(t *testing.T) {
	w := newWorld(t, 2)
	w.produce(0, 50)
	c := w.start(w.options())
	w.settled(DefaultGroup)
	old := w.events()
	if err := w.broker.DeleteTopic(w.topic()); err != nil {
		t.Fatal(err)
	}
	if err := w.broker.CreateTopic(w.topic(), 2, nil); err != nil {
		t.Fatal(err)
	}
	w.produce(50, 90)
	w.settled(DefaultGroup)
	c.stop(t)
	w.rows("old topic", old, 50)
	w.exactlyNew(40, 90)
}

// exactlyNew demands n events of the topic as it is now, and all in the rollups, which do not name the topic.
func (w *world) exactlyNew(n, all uint64) {
	w.t.Helper()
	s := w.state()
	if s.Events != n || s.Offsets != n || s.Minute != all || s.Hour != all || s.LedgerRows != n {
		w.t.Errorf("ClickHouse has %+v, want %d events of the new topic and %d in all", s, n, all)
	}
}

func TestOffsetsGivenToOtherRecordsLoseNeither(t *testing.T) {
	w := newWorld(t, 1)
	w.produce(0, 30)
	w.consumed(w.options())
	// ClickHouse has another record under offset 7 than Kafka, as after brokers have lost their newest records and given the offsets away again.
	w.exec("ALTER TABLE audit.events UPDATE raw_hash = raw_hash + 1 WHERE src_topic_id = {topic:UUID} AND src_offset = 7")
	w.commit(0, "")
	c := w.consumed(w.shortIntents())
	s := w.state()
	if s.Events != 31 || s.Offsets != 30 {
		t.Errorf("ClickHouse has %+v, want 31 rows under 30 offsets", s)
	}
	if n := testutil.ToFloat64(c.m.incidents.WithLabelValues("log_replaced")); n != 1 {
		t.Errorf("%v incidents were counted, want 1", n)
	}
}

func TestLogThatEndsBeforeTheOffsetIsReadFromItsEnd(t *testing.T) {
	w := newWorld(t, 1)
	w.produce(0, 30)
	w.commit(45, w.planOf(0, audit.DecoderVersion)) // read to 45, but brokers have lost all behind 30
	c := w.start(w.options())
	eventually(t, "the consumer to begin", func() bool { return testutil.ToFloat64(c.m.incidents.WithLabelValues("log_replaced")) == 1 })
	w.produce(30, 60) // takes the offsets from 30 to 59
	w.settled(DefaultGroup)
	c.stop(t)
	w.exactlyRows(30)
}

func (w *world) rows(what string, got, want uint64) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("%s: %d rows, want %d", what, got, want)
	}
}

func TestDeletedRecordsLeaveAGapRow(t *testing.T) {
	w := newWorld(t, 1)
	w.produce(0, 100)
	w.consumed(w.options())
	w.produce(100, 200)
	if err := w.broker.DeleteRecords(w.topic(), 0, 150); err != nil {
		t.Fatal(err)
	}
	c := w.consumed(w.options())
	w.exactly(150, 1, 49)
	var stage, reason, detail string
	w.one("SELECT stage, reason, error FROM audit.quarantine WHERE src_topic_id = {topic:UUID} AND src_offset = 100", &stage, &reason, &detail)
	if stage != stageRetention || reason != string(reasonLost) || !strings.Contains(detail, "100 to 149") {
		t.Errorf("the gap is recorded as %q %q %q", stage, reason, detail)
	}
	if n := testutil.ToFloat64(c.m.incidents.WithLabelValues("log_cut")); n != 1 {
		t.Errorf("%v incidents were counted, want 1", n)
	}
}

// insertAs stores the events as an earlier owner did, in partition 0 under the range's own token.
func (w *world) insertAs(r plannedRange, events []*audit.Event) {
	w.t.Helper()
	m, err := kafka.FetchMetadata(context.Background(), w.client(), w.topic())
	if err != nil {
		w.t.Fatal(err)
	}
	b := &batch{src: source{topic: w.topic(), topicID: w.topicID()}, rows: newEventRows(), bad: newQuarantineRows(), first: r.First, end: r.First}
	var rec audit.Record
	for i, e := range events {
		k := kafka.EventRecord(w.topic(), e)
		k.Offset, k.Timestamp = r.First+int64(i), time.Now()
		kafka.FillRecord(&rec, w.topicID(), k)
		b.add(&rec, time.Now())
	}
	if err := insertRepaired(context.Background(), w.ch, b, r, m.ClusterID); err != nil {
		w.t.Fatal(err)
	}
}

// TestPlannedRangeOverReusedOffsets: the owner before planned and stored [0, 60) and crashed; brokers lost 30 to 59 and give the offsets to other records.
func TestPlannedRangeOverReusedOffsets(t *testing.T) {
	w := newWorld(t, 1)
	var old []*audit.Event
	for i := range 60 {
		old = append(old, w.event(i))
	}
	w.produceEvents(old[:30]...)
	today := time.Now().UTC().Truncate(24 * time.Hour)
	r := plannedRange{First: 0, End: 60, Day: today}
	w.insertAs(r, old)
	w.commit(0, w.planOf(0, audit.DecoderVersion, r))
	c := w.start(w.shortIntents())
	eventually(t, "the plan to be read", func() bool {
		c.mu.Lock()
		l := c.lanes[partitionKey{w.topic(), 0}]
		c.mu.Unlock()
		if l == nil {
			return false
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.recovered
	})
	w.produce(1000, 1030)
	w.settled(DefaultGroup)
	c.stop(t)
	w.rows("new records", w.count("SELECT count() FROM audit.events WHERE src_topic_id = {topic:UUID} AND src_offset >= 30 AND match(message, ' 10[0-2][0-9]$')"), 30)
	w.rows("old records", w.count("SELECT count() FROM audit.events WHERE src_topic_id = {topic:UUID} AND NOT match(message, ' 10[0-2][0-9]$')"), 60)
}

// TestGapOverWhatIsStored: Kafka has deleted records that ClickHouse has. Nothing is lost, and nothing says so.
func TestGapOverWhatIsStored(t *testing.T) {
	today := time.Now().UTC().Truncate(24 * time.Hour)
	for name, planned := range map[string]bool{"planned range": true, "offset reset": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1)
			w.produce(0, 100)
			opt := w.options()
			opt.MaxRows, opt.MaxAge = 100, time.Second
			w.consumed(opt)
			if err := w.broker.DeleteRecords(w.topic(), 0, 50); err != nil {
				t.Fatal(err)
			}
			text := ""
			if planned {
				text = w.planOf(0, audit.DecoderVersion, plannedRange{First: 0, End: 100, Day: today})
			}
			w.commit(0, text)
			c := w.consumed(w.shortIntents())
			w.exactly(100, 0, 0)
			if n := testutil.ToFloat64(c.m.incidents.WithLabelValues("log_cut")); n != 0 {
				t.Errorf("%v incidents of lost records were counted", n)
			}
			if r := w.verify(VerifyOptions{}); len(r.Findings) > 0 {
				t.Errorf("verification finds %+v", r.Findings)
			}
		})
	}
}

// TestBatchThatInflatesIsPassedOver: 80 MiB that compress to less than the broker's limit for a message.
func TestBatchThatInflatesIsPassedOver(t *testing.T) {
	w := newWorld(t, 1)
	w.produce(0, 10)
	cl := w.client(kgo.ProducerBatchMaxBytes(200<<20), kgo.BrokerMaxWriteBytes(400<<20), kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.MaxBufferedBytes(400<<20))
	if err := cl.ProduceSync(context.Background(), &kgo.Record{Topic: w.topic(), Value: make([]byte, 80<<20)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	w.produce(10, 20)
	c := w.start(w.options())
	w.settled(DefaultGroup)
	w.produce(20, 25)
	w.settled(DefaultGroup)
	c.stop(t)
	w.exactly(25, 1, 0)
	var stage, reason, detail string
	w.one("SELECT stage, reason, error FROM audit.quarantine WHERE src_topic_id = {topic:UUID}", &stage, &reason, &detail)
	if stage != stageFetch || reason != string(reasonInflated) || !strings.Contains(detail, "10 to 10") {
		t.Errorf("the batch is recorded as %q %q %q", stage, reason, detail)
	}
	if n := testutil.ToFloat64(c.m.incidents.WithLabelValues("batch_too_large")); n != 1 {
		t.Errorf("%v incidents were counted, want 1", n)
	}
}
