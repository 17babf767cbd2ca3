package detector

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/audittrail/audittrail/detector/rule"
	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/internal/ops"
)

// Stage is one of the two halves of the detector.
type Stage string

// The stages.
const (
	// StageMatch reads audit.events and writes audit.matches.
	StageMatch Stage = "match"
	// StageCorrelate reads audit.matches and writes audit.alerts.
	StageCorrelate Stage = "correlate"
)

// DefaultName is the beginning of the names of consumer groups and transactional ids.
const DefaultName = "audittrail-detector"

// Options configure a Detector. All but Kafka may be zero.
type Options struct {
	// Kafka says where audit.events, audit.matches and audit.alerts are.
	Kafka kafka.Config
	// Stages are those to run here; both when empty.
	Stages []Stage
	// Workers is how many of each stage run here; 1 when 0. More than there are partitions have nothing to do.
	Workers int
	// Name begins the names of the consumer groups (NAME-match, NAME-correlate) and transactional ids; DefaultName when empty.
	Name string
	// InstanceID tells this process from others of the same Name, and stays the same when it is started again: transactional ids are made from it, so
	// that a new run fences the last. The host name when empty. Two processes must not share one.
	InstanceID string
	// Rules are the rules to watch; those built in when nil.
	Rules []rule.Rule
	// MaxGroups bounds the rules' groups in memory, for each partition of audit.matches; engine.DefaultMaxGroups when 0. It must be the same in
	// every process.
	MaxGroups int
	// ClockInterval is how often each match worker says how far it is; 1 s when 0.
	ClockInterval time.Duration
	// UnavailableAfter is how long a source partition may be unavailable before the clock goes on without it; 1 min when 0.
	UnavailableAfter time.Duration
	// TransactionTimeout is how long a transaction of a dead process holds up the readers of its output; 15 s when 0.
	TransactionTimeout time.Duration
	// Group are the timings of the consumer groups.
	Group GroupOptions

	// Logger is silent when nil.
	Logger *slog.Logger
	// Registry gets the metrics, when not nil.
	Registry prometheus.Registerer
	// Health gets one check for each worker, when not nil.
	Health *ops.Health
	// Now is the wall clock; time.Now when nil. It only ever ends up in clock records.
	Now func() time.Time

	// clientOpts come last in each client's options; tests cut connections with them.
	clientOpts []kgo.Opt
}

// GroupOptions are the timings of the consumer groups.
type GroupOptions struct {
	// SessionTimeout is after how long a silent member is taken for dead; 10 s when 0.
	SessionTimeout time.Duration
	// HeartbeatInterval is 3 s when 0; it must be shorter than SessionTimeout.
	HeartbeatInterval time.Duration
	// RebalanceTimeout is how long others wait for a member that is at work; 60 s when 0.
	RebalanceTimeout time.Duration
}

func (o Options) withDefaults() (Options, error) {
	if err := o.Kafka.Validate(); err != nil {
		return o, err
	}
	if len(o.Stages) == 0 {
		o.Stages = []Stage{StageMatch, StageCorrelate}
	}
	for _, s := range o.Stages {
		if s != StageMatch && s != StageCorrelate {
			return o, fmt.Errorf("detector: there is no stage %q", s)
		}
	}
	if o.Rules == nil {
		o.Rules = rule.BuiltIn()
	}
	if err := rule.Validate(o.Rules); err != nil {
		return o, fmt.Errorf("detector: %w", err)
	}
	if o.InstanceID == "" {
		host, err := os.Hostname()
		if err != nil {
			return o, fmt.Errorf("detector: no instance id given: %w", err)
		}
		o.InstanceID = host
	}
	if o.Name == "" {
		o.Name = DefaultName
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Health == nil {
		o.Health = new(ops.Health)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	defaultTo(&o.Workers, 1)
	defaultTo(&o.ClockInterval, time.Second)
	defaultTo(&o.UnavailableAfter, time.Minute)
	defaultTo(&o.TransactionTimeout, 15*time.Second)
	defaultTo(&o.Group.SessionTimeout, 10*time.Second)
	defaultTo(&o.Group.HeartbeatInterval, 3*time.Second)
	defaultTo(&o.Group.RebalanceTimeout, time.Minute)
	if min(o.Workers, o.MaxGroups+1) < 1 || min(o.ClockInterval, o.UnavailableAfter, o.TransactionTimeout) < 0 {
		return o, errors.New("detector: a number or a duration is negative")
	}
	if o.Group.HeartbeatInterval >= o.Group.SessionTimeout {
		return o, fmt.Errorf("detector: a heartbeat every %s is too rare for a session timeout of %s", o.Group.HeartbeatInterval, o.Group.SessionTimeout)
	}
	return o, nil
}

func defaultTo[T int | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// group is the consumer group of a stage.
func (o *Options) group(s Stage) string { return o.Name + "-" + string(s) }
