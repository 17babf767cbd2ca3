package engine

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// exception is an error in ClickHouse's own form: its text is the body of a failed request.
type exception struct {
	Code int
	Text string // "Code: 60. DB::Exception: … (UNKNOWN_TABLE)"
}

func (e *exception) Error() string { return e.Text }

// Errors that this server raises itself, with ClickHouse's codes.
const (
	codeCannotReadAllData     = 33
	codeBadArguments          = 36
	codeNotImplemented        = 48
	codeSyntaxError           = 62
	codeUnknownCompression    = 89
	codeUnknownSetting        = 115
	codeReadonly              = 164
	codeTooManyQueries        = 202
	codeNetworkError          = 210
	codeIntoOutfileNotAllowed = 358
	codeQueryIsTooLarge       = 229
	codeQueryWasCancelled     = 394
	codeAccessDenied          = 497
	codeUnknownException      = 1002
)

// codeName is the symbolic name of one of the codes above.
func codeName(code int) string {
	switch code {
	case codeCannotReadAllData:
		return "CANNOT_READ_ALL_DATA"
	case codeBadArguments:
		return "BAD_ARGUMENTS"
	case codeNotImplemented:
		return "NOT_IMPLEMENTED"
	case codeSyntaxError:
		return "SYNTAX_ERROR"
	case codeUnknownCompression:
		return "UNKNOWN_COMPRESSION_METHOD"
	case codeUnknownSetting:
		return "UNKNOWN_SETTING"
	case codeReadonly:
		return "READONLY"
	case codeTooManyQueries:
		return "TOO_MANY_SIMULTANEOUS_QUERIES"
	case codeNetworkError:
		return "NETWORK_ERROR"
	case codeIntoOutfileNotAllowed:
		return "INTO_OUTFILE_NOT_ALLOWED"
	case codeQueryIsTooLarge:
		return "QUERY_IS_TOO_LARGE"
	case codeQueryWasCancelled:
		return "QUERY_WAS_CANCELLED"
	case codeAccessDenied:
		return "ACCESS_DENIED"
	default:
		return "UNKNOWN_EXCEPTION"
	}
}

// newException makes an error of this server, in the form of the engine's.
func newException(code int, format string, args ...any) *exception {
	return &exception{Code: code, Text: fmt.Sprintf("Code: %d. DB::Exception: %s. (%s)", code, fmt.Sprintf(format, args...), codeName(code))}
}

// parseException reads the text of an engine error. Text that does not begin with a code keeps all its words under code 1002.
func parseException(text string) *exception {
	if rest, ok := strings.CutPrefix(text, "Code: "); ok {
		if digits, _, ok := strings.Cut(rest, "."); ok {
			if code, err := strconv.Atoi(digits); err == nil && code > 0 {
				return &exception{Code: code, Text: text}
			}
		}
	}
	return newException(codeUnknownException, "%s", text)
}

// httpStatus is the status that a ClickHouse server answers with for an error code.
func httpStatus(code int) int {
	switch code {
	case 194:
		return http.StatusUnauthorized
	case 192, 193, codeAccessDenied, 512, 516:
		return http.StatusForbidden
	case 6, 8, 15, 25, 26, 27, codeBadArguments, 37, 38, 41, 44, 53, codeSyntaxError, 72, 117, 123, 167, 168, 223, 321, 376, 427, 441, 675, 676:
		return http.StatusBadRequest
	case 46, 47, 50, 56, 60, 63, 73, 78, 81, codeUnknownSetting, 152, 336, 511:
		return http.StatusNotFound
	case 159:
		return http.StatusRequestTimeout
	case codeQueryIsTooLarge:
		return http.StatusRequestEntityTooLarge
	case 439, 76, 209:
		return http.StatusServiceUnavailable
	case 381:
		return http.StatusLengthRequired
	case 779:
		return http.StatusUnsupportedMediaType
	case codeNotImplemented:
		return http.StatusNotImplemented
	default:
		return http.StatusInternalServerError
	}
}

// body is the text of an error response.
func (e *exception) body(version string) string {
	text := strings.TrimRight(e.Text, "\n")
	if !strings.Contains(text, "(version ") {
		text += " (version " + version + ")"
	}
	return text + "\n"
}

// exceptionTagLength is fixed by the protocol; so are the markers.
const exceptionTagLength = 16

// inBandBlock is how a server tells of an error in a body whose head is already sent (ClickHouse 25.11 and later, and what its clients look for).
func (e *exception) inBandBlock(tag, version string) string {
	const marker = "\r\n__exception__\r\n"
	text := e.body(version)
	return fmt.Sprintf("%s%s\r\n%s%d %s%s", marker, tag, text, len(text), tag, marker)
}
