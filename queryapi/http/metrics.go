package http

import (
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
)

// unmatched is the route label of requests to paths that do not exist.
const unmatched = "unmatched"

type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	inFlight prometheus.Gauge
	// labels are the route labels by the spellings of paths.
	labels map[string]string
}

func newMetrics(reg prometheus.Registerer, routes []route) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "audittrail_http_requests_total",
			Help: "HTTP requests by path of the API, method and status; 499 means that the caller hung up.",
		}, []string{"route", "method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "audittrail_http_request_seconds",
			Help:    "Time from the request's headers to the end of its answer, by path of the API.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "audittrail_http_requests_in_flight",
			Help: "HTTP requests being answered.",
		}),
		labels: make(map[string]string),
	}
	for _, r := range routes {
		m.requests.WithLabelValues(r.path, http.MethodGet, "200")
		m.seconds.WithLabelValues(r.path)
		for _, path := range r.spellings() {
			m.labels[path] = r.path
		}
	}
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.inFlight} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// route returns the request's label: a path that exists, as it is in the OpenAPI description.
func (m *metrics) route(c echo.Context) string {
	if label, ok := m.labels[c.Path()]; ok {
		return label
	}
	return unmatched
}

// methodLabel keeps the label's values few, whatever methods requests name.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return method
	}
	return "other"
}
