package engine

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"

	"github.com/ClickHouse/ch-go/proto"
)

const (
	// sendBuffer is how much of a result is held back, so that an error in it still becomes a status; ClickHouse's default as well.
	sendBuffer = 1 << 20
	// waitBuffer is the same for a request with wait_end_of_query. A result beyond it is streamed.
	waitBuffer = 64 << 20
	copyBuffer = 256 << 10
)

// serveHTTP routes one request.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	// stop takes the lock for ever: a request that comes then is cut off.
	if !s.life.TryRLock() {
		panic(http.ErrAbortHandler)
	}
	defer s.life.RUnlock()
	if err := checkOrigin(r); err != nil {
		newResponse(w, &request{}, s.db.version, s.o.DisplayName, s.o.IOTimeout).fail(err)
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost:
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "Method not allowed", http.StatusMethodNotAllowed)
		return
	}
	switch r.URL.Path {
	case "/", "/query":
		s.serveQuery(w, r)
	case "/ping", "/replicas_status":
		_, _ = io.WriteString(w, "Ok.\n")
	default:
		http.Error(w, fmt.Sprintf("There is no handle %s", r.URL.Path), http.StatusNotFound)
	}
}

func (s *Server) serveQuery(w http.ResponseWriter, r *http.Request) {
	req, err := parseRequest(r)
	out := newResponse(w, req, s.db.version, s.o.DisplayName, s.o.IOTimeout)
	defer out.finish()
	if r.Body != http.NoBody {
		req.body = &patientReader{body: r.Body, control: out.control, timeout: s.o.IOTimeout}
	}
	if err == nil {
		err = s.execute(r.Context(), out, req)
	}
	if err != nil {
		out.fail(err)
	}
}

// execute runs the statement of one request in a session of its own.
func (s *Server) execute(ctx context.Context, out *response, req *request) error {
	if err := s.admitted.enter(ctx); err != nil {
		return err
	}
	defer s.admitted.leave()
	if err := req.readText(); err != nil {
		return err
	}
	if (&lexer{text: req.text}).next().kind == tokenEnd {
		if req.readOnly {
			return out.whole([]byte("Ok.\n"))
		}
		return newException(codeSyntaxError, "Syntax error: empty query")
	}
	if req.protocol > 0 && strings.TrimSpace(req.text) == helloQuery {
		return s.hello(out, req)
	}
	session, err := s.db.newSession(req.mark, req.queryID, s.o.MemoryLimit, req.settings, req.database)
	if err != nil {
		return err
	}
	defer session.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	run, err := s.choose(session, req)
	if err != nil {
		return err
	}
	defer s.db.killWhenDone(ctx, req.mark)()
	return run(ctx, cancel, out, session, req)
}

// execution runs one kind of statement. cancel ends ctx, which kills the statement.
type execution func(ctx context.Context, cancel context.CancelFunc, out *response, session *session, req *request) error

// choose finds out how a statement must be run, and refuses what a ClickHouse server does not execute for an HTTP client.
func (s *Server) choose(session *session, req *request) (execution, error) {
	if isInsert(req.text) {
		switch _, streamed, fromFile := parseInsert(req.text); {
		case req.readOnly:
			return nil, errReadOnly()
		case fromFile:
			return nil, newException(codeSyntaxError, "Query has infile and was send directly to server")
		case streamed:
			return s.insert, nil
		}
	}
	switch c := s.db.lib.classifyQuery(connectionOf(session.handle), req.text); {
	case c.Statements > 1:
		return nil, newException(codeSyntaxError, "Syntax error (Multi-statements are not allowed)")
	case parseRead(req.text).IntoFile:
		return nil, newException(codeIntoOutfileNotAllowed, "INTO OUTFILE is not allowed")
	case c.Class == classReadOnly:
		return s.read, nil
	case c.Class == classUnknown && c.Statements == 0: // the engine's parser says what is wrong with it
		return s.plain, nil
	case req.readOnly:
		return nil, errReadOnly()
	default:
		return s.plain, nil
	}
}

func errReadOnly() error {
	return newException(codeReadonly, "Cannot execute query in readonly mode. "+
		"For queries over HTTP, method GET implies readonly. You should use method POST for modifying queries")
}

// plain runs a statement whose output is small: DDL, INSERT … SELECT, KILL, SYSTEM.
func (s *Server) plain(_ context.Context, _ context.CancelFunc, out *response, session *session, req *request) error {
	r, err := session.query(req.text, req.format, req.params)
	if err != nil {
		return err
	}
	out.format(req.format)
	out.summary(r)
	return out.whole(r.Body)
}

// insert streams the body into the engine, which sees it as one run of bytes: how the network cuts it does not matter to blocks and parts. Only a body
// that came to its announced end is committed.
func (s *Server) insert(_ context.Context, _ context.CancelFunc, out *response, session *session, req *request) error {
	stmt, _, _ := parseInsert(req.text)
	in, err := session.insert(stmt.Head, stmt.Format, req.params)
	if err != nil {
		return err
	}
	data := io.MultiReader(strings.NewReader(stmt.Data), req.body)
	buffer := make([]byte, copyBuffer)
	for {
		n, readErr := data.Read(buffer)
		if err := in.append(buffer[:n]); err != nil {
			in.cancel()
			return err
		}
		if readErr == io.EOF {
			break
		}
		if readErr != nil {
			in.cancel()
			return bodyError(readErr)
		}
	}
	r, err := in.commit()
	if err != nil {
		return err
	}
	out.format(stmt.Format)
	out.summary(r)
	return out.whole(nil)
}

var formatName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)

// read runs a statement that returns rows. The engine writes its output into a pipe, as its own client does with INTO OUTFILE: that is the one way to get
// every format right, streamed, and at the pace of the reader. (The streaming calls of libchdb format each block as a document of its own.)
func (s *Server) read(_ context.Context, cancel context.CancelFunc, out *response, session *session, req *request) error {
	stmt := parseRead(req.text)
	format := cmp.Or(stmt.Format, req.format)
	if !formatName.MatchString(format) {
		return &exception{Code: 73, Text: fmt.Sprintf("Code: 73. DB::Exception: Unknown format %s. (UNKNOWN_FORMAT)", format)}
	}
	from, to, err := os.Pipe()
	if err != nil {
		return newException(codeUnknownException, "Cannot make a pipe: %s", err)
	}
	defer from.Close()
	sql := fmt.Sprintf("%s\nINTO OUTFILE '/dev/fd/%d' APPEND FORMAT %s\n%s", stmt.Head, to.Fd(), format, stmt.Settings)
	finished := make(chan error, 1)
	var r result
	go func() {
		var err error
		r, err = session.query(sql, format, req.params)
		_ = to.Close()
		finished <- err
	}()
	limit := int64(sendBuffer)
	if req.buffered {
		limit = waitBuffer
	}
	var head bytes.Buffer
	if _, err := io.CopyN(&head, from, limit); err == io.EOF {
		if err := <-finished; err != nil {
			return err
		}
		out.format(format)
		out.summary(r)
		return out.whole(head.Bytes())
	}
	out.format(format)
	sent := out.stream(io.MultiReader(&head, from))
	if sent != nil {
		cancel()
		_, _ = io.Copy(io.Discard, from) // the engine must not wait for a reader that has gone
	}
	if err := <-finished; err != nil {
		return err
	}
	return sent
}

// helloQuery is what clickhouse-go asks first, to learn at which protocol revision results are encoded.
const helloQuery = "SELECT displayName(), version(), revision(), timezone()"

// hello answers helloQuery with revision 0, at which libchdb writes Native; only this one answer is encoded at the client's own revision.
func (s *Server) hello(out *response, req *request) error {
	name, version, zone := new(proto.ColStr), new(proto.ColStr), new(proto.ColStr)
	name.Append(s.db.displayName)
	version.Append(s.db.version)
	zone.Append("UTC")
	block := proto.Block{Columns: 4, Rows: 1, Info: proto.BlockInfo{BucketNum: -1}}
	var b proto.Buffer
	err := block.EncodeBlock(&b, req.protocol, []proto.InputColumn{
		{Name: "displayName()", Data: name}, {Name: "version()", Data: version}, {Name: "revision()", Data: proto.ColUInt32{0}}, {Name: "timezone()", Data: zone},
	})
	if err != nil {
		return newException(codeUnknownException, "Cannot encode the server's version: %s", err)
	}
	out.format("Native")
	return out.whole(b.Buf)
}
