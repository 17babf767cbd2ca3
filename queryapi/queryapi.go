package queryapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/internal/ops"
)

// Defaults of Options.
const (
	DefaultQueryTimeout = 30 * time.Second
	DefaultMaxQueries   = 8
)

// Options configure the service. ClickHouse is required, all else may be zero.
type Options struct {
	// ClickHouse is where the events and alerts are. Its MaxConns should be above MaxQueries.
	ClickHouse *clickhouse.Client
	// Address is where ClickHouse is, for the people who read that it does not answer.
	Address string
	// Logger is silent when nil.
	Logger *slog.Logger
	// Registry takes the metrics and is what /metrics shows; a new one when nil.
	Registry *prometheus.Registry
	// Health gets the condition "clickhouse" and is what /readyz shows; a new one when nil.
	Health *ops.Health
	// InsecureNoAuth serves everybody who can connect: see CheckListen. Without it only this machine is served.
	InsecureNoAuth bool
	// QueryTimeout bounds one request's work in ClickHouse; DefaultQueryTimeout when 0.
	QueryTimeout time.Duration
	// MaxQueries is how many requests may work in ClickHouse at once; the others wait. DefaultMaxQueries when 0.
	MaxQueries int
	// Now is the clock that relative times (-24h) count from; time.Now when nil.
	Now func() time.Time
}

// Service answers searches. It is safe for concurrent use.
type Service struct {
	opt     Options
	metrics *metrics
	probing *ops.Probe
	// slots holds one token for each request that works in ClickHouse.
	slots chan struct{}
	// maxPageBytes is the constant; tests make it small.
	maxPageBytes int
}

// New checks the options and returns a service that is not ready until Run has reached ClickHouse.
func New(opt Options) (*Service, error) {
	if opt.ClickHouse == nil {
		return nil, errors.New("query api: no ClickHouse client given")
	}
	if opt.QueryTimeout < 0 || opt.MaxQueries < 0 {
		return nil, fmt.Errorf("query api: query timeout %s and max queries %d must not be negative", opt.QueryTimeout, opt.MaxQueries)
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if opt.Registry == nil {
		opt.Registry = prometheus.NewRegistry()
	}
	if opt.Health == nil {
		opt.Health = new(ops.Health)
	}
	if opt.QueryTimeout == 0 {
		opt.QueryTimeout = DefaultQueryTimeout
	}
	if opt.MaxQueries == 0 {
		opt.MaxQueries = DefaultMaxQueries
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	m, err := newMetrics(opt.Registry)
	if err != nil {
		return nil, fmt.Errorf("query api: %w", err)
	}
	s := &Service{opt: opt, metrics: m, slots: make(chan struct{}, opt.MaxQueries), maxPageBytes: maxPageBytes}
	s.probing = &ops.Probe{
		Name: "clickhouse", Where: opt.Address, Hint: "is it running, is --clickhouse right, and were the tables made with `audittrail migrate`?", Ask: s.probe, Health: opt.Health, Log: opt.Logger,
	}
	s.probing.Init()
	return s, nil
}

// Options returns the options with the defaults filled in.
func (s *Service) Options() Options { return s.opt }

// Run keeps the condition "clickhouse" of the health up to date until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	if s.opt.InsecureNoAuth {
		s.opt.Logger.Warn("NO AUTHENTICATION: everybody who can connect to this service can read the whole audit trail")
	}
	return s.probing.Run(ctx)
}

// probe asks for no rows of the tables, so that a missing table or right counts as not ready too.
func (s *Service) probe(ctx context.Context) error {
	for _, sql := range []string{"SELECT id FROM audit.events LIMIT 0", "SELECT id FROM audit.alert_versions LIMIT 0"} {
		rows, err := s.opt.ClickHouse.Query(ctx, sql, nil)
		if err != nil {
			return err
		}
		for rows.Next() {
		}
		err = rows.Err()
		if cerr := rows.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
	}
	return nil
}
