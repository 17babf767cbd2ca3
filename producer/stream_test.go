package producer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/audittrail/audittrail/producer/internal/producertest"
	"github.com/audittrail/audittrail/schemas/audit"
)

func complete(id string) *audit.Event {
	e := login("alice")
	e.ID, e.Time, e.Service = id, noon, audit.Service{Name: "test", Instance: "other"}
	return &e
}

func TestStream(t *testing.T) {
	_, c := cluster(t)
	reg := prometheus.NewRegistry()
	// A buffer much smaller than the stream: Send has to wait for answers.
	p := start(t, Options{Brokers: c, Registerer: reg, MaxBufferedEvents: 50})
	var steps []Progress
	s := p.Stream(StreamOptions{TotalEvents: 1001, TotalBytes: 5000, Progress: func(p Progress) { steps = append(steps, p) }})
	e := complete("")
	for i := range 1000 {
		// The event is reused at once.
		e.ID = fmt.Sprint(i)
		if err := s.Send(within(t), e); err != nil {
			t.Fatal(err)
		}
		s.Read(int64(i))
	}
	if err := s.SendRaw(within(t), []byte("{broken")); err != nil {
		t.Fatal(err)
	}
	var invalid *InvalidError
	if err := s.Send(within(t), &audit.Event{}); !errors.As(err, &invalid) {
		t.Errorf("an invalid event: %v", err)
	}
	if err := s.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	last := Progress{Sent: 1001, Acknowledged: 1001, TotalEvents: 1001, Bytes: 999, TotalBytes: 5000}
	if len(steps) == 0 || steps[len(steps)-1] != last {
		t.Errorf("progress %v does not end with %v", steps, last)
	}
	broken := 0
	all := producertest.Read(t, c, DefaultTopic)
	for _, r := range all {
		if r.Reject != nil {
			broken++
		} else if r.Event.Sequence != 0 {
			t.Fatalf("a stream numbered %s", r.Event.ID)
		}
	}
	if len(all) != 1001 || broken != 1 || len(producertest.IDs(all)) != 1001 {
		t.Errorf("%d records, %d of them broken", len(all), broken)
	}
	check(t, reg, map[string]float64{"emitted_total": 1001, "acknowledged_total": 1001, "rejected_total": 1})
}

func TestStreamEndsAtTheFirstFailure(t *testing.T) {
	kc, c := cluster(t)
	kc.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed})
	p := start(t, Options{Brokers: c, Linger: -1})
	s := p.Stream(StreamOptions{})
	eventually(t, "a Send fails", func() bool {
		return errors.Is(s.Send(within(t), complete("x")), kerr.TopicAuthorizationFailed)
	})
	if err := s.Close(within(t)); !errors.Is(err, kerr.TopicAuthorizationFailed) {
		t.Errorf("close: %v", err)
	}
}

// TestStreamInterrupted: the context ends while Kafka is away. Nobody waits for ever, and the error says what is open.
func TestStreamInterrupted(t *testing.T) {
	p := start(t, Options{Brokers: []string{"127.0.0.1:1"}, MaxBufferedEvents: 2})
	p.settle = 0
	ctx, cancel := context.WithCancel(within(t))
	s := p.Stream(StreamOptions{})
	for range 2 {
		if err := s.Send(ctx, complete("x")); err != nil {
			t.Fatal(err)
		}
	}
	blocked := make(chan error, 1)
	go func() { blocked <- s.Send(ctx, complete("y")) }()
	cancel()
	if err := <-blocked; !errors.Is(err, context.Canceled) {
		t.Errorf("send: %v", err)
	}
	if err := s.Close(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "0 of 2 events acknowledged") {
		t.Errorf("close: %v", err)
	}
}

func TestStreamRefusesWhatCanNeverFit(t *testing.T) {
	_, c := cluster(t)
	s := start(t, Options{Brokers: c, MaxBufferedBytes: MinBufferedBytes}).Stream(StreamOptions{})
	if err := s.SendRaw(within(t), make([]byte, MinBufferedBytes+1)); err == nil || !strings.Contains(err.Error(), "larger than the buffer") {
		t.Errorf("got %v", err)
	}
	if err := s.Close(within(t)); err != nil {
		t.Error(err)
	}
}

func TestStreamOfAClosedProducer(t *testing.T) {
	_, c := cluster(t)
	p := start(t, Options{Brokers: c})
	s := p.Stream(StreamOptions{})
	if err := p.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := s.Send(within(t), complete("x")); !errors.Is(err, ErrClosed) {
		t.Errorf("send: %v", err)
	}
	if err := s.Close(within(t)); err != nil {
		t.Errorf("close: %v", err)
	}
}
