package producer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/audittrail/audittrail/producer/internal/producertest"
	"github.com/audittrail/audittrail/schemas/audit"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 123456000, time.UTC)

func login(user string) audit.Event {
	return audit.Event{
		Action: "auth.login", Outcome: audit.OutcomeSuccess, Category: audit.CategoryAuth,
		Actor: audit.Actor{Type: audit.ActorUser, ID: user, Name: user}, Source: audit.Source{IP: netip.MustParseAddr("192.0.2.7")},
	}
}

func TestEmitFillsWhatIsMissing(t *testing.T) {
	_, c := cluster(t)
	ids := 0
	p := start(t, Options{
		Brokers: c, Tenant: "acme", Now: func() time.Time { return noon },
		NewID: func() string { ids++; return fmt.Sprintf("id-%d", ids) },
	})
	bare := login("alice")
	full := login("bob")
	full.ID, full.Time, full.Tenant, full.Sequence = "mine", noon.Add(-time.Hour), "globex", 77
	full.Service = audit.Service{Name: "billing", Version: "2", Instance: "b-1"}
	foreign := login("carol")
	foreign.Service = audit.Service{Name: "billing"}
	before := []audit.Event{bare, full, foreign, login("dora")}
	given := append([]audit.Event(nil), before...)
	if err := p.Emit(within(t), given...); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(given, before) {
		t.Error("Emit changed the caller's events")
	}

	want := map[string]audit.Event{}
	bare.ID, bare.Time, bare.Tenant, bare.Sequence, bare.Service = "id-1", noon, "acme", 1, p.opts.Service
	foreign.ID, foreign.Time, foreign.Tenant = "id-2", noon, "acme"
	dora := login("dora")
	dora.ID, dora.Time, dora.Tenant, dora.Sequence, dora.Service = "id-3", noon, "acme", 2, p.opts.Service
	for _, e := range []audit.Event{bare, full, foreign, dora} {
		want[e.ID] = e
	}
	published := producertest.Read(t, c, DefaultTopic)
	got := map[string]audit.Event{}
	for _, r := range published {
		got[r.Event.ID] = r.Event
		if key := string(audit.PartitionKey(&r.Event)); string(r.Record.Key) != key {
			t.Errorf("record of %s has the key %q, want %q", r.Event.ID, r.Record.Key, key)
		}
		if age := time.Since(r.Record.Timestamp); age < -time.Minute || age > time.Minute {
			t.Errorf("the record of %s is stamped %s, not now", r.Event.ID, r.Record.Timestamp)
		}
	}
	if len(published) != 4 || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestEmitDefaults(t *testing.T) {
	_, c := cluster(t)
	p := start(t, Options{Brokers: c, Service: audit.Service{Name: "shop"}})
	q := start(t, Options{Brokers: c, Service: audit.Service{Name: "shop"}})
	if p.opts.Service.Instance == q.opts.Service.Instance || p.opts.Service.Instance == "" {
		t.Errorf("two producers number their events as instance %q", p.opts.Service.Instance)
	}
	if err := p.Emit(within(t), login("alice"), login("alice")); err != nil {
		t.Fatal(err)
	}
	if err := p.Emit(within(t)); err != nil {
		t.Errorf("no events: %v", err)
	}
	all := producertest.Read(t, c, DefaultTopic)
	if len(all) != 2 {
		t.Fatalf("%d records", len(all))
	}
	for i, r := range all {
		e := r.Event
		if len(e.ID) != 36 || e.ID[14] != '7' || e.Tenant != audit.DefaultTenant || time.Since(e.Time) > time.Minute || e.Sequence != uint64(i+1) {
			t.Errorf("defaults are missing: %+v", e)
		}
	}
	if all[0].Event.ID >= all[1].Event.ID {
		t.Errorf("ids do not ascend: %s, %s", all[0].Event.ID, all[1].Event.ID)
	}
}

func TestEmitSendsNothingIfOneIsInvalid(t *testing.T) {
	_, c := cluster(t)
	reg := prometheus.NewRegistry()
	p := start(t, Options{Brokers: c, Registerer: reg})
	bad := login("bob")
	bad.Action = ""
	err := p.Emit(within(t), login("alice"), bad, login("carol"))
	var invalid *InvalidError
	var reject *audit.Reject
	if !errors.As(err, &invalid) || invalid.Index != 1 || !errors.As(err, &reject) || reject.Field != "action" {
		t.Errorf("got %v, want a reject of event 1 at action", err)
	}
	if !strings.Contains(err.Error(), "event 1") || !strings.Contains(err.Error(), "action") {
		t.Errorf("the error does not say where: %v", err)
	}
	if n := len(producertest.Read(t, c, DefaultTopic)); n != 0 {
		t.Errorf("%d records were sent", n)
	}
	// Nothing was lost, so there is no gap.
	if err := p.Emit(within(t), login("dora")); err != nil {
		t.Fatal(err)
	}
	if e := producertest.Read(t, c, DefaultTopic)[0].Event; e.Sequence != 1 {
		t.Errorf("the first event has the number %d", e.Sequence)
	}
	check(t, reg, map[string]float64{"emitted_total": 1, "acknowledged_total": 1, "rejected_total": 1})
}

// TestEmitExactlyOnce: whatever happens between client and broker, every event is in the log once. Faults come in pairs: not done, and done but
// reported lost.
func TestEmitExactlyOnce(t *testing.T) {
	third := func(answer func(*kfake.Cluster, kmsg.Request) (kmsg.Response, error, bool)) func(*kfake.Cluster, *Options) func() bool {
		return func(c *kfake.Cluster, _ *Options) func() bool {
			n, hit := 0, make(chan struct{})
			c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				if n++; n != 3 {
					return nil, nil, false
				}
				close(hit)
				return answer(c, req)
			})
			return func() bool {
				select {
				case <-hit:
					return true
				default:
					return false
				}
			}
		}
	}
	fault := func(f kfake.Fault) func(*kfake.Cluster, *Options) func() bool {
		return func(c *kfake.Cluster, _ *Options) func() bool {
			n := 0
			f.Keys = []kmsg.Key{kmsg.Produce}
			f.When = func(kmsg.Request) bool { n++; return n == 3 }
			h := c.Fault(f)
			return func() bool { return h.Hits() == 1 }
		}
	}
	tests := []struct {
		name   string
		inject func(*kfake.Cluster, *Options) (happened func() bool)
	}{
		{"no fault", func(*kfake.Cluster, *Options) func() bool { return func() bool { return true } }},
		{"not leader", third(func(_ *kfake.Cluster, req kmsg.Request) (kmsg.Response, error, bool) {
			return refuse(req, kerr.NotLeaderForPartition), nil, true
		})},
		{"connection cut before the append", third(func(*kfake.Cluster, kmsg.Request) (kmsg.Response, error, bool) {
			return nil, errCut, true
		})},
		{"connection cut after the append", func(_ *kfake.Cluster, o *Options) func() bool {
			cut := &cutter{at: 3}
			o.clientOptions = append(o.clientOptions, cut.option())
			return func() bool { return cut.cuts.Load() > 0 }
		}},
		{"request timed out after the append", fault(kfake.Fault{Err: kerr.RequestTimedOut})},
		{"not enough replicas after the append", fault(kfake.Fault{Err: kerr.NotEnoughReplicasAfterAppend})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			kc, c := cluster(t)
			reg := prometheus.NewRegistry()
			opts := Options{Brokers: c, Registerer: reg, Linger: -1}
			happened := tt.inject(kc, &opts)
			p := start(t, opts)
			const goroutines, each = 3, 8
			ctx := within(t)
			var wg sync.WaitGroup
			for g := range goroutines {
				wg.Go(func() {
					for i := range each {
						a, b := login(fmt.Sprintf("user-%d", g)), login("shared")
						a.ID, b.ID = fmt.Sprintf("a-%d-%d", g, i), fmt.Sprintf("b-%d-%d", g, i)
						if err := p.Emit(ctx, a, b); err != nil {
							t.Errorf("emit: %v", err)
							return
						}
					}
				})
			}
			wg.Wait()
			if !happened() {
				t.Fatal("the fault did not happen")
			}
			all := producertest.Read(t, c, DefaultTopic)
			ids := producertest.IDs(all)
			if len(all) != 2*goroutines*each || len(ids) != len(all) {
				t.Errorf("%d records of %d events, want each of %d once", len(all), len(ids), 2*goroutines*each)
			}
			seen := map[uint64]bool{}
			for _, r := range all {
				seen[r.Event.Sequence] = true
			}
			if len(seen) != len(all) || seen[0] || !seen[uint64(len(all))] {
				t.Error("the sequence numbers are not 1 to n")
			}
			check(t, reg, map[string]float64{"emitted_total": 48, "acknowledged_total": 48})
		})
	}
}

// refuse answers a produce request with an error for all of its partitions.
func refuse(req kmsg.Request, err *kerr.Error) kmsg.Response {
	in := req.(*kmsg.ProduceRequest)
	out := in.ResponseKind().(*kmsg.ProduceResponse)
	for _, topic := range in.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
		for _, partition := range topic.Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.ErrorCode = partition.Partition, err.Code
			rt.Partitions = append(rt.Partitions, rp)
		}
		out.Topics = append(out.Topics, rt)
	}
	return out
}

func TestEmitCancelled(t *testing.T) {
	kc, c := cluster(t)
	reg := prometheus.NewRegistry()
	p := start(t, Options{Brokers: c, Registerer: reg, Linger: -1})
	if err := p.Emit(within(t), login("alice")); err != nil {
		t.Fatal(err)
	}
	// The broker takes the request and does not answer.
	asked, answer := make(chan struct{}), make(chan struct{})
	kc.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		kc.SleepControl(func() {
			close(asked)
			<-answer
		})
		return nil, nil, false
	})
	ctx, cancel := context.WithCancel(within(t))
	go func() {
		<-asked
		cancel()
	}()
	err := p.Emit(ctx, login("bob"), login("bob"))
	var e *EmitError
	if !errors.As(err, &e) || !errors.Is(err, context.Canceled) || fates(e) != "0 sent, 1 sent" {
		t.Errorf("got %v, want two events whose fate is not known", err)
	}
	// Unknown was the truth: they arrive later.
	close(answer)
	if err := p.Flush(within(t)); err != nil {
		t.Fatal(err)
	}
	if n := len(producertest.Read(t, c, DefaultTopic)); n != 3 {
		t.Errorf("%d records, want 3", n)
	}
	check(t, reg, map[string]float64{"emitted_total": 3, "acknowledged_total": 3})
}

// fates says of which events the error tells what.
func fates(e *EmitError) string {
	var all []string
	for _, f := range e.Failed {
		fate := "unsent"
		if f.Sent {
			fate = "sent"
		}
		all = append(all, fmt.Sprint(f.Index, " ", fate))
	}
	return strings.Join(all, ", ")
}

// TestEmitPartly: of four events, one partition's is refused for good, and the buffer has no room for the last.
func TestEmitPartly(t *testing.T) {
	kc, c := cluster(t, kfake.SeedTopics(1, "one.partition"))
	p := start(t, Options{Brokers: c, Topic: "one.partition", MaxBufferedEvents: 1, Linger: -1})
	ctx, cancel := context.WithCancel(within(t))
	n := 0
	kc.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		kc.KeepControl()
		switch n++; n {
		case 2:
			return refuse(req, kerr.TopicAuthorizationFailed), nil, true
		case 3:
			cancel()
			return refuse(req, kerr.NotLeaderForPartition), nil, true
		}
		return nil, nil, false
	})
	err := p.Emit(ctx, named("a"), named("b"), login("c"), named("d"))
	var e *EmitError
	if !errors.As(err, &e) || fates(e) != "1 sent, 2 sent, 3 unsent" || !errors.Is(err, kerr.TopicAuthorizationFailed) || !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want event 0 acknowledged, 1 and 2 sent, 3 not", err)
	}
	if !errors.Is(e.Failed[0].Err, kerr.TopicAuthorizationFailed) || !errors.Is(e.Failed[2].Err, context.Canceled) || len(e.Failed[1].ID) != 36 {
		t.Errorf("the events failed with %+v", e.Failed)
	}
	for _, part := range []string{"3 of 4 events", `event 1 (id "b", may be in the trail): TOPIC_AUTHORIZATION_FAILED`, `event 3 (id "d", not sent)`} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %s: %v", part, err)
		}
	}
}

func TestEmitWhileKafkaIsAway(t *testing.T) {
	p := start(t, Options{Brokers: []string{"127.0.0.1:1"}})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := p.Emit(ctx, login("alice"))
	var e *EmitError
	if !errors.As(err, &e) || !errors.Is(err, context.DeadlineExceeded) || fates(e) != "0 sent" || !strings.Contains(err.Error(), "no answer from Kafka") {
		t.Errorf("got %v, want one event without an answer", err)
	}
	if err := p.Check(ctx); err == nil {
		t.Error("Check found a broker")
	}
}

func TestCheckNamesTheMissingTopic(t *testing.T) {
	_, c := cluster(t)
	if err := start(t, Options{Brokers: c}).Check(within(t)); err != nil {
		t.Error(err)
	}
	if err := start(t, Options{Brokers: c, Topic: "other.audit.events"}).Check(within(t)); err == nil || !strings.Contains(err.Error(), "other.audit.events") {
		t.Errorf("got %v, want an error that names the topic", err)
	}
}
