package queryapi

import (
	"context"
	"encoding/json"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/internal/filter"
	"github.com/audittrail/audittrail/queryapi/internal/testtrail"
	"github.com/audittrail/audittrail/schemas/audit"
)

// evil are texts that would end a literal, a placeholder, an escape or a pattern, if any of them were ever put together with SQL.
var evil = []string{
	`' OR 1=1 --`, `"; DROP TABLE audit.events; --`, `{p0:String}`, `{after:Int64}`, `\`, `\'`, `\\N`, `\N`, "tab\there", "line\nbreak", "nul\x00byte",
	`%`, `_`, `back` + "`" + `tick`, `😀 ünïcödé`, `a=b&c=d`, `NULL`, `$1`, `?`, `/* */`,
}

// story are the events of TestEventFilters, oldest first.
func story() []testtrail.Row {
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes-100) * time.Minute) }
	events := []audit.Event{
		{
			ID: "login", Time: at(0), Tenant: "default", Action: "auth.login", Category: audit.CategoryAuth, Outcome: audit.OutcomeSuccess,
			Actor: audit.Actor{Type: audit.ActorUser, ID: "7", Name: "ana"}, Source: audit.Source{IP: netip.MustParseAddr("10.1.2.3")}, SessionID: "s1",
			Service: audit.Service{Name: "portal"}, Message: "Ana logged in",
		},
		{
			ID: "wrong", Time: at(10), Tenant: "default", Action: "auth.login", Category: audit.CategoryAuth, Outcome: audit.OutcomeFailure, Severity: audit.SeverityMedium,
			Actor: audit.Actor{Type: audit.ActorAnonymous, Name: "7"}, Source: audit.Source{IP: netip.MustParseAddr("10.1.9.9")},
			Service: audit.Service{Name: "portal"}, Message: "Wrong password for 7",
		},
		{
			ID: "denied", Time: at(20), Tenant: "acme", Action: "auth.login", Category: audit.CategoryAuth, Outcome: audit.OutcomeDenied, Severity: audit.SeverityHigh,
			Actor: audit.Actor{Type: audit.ActorUser, ID: "8", Name: "bob"}, Source: audit.Source{IP: netip.MustParseAddr("2001:db8::1")},
			Service: audit.Service{Name: "portal"}, Message: "Login denied",
		},
		{
			ID: "read", Time: at(30), Tenant: "acme", Action: "record.read", Category: audit.CategoryData, Outcome: audit.OutcomeSuccess,
			Actor: audit.Actor{Type: audit.ActorUser, ID: "8", Name: "bob"}, Targets: []audit.Target{{Type: "invoice", ID: "1"}, {Type: "invoice", ID: "2"}},
			Service: audit.Service{Name: "billing"}, Request: audit.Request{ID: "r1", Status: 200}, TraceID: "t1",
			Metadata: audit.Metadata{{Key: "team", Value: "x y"}},
		},
		{
			ID: "export", Time: at(40), Tenant: "acme", Action: "data.export", Category: audit.CategoryData, Outcome: audit.OutcomeError, Severity: audit.SeverityCritical,
			Actor: audit.Actor{Type: audit.ActorService, ID: "cron"}, Targets: []audit.Target{{Type: "report", ID: "9"}}, Service: audit.Service{Name: "billing"},
		},
	}
	rows := make([]testtrail.Row, len(events))
	for i, e := range events {
		rows[i] = testtrail.Row{Partition: int32(i % 2), Offset: int64(i), Event: e}
	}
	return rows
}

func TestEventFilters(t *testing.T) {
	client := testtrail.Open(t)
	s := newService(t, Options{ClickHouse: client, Now: clock})
	testtrail.InsertEvents(t, client, story()...)
	for query, want := range map[string]string{
		"":                                  "export read denied wrong login",
		"order=asc":                         "login wrong denied read export",
		"order=desc&limit=2":                "export read",
		"action=auth.login":                 "denied wrong login",
		"action=LOGIN":                      "denied wrong login",
		"action=FAILED_LOGIN":               "denied wrong",
		"action=EXPORT&action=FAILED_LOGIN": "export denied wrong",
		"action=auth.*":                     "denied wrong login",
		"action=re*&action=data.export":     "export read",
		"action=*":                          "export read denied wrong login",
		"action=auth":                       "",
		"actor=7":                           "wrong login",
		"actor=7&actor=bob":                 "read denied wrong login",
		"actor_id=7":                        "login",
		"actor_name=7":                      "wrong",
		"source_ip=10.1.2.3":                "login",
		"source_ip=10.1.0.0/16":             "wrong login",
		"ip=::ffff:10.1.2.3&source_ip=2001:db8::/32": "denied login",
		"outcome=failure":                 "wrong",
		"outcome=failure&outcome=error":   "export wrong",
		"category=data":                   "export read",
		"severity=high&severity=critical": "export denied",
		"target_type=invoice":             "read",
		"target_id=9":                     "export",
		"target_type=invoice&target_id=9": "",
		"service=billing&outcome=success": "read",
		"tenant=acme&category=auth":       "denied",
		"session_id=s1":                   "login",
		"id=read&id=login":                "read login",
		"request_id=r1":                   "read",
		"trace_id=t1":                     "read",
		"search=password":                 "wrong",
		"search=wrong+PASSWORD":           "wrong",
		"search=denied&search=logged":     "denied login",
		"q=severity:>%3Dhigh":             "export denied",
		"q=metadata.team:%22x+y%22":       "read",
		"q=-outcome:success&tenant=acme":  "export denied",
		"from=2026-03-01T10:40:00Z":       "export read denied",
		"to=2026-03-01T10:40:00Z":         "wrong login",
		"from=2026-03-01T10:30:00Z&to=2026-03-01T11:31:00%2B01:00": "wrong",
		"from=-75m":               "export read",
		"from=now-90m&to=now-70m": "denied wrong",
		"from=2026-03-01":         "export read denied wrong login",
		"to=2026-03-01":           "",
		"from=-1w&to=now":         "export read denied wrong login",
	} {
		page, err := s.Events(t.Context(), Everything("test"), parameters(t, query))
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if got := strings.Join(ids(t, page), " "); got != want {
			t.Errorf("%s: found %q, want %q", query, got, want)
		}
	}
	// from is in the range and to is not.
	if page, err := s.Events(t.Context(), Everything("test"), parameters(t, "from=2026-03-01T10:30:00Z&to=2026-03-01T10:30:00.000001Z")); err != nil || len(page.Items) != 1 {
		t.Errorf("the event at the beginning of the range: %v, %v", page, err)
	}
}

func TestTotal(t *testing.T) {
	client := testtrail.Open(t)
	s := newService(t, Options{ClickHouse: client, Now: clock})
	testtrail.InsertEvents(t, client, story()...)
	for query, want := range map[string]uint64{"total=true": 5, "total=true&limit=1": 5, "total=true&tenant=acme&limit=2": 3, "total=true&id=none": 0} {
		page, err := s.Events(t.Context(), Everything("test"), parameters(t, query))
		if err != nil || page.Total == nil || *page.Total != want {
			t.Errorf("%s: %v, %v, want %d", query, page, err, want)
		}
	}
	if page, err := s.Events(t.Context(), Everything("test"), nil); err != nil || page.Total != nil {
		t.Errorf("a total that nobody asked for: %v, %v", page, err)
	}
	// The total is of the list, not of what is left of it.
	page, err := s.Events(t.Context(), Everything("test"), parameters(t, "limit=2"))
	if err != nil {
		t.Fatal(err)
	}
	page, err = s.Events(t.Context(), Everything("test"), url.Values{"limit": {"2"}, "total": {"true"}, "cursor": {page.Next}})
	if err != nil || *page.Total != 5 {
		t.Errorf("on the second page: %v, %v", page, err)
	}
}

func TestTextsStayTexts(t *testing.T) {
	client := testtrail.Open(t)
	s := newService(t, Options{ClickHouse: client, Now: clock})
	var rows []testtrail.Row
	for i, text := range evil {
		rows = append(rows, testtrail.Row{Offset: int64(i), Event: audit.Event{
			ID: text, Time: noon, Tenant: text, Action: text, Outcome: audit.OutcomeSuccess, Actor: audit.Actor{ID: text, Name: text}, SessionID: text,
			Targets: []audit.Target{{Type: text, ID: text}}, Service: audit.Service{Name: text}, Request: audit.Request{ID: text}, TraceID: text,
			Metadata: audit.Metadata{{Key: text, Value: text}},
		}})
	}
	testtrail.InsertEvents(t, client, rows...)
	names := []string{"action", "actor", "actor_id", "actor_name", "target_type", "target_id", "service", "tenant", "session_id", "id", "request_id", "trace_id"}
	for i, text := range evil {
		for j, name := range names {
			// Each text with a third of the names, each name with a third of the texts.
			if (i+j)%3 != 0 || name == "action" && strings.Contains(text, "*") {
				continue
			}
			page, err := s.Events(t.Context(), Everything("test"), url.Values{name: {text}})
			if err != nil {
				t.Errorf("%s=%q: %v", name, text, err)
				continue
			}
			if got := ids(t, page); !slices.Equal(got, []string{text}) {
				t.Errorf("%s=%q: found %q", name, text, got)
			}
		}
		records, err := s.Event(t.Context(), Everything("test"), text)
		if err != nil || len(records.Records) != 1 {
			t.Errorf("event %q: %v, %v", text, records, err)
		}
	}
	// None of them is everything.
	for _, text := range evil {
		if page, err := s.Events(t.Context(), Everything("test"), url.Values{"search": {text}}); err == nil && len(page.Items) != 0 {
			t.Errorf("search=%q found %q", text, ids(t, page))
		}
	}
}

func TestEventByID(t *testing.T) {
	client := testtrail.Open(t)
	s := newService(t, Options{ClickHouse: client, Now: clock})
	rows := story()
	again := rows[0]
	again.Partition, again.Offset, again.Event.Message = 1, 99, "Sent again"
	testtrail.InsertEvents(t, client, append(rows, again)...)

	records, err := s.Event(t.Context(), Everything("test"), "login")
	if err != nil {
		t.Fatal(err)
	}
	var messages []string
	for _, r := range records.Records {
		var e struct{ Message string }
		if err := json.Unmarshal(r, &e); err != nil {
			t.Fatal(err)
		}
		messages = append(messages, e.Message)
	}
	if want := []string{"Ana logged in", "Sent again"}; !slices.Equal(messages, want) || records.ID != "login" || records.Truncated {
		t.Errorf("records of a repeated event: %+v, want %v", records, want)
	}
	for _, id := range []string{"", "Login", "log%", "none"} {
		if _, err := s.Event(t.Context(), Everything("test"), id); codeOf(t, err) != CodeNotFound {
			t.Errorf("event %q: %v", id, err)
		}
	}

	var many []testtrail.Row
	for i := range MaxRecords + 1 {
		many = append(many, testtrail.Row{Offset: int64(1000 + i), Event: audit.Event{ID: "many", Time: noon, Action: "a"}})
	}
	testtrail.InsertEvents(t, client, many...)
	if records, err := s.Event(t.Context(), Everything("test"), "many"); err != nil || len(records.Records) != MaxRecords || !records.Truncated {
		t.Errorf("%d records: %v, %v", len(many), records, err)
	}
}

func TestScopeIsNeverWidened(t *testing.T) {
	client := testtrail.Open(t)
	s := newService(t, Options{ClickHouse: client, Now: clock})
	testtrail.InsertEvents(t, client, story()...)
	own, err := filter.Equal("actor.id", "8")
	if err != nil {
		t.Fatal(err)
	}
	bob := Scope{Caller: "bob", Events: own}
	for query, want := range map[string]string{
		"": "read denied", "q=*": "read denied", "q=id:login+OR+*": "read denied", "actor=7": "", "q=-actor.id:8": "", "actor=7&actor=8": "read denied",
		"id=login": "", "id=read": "read", "q=a)+OR+(1%3D1": "!", "limit=1": "read",
	} {
		page, err := s.Events(t.Context(), bob, parameters(t, query))
		got := "!"
		if err == nil {
			got = strings.Join(ids(t, page), " ")
		}
		if got != want {
			t.Errorf("%s: bob sees %q, want %q", query, got, want)
		}
	}
	if page, err := s.Events(t.Context(), bob, parameters(t, "total=true")); err != nil || *page.Total != 2 {
		t.Errorf("the total of what bob sees: %v, %v", page, err)
	}
	if got := walk(t, s.Events, bob, parameters(t, "limit=1"), nil); !slices.Equal(got, []string{"read", "denied"}) {
		t.Errorf("bob walks over %q", got)
	}
	if _, err := s.Event(t.Context(), bob, "login"); codeOf(t, err) != CodeNotFound {
		t.Errorf("the event of somebody else: %v", err)
	}
	if _, err := s.Event(t.Context(), bob, "read"); err != nil {
		t.Errorf("bob's own event: %v", err)
	}
	if page, err := s.Events(t.Context(), Scope{}, nil); err != nil || len(page.Items) != 0 {
		t.Errorf("the zero scope sees %v, %v", page, err)
	}
	if _, err := s.Event(t.Context(), Scope{}, "read"); codeOf(t, err) != CodeNotFound {
		t.Errorf("the zero scope sees an event: %v", err)
	}
	// A cursor that an administrator got shows bob nothing.
	page, err := s.Events(t.Context(), Everything("admin"), parameters(t, "limit=1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Events(t.Context(), bob, url.Values{"limit": {"1"}, "cursor": {page.Next}}); codeOf(t, err) != CodeInvalid {
		t.Errorf("somebody else's cursor: %v", err)
	}
}

// TestColumnsWin shows an event whose record lacks what its headers said, and one whose bytes cannot be read any more.
func TestColumnsWin(t *testing.T) {
	client := testtrail.Open(t)
	s := newService(t, Options{ClickHouse: client, Now: clock})
	e := audit.Event{ID: "from-header", Time: noon, Tenant: "default", Action: "auth.login", Service: audit.Service{Name: "portal"}}
	testtrail.InsertEvents(
		t, client,
		testtrail.Row{Offset: 1, Event: e, Raw: []byte(`{"source":{"forwarded_for":["192.0.2.1"]},"data":{"records":3},"span_id":"00f067aa0ba902b7","id":"inner"}`)},
		testtrail.Row{Offset: 2, Event: e, Raw: []byte(`{`)},
	)
	records, err := s.Event(t.Context(), Everything("test"), "from-header")
	if err != nil {
		t.Fatal(err)
	}
	type shown struct {
		ID, Action, SpanID string
		Data               struct{ Records int }
		Source             struct {
			ForwardedFor []string `json:"forwarded_for"`
		}
		From struct{ Unreadable string } `json:"_source"`
	}
	var first, second shown
	for i, v := range []*shown{&first, &second} {
		if err := json.Unmarshal(records.Records[i], v); err != nil {
			t.Fatal(err)
		}
	}
	if first.ID != "from-header" || first.Action != "auth.login" || first.Data.Records != 3 || len(first.Source.ForwardedFor) != 1 || first.From.Unreadable != "" {
		t.Errorf("an event whose id came in a header: %s", records.Records[0])
	}
	if second.ID != "from-header" || second.From.Unreadable == "" {
		t.Errorf("an event with damaged bytes: %s", records.Records[1])
	}
}

// TestFailures tells what the caller learns when the search does not work.
func TestFailures(t *testing.T) {
	client := testtrail.Open(t)
	s := newService(t, Options{ClickHouse: client, QueryTimeout: 300 * time.Millisecond, MaxQueries: 1})
	gone, err := clickhouse.New(clickhouse.Options{URLs: []string{"http://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	unreachable := newService(t, Options{ClickHouse: gone})
	ignore := func(clickhouse.Rows) error { return nil }
	for name, c := range map[string]struct {
		want Code
		run  func() error
	}{
		"too slow": {CodeTimeout, func() error {
			ctx, done, err := s.begin(t.Context())
			if err != nil {
				return err
			}
			defer done()
			return s.query(ctx, stmtEventPage, "SELECT sleepEachRow(1) FROM numbers(1000) SETTINGS max_block_size = 1", nil, ignore)
		}},
		"too much memory": {CodeTooExpensive, func() error {
			return s.query(t.Context(), stmtEventPage, "SELECT groupArray(number) FROM numbers(10000000) SETTINGS max_memory_usage = 1000000", nil, ignore)
		}},
		"wrong statement": {CodeInternal, func() error { return s.query(t.Context(), stmtEventPage, "SELECT nonsense", nil, ignore) }},
		"busy": {CodeBusy, func() error {
			_, done, err := s.begin(t.Context())
			if err != nil {
				return err
			}
			defer done()
			_, err = s.Events(t.Context(), Everything("test"), nil)
			return err
		}},
		"unreachable": {CodeUnavailable, func() error {
			_, err := unreachable.Alerts(t.Context(), Everything("test"), nil)
			return err
		}},
	} {
		if got := codeOf(t, c.run()); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestHangUpStopsTheStatement looks into the engine's list of statements.
func TestHangUpStopsTheStatement(t *testing.T) {
	client := testtrail.Open(t)
	s := newService(t, Options{ClickHouse: client})
	running := func() (n uint64) {
		err := s.query(t.Context(), stmtEventCount, "SELECT count() FROM system.processes WHERE query LIKE '%nobody_waits%' AND query NOT LIKE '%system.processes%'", nil,
			func(r clickhouse.Rows) error { return r.Scan(&n) })
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	ctx, hangUp := context.WithCancel(t.Context())
	ctx, done, err := s.begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	ended := make(chan error, 1)
	go func() {
		ended <- s.query(ctx, stmtEventPage, "SELECT sleepEachRow(1) AS nobody_waits FROM numbers(100) SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0", nil,
			func(clickhouse.Rows) error { return nil })
	}()
	waitFor(t, func() bool { return running() == 1 })
	hangUp()
	if got := codeOf(t, <-ended); got != CodeCanceled {
		t.Errorf("code %q, want %q", got, CodeCanceled)
	}
	waitFor(t, func() bool { return running() == 0 })
}

func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatal("the condition did not come true")
		}
		<-time.After(10 * time.Millisecond)
	}
}
