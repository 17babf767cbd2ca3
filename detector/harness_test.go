package detector

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/audittrail/audittrail/detector/engine"
	"github.com/audittrail/audittrail/detector/rule"
	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/internal/ops"
	"github.com/audittrail/audittrail/schemas/audit"
)

// slow says whether the tests that take long are to be run.
func slow() bool { return os.Getenv("AUDITTRAIL_SLOW") != "" }

// world is a broker with the product's topics.
type world struct {
	t      testing.TB
	broker *kfake.Cluster
	cfg    kafka.Config
	// skew is added to the detectors' wall clock, in nanoseconds.
	skew atomic.Int64
	cl   *kgo.Client

	mu sync.Mutex
	// gone are the addresses of connections that were cut for good, and when.
	gone map[string]time.Time
}

func newWorld(t testing.TB, partitions int32, opts ...kfake.Opt) *world {
	t.Helper()
	broker, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(10 * time.Millisecond)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	w := connect(t, kafka.Config{Brokers: broker.ListenAddrs()}, partitions)
	w.broker = broker
	return w
}

// connect makes the topics on a broker that is there already.
func connect(t testing.TB, cfg kafka.Config, partitions int32) *world {
	t.Helper()
	w := &world{t: t, cfg: cfg, gone: make(map[string]time.Time)}
	var err error
	w.cl, err = kafka.NewClient(w.cfg, nil, kgo.ProducerLinger(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.cl.Close)
	if err := kafka.EnsureTopics(t.Context(), w.cl, w.cfg, kafka.Topics(partitions)); err != nil {
		t.Fatal(err)
	}
	return w
}

// detector is one running detector.
type detector struct {
	w        *world
	net      *network
	health   *ops.Health
	registry *prometheus.Registry
	cancel   context.CancelFunc
	done     chan error
}

// start runs a detector; its InstanceID is name.
func (w *world) start(name string, change func(*Options)) *detector {
	w.t.Helper()
	d := &detector{w: w, net: &network{conns: make(map[net.Conn]bool)}, health: new(ops.Health), registry: prometheus.NewRegistry(), done: make(chan error, 1)}
	o := Options{
		Kafka: w.cfg, InstanceID: name, Health: d.health, Registry: d.registry, ClockInterval: 20 * time.Millisecond,
		TransactionTimeout: time.Second,
		Group:              GroupOptions{SessionTimeout: 500 * time.Millisecond, HeartbeatInterval: 50 * time.Millisecond, RebalanceTimeout: 2 * time.Second},
		Now:                func() time.Time { return time.Now().Add(time.Duration(w.skew.Load())) },
		clientOpts: []kgo.Opt{
			kgo.Dialer(d.net.dial), kgo.FetchMaxWait(20 * time.Millisecond),
			kgo.RetryBackoffFn(func(int) time.Duration { return 10 * time.Millisecond }),
		},
	}
	if testing.Verbose() && os.Getenv("DETECTOR_LOG") != "" {
		o.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil)).With("instance", name)
	}
	if change != nil {
		change(&o)
	}
	det, err := New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	go func() { d.done <- det.Run(ctx) }()
	w.t.Cleanup(func() { d.kill(); <-d.done })
	return d
}

// stop ends the detector in an orderly manner.
func (d *detector) stop(t testing.TB) {
	t.Helper()
	d.cancel()
	err := <-d.done
	d.done <- nil
	if err != nil {
		t.Errorf("a stopped detector returned %v", err)
	}
}

// kill cuts all its connections for good and does not wait: for the broker it is as if the process were gone.
func (d *detector) kill() {
	d.w.mu.Lock()
	for _, addr := range d.net.cut() {
		d.w.gone[addr] = time.Now()
	}
	d.w.mu.Unlock()
	d.cancel()
}

// bury takes killed members out of their groups. Kafka does that when their session times out, and so does kfake, but for those whose connection ended
// while they waited to join: they would keep their partitions for ever.
func (w *world) bury() {
	if w.broker == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, stage := range []Stage{StageMatch, StageCorrelate} {
		info := w.broker.GroupInfo(DefaultName + "-" + string(stage))
		if info == nil {
			continue
		}
		for _, m := range info.Members {
			if since, ok := w.gone[m.ClientHost]; !ok || time.Since(since) < time.Second {
				continue
			}
			req := kmsg.NewPtrLeaveGroupRequest()
			req.Group = info.Group
			member := kmsg.NewLeaveGroupRequestMember()
			member.MemberID = m.MemberID
			req.Members = append(req.Members, member)
			if _, err := req.RequestWith(w.t.Context(), w.cl); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// network lets a test cut a client's connections.
type network struct {
	mu    sync.Mutex
	dead  bool
	conns map[net.Conn]bool
	// stalled is locked while nothing gets through.
	stalled sync.RWMutex
}

var errCut = errors.New("cut by the test")

func (n *network) dial(ctx context.Context, proto, addr string) (net.Conn, error) {
	n.mu.Lock()
	dead := n.dead
	n.mu.Unlock()
	if dead {
		return nil, errCut
	}
	c, err := new(net.Dialer).DialContext(ctx, proto, addr)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[c] = true
	return &conn{c, n}, nil
}

// cut closes all connections for good and returns their addresses.
func (n *network) cut() (addrs []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dead = true
	for c := range n.conns {
		addrs = append(addrs, c.LocalAddr().String())
		c.Close()
	}
	return addrs
}

type conn struct {
	net.Conn
	n *network
}

func (c *conn) Write(b []byte) (int, error) {
	c.n.stalled.RLock()
	defer c.n.stalled.RUnlock()
	return c.Conn.Write(b)
}

// failedLogin is an event of the default rule.
func failedLogin(id, source string, at time.Time) *audit.Event {
	e := &audit.Event{
		ID: id, Time: at, Tenant: audit.DefaultTenant, Action: "auth.login", Category: audit.CategoryAuth, Outcome: audit.OutcomeFailure,
		Reason: "invalid_credentials", Actor: audit.Actor{Type: audit.ActorUser, Name: "root"}, Service: audit.Service{Name: "test"},
	}
	if source != "" {
		e.Source.IP = netip.MustParseAddr(source)
	}
	return e
}

func (w *world) publish(events ...*audit.Event) {
	w.t.Helper()
	records := make([]*kgo.Record, len(events))
	for i, e := range events {
		records[i] = kafka.EventRecord(w.cfg.Topic(kafka.TopicEvents), e)
	}
	if err := w.cl.ProduceSync(w.t.Context(), records...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// read returns all committed records of a topic, by partition and offset, as they are now.
func (w *world) read(topic string) []*kgo.Record {
	w.t.Helper()
	topic = w.cfg.Topic(topic)
	adm := kadm.NewClient(w.cl)
	starts, err := adm.ListStartOffsets(w.t.Context(), topic)
	if err != nil {
		w.t.Fatal(err)
	}
	stable, err := adm.ListCommittedOffsets(w.t.Context(), topic)
	if err != nil {
		w.t.Fatal(err)
	}
	ends := make(map[int32]int64)
	offsets := make(map[int32]kgo.Offset)
	for p, start := range starts[topic] {
		if end := stable[topic][p]; end.Offset > start.Offset {
			ends[p] = end.Offset
			offsets[p] = kgo.NewOffset().At(start.Offset)
		}
	}
	if len(ends) == 0 {
		return nil
	}
	cl, err := kafka.NewClient(w.cfg, nil,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets}), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	if err != nil {
		w.t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	var out []*kgo.Record
	for len(ends) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			w.t.Fatalf("read %s: %v", topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if end, ok := ends[r.Partition]; ok && r.Offset+1 >= end {
				delete(ends, r.Partition)
			} else if !ok {
				return // came after the read began
			}
			if !r.Attrs.IsControl() {
				out = append(out, r)
			}
		})
	}
	slices.SortFunc(out, func(a, b *kgo.Record) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	return out
}

// alerts returns the committed alert versions, in the order of (id, version). One that is there twice is an error.
func (w *world) alerts() []audit.Alert {
	w.t.Helper()
	var out []audit.Alert
	for _, r := range w.read(kafka.TopicAlerts) {
		var a audit.Alert
		if err := json.Unmarshal(r.Value, &a); err != nil {
			w.t.Fatal(err)
		}
		if string(r.Key) != a.ID {
			w.t.Errorf("alert %s has the key %s", a.ID, r.Key)
		}
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b audit.Alert) int { return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Version, b.Version)) })
	for i := 1; i < len(out); i++ {
		if out[i].ID == out[i-1].ID && out[i].Version == out[i-1].Version {
			w.t.Errorf("alert %s version %d is there twice", out[i].ID, out[i].Version)
		}
	}
	return out
}

// expected returns what the records of audit.matches mean when one engine reads each partition from its beginning without a break.
func (w *world) expected(rules []rule.Rule) []audit.Alert {
	w.t.Helper()
	var out []audit.Alert
	states := make(map[int32]*engine.Partition)
	for _, r := range w.read(kafka.TopicMatches) {
		if states[r.Partition] == nil {
			states[r.Partition] = engine.New(engine.Options{Rules: rules}, engine.Start(0))
		}
		alerts, err := states[r.Partition].Apply(r.Offset, r.Key, r.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, alerts...)
	}
	slices.SortFunc(out, func(a, b audit.Alert) int { return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Version, b.Version)) })
	return out
}

// sameAlerts compares what was published with what should have been.
func (w *world) sameAlerts(got, want []audit.Alert) bool {
	w.t.Helper()
	text := func(a audit.Alert) []byte {
		b, err := json.Marshal(a)
		if err != nil {
			w.t.Fatal(err)
		}
		return b
	}
	return slices.EqualFunc(got, want, func(a, b audit.Alert) bool { return bytes.Equal(text(a), text(b)) })
}

// eventually waits until ok, and fails the test with what is missing otherwise.
func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain: %s", what)
		}
		w.bury()
		<-tick.C
	}
}

// resolved counts the alerts by whether their last version is resolved.
func resolved(alerts []audit.Alert) (open, closed int) {
	last := make(map[string]audit.AlertState)
	for _, a := range alerts { // by version
		last[a.ID] = a.State
	}
	for _, s := range last {
		if s == audit.AlertResolved {
			closed++
		} else {
			open++
		}
	}
	return open, closed
}

// at is the beginning of all tests' event time.
var at = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func burst(name, source string, from time.Time, n int) (events []*audit.Event) {
	for i := range n {
		events = append(events, failedLogin(fmt.Sprintf("%s-%d", name, i), source, from.Add(time.Duration(i)*time.Second)))
	}
	return events
}
