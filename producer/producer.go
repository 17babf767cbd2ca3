// Package producer publishes audit events to Kafka: Emit waits until they are safe, Log does not wait but never loses one silently, and Stream carries
// the many events of an import or a load test. Each event is in the log once, also when brokers fail in between.
//
// An application makes one Producer with New, asks Check whether Kafka takes its events, and calls Close before it ends. Events are those of package
// schemas/audit; an invalid one is refused with the field and the reason, and is never sent.
//
// It does not store events on disk while Kafka is away, and it does not know where events come from: see the packages below it for importers.
package producer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/semaphore"

	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/schemas/audit"
)

// ErrClosed is returned for events that are given to a closed Producer.
var ErrClosed = errors.New("producer: closed")

// Producer publishes events. It is safe for concurrent use.
type Producer struct {
	opts    Options
	topic   string
	client  *kgo.Client
	metrics *metrics

	// events and bytes are what is left of the buffer's bounds. The client's own bounds lie above them, so that handing it a record never blocks.
	events, bytes *semaphore.Weighted
	sequence      atomic.Uint64
	closed        atomic.Bool
	// settle is settleTimeout, or less in tests.
	settle time.Duration
	// life is the context of all records. A caller's context would be wrong: the client fails every record of a partition with the first one of them.
	life context.Context
	end  context.CancelFunc
}

// New returns a Producer that is not connected yet. It must be closed.
func New(opts Options) (*Producer, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	codec, err := opts.Compression.codec()
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(opts.Registerer)
	if err != nil {
		return nil, err
	}
	// All in-sync replicas, idempotence and retries without an end are the client's defaults; an unknown topic is retried likewise, because a broker
	// that restarts may not know it for a while. Check tells of one that is really missing.
	client, err := kafka.NewClient(opts.connection(), opts.Logger, slices.Concat([]kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.UnknownTopicRetries(-1),
		kgo.ProducerLinger(max(opts.Linger, 0)),
		kgo.MaxBufferedRecords(2 * opts.MaxBufferedEvents),
		kgo.ProducerBatchCompression(codec, kgo.NoCompression()),
	}, opts.clientOptions)...)
	if err != nil {
		return nil, err
	}
	p := &Producer{
		opts:    opts,
		topic:   opts.Topic,
		client:  client,
		metrics: m,
		events:  semaphore.NewWeighted(int64(opts.MaxBufferedEvents)),
		bytes:   semaphore.NewWeighted(opts.MaxBufferedBytes),
		settle:  settleTimeout,
	}
	p.life, p.end = context.WithCancel(context.Background())
	return p, nil
}

// Check reports whether the cluster can be reached, lets the Producer in and has the topic, before somebody waits for an acknowledgement that cannot
// come. Call it at start.
func (p *Producer) Check(ctx context.Context) error {
	_, err := kafka.FetchMetadata(ctx, p.client, p.topic)
	if err != nil {
		return fmt.Errorf("producer: check %s: %w", strings.Join(p.opts.Brokers, ","), p.opts.connection().Explain(err))
	}
	return nil
}

// Flush waits until everything that was taken so far is acknowledged or given up. Events that failed were reported by then; the error only says that
// ctx ended first.
func (p *Producer) Flush(ctx context.Context) error {
	if err := p.client.Flush(ctx); err != nil {
		return fmt.Errorf("producer: flush: %d events are not acknowledged: %w", p.client.BufferedProduceRecords(), err)
	}
	return nil
}

// Close takes no more events, flushes, and disconnects. If ctx ends before the flush is done, the rest is given up: counted, reported to OnLost, and
// named in the error. A second Close does nothing.
func (p *Producer) Close(ctx context.Context) error {
	if p.closed.Swap(true) {
		return nil
	}
	err := p.Flush(ctx)
	p.end()
	p.client.Close()
	return err
}

// InvalidError says which of the given events cannot be published; none of them was sent. It unwraps to the *audit.Reject that names the field.
type InvalidError struct {
	// Index is the event's place among the arguments.
	Index int
	// ID is the event's id.
	ID     string
	Reject error
}

func (e *InvalidError) Error() string {
	return fmt.Sprintf("producer: event %d (id %q) is not valid, nothing was sent: %v", e.Index, e.ID, e.Reject)
}

func (e *InvalidError) Unwrap() error { return e.Reject }

// complete fills what the event leaves out, except for its sequence number, and checks it.
func (p *Producer) complete(e *audit.Event, index int) error {
	if e.ID == "" {
		e.ID = p.opts.NewID()
	}
	if e.Time.IsZero() {
		e.Time = p.opts.Now()
	}
	if e.Tenant == "" {
		e.Tenant = p.opts.Tenant
	}
	if e.Service.Name == "" {
		e.Service = p.opts.Service
	}
	if err := e.Validate(); err != nil {
		p.metrics.rejected.Inc()
		return &InvalidError{Index: index, ID: e.ID, Reject: err}
	}
	return nil
}

// record numbers and encodes a complete event. A service that the event named itself numbers its own events: ours would look like gaps in them.
func (p *Producer) record(e *audit.Event) *kgo.Record {
	if e.Sequence == 0 && e.Service == p.opts.Service {
		e.Sequence = p.sequence.Add(1)
	}
	return kafka.EventRecord(p.topic, e)
}

func size(r *kgo.Record) int64 {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return int64(n)
}

// reserve waits for room in the buffer.
func (p *Producer) reserve(ctx context.Context, n int64) error {
	if n > p.opts.MaxBufferedBytes {
		return fmt.Errorf("producer: a record of %d bytes is larger than the buffer of %d", n, p.opts.MaxBufferedBytes)
	}
	if err := p.events.Acquire(ctx, 1); err != nil {
		return err
	}
	if err := p.bytes.Acquire(ctx, n); err != nil {
		p.events.Release(1)
		return err
	}
	return nil
}

// tryReserve is reserve without waiting.
func (p *Producer) tryReserve(n int64) bool {
	if !p.events.TryAcquire(1) {
		return false
	}
	if !p.bytes.TryAcquire(n) {
		p.events.Release(1)
		return false
	}
	return true
}

// send hands a record with n reserved bytes to the client; done is called once, with nil when the event is acknowledged.
func (p *Producer) send(r *kgo.Record, n int64, done func(error)) {
	p.metrics.emitted.Inc()
	p.metrics.buffered.Inc()
	p.metrics.bytes.Add(float64(n))
	p.client.Produce(p.life, r, func(_ *kgo.Record, err error) {
		if err == nil {
			p.metrics.acknowledged.Inc()
		} else {
			p.metrics.failed.Inc()
		}
		p.metrics.buffered.Dec()
		p.metrics.bytes.Sub(float64(n))
		p.events.Release(1)
		p.bytes.Release(n)
		done(err)
	})
}
