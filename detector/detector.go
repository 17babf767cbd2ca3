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
	// The full names of the topics.
	events, matches, alerts string
}

// New checks the options; it connects to nothing.
func New(o Options) (*Detector, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(&o)
	if err != nil {
		return nil, fmt.Errorf("detector: register the metrics: %w", err)
	}
	return &Detector{
		o: o, metrics: m,
		events: o.Kafka.Topic(kafka.TopicEvents), matches: o.Kafka.Topic(kafka.TopicMatches), alerts: o.Kafka.Topic(kafka.TopicAlerts),
	}, nil
}

// fatal is an error that trying again cannot mend: the state of the detector itself is unknown, or its configuration impossible.
type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

func isFatal(err error) bool {
	var f fatal
	return errors.As(err, &f)
}

// Run runs the workers until ctx ends, and returns nil then. A worker that fails starts over, as often as it takes; an error is returned only when that
// would be of no use.
func (d *Detector) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, stage := range d.o.Stages {
		run := d.runMatch
		if stage == StageCorrelate {
			run = d.runCorrelate
		}
		for n := range d.o.Workers {
			check := d.o.Health.Check(fmt.Sprintf("detector %s %d", stage, n))
			g.Go(func() error { return d.keepRunning(ctx, stage, n, check, run) })
		}
	}
	return g.Wait()
}

// Between two attempts of a worker.
const (
	minPause = 200 * time.Millisecond
	maxPause = 10 * time.Second
)

func (d *Detector) keepRunning(ctx context.Context, stage Stage, n int, check ops.Check, run func(context.Context, int, func(error)) error) error {
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		err := run(ctx, n, func(standing error) {
			check.Set(standing)
			if standing == nil {
				pause = minPause
			}
		})
		if ctx.Err() != nil {
			return nil
		}
		check.Set(err)
		if isFatal(err) {
			return fmt.Errorf("detector: %s worker %d: %w", stage, n, err)
		}
		d.o.Logger.Error("worker starts over", "stage", stage, "worker", n, "in", pause, "error", err)
		d.metrics.restarts.WithLabelValues(string(stage)).Inc()
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
