package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	ch "github.com/ClickHouse/clickhouse-go/v2"
)

// Exception is an error that ClickHouse answered.
type Exception struct {
	// Code is ClickHouse's error code, 0 when the answer had none.
	Code    int
	Message string
	// Status is the HTTP status, 0 when unknown.
	Status int
}

func (e *Exception) Error() string {
	return fmt.Sprintf("clickhouse: %s (code %d)", strings.TrimSpace(e.Message), e.Code)
}

// Class says what to do about an error of an insert.
type Class int

// The classes.
const (
	// ClassRetry: the server or the way to it has a problem that passes. Unknown errors are of this class, so that nothing is ever dropped.
	ClassRetry Class = iota
	// ClassRefused: this block's content will be refused again and again.
	ClassRefused
	// ClassOperator: somebody must mend the server's tables, rights or settings; retried, with an alarm.
	ClassOperator
)

// String names the class, for logs and metric labels.
func (c Class) String() string {
	switch c {
	case ClassRefused:
		return "refused"
	case ClassOperator:
		return "operator"
	default:
		return "retry"
	}
}

// The codes are named in ClickHouse's src/Common/ErrorCodes.cpp.
var classes = map[int]Class{
	6:   ClassRefused, // CANNOT_PARSE_TEXT
	26:  ClassRefused, // CANNOT_PARSE_QUOTED_STRING
	27:  ClassRefused, // CANNOT_PARSE_INPUT_ASSERTION_FAILED
	33:  ClassRefused, // CANNOT_READ_ALL_DATA
	117: ClassRefused, // INCORRECT_DATA
	131: ClassRefused, // TOO_LARGE_STRING_SIZE
	321: ClassRefused, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE

	16:  ClassOperator, // NO_SUCH_COLUMN_IN_TABLE
	53:  ClassOperator, // TYPE_MISMATCH: the table has another type than the block, whatever the rows are
	60:  ClassOperator, // UNKNOWN_TABLE
	70:  ClassOperator, // CANNOT_CONVERT_TYPE: likewise
	81:  ClassOperator, // UNKNOWN_DATABASE
	115: ClassOperator, // UNKNOWN_SETTING
	192: ClassOperator, // UNKNOWN_USER
	193: ClassOperator, // WRONG_PASSWORD
	497: ClassOperator, // ACCESS_DENIED
	516: ClassOperator, // AUTHENTICATION_FAILED
}

const codeTooManyParts = 252

// Classify returns what to do about an error of an insert.
func Classify(err error) Class {
	var e *Exception
	if !errors.As(err, &e) {
		return ClassRetry
	}
	// The same code says "merges are behind", which passes, and "this block spans too many partitions", which does not.
	if e.Code == codeTooManyParts && strings.Contains(e.Message, "partitions for single INSERT block") {
		return ClassRefused
	}
	return classes[e.Code]
}

// wrap turns the driver's errors into ours, so that callers know one type.
func wrap(err error) error {
	var e *ch.Exception
	if errors.As(err, &e) {
		return &Exception{Code: int(e.Code), Message: e.Message}
	}
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("clickhouse: %w", err)
}

var codeText = regexp.MustCompile(`^Code: (\d+)\. `)

// exceptionOf reads an error answer of the HTTP interface.
func exceptionOf(res *http.Response, body string) *Exception {
	code, _ := strconv.Atoi(res.Header.Get("X-ClickHouse-Exception-Code"))
	if m := codeText.FindStringSubmatch(body); code == 0 && m != nil {
		code, _ = strconv.Atoi(m[1])
	}
	return &Exception{Code: code, Message: body, Status: res.StatusCode}
}
