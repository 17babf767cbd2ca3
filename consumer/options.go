package consumer

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/internal/ops"
)

// DefaultGroup is the consumer group.
const DefaultGroup = "audittrail-consumer"

// Options configure a consumer. Kafka and ClickHouse are required; every other field has a default that is meant when it is zero.
type Options struct {
	Kafka      kafka.Config
	ClickHouse *clickhouse.Client
	// Group is the consumer group; one group a ClickHouse cluster. DefaultGroup.
	Group string
	// InstanceID makes the group membership static: a restart within the session timeout moves no partition. Empty: dynamic.
	InstanceID string
	// SessionTimeout is how long Kafka waits for a silent member; 45 s.
	SessionTimeout time.Duration

	// MaxRows, MaxBytes (of record values) and MaxAge cut a range: 250,000, 64 MiB, 1 s.
	MaxRows  int
	MaxBytes int
	MaxAge   time.Duration
	// InFlight is how many ranges of one partition may be under way at once; 4, at most 8.
	InFlight int
	// Inserts is how many blocks may be on their way to ClickHouse at once; 4.
	Inserts int
	// MemoryBytes bounds what is read and not yet settled, as estimated from the records; 256 MiB. The process needs up to four times as much.
	MemoryBytes int64
	// InsertTimeout is how long after its intent an insert may still be at work; 60 s.
	InsertTimeout time.Duration
	// DrainTimeout is how long a stop or the loss of a partition waits for inserts that are under way; 10 s.
	DrainTimeout time.Duration

	// ReconcileEvery is how often the recent days are verified; a minute.
	ReconcileEvery time.Duration

	Logger *slog.Logger
	// Registry gets the metrics; none when nil.
	Registry prometheus.Registerer
	// Health gets the checks "kafka" and "clickhouse"; none when nil.
	Health *ops.Health
	// Now is the clock; time.Now.
	Now func() time.Time

	// watchEvery is how often Kafka and ClickHouse are asked how they stand; 10 s.
	watchEvery time.Duration
	// openDayLooks is how long a reconciliation looks at rollups that do not add up; openDayLooks when zero.
	openDayLooks time.Duration
	// testWindows replace the tables' deduplication windows in tests.
	testWindows *windows
}

func (o Options) withDefaults() (Options, error) {
	if err := o.Kafka.Validate(); err != nil {
		return o, err
	}
	if o.ClickHouse == nil {
		return o, fmt.Errorf("consumer: no ClickHouse client given")
	}
	setDefault(&o.Group, DefaultGroup)
	setDefault(&o.SessionTimeout, 45*time.Second)
	setDefault(&o.MaxRows, 250_000)
	setDefault(&o.MaxBytes, 64<<20)
	setDefault(&o.MaxAge, time.Second)
	setDefault(&o.InFlight, 4)
	setDefault(&o.Inserts, 4)
	setDefault(&o.MemoryBytes, 256<<20)
	setDefault(&o.InsertTimeout, time.Minute)
	setDefault(&o.DrainTimeout, 10*time.Second)
	setDefault(&o.ReconcileEvery, reconcileEvery)
	setDefault(&o.watchEvery, 10*time.Second)
	if o.InFlight > maxPlanned {
		return o, fmt.Errorf("consumer: %d ranges in flight a partition are more than the %d that fit into the offset's metadata", o.InFlight, maxPlanned)
	}
	if o.MaxRows < 1 || o.MaxBytes < 1 || o.MaxAge < 0 || o.InFlight < 1 || o.Inserts < 1 || o.MemoryBytes < 1 {
		return o, fmt.Errorf("consumer: a limit is negative")
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
	return o, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
