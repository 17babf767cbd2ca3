package http

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/audittrail/audittrail/internal/ops"
	"github.com/audittrail/audittrail/queryapi"
	"github.com/audittrail/audittrail/schemas"
)

// Limits of the server.
const (
	// maxInFlight bounds the requests, and with them the answers kept in memory, at any time.
	maxInFlight = 64
	// maxBody is how large the body of a request may be. No path reads one yet.
	maxBody = "64K"
	// minGzip is the size from which on answers are compressed.
	minGzip = 1 << 10
	// writeSlack is how much longer than its queries a request may take until its answer has been taken.
	writeSlack = 30 * time.Second
)

// server is the handler's state.
type server struct {
	service *queryapi.Service
	opt     queryapi.Options
	metrics *metrics
	// tokens holds one for each request in flight. (echo builds the chain of middleware anew for each request: what lasts is here.)
	tokens chan struct{}
}

// New returns a handler for all paths of the service. The error is about the metrics, which can be registered once.
func New(service *queryapi.Service) (http.Handler, error) {
	s := &server{service: service, opt: service.Options(), tokens: make(chan struct{}, maxInFlight)}
	routes := s.routes()
	m, err := newMetrics(s.opt.Registry, routes)
	if err != nil {
		return nil, fmt.Errorf("query api: %w", err)
	}
	s.metrics = m

	e := echo.New()
	e.HTTPErrorHandler = s.problem
	e.Use(s.deadline, s.requestID, s.observe, secureHeaders, s.recover, s.guard, s.bound, middleware.BodyLimit(maxBody),
		middleware.GzipWithConfig(middleware.GzipConfig{MinLength: minGzip, Skipper: notCompressed}))
	for _, r := range routes {
		for _, path := range r.spellings() {
			e.Match([]string{http.MethodGet, http.MethodHead}, path, r.handler)
		}
	}
	return e, nil
}

// route is one path.
type route struct {
	// path is the one of the OpenAPI description, with :name for {name}.
	path    string
	handler echo.HandlerFunc
}

func (s *server) routes() []route {
	return []route{
		{"/", s.index},
		{"/api/openapi.yaml", openAPI},
		{"/api/logs/", s.logs},
		{"/api/logs/:id", s.log},
		{"/api/alerts/", s.alerts},
		{"/api/alerts/:id", s.alert},
		{"/livez", echo.WrapHandler(http.HandlerFunc(s.opt.Health.Live))},
		{"/readyz", echo.WrapHandler(http.HandlerFunc(s.opt.Health.Ready))},
		{"/metrics", echo.WrapHandler(promhttp.HandlerFor(s.opt.Registry, promhttp.HandlerOpts{}))},
	}
}

// spellings are the path with and without the trailing slash.
func (r route) spellings() []string {
	if !strings.HasPrefix(r.path, "/api/") || strings.HasSuffix(r.path, ".yaml") {
		return []string{r.path}
	}
	bare := strings.TrimSuffix(r.path, "/")
	return []string{bare, bare + "/"}
}

// caller says who asks and what they may see. There are no accounts yet: it is whoever reaches this machine.
func (s *server) caller(echo.Context) queryapi.Scope { return queryapi.Everything("local") }

func (s *server) index(c echo.Context) error {
	if err := noParameters(c); err != nil {
		return err
	}
	return writeJSON(c, struct {
		Name    string            `json:"name"`
		Version string            `json:"version"`
		Paths   map[string]string `json:"paths"`
	}{"audittrail", ops.Version(), map[string]string{
		"/api/logs/":        "search the audit events",
		"/api/logs/{id}":    "one event",
		"/api/alerts/":      "the alerts",
		"/api/alerts/{id}":  "one alert with its versions",
		"/api/openapi.yaml": "the description of these paths, OpenAPI 3.1",
		"/livez":            "whether the service runs",
		"/readyz":           "whether it can answer",
		"/metrics":          "metrics for Prometheus",
	}})
}

func openAPI(c echo.Context) error {
	if err := noParameters(c); err != nil {
		return err
	}
	return c.Blob(http.StatusOK, "application/yaml", schemas.OpenAPI())
}
