package detector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/internal/ops"
)

// Detector watches the stream of events and raises alerts.
type Detector struct {
	o       Options
	metrics *metrics
	workers []worker
	// The full names of the topics.
	events, matches, alerts string
}

// worker is one of the workers of a stage, and whether it is ready.
type worker struct {
	stage  Stage
	number int
	ready  ops.Check
}

// New checks the options and adds the workers to the health, where they are not ready before Run makes them so; it connects to nothing.
func New(o Options) (*Detector, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(&o)
	if err != nil {
		return nil, fmt.Errorf("detector: register the metrics: %w", err)
	}
	d := &Detector{
		o: o, metrics: m,
		events: o.Kafka.Topic(kafka.TopicEvents), matches: o.Kafka.Topic(kafka.TopicMatches), alerts: o.Kafka.Topic(kafka.TopicAlerts),
	}
	for _, stage := range o.Stages {
		for n := range o.Workers {
			d.workers = append(d.workers, worker{stage, n, o.Health.Check(fmt.Sprintf("detector %s %d", stage, n))})
		}
	}
	return d, nil
}

// fatal is an error that trying again cannot mend: the state of the detector itself is unknown, or its configuration impossible.
type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

func isFatal(err error) bool {
	var f fatal
	return errors.As(err, &f)
}

// Run runs the workers until ctx ends, and returns nil within stopGrace then. A worker that fails starts over, as often as it takes; an error is returned only when that
// would be of no use.
func (d *Detector) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, w := range d.workers {
		run := d.runMatch
		if w.stage == StageCorrelate {
			run = d.runCorrelate
		}
		g.Go(func() error { return d.keepRunning(ctx, w, run) })
	}
	return g.Wait()
}

// stopGrace is how long a worker that is told to stop may take to bring its transaction to an end and to leave its group. Brokers that do not answer by
// then are not waited for: the transaction is aborted by its timeout, or when the next run takes over its id.
const stopGrace = 3 * time.Second

// Between two attempts of a worker.
const (
	minPause = 200 * time.Millisecond
	maxPause = 10 * time.Second
)

func (d *Detector) keepRunning(ctx context.Context, w worker, run func(context.Context, int, func(error)) error) error {
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		err := run(ctx, w.number, func(standing error) {
			w.ready.Set(standing)
			if standing == nil {
				pause = minPause
			}
		})
		if ctx.Err() != nil {
			return nil
		}
		w.ready.Set(err)
		if isFatal(err) {
			return fmt.Errorf("detector: %s worker %d: %w", w.stage, w.number, err)
		}
		d.o.Logger.Error("worker starts over", "stage", w.stage, "worker", w.number, "in", pause, "error", err)
		d.metrics.restarts.WithLabelValues(string(w.stage)).Inc()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// gap returns what a stage does when records are missing.
func (d *Detector) gap(s Stage) func(int32) {
	return func(int32) { d.metrics.gaps.WithLabelValues(string(s)).Inc() }
}
