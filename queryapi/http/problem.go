package http

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/audittrail/audittrail/internal/ops"
	"github.com/audittrail/audittrail/queryapi"
)

// statuses is the one place where errors get their HTTP status and title.
var statuses = map[queryapi.Code]struct {
	status int
	title  string
}{
	queryapi.CodeInvalid:      {http.StatusBadRequest, "Invalid request"},
	queryapi.CodeNotFound:     {http.StatusNotFound, "Not found"},
	queryapi.CodeMethod:       {http.StatusMethodNotAllowed, "Method not allowed"},
	queryapi.CodeForeignHost:  {http.StatusMisdirectedRequest, "Foreign host"},
	queryapi.CodeCrossSite:    {http.StatusForbidden, "Cross-site request"},
	queryapi.CodeTooLarge:     {http.StatusRequestEntityTooLarge, "Request too large"},
	queryapi.CodeTooExpensive: {http.StatusUnprocessableEntity, "Search too expensive"},
	queryapi.CodeTimeout:      {http.StatusGatewayTimeout, "Search timed out"},
	queryapi.CodeBusy:         {http.StatusServiceUnavailable, "Busy"},
	queryapi.CodeUnavailable:  {http.StatusServiceUnavailable, "Database unavailable"},
	queryapi.CodeCanceled:     {499, "Request canceled"}, // nobody reads it; it is for metrics and logs
	queryapi.CodeInternal:     {http.StatusInternalServerError, "Internal error"},
}

// problemAnswer is a problem with the parameters at fault.
type problemAnswer struct {
	ops.Problem
	Errors []queryapi.ParameterError `json:"errors,omitempty"`
}

// problem is echo's error handler.
func (s *server) problem(err error, c echo.Context) {
	if c.Response().Committed {
		return // too late: the answer stays cut off
	}
	e := asError(err)
	known := statuses[e.Code]
	if known.status >= http.StatusInternalServerError {
		s.opt.Logger.Error("request failed", "route", s.metrics.route(c), "code", e.Code, "err", err, "request_id", requestIDOf(c))
	}
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, "application/problem+json")
	if known.status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	c.Response().WriteHeader(known.status)
	err = ops.WriteJSON(c.Response(), problemAnswer{
		Problem: ops.Problem{
			Type: ops.ProblemType + string(e.Code), Title: known.title, Status: known.status, Detail: e.Detail,
			Instance: c.Request().URL.EscapedPath(), RequestID: requestIDOf(c),
		},
		Errors: e.Parameters,
	})
	if err != nil {
		s.opt.Logger.Debug("problem not sent", "err", err, "request_id", requestIDOf(c))
	}
}

// asError turns any error into one with a code. What is not ours tells the caller nothing.
func asError(err error) *queryapi.Error {
	var ours *queryapi.Error
	if errors.As(err, &ours) {
		return ours
	}
	var echos *echo.HTTPError
	if errors.As(err, &echos) {
		switch echos.Code {
		case http.StatusNotFound:
			return &queryapi.Error{Code: queryapi.CodeNotFound, Detail: "there is no such path"}
		case http.StatusMethodNotAllowed:
			return &queryapi.Error{Code: queryapi.CodeMethod, Detail: "this path answers GET, HEAD and OPTIONS"}
		case http.StatusRequestEntityTooLarge:
			return &queryapi.Error{Code: queryapi.CodeTooLarge, Detail: "the body of the request is too large"}
		}
	}
	return &queryapi.Error{Code: queryapi.CodeInternal, Detail: "the request failed"}
}
