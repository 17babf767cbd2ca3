package queryapi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/audittrail/audittrail/internal/clickhouse"
)

// Code says what kind of problem an Error is. The list is closed; package queryapi/http gives each one its status.
type Code string

// The codes.
const (
	// CodeInvalid: the request is wrong and will be wrong again.
	CodeInvalid Code = "invalid_parameter"
	// CodeNotFound: there is no such thing in the caller's scope.
	CodeNotFound Code = "not_found"
	// CodeMethod: the path does not know that method.
	CodeMethod Code = "method_not_allowed"
	// CodeForeignHost and CodeCrossSite: the request came from a web page of somebody else.
	CodeForeignHost Code = "foreign_host"
	CodeCrossSite   Code = "cross_site"
	// CodeTooLarge: the request is too large.
	CodeTooLarge Code = "request_too_large"
	// CodeTooExpensive: the search reads or keeps more than the server grants. Narrow it.
	CodeTooExpensive Code = "too_expensive"
	// CodeTimeout: the search took too long.
	CodeTimeout Code = "timeout"
	// CodeBusy: too many requests at once; try again.
	CodeBusy Code = "busy"
	// CodeUnavailable: ClickHouse cannot be reached; try again.
	CodeUnavailable Code = "unavailable"
	// CodeCanceled: the caller hung up.
	CodeCanceled Code = "canceled"
	// CodeInternal: our fault.
	CodeInternal Code = "internal"
)

// Error is every error of this package's searches. Its text is for the caller; the cause is for the log.
type Error struct {
	Code   Code
	Detail string
	// Parameters are the parameters at fault, of CodeInvalid.
	Parameters []ParameterError
	cause      error
}

// ParameterError says what is wrong with one parameter of a request.
type ParameterError struct {
	Parameter string `json:"parameter"`
	Detail    string `json:"detail"`
}

func (e *Error) Error() string {
	parts := []string{e.Detail}
	for _, p := range e.Parameters[min(1, len(e.Parameters)):] { // the first is in the detail
		parts = append(parts, p.Parameter+": "+p.Detail)
	}
	if e.cause != nil {
		parts = append(parts, e.cause.Error())
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// invalid is the error of a request with these parameters wrong. Its detail alone says what is wrong with the first.
func invalid(parameters ...ParameterError) *Error {
	detail := parameters[0].Parameter + ": " + parameters[0].Detail
	if more := len(parameters) - 1; more > 0 {
		detail = fmt.Sprintf("%d parameters are wrong: %s (and %d more)", more+1, detail, more)
	}
	return &Error{Code: CodeInvalid, Detail: detail, Parameters: parameters}
}

// RefuseParameters is for a path without parameters: an error that names each one that was given, nil without any.
func RefuseParameters(given url.Values) error {
	var wrong []ParameterError
	for _, name := range slices.Sorted(maps.Keys(given)) {
		wrong = append(wrong, ParameterError{name, "there is no such parameter: this path has none"})
	}
	if len(wrong) == 0 {
		return nil
	}
	return invalid(wrong...)
}

// ClickHouse's error codes that are about the search, from its src/Common/ErrorCodes.cpp.
var searchErrors = map[int]Code{
	158: CodeTooExpensive, // TOO_MANY_ROWS
	159: CodeTimeout,      // TIMEOUT_EXCEEDED
	160: CodeTooExpensive, // TOO_SLOW
	191: CodeTooExpensive, // SET_SIZE_LIMIT_EXCEEDED
	202: CodeBusy,         // TOO_MANY_SIMULTANEOUS_QUERIES
	241: CodeTooExpensive, // MEMORY_LIMIT_EXCEEDED
	307: CodeTooExpensive, // TOO_MANY_BYTES
	394: CodeCanceled,     // QUERY_WAS_CANCELLED
	396: CodeTooExpensive, // TOO_MANY_ROWS_OR_BYTES
}

var searchDetails = map[Code]string{
	CodeTooExpensive: "the search needs more memory or reads more than the server allows: narrow it, for example with from and to",
	CodeTimeout:      "the search took too long and was stopped: narrow it, for example with from and to",
	CodeBusy:         "too many searches at once",
	CodeUnavailable:  "the database cannot be reached",
	CodeCanceled:     "the request was given up",
	CodeInternal:     "the search failed",
}

// failed turns an error of ClickHouse, or of the way to it, into an Error.
func failed(err error) *Error {
	code := CodeUnavailable
	var e *clickhouse.Exception
	switch {
	case errors.Is(err, context.Canceled):
		code = CodeCanceled
	case errors.Is(err, context.DeadlineExceeded):
		code = CodeTimeout
	case errors.As(err, &e):
		code = CodeInternal
		if c, ok := searchErrors[e.Code]; ok {
			code = c
		}
	}
	return &Error{Code: code, Detail: searchDetails[code], cause: err}
}
