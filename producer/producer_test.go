package producer

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/producer/internal/producertest"
	"github.com/audittrail/audittrail/schemas/audit"
)

// check compares all metrics at once; those that are not named must be 0.
func check(t testing.TB, reg *prometheus.Registry, want map[string]float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) != 7 {
		t.Errorf("%d metrics, want 7", len(families))
	}
	for _, f := range families {
		name, ok := strings.CutPrefix(f.GetName(), "audittrail_producer_")
		if !ok {
			t.Errorf("metric %s is not ours", f.GetName())
		}
		m := f.GetMetric()[0]
		if got := m.GetCounter().GetValue() + m.GetGauge().GetValue(); got != want[name] {
			t.Errorf("%s is %g, want %g", name, got, want[name])
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("there is no metric %s", name)
	}
}

func TestOptions(t *testing.T) {
	if DefaultTopic != kafka.TopicEvents {
		t.Errorf("events go to %s, the services read %s", DefaultTopic, kafka.TopicEvents)
	}
	c := []string{"127.0.0.1:9092"}
	for name, o := range map[string]Options{
		"no broker":         {},
		"no port":           {Brokers: []string{"kafka"}},
		"a strange topic":   {Brokers: c, Topic: "audit events"},
		"compression":       {Brokers: c, Compression: "rar"},
		"no username":       {Brokers: c, SASL: &SASL{Mechanism: Plain, Password: "x"}},
		"no mechanism":      {Brokers: c, SASL: &SASL{Username: "a", Password: "x"}},
		"no events":         {Brokers: c, MaxBufferedEvents: -1},
		"too few bytes":     {Brokers: c, MaxBufferedBytes: 1000},
		"negative wait":     {Brokers: c, LogWait: -1},
		"two minute linger": {Brokers: c, Linger: 2 * time.Minute},
	} {
		if p, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
			p.Close(t.Context())
		}
	}
	reg := prometheus.NewRegistry()
	start(t, Options{Brokers: c, Registerer: reg})
	if _, err := New(Options{Brokers: c, Registerer: reg}); err == nil {
		t.Error("two producers share their metrics")
	}
	check(t, reg, nil)
}

// lost collects what OnLost was told.
type lost struct {
	mu  sync.Mutex
	all []Lost
}

func (l *lost) add(e Lost) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, e)
}

func (l *lost) ids(err error) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []string
	for _, e := range l.all {
		if errors.Is(e.Err, err) && strings.Contains(string(e.JSON), `"id":"`+e.ID+`"`) {
			ids = append(ids, e.ID)
		}
	}
	return strings.Join(ids, " ")
}

func named(id string) audit.Event {
	e := login("alice")
	e.ID = id
	return e
}

func TestLog(t *testing.T) {
	_, c := cluster(t)
	reg := prometheus.NewRegistry()
	var l lost
	p := start(t, Options{Brokers: c, Registerer: reg, OnLost: l.add})
	for _, id := range []string{"1", "2", "3"} {
		if err := p.Log(named(id)); err != nil {
			t.Fatal(err)
		}
	}
	var invalid *InvalidError
	if err := p.Log(audit.Event{}); !errors.As(err, &invalid) {
		t.Errorf("an event without an action: %v", err)
	}
	if err := p.Flush(within(t)); err != nil {
		t.Fatal(err)
	}
	if ids := producertest.IDs(producertest.Read(t, c, DefaultTopic)); len(ids) != 3 {
		t.Errorf("after the flush: %v", ids)
	}
	if len(l.all) != 0 {
		t.Errorf("lost: %v", l.all)
	}
	check(t, reg, map[string]float64{"emitted_total": 3, "acknowledged_total": 3, "rejected_total": 1})
}

// TestLogOverflow: what does not fit is returned, reported and counted, and its missing number shows in the trail.
func TestLogOverflow(t *testing.T) {
	kc, c := cluster(t)
	hold := make(chan struct{})
	kc.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		kc.KeepControl()
		kc.SleepControl(func() { <-hold })
		return nil, nil, false
	})
	reg := prometheus.NewRegistry()
	var l lost
	p := start(t, Options{Brokers: c, Registerer: reg, OnLost: l.add, MaxBufferedEvents: 2, Linger: -1})
	for _, tt := range []struct {
		id  string
		err error
	}{{"1", nil}, {"2", nil}, {"3", ErrFull}, {"4", ErrFull}} {
		if err := p.Log(named(tt.id)); !errors.Is(err, tt.err) {
			t.Errorf("event %s: got %v, want %v", tt.id, err, tt.err)
		}
	}
	if got := l.ids(ErrFull); got != "3 4" {
		t.Errorf("reported as lost: %q", got)
	}
	close(hold)
	if err := p.Flush(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := p.Log(named("5")); err != nil {
		t.Errorf("after the flush: %v", err)
	}
	if err := p.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	sequences := map[string]uint64{}
	for _, r := range producertest.Read(t, c, DefaultTopic) {
		sequences[r.Event.ID] = r.Event.Sequence
	}
	if len(sequences) != 3 || sequences["1"] != 1 || sequences["2"] != 2 || sequences["5"] != 5 {
		t.Errorf("in the log: %v", sequences)
	}
	check(t, reg, map[string]float64{"emitted_total": 3, "acknowledged_total": 3, "dropped_total": 2})
}

func TestLogWaitsForRoom(t *testing.T) {
	kc, c := cluster(t)
	hold := make(chan struct{})
	kc.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		kc.SleepControl(func() { <-hold })
		return nil, nil, false
	})
	p := start(t, Options{Brokers: c, MaxBufferedEvents: 1, LogWait: 10 * time.Second, Linger: -1})
	if err := p.Log(named("1")); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() { waiting <- p.Log(named("2")) }()
	close(hold)
	if err := <-waiting; err != nil {
		t.Errorf("room came, but: %v", err)
	}

	away := start(t, Options{Brokers: []string{"127.0.0.1:1"}, MaxBufferedEvents: 1, LogWait: 20 * time.Millisecond})
	if err := away.Log(named("1")); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := away.Log(named("2")); !errors.Is(err, ErrFull) {
		t.Errorf("no room came: %v", err)
	}
	if waited := time.Since(began); waited < 20*time.Millisecond || waited > 5*time.Second {
		t.Errorf("waited %s, want 20ms", waited)
	}
}

// TestBufferIsBoundedInBytes: memory does not grow with the size of events.
func TestBufferIsBoundedInBytes(t *testing.T) {
	reg := prometheus.NewRegistry()
	p := start(t, Options{Brokers: []string{"127.0.0.1:1"}, Registerer: reg, MaxBufferedBytes: MinBufferedBytes})
	big := login("alice")
	big.Message = strings.Repeat("x", 200<<10)
	taken := 0
	for range 10 {
		if err := p.Log(big); err == nil {
			taken++
		} else if !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	}
	if taken != 5 {
		t.Errorf("%d events of 200 KiB are in a buffer of 1 MiB", taken)
	}
}

func TestLogReportsWhatKafkaRefuses(t *testing.T) {
	kc, c := cluster(t)
	kc.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed})
	reg := prometheus.NewRegistry()
	var l lost
	p := start(t, Options{Brokers: c, Registerer: reg, OnLost: l.add})
	if err := p.Log(named("1")); err != nil {
		t.Fatal(err)
	}
	if err := p.Flush(within(t)); err != nil {
		t.Fatal(err)
	}
	if got := l.ids(kerr.TopicAuthorizationFailed); got != "1" {
		t.Errorf("reported as refused: %q", got)
	}
	check(t, reg, map[string]float64{"emitted_total": 1, "failed_total": 1})
}

func TestCloseFlushes(t *testing.T) {
	_, c := cluster(t)
	// Long enough that only Close can have sent the event.
	p := start(t, Options{Brokers: c, Linger: time.Minute})
	if err := p.Log(named("1")); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	if n := len(producertest.Read(t, c, DefaultTopic)); n != 1 {
		t.Errorf("%d records after Close, want 1", n)
	}
	if err := p.Close(within(t)); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if err := p.Emit(within(t), login("a")); !errors.Is(err, ErrClosed) {
		t.Errorf("Emit after Close: %v", err)
	}
	if err := p.Log(login("a")); !errors.Is(err, ErrClosed) {
		t.Errorf("Log after Close: %v", err)
	}
}

func TestCloseGivesUp(t *testing.T) {
	reg := prometheus.NewRegistry()
	var l lost
	p := start(t, Options{Brokers: []string{"127.0.0.1:1"}, Registerer: reg, OnLost: l.add})
	for _, id := range []string{"1", "2"} {
		if err := p.Log(named(id)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := p.Close(ctx); err == nil || !strings.Contains(err.Error(), "2 events are not acknowledged") {
		t.Errorf("got %v, want an error that says how many", err)
	}
	eventually(t, "both are reported", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.all) == 2
	})
	for _, e := range l.all {
		if !errors.Is(e.Err, context.Canceled) && !errors.Is(e.Err, kgo.ErrClientClosed) {
			t.Errorf("%s is lost because of %v", e.ID, e.Err)
		}
	}
	check(t, reg, map[string]float64{"emitted_total": 2, "failed_total": 2})
}
