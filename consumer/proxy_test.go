package consumer

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/schemas/audit"
)

// faultyProxy stands between the consumer and the real engine and spoils inserts.
type faultyProxy struct {
	*httptest.Server
	next *httputil.ReverseProxy

	// query, unless nil, is asked for each statement that is no insert.
	query func(sql string) fault

	mu sync.Mutex
	// spoil is asked for each insert; it returns nil to let it pass.
	spoil func(table string, body []byte) fault
	hits  int
}

// fault deals with a request in place of the engine.
type fault func(p *faultyProxy, w http.ResponseWriter, r *http.Request)

// proxied puts a proxy before the world's engine.
func (w *world) proxied(spoil func(table string, body []byte) fault) *faultyProxy {
	w.t.Helper()
	target, err := url.Parse(w.url)
	if err != nil {
		w.t.Fatal(err)
	}
	p := &faultyProxy{next: httputil.NewSingleHostReverseProxy(target), spoil: spoil}
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	w.t.Cleanup(p.Close)
	w.url = p.URL
	ch, err := clickhouse.New(clickhouse.Options{URLs: []string{p.URL}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { ch.Close() })
	w.ch = ch
	return p
}

func (p *faultyProxy) serve(w http.ResponseWriter, r *http.Request) {
	r.Host = "127.0.0.1"
	table, insert := strings.CutPrefix(r.URL.Query().Get("query"), "INSERT INTO audit.")
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	if !insert {
		if p.query != nil {
			if f := p.query(string(body)); f != nil {
				f(p, w, r)
				return
			}
		}
		p.next.ServeHTTP(w, r)
		return
	}
	table, _, _ = strings.Cut(table, " ")
	p.mu.Lock()
	f := p.spoil(table, body)
	if f != nil {
		p.hits++
	}
	p.mu.Unlock()
	if f == nil {
		p.next.ServeHTTP(w, r)
		return
	}
	f(p, w, r)
}

func (p *faultyProxy) struck() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hits
}

// times spoils the first n inserts into the table.
func times(n int, table string, f fault) func(string, []byte) fault {
	return func(t string, _ []byte) fault {
		if t != table || n == 0 {
			return nil
		}
		n--
		return f
	}
}

func answer(status int, code, text string) fault {
	return func(_ *faultyProxy, w http.ResponseWriter, _ *http.Request) {
		if code != "" {
			w.Header().Set("X-ClickHouse-Exception-Code", code)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
}

func hangUp(w http.ResponseWriter) {
	if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
		conn.Close()
	}
}

// lost lets the engine do the insert and cuts the connection before its answer.
func lost(p *faultyProxy, w http.ResponseWriter, r *http.Request) {
	p.next.ServeHTTP(httptest.NewRecorder(), r)
	hangUp(w)
}

func cut(_ *faultyProxy, w http.ResponseWriter, _ *http.Request) { hangUp(w) }

// cutBody sends the engine half of the block and hangs up.
func cutBody(p *faultyProxy, w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	out := r.Clone(r.Context())
	out.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:len(body)/2]), brokenReader{}))
	out.ContentLength = int64(len(body))
	rec := httptest.NewRecorder()
	func() {
		defer func() { _ = recover() }() // the proxy panics to abort a broken request
		p.next.ServeHTTP(rec, out)
	}()
	hangUp(w)
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func hang(_ *faultyProxy, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func TestFaultsOfClickHouseAreSurvived(t *testing.T) {
	for name, f := range map[string]fault{
		"500 without a code":                  answer(500, "", "boom"),
		"503":                                 answer(503, "", "try later"),
		"too many parts":                      answer(500, "252", "Code: 252. DB::Exception: Too many parts (300). (TOO_MANY_PARTS)"),
		"memory":                              answer(500, "241", "Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)"),
		"unknown table":                       answer(404, "60", "Code: 60. DB::Exception: Table does not exist. (UNKNOWN_TABLE)"),
		"an unknown code":                     answer(500, "9999", "Code: 9999. DB::Exception: never heard of"),
		"200 with an exception in the body":   answer(200, "", "Code: 241. DB::Exception: Memory limit exceeded"),
		"200 with an exception in the header": answer(200, "241", ""),
		"200 and nothing written":             answer(200, "", ""),
		"connection cut":                      cut,
		"body cut":                            cutBody,
		"answer lost":                         lost,
		"hanging":                             hang,
	} {
		for _, table := range []string{"events", "quarantine", "ledger"} {
			t.Run(name+"/"+table, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, 1)
				w.produce(0, 40)
				w.produceRaw("{")
				w.produce(40, 80)
				p := w.proxied(times(2, table, f))
				opt := w.options()
				opt.InsertTimeout = time.Second
				c := w.consumed(opt)
				if p.struck() == 0 {
					t.Fatal("the fault never struck")
				}
				w.exactly(80, 1, 0)
				if n := testutil.ToFloat64(c.m.inserts.WithLabelValues(table, "ok")); n == 0 {
					t.Error("no insert succeeded")
				}
			})
		}
	}
}

// TestRefusedRowOfAReplayEndsInQuarantineAlone: what a replay finds stored is no reason to leave the rest undivided.
func TestRefusedRowOfAReplayEndsInQuarantineAlone(t *testing.T) {
	w := newWorld(t, 1)
	for i := range 100 {
		e := w.event(i)
		if i == 63 {
			e.Message = "poison in a row"
		}
		w.produceEvents(e)
	}
	w.storeOnly(w.options(), 50)
	p := w.proxied(func(table string, body []byte) fault {
		if table == "events" && bytes.Contains(body, []byte("poison")) {
			return answer(400, "117", "Code: 117. DB::Exception: Incorrect data. (INCORRECT_DATA)")
		}
		return nil
	})
	today := time.Now().UTC().Truncate(24 * time.Hour)
	w.commit(0, w.planOf(0, audit.DecoderVersion, plannedRange{First: 0, End: 100, Day: today, Replay: 1}))
	w.consumed(w.shortIntents())
	if p.struck() == 0 {
		t.Fatal("nothing was refused")
	}
	s := w.state()
	if s.Events != 99 || s.Offsets != 99 || s.Quarantined != 1 || s.Minute != 99 || s.Hour != 99 {
		t.Errorf("ClickHouse has %+v, want 99 events and 1 in quarantine", s)
	}
	if r := w.verify(VerifyOptions{}); !r.OK() {
		t.Errorf("verification finds %+v", r.Findings)
	}
}

func TestRefusedRowsEndInQuarantineAlone(t *testing.T) {
	w := newWorld(t, 1)
	var want uint64
	for i := range 200 {
		e := w.event(i)
		if i%67 == 5 {
			e.Message = "poison in a row"
			want++
		}
		w.produceEvents(e)
	}
	p := w.proxied(func(table string, body []byte) fault {
		if table == "events" && bytes.Contains(body, []byte("poison")) {
			return answer(400, "117", "Code: 117. DB::Exception: Incorrect data. (INCORRECT_DATA)")
		}
		return nil
	})
	c := w.consumed(w.options())
	if p.struck() == 0 {
		t.Fatal("nothing was refused")
	}
	w.exactly(200-want, want, 0)
	if n := w.count("SELECT count() FROM audit.quarantine WHERE src_topic_id = {topic:UUID} AND stage = 'insert' AND reason = 'refused' AND position(raw, 'poison') > 0"); n != want {
		t.Errorf("%d rows are in quarantine as refused, want %d", n, want)
	}
	if n := testutil.ToFloat64(c.m.divided); n == 0 {
		t.Error("no range was divided")
	}
	if r := w.verify(VerifyOptions{}); !r.OK() {
		t.Errorf("verification finds %+v", r.Findings)
	}
}

// TestViewThatFailsLeavesTheRestToARepeat: the rows are in, a rollup is not. The same block under the same token completes it, also when another owner sends
// it.
func TestViewThatFailsLeavesTheRestToARepeat(t *testing.T) {
	for name, hand := range map[string]bool{"same owner": false, "next owner": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1)
			view := "audit.mv_faulty_" + strings.ReplaceAll(w.tenant, "-", "_")
			// Its name comes before those of the rollups' views: one of them at least is not filled.
			w.exec("CREATE MATERIALIZED VIEW " + view + " ENGINE = Null AS SELECT throwIf(CAST(tenant, 'String') = '" + w.tenant + "') AS x FROM audit.events")
			drop := sync.OnceFunc(func() { w.exec("DROP VIEW " + view) })
			defer drop()
			w.produce(0, 50)
			c := w.start(w.options())
			eventually(t, "the view to fail", func() bool { return testutil.ToFloat64(c.m.retries.WithLabelValues(w.topic())) > 0 })
			if s := w.state(); s.Events != 50 || s.Minute+s.Hour == 100 {
				t.Errorf("with the view failing ClickHouse has %+v, want the events without one of the rollups", s)
			}
			if hand {
				c.stop(t)
			}
			drop()
			if hand {
				c = w.start(w.options())
			}
			w.settled(DefaultGroup)
			c.stop(t)
			w.exactly(50, 0, 0)
		})
	}
}

// TestChangedColumnIsNoFaultOfTheRows: somebody has changed a column's type. All rows are refused alike: that is for an operator, not for the quarantine.
func TestChangedColumnIsNoFaultOfTheRows(t *testing.T) {
	w := newWorld(t, 1)
	w.produce(0, 16)
	w.exec("ALTER TABLE audit.events MODIFY COLUMN request_status UInt32")
	mend := sync.OnceFunc(func() { w.exec("ALTER TABLE audit.events MODIFY COLUMN request_status UInt16") })
	defer mend()
	c := w.start(w.options())
	eventually(t, "the alarm", func() bool { return testutil.ToFloat64(c.m.inserts.WithLabelValues("events", "operator")) >= 2 })
	w.exactly(0, 0, 0)
	mend()
	w.settled(DefaultGroup)
	c.stop(t)
	w.exactly(16, 0, 0)
}
