package producer

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/schemas/audit"
)

const (
	progressEvery = 200 * time.Millisecond
	// settleTimeout bounds how long an interrupted stream waits for answers that are under way.
	settleTimeout = 5 * time.Second
)

// Progress is how far a Stream has come.
type Progress struct {
	// Sent and Acknowledged count events; the difference is under way.
	Sent, Acknowledged uint64
	// TotalEvents is how many there will be, 0 when that is not known.
	TotalEvents uint64
	// Bytes of TotalBytes of the input are read; both are 0 when there is no input.
	Bytes, TotalBytes int64
}

// StreamOptions configures a Stream; the zero value is one without progress.
type StreamOptions struct {
	// Progress is called several times a second, and a last time by Close; never twice at once.
	Progress func(Progress)
	// TotalEvents and TotalBytes are handed on to Progress.
	TotalEvents uint64
	TotalBytes  int64
}

// Stream publishes many events in a row, as fast as Kafka takes them, within the Producer's bounds. It is used from one goroutine.
type Stream struct {
	p    *Producer
	opts StreamOptions

	sent, acknowledged atomic.Uint64
	read               atomic.Int64
	open               sync.WaitGroup
	// failed holds the first failure, and ends the stream.
	failed atomic.Pointer[error]

	stop, stopped chan struct{}
}

// Stream starts a stream; it must be closed.
func (p *Producer) Stream(opts StreamOptions) *Stream {
	s := &Stream{p: p, opts: opts, stop: make(chan struct{}), stopped: make(chan struct{})}
	go s.report()
	return s
}

// Send publishes a complete event, which it neither fills nor numbers, and does not keep: the caller may reuse it. It blocks while the buffer is full. An
// invalid event is an *InvalidError and the stream goes on; after any other error it is at its end.
func (s *Stream) Send(ctx context.Context, e *audit.Event) error {
	if err := e.Validate(); err != nil {
		s.p.metrics.rejected.Inc()
		return &InvalidError{ID: e.ID, Reject: err}
	}
	return s.send(ctx, kafka.EventRecord(s.p.topic, e))
}

// SendRaw publishes bytes that need not be an event; the consumer puts them into quarantine if they are none. They are kept until acknowledged.
func (s *Stream) SendRaw(ctx context.Context, value []byte) error {
	return s.send(ctx, &kgo.Record{Topic: s.p.topic, Value: value})
}

// Read tells how many bytes of the input have been dealt with.
func (s *Stream) Read(bytes int64) { s.read.Store(bytes) }

// Close waits until every event is answered and returns the first failure. When ctx is done it still waits a few seconds for what is under way, so that
// an interrupted run can say what it left behind.
func (s *Stream) Close(ctx context.Context) error {
	settled := make(chan struct{})
	go func() {
		s.open.Wait()
		close(settled)
	}()
	err := s.settle(ctx, settled)
	close(s.stop)
	<-s.stopped
	if first := s.failed.Load(); first != nil {
		err = *first
	}
	if err != nil {
		return fmt.Errorf("producer: stream: %d of %d events acknowledged: %w", s.acknowledged.Load(), s.sent.Load(), err)
	}
	return nil
}

// Progress returns how far the stream has come.
func (s *Stream) Progress() Progress {
	// Acknowledged first, so that it is never the greater one.
	acknowledged := s.acknowledged.Load()
	return Progress{
		Sent: s.sent.Load(), Acknowledged: acknowledged, TotalEvents: s.opts.TotalEvents,
		Bytes: s.read.Load(), TotalBytes: s.opts.TotalBytes,
	}
}

func (s *Stream) send(ctx context.Context, r *kgo.Record) error {
	if err := s.failed.Load(); err != nil {
		return *err
	}
	if s.p.closed.Load() {
		return ErrClosed
	}
	n := size(r)
	if !s.p.tryReserve(n) {
		if err := s.p.reserve(ctx, n); err != nil {
			return err
		}
	}
	s.sent.Add(1)
	s.open.Add(1)
	s.p.send(r, n, func(err error) {
		if err == nil {
			s.acknowledged.Add(1)
		} else {
			s.failed.CompareAndSwap(nil, &err)
		}
		s.open.Done()
	})
	return nil
}

func (s *Stream) settle(ctx context.Context, settled <-chan struct{}) error {
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-settled:
		return nil
	case <-time.After(s.p.settle):
		return context.Cause(ctx)
	}
}

func (s *Stream) report() {
	defer close(s.stopped)
	if s.opts.Progress == nil {
		<-s.stop
		return
	}
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.opts.Progress(s.Progress())
		case <-s.stop:
			s.opts.Progress(s.Progress())
			return
		}
	}
}
