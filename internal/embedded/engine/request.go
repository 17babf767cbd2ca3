package engine

import (
	"crypto/rand"
	"encoding/hex"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// maxQueryText bounds a statement that must be in memory before it runs. The data of an INSERT is not part of it.
const maxQueryText = 16 << 20

// insertHeadLimit is how far into a body the data of an INSERT may begin for the rest to be streamed.
const insertHeadLimit = 64 << 10

// request is what an HTTP request asks for.
type request struct {
	mark     string // unique, see database.newSession
	queryID  string
	database string
	format   string // for results, when the statement names none
	settings []pair
	params   []pair
	text     string    // the statement, or its beginning
	body     io.Reader // the rest; read to its end only for statements that are executed
	readOnly bool      // by the HTTP method
	buffered bool      // wait_end_of_query
	protocol int       // client_protocol_version; 0 when not given
	tag      string    // of an in-band exception
}

// parseRequest reads the URL and the headers.
func parseRequest(r *http.Request) (*request, error) {
	req := &request{mark: uuid.NewString(), format: "TabSeparated", database: "default", body: r.Body, readOnly: r.Method != http.MethodPost, tag: newTag()}
	req.queryID = req.mark
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return req, newException(codeUnknownCompression, "The embedded engine does not decompress requests (Content-Encoding: %s)", encoding)
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") {
		return req, newException(codeNotImplemented, "The embedded engine does not support external tables (multipart/form-data)")
	}
	if v := r.Header.Get("X-ClickHouse-Database"); v != "" {
		req.database = v
	}
	if v := r.Header.Get("X-ClickHouse-Format"); v != "" {
		req.format = v
	}
	// ClickHouse takes a bare semicolon in a value, Go's parser does not.
	values, err := url.ParseQuery(strings.ReplaceAll(r.URL.RawQuery, ";", "%3B"))
	if err != nil {
		return req, newException(codeBadArguments, "Cannot parse the URL parameters: %s", err)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if err := req.take(name, values[name][len(values[name])-1]); err != nil {
			return req, err
		}
	}
	return req, nil
}

// take puts one URL parameter where it belongs. What has no other meaning is a setting.
func (req *request) take(name, value string) error {
	switch name {
	case "query":
		req.text = value
	case "database":
		req.database = value
	case "default_format":
		req.format = value
	case "query_id":
		if value != "" {
			req.queryID = value
		}
	case "wait_end_of_query":
		req.buffered = value == "1" || value == "true"
	case "client_protocol_version":
		version, err := strconv.Atoi(value)
		if err != nil {
			return newException(codeBadArguments, "client_protocol_version is not a number: %s", value)
		}
		req.protocol = version
	case "compress", "decompress":
		if value == "1" || value == "true" {
			return newException(codeNotImplemented, "The embedded engine does not support %s=1", name)
		}
	case "user", "password", "role", "quota_key", "stacktrace", "buffer_size", "session_id", "session_timeout", "session_check", "close_session":
		// No users, no sessions, one size of buffer.
	default:
		if param, ok := strings.CutPrefix(name, "param_"); ok {
			req.params = append(req.params, pair{param, value})
			return nil
		}
		req.settings = append(req.settings, pair{name, value})
	}
	return nil
}

// readText completes the statement from the body, except for an INSERT whose data can be streamed: then the rest of the body stays unread.
func (req *request) readText() error {
	if req.text != "" {
		if req.streamsInsert() {
			return nil
		}
		return req.readRest(req.text+"\n", maxQueryText)
	}
	if err := req.readRest("", insertHeadLimit); err != nil || len(req.text) < insertHeadLimit || req.streamsInsert() {
		return err
	}
	return req.readRest(req.text, maxQueryText)
}

func (req *request) streamsInsert() bool {
	if !isInsert(req.text) {
		return false
	}
	_, ok, _ := parseInsert(req.text)
	return ok
}

// readRest sets the text to prefix and what follows in the body, up to limit bytes of it. More is an error when limit is the largest that is taken. A body
// that ends before its announced end is an error too: half a statement is another statement.
func (req *request) readRest(prefix string, limit int64) error {
	rest, err := io.ReadAll(io.LimitReader(req.body, limit))
	if err != nil {
		return bodyError(err)
	}
	if limit == maxQueryText && int64(len(rest)) == limit {
		return newException(codeQueryIsTooLarge, "Statement is too large: more than %d bytes without the data of an INSERT that can be streamed", limit)
	}
	req.text = prefix + string(rest)
	return nil
}

func bodyError(err error) error {
	return newException(codeNetworkError, "Cannot read all of the request's body: %s", err)
}

// newTag makes the random tag by which a client tells an in-band exception from data.
func newTag() string {
	var b [exceptionTagLength / 2]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// checkOrigin refuses requests that a web page made a browser on this machine send: by a name that resolves to loopback (rebinding), or from a foreign page.
func checkOrigin(r *http.Request) error {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if !isLoopback(strings.Trim(host, "[]")) {
		return newException(codeAccessDenied, "The embedded engine serves this machine only: Host %s is not a loopback name", r.Host)
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		if u, err := url.Parse(origin); err != nil || !isLoopback(u.Hostname()) {
			return newException(codeAccessDenied, "The embedded engine does not serve the web page of %s", origin)
		}
	}
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		return newException(codeAccessDenied, "The embedded engine does not serve foreign web pages")
	}
	return nil
}

func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
