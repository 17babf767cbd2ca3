package consumer

import (
	"context"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/internal/embedded/enginetest"
	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/schemas/audit"
	tables "github.com/audittrail/audittrail/schemas/clickhouse"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		os.Exit(runChild(text))
	}
	os.Exit(enginetest.Main(m))
}

// migrated makes the tables once. The tests of this package share the engine, and keep apart by topic id and tenant.
var migrated sync.Once

// engineURL returns the address of the real engine with the real tables.
func engineURL(t testing.TB) string {
	t.Helper()
	url := enginetest.URL(t)
	migrated.Do(func() {
		cl, err := clickhouse.New(clickhouse.Options{URLs: []string{url}})
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		if err := cl.Migrate(context.Background(), tables.Migrations(), slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
	})
	return url
}

// world is a broker and an engine with one topic of events of its own.
type world struct {
	t      testing.TB
	broker *kfake.Cluster
	ch     *clickhouse.Client
	cfg    kafka.Config
	// tenant keeps this test's events apart in the rollups.
	tenant string
	url    string
	// spawned counts the children.
	spawned int
}

func newWorld(t testing.TB, partitions int32, opts ...kfake.Opt) *world {
	t.Helper()
	url := engineURL(t)
	cfg := kafka.Config{TopicPrefix: "t" + strings.ReplaceAll(uuid.NewString()[:8], "-", "") + "."}
	broker, err := kfake.NewCluster(append([]kfake.Opt{
		kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(10 * time.Millisecond),
		kfake.SeedTopics(partitions, cfg.Topic(kafka.TopicEvents)), kfake.SeedTopics(1, cfg.Topic(kafka.TopicAlerts)),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	cfg.Brokers = broker.ListenAddrs()
	ch, err := clickhouse.New(clickhouse.Options{URLs: []string{url}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ch.Close() })
	return &world{t: t, broker: broker, ch: ch, cfg: cfg, tenant: "tenant-" + uuid.NewString()[:8], url: url}
}

func (w *world) topic() string { return w.cfg.Topic(kafka.TopicEvents) }

func (w *world) topicID() [16]byte { return w.broker.TopicInfo(w.topic()).TopicID }

func (w *world) client(opts ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	cl, err := kafka.NewClient(w.cfg, nil, opts...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(cl.Close)
	return cl
}

// event returns the i-th event of this world.
func (w *world) event(i int) *audit.Event {
	return &audit.Event{
		ID: uuid.NewString(), Time: time.Date(2026, 11, 25, 10, 0, i%3600, 0, time.UTC), Tenant: w.tenant, Action: "record.read", Category: audit.CategoryData,
		Outcome: audit.OutcomeSuccess, Actor: audit.Actor{Type: audit.ActorUser, ID: "u" + strconv.Itoa(i%50), Name: "user " + strconv.Itoa(i%50)},
		Service: audit.Service{Name: "shop"}, Message: "read record " + strconv.Itoa(i), Metadata: audit.Metadata{{Key: "n", Value: strconv.Itoa(i)}},
	}
}

// produce publishes the events from to to, exclusive, spread over the partitions.
func (w *world) produce(from, to int) {
	w.t.Helper()
	var events []*audit.Event
	for i := from; i < to; i++ {
		events = append(events, w.event(i))
	}
	w.produceEvents(events...)
}

func (w *world) produceEvents(events ...*audit.Event) {
	w.t.Helper()
	var records []*kgo.Record
	for _, e := range events {
		records = append(records, kafka.EventRecord(w.topic(), e))
	}
	w.produceRecords(records)
}

// eventRecordTo returns the i-th event as a record for one partition.
func eventRecordTo(w *world, i int, partition int32) *kgo.Record {
	r := kafka.EventRecord(w.topic(), w.event(i))
	r.Partition = partition
	return r
}

// produceRaw publishes records with these values.
func (w *world) produceRaw(values ...string) {
	w.t.Helper()
	var records []*kgo.Record
	for _, v := range values {
		records = append(records, &kgo.Record{Topic: w.topic(), Value: []byte(v)})
	}
	w.produceRecords(records)
}

func (w *world) produceRecords(records []*kgo.Record) {
	w.t.Helper()
	cl := w.client(kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	defer cl.Close()
	if err := cl.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) options() Options {
	return Options{
		Kafka: w.cfg, ClickHouse: w.ch, MaxAge: 20 * time.Millisecond, SessionTimeout: 3 * time.Second, DrainTimeout: 5 * time.Second,
		openDayLooks:  time.Millisecond, // the tests share the days of the rollups, and damage them
		InsertTimeout: 5 * time.Second, Registry: prometheus.NewRegistry(), Logger: testLogger(w.t),
	}
}

// running is a consumer at work.
type running struct {
	*Consumer
	cancel context.CancelFunc
	done   chan error
}

func (w *world) start(opt Options) *running {
	w.t.Helper()
	c, err := New(opt)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Consumer: c, cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- c.Run(ctx) }()
	w.t.Cleanup(cancel)
	return r
}

func (r *running) stop(t testing.TB) {
	t.Helper()
	r.cancel()
	if err := <-r.done; err != nil {
		t.Errorf("the consumer ended with %v", err)
	}
	if n := r.budget.inUse(); n != 0 {
		t.Errorf("after the end %d bytes of the memory budget are in use", n)
	}
}

func (w *world) one(sql string, dest ...any) {
	w.t.Helper()
	err := w.ch.QueryRow(context.Background(), sql, clickhouse.Params{"topic": uuidText(w.topicID()), "tenant": w.tenant}, dest...)
	if err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

func (w *world) count(sql string) uint64 {
	w.t.Helper()
	var n uint64
	w.one(sql, &n)
	return n
}

func (w *world) events() uint64 {
	return w.count("SELECT count() FROM audit.events WHERE src_topic_id = {topic:UUID}")
}

// state is what ClickHouse has of a world's topic; exactly-once means that all of it says the same.
type state struct {
	Events, Offsets, Quarantined, Minute, Hour uint64
	LedgerRows, LedgerQuarantined, LedgerHoles uint64
	LedgerSpan                                 int64
}

func (w *world) state() state {
	w.t.Helper()
	var s state
	w.one("SELECT count(), uniqExact(src_partition, src_offset) FROM audit.events WHERE src_topic_id = {topic:UUID}", &s.Events, &s.Offsets)
	s.Quarantined = w.count("SELECT count() FROM audit.quarantine WHERE src_topic_id = {topic:UUID}")
	s.Minute = w.count("SELECT toUInt64(sum(events)) FROM audit.rollup_1m WHERE tenant = {tenant:String}")
	s.Hour = w.count("SELECT toUInt64(sum(events)) FROM audit.rollup_1h WHERE tenant = {tenant:String}")
	w.one("SELECT sum(rows), sum(quarantined), sum(holes), toInt64(sum(end_offset - first_offset)) FROM audit.ledger FINAL WHERE src_topic_id = {topic:UUID}",
		&s.LedgerRows, &s.LedgerQuarantined, &s.LedgerHoles, &s.LedgerSpan)
	return s
}

// exactly demands n events, q quarantined records and h holes, no more and no less, in every table.
func (w *world) exactly(n, q, h uint64) {
	w.t.Helper()
	want := state{Events: n, Offsets: n, Quarantined: q, Minute: n, Hour: n, LedgerRows: n, LedgerQuarantined: q, LedgerHoles: h, LedgerSpan: int64(n + q + h)}
	if got := w.state(); got != want {
		w.t.Errorf("ClickHouse has\n%+v, want\n%+v", got, want)
	}
}

// eventually waits until cond holds.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// settled waits until the group's offsets are at the end of every partition of the events.
func (w *world) settled(group string) {
	w.t.Helper()
	eventually(w.t, "all offsets to be settled", func() bool { return w.allSettled(group) })
}

func (w *world) allSettled(group string) bool {
	info := w.broker.GroupInfo(group)
	if info == nil {
		return false
	}
	for _, p := range w.broker.PartitionInfos(w.topic()) {
		if p.HighWatermark > 0 && info.Commits[w.topic()][p.Partition].Offset != p.HighWatermark {
			return false
		}
	}
	return true
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	if os.Getenv("AUDITTRAIL_TEST_LOG") != "" {
		os.Stderr.Write(p)
	}
	return len(p), nil
}

func testLogger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
