package http

import (
	"fmt"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/audittrail/audittrail/queryapi"
)

const requestIDHeader = echo.HeaderXRequestID

// plainID is what a request id from outside may look like: it stands in logs and answers.
var plainID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// requestID gives the request an id: the caller's, if it is a plain one.
func (s *server) requestID(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		id := c.Request().Header.Get(requestIDHeader)
		if !plainID.MatchString(id) {
			id = uuid.Must(uuid.NewV7()).String()
		}
		c.Response().Header().Set(requestIDHeader, id)
		return next(c)
	}
}

func requestIDOf(c echo.Context) string { return c.Response().Header().Get(requestIDHeader) }

// observe counts and logs requests. Errors become answers here, so that their status is counted.
func (s *server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		s.metrics.inFlight.Inc()
		defer s.metrics.inFlight.Dec()
		if err := next(c); err != nil {
			c.Error(err)
		}
		took, route, method, status := time.Since(start), s.metrics.route(c), methodLabel(c.Request().Method), c.Response().Status
		s.metrics.requests.WithLabelValues(route, method, fmt.Sprint(status)).Inc()
		s.metrics.seconds.WithLabelValues(route).Observe(took.Seconds())
		s.opt.Logger.Debug("request served", "method", method, "route", route, "status", status, "bytes", c.Response().Size, "took", took,
			"request_id", requestIDOf(c))
		return nil
	}
}

// secureHeaders makes answers inert in a browser: no scripts, no frames, no guessing of types, no copies.
func secureHeaders(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		return next(c)
	}
}

// recover turns a panic into an internal error. The stack goes to the log, nothing of it to the caller.
func (s *server) recover(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			r := recover()
			if r == nil {
				return
			}
			if r == http.ErrAbortHandler {
				panic(r) // the way to abort an answer on purpose
			}
			s.opt.Logger.Error("request panicked", "panic", fmt.Sprint(r), "stack", string(debug.Stack()), "request_id", requestIDOf(c))
			err = &queryapi.Error{Code: queryapi.CodeInternal, Detail: "the request failed"}
		}()
		return next(c)
	}
}

// bound refuses requests beyond those that may be in flight, but not the probes.
func (s *server) bound(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if !strings.HasPrefix(c.Path(), "/api/") {
			return next(c)
		}
		select {
		case s.tokens <- struct{}{}:
			defer func() { <-s.tokens }()
		default:
			return &queryapi.Error{Code: queryapi.CodeBusy, Detail: "too many requests at once"}
		}
		return next(c)
	}
}

// deadline bounds how long a caller may take to take an answer. Every request sets it: it stays on the connection, and the next request would inherit it.
func (s *server) deadline(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		// Not supported by every ResponseWriter; a server's own does.
		_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(s.opt.QueryTimeout + writeSlack))
		return next(c)
	}
}

// notCompressed are the answers that gzip skips: those without a body, and /metrics, which compresses by itself.
func notCompressed(c echo.Context) bool {
	return c.Request().Method == http.MethodHead || c.Path() == "/metrics"
}
