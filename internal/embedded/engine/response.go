package engine

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// response writes the answer to one request in ClickHouse's form.
type response struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	version string
	req     *request
	started time.Time
	sent    bool // the head is out: an error can only follow in the body
}

func newResponse(w http.ResponseWriter, req *request, version, displayName string, timeout time.Duration) *response {
	h := w.Header()
	h.Set("X-ClickHouse-Server-Display-Name", displayName)
	h.Set("X-ClickHouse-Query-Id", req.queryID)
	h.Set("X-ClickHouse-Timezone", "UTC")
	h.Set("X-ClickHouse-Exception-Tag", req.tag)
	return &response{ResponseWriter: w, control: http.NewResponseController(w), timeout: timeout, version: version, req: req, started: time.Now()}
}

// Write sends a part of the body. A client that takes nothing for the time-out has gone.
func (w *response) Write(p []byte) (int, error) {
	w.sent = true
	_ = w.control.SetWriteDeadline(time.Now().Add(w.timeout))
	return w.ResponseWriter.Write(p)
}

// finish takes the time limit of the last write away from the connection's next request.
func (w *response) finish() { _ = w.control.SetWriteDeadline(time.Time{}) }

// summary says what a finished statement did.
func (w *response) summary(r result) {
	w.Header().Set("X-ClickHouse-Summary", fmt.Sprintf(
		`{"read_rows":"%d","read_bytes":"%d","written_rows":"%d","written_bytes":"%d","total_rows_to_read":"0","result_rows":"%d","result_bytes":"%d","elapsed_ns":"%d"}`,
		r.ReadRows, r.ReadBytes, r.WrittenRows, r.WrittenBytes, r.ResultRows, r.ResultBytes, time.Since(w.started).Nanoseconds()))
}

// format announces the output format.
func (w *response) format(name string) {
	w.Header().Set("X-ClickHouse-Format", name)
	w.Header().Set("Content-Type", contentType(name))
}

// whole sends a complete answer.
func (w *response) whole(body []byte) error {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, err := w.Write(body)
	return err
}

// stream sends a body of unknown length, each piece as soon as it is there.
func (w *response) stream(body io.Reader) error {
	buffer := make([]byte, copyBuffer)
	for {
		n, err := body.Read(buffer)
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return err
			}
			if err := w.control.Flush(); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// fail tells the client of err: as the answer, or in the body of one that is already under way; then the connection is cut as well, so that nobody takes
// the body for a whole one.
func (w *response) fail(err error) {
	var e *exception
	if !errors.As(err, &e) {
		e = newException(codeUnknownException, "%s", err)
	}
	if w.sent {
		_, _ = io.WriteString(w, e.inBandBlock(w.req.tag, w.version))
		_ = w.control.Flush()
		panic(http.ErrAbortHandler)
	}
	h := w.Header()
	h.Del("X-ClickHouse-Format")
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	h.Set("X-ClickHouse-Exception-Code", strconv.Itoa(e.Code))
	body := e.body(w.version)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(httpStatus(e.Code))
	_, _ = io.WriteString(w, body)
}

// contentType is what a ClickHouse server announces for an output format.
func contentType(format string) string {
	switch {
	case strings.HasPrefix(format, "JSONEachRow"), strings.HasPrefix(format, "JSONCompactEachRow"), strings.HasPrefix(format, "JSONCompactStringsEachRow"),
		strings.HasPrefix(format, "JSONStringsEachRow"), format == "JSONLines", format == "NDJSON":
		return "application/x-ndjson; charset=UTF-8"
	case strings.HasPrefix(format, "JSON"):
		return "application/json; charset=UTF-8"
	case strings.HasPrefix(format, "CSVWithNames"):
		return "text/csv; charset=UTF-8; header=present"
	case strings.HasPrefix(format, "CSV"):
		return "text/csv; charset=UTF-8; header=absent"
	case strings.HasPrefix(format, "TabSeparated"), strings.HasPrefix(format, "TSV"):
		return "text/tab-separated-values; charset=UTF-8"
	case format == "XML":
		return "application/xml; charset=UTF-8"
	case format == "Native", strings.HasPrefix(format, "RowBinary"), format == "Parquet", format == "ORC", format == "Avro", format == "RawBLOB",
		strings.HasPrefix(format, "Arrow"), format == "MsgPack", strings.HasPrefix(format, "Protobuf"), format == "CapnProto":
		return "application/octet-stream"
	default:
		return "text/plain; charset=UTF-8"
	}
}

// patientReader reads a body whose sender may pause, but not for longer than the time-out.
type patientReader struct {
	body    io.Reader
	control *http.ResponseController
	timeout time.Duration
}

func (p *patientReader) Read(b []byte) (int, error) {
	_ = p.control.SetReadDeadline(time.Now().Add(p.timeout))
	n, err := p.body.Read(b)
	if err != nil {
		// net/http keeps reading to notice a client that leaves: without a limit, or it would take every long statement for abandoned.
		_ = p.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
