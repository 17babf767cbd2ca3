package engine

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// supervisorMetrics describe the child process.
type supervisorMetrics struct {
	restarts prometheus.Counter
}

func newSupervisorMetrics(reg prometheus.Registerer, s *Supervisor) (*supervisorMetrics, error) {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	m := &supervisorMetrics{restarts: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "audittrail_embedded_clickhouse_restarts_total", Help: "How often the process of the embedded ClickHouse died and was replaced.",
	})}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.restarts,
		gauge("audittrail_embedded_clickhouse_up", "1 while the embedded ClickHouse has answered since its last start.", func() float64 {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.ready {
				return 1
			}
			return 0
		}),
		gauge("audittrail_embedded_clickhouse_resident_bytes", "Resident memory of the process of the embedded ClickHouse.", func() float64 {
			resident, _ := s.Memory()
			return float64(resident)
		}),
		gauge("audittrail_embedded_clickhouse_peak_resident_bytes", "Peak resident memory of the process of the embedded ClickHouse.", func() float64 {
			_, peak := s.Memory()
			return float64(peak)
		}),
	} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("embedded ClickHouse: register metrics: %w", err)
		}
	}
	return m, nil
}
