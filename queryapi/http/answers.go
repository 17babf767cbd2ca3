package http

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/audittrail/audittrail/internal/ops"
	"github.com/audittrail/audittrail/queryapi"
)

// pageAnswer is the answer of a list.
type pageAnswer struct {
	Items []json.RawMessage `json:"items"`
	// NextCursor is null on the last page.
	NextCursor *string  `json:"next_cursor"`
	Meta       pageMeta `json:"meta"`
}

type pageMeta struct {
	// Count is the number of items of this page.
	Count  int     `json:"count"`
	TookMS int64   `json:"took_ms"`
	Total  *uint64 `json:"total,omitempty"`
}

func (s *server) logs(c echo.Context) error {
	return s.page(c, s.service.Events)
}

func (s *server) alerts(c echo.Context) error {
	return s.page(c, s.service.Alerts)
}

// page answers a list.
func (s *server) page(c echo.Context, read func(context.Context, queryapi.Scope, url.Values) (*queryapi.Page, error)) error {
	start := time.Now()
	parameters, err := queryOf(c)
	if err != nil {
		return err
	}
	page, err := read(c.Request().Context(), s.caller(c), parameters)
	if err != nil {
		return err
	}
	answer := pageAnswer{Items: page.Items, Meta: pageMeta{Count: len(page.Items), TookMS: time.Since(start).Milliseconds(), Total: page.Total}}
	if page.Next != "" {
		answer.NextCursor = &page.Next
		parameters.Set("cursor", page.Next)
		// Relative, so that it holds behind any proxy.
		c.Response().Header().Set("Link", "<"+c.Request().URL.EscapedPath()+"?"+parameters.Encode()+`>; rel="next"`)
	}
	return writeJSON(c, answer)
}

func (s *server) log(c echo.Context) error {
	return one(c, s.service.Event, s.caller(c))
}

func (s *server) alert(c echo.Context) error {
	return one(c, s.service.Alert, s.caller(c))
}

// one answers the thing whose id is in the path.
func one[T any](c echo.Context, read func(context.Context, queryapi.Scope, string) (*T, error), scope queryapi.Scope) error {
	if err := noParameters(c); err != nil {
		return err
	}
	id, err := pathID(c)
	if err != nil {
		return err
	}
	thing, err := read(c.Request().Context(), scope, id)
	if err != nil {
		return err
	}
	return writeJSON(c, thing)
}

// queryOf returns the parameters of the request.
func queryOf(c echo.Context) (url.Values, error) {
	parameters, err := url.ParseQuery(c.Request().URL.RawQuery)
	if err != nil {
		return nil, &queryapi.Error{Code: queryapi.CodeInvalid, Detail: "the query string is damaged: " + err.Error()}
	}
	return parameters, nil
}

// noParameters refuses parameters. The paths for operation (/livez, /readyz, /metrics) let them pass: probes and scrapers have habits of their own.
func noParameters(c echo.Context) error {
	parameters, err := queryOf(c)
	if err != nil {
		return err
	}
	return queryapi.RefuseParameters(parameters)
}

// pathID returns the id in the path. echo matches the escaped path, if it differs from the usual escaping, and does not unescape the parameter then.
func pathID(c echo.Context) (string, error) {
	id := c.Param("id")
	if c.Request().URL.RawPath == "" {
		return id, nil
	}
	id, err := url.PathUnescape(id)
	if err != nil {
		return "", &queryapi.Error{Code: queryapi.CodeInvalid, Detail: "the id in the path is damaged: " + err.Error()}
	}
	return id, nil
}

func writeJSON(c echo.Context, v any) error {
	c.Response().Header().Set(echo.HeaderContentType, "application/json")
	c.Response().WriteHeader(http.StatusOK)
	return ops.WriteJSON(c.Response(), v)
}
