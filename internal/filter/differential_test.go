package filter

import (
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/audittrail/audittrail/schemas/audit"
	tables "github.com/audittrail/audittrail/schemas/clickhouse"
)

// TestDifferential asks both evaluators about random events, and demands the same answer (invariant 5 and decision 5).
func TestDifferential(t *testing.T) {
	engine := newTestEngine(t)
	createEvents(t, engine)
	seeds, filters := []uint64{1, 2}, 300
	if os.Getenv("AUDITTRAIL_SLOW") == "1" {
		seeds, filters = nil, 600
		for range 10 {
			seeds = append(seeds, rand.Uint64())
		}
	}
	for _, seed := range seeds {
		t.Logf("seed %d", seed)
		g := newGenerator(seed, 400)
		engine.ask(t, "TRUNCATE TABLE audit.events", nil)
		insertEvents(t, engine, g.events)
		failures := 0
		for range filters {
			if x := g.expr(g.IntN(3), true); !sameAnswer(t, engine, g.events, x) {
				if failures++; failures == 10 {
					t.FailNow()
				}
			}
		}
	}
}

// TestSQLUsesIndexes reads from EXPLAIN which indexes of the real table a filter reaches.
func TestSQLUsesIndexes(t *testing.T) {
	engine := newTestEngine(t)
	createEvents(t, engine)
	insertEvents(t, engine, newGenerator(1, 100).events)
	for query, indexes := range map[string][]string{
		"id:a": {"ix_id"}, "actor.id:(a, b)": {"ix_actor"}, "actor.name:a": {"ix_name"}, "source.ip:10.0.0.1": {"ix_ip"}, "source.ip:(10.0.0.1, ::1)": {"ix_ip"}, "target.id:a": {"ix_target"},
		"session_id:a": {"ix_session"}, "trace_id:a": {"ix_trace"}, "failed": {"ix_message"}, `"failed login"`: {"ix_message"}, "metadata.team:x": {"ix_meta_k", "ix_meta_v"},
		"metadata.team:(x, y)": {"ix_meta_k", "ix_meta_v"}, "metadata.team:x*": {"ix_meta_k"}, "metadata.team:>5": {"ix_meta_k"}, "has:metadata.team": {"ix_meta_k"},
		"time:2025-03-01": {"ix_time", "(hour in [483552, +Inf))"}, "tenant:acme": {"(tenant in ['acme', 'acme'])"}, "action:x (actor.id:a OR session_id:b)": {"ix_actor", "ix_session"},
	} {
		x, err := Parse(query)
		if err != nil {
			t.Fatal(err)
		}
		q, err := SQL(x)
		if err != nil {
			t.Fatal(err)
		}
		plan := strings.ReplaceAll(engine.ask(t, "EXPLAIN indexes = 1 SELECT id FROM audit.events WHERE "+q.Where, q.Params), `\'`, "'")
		plan = strings.ReplaceAll(plan, `\'`, "'")
		for _, index := range indexes {
			if !strings.Contains(plan, index) {
				t.Errorf("%s does not use %s:\n%s", query, index, plan)
			}
		}
	}
}

// TestLargestRegex asks ClickHouse for the largest expressions of several kinds that are accepted.
func TestLargestRegex(t *testing.T) {
	engine := newTestEngine(t)
	for _, piece := range []string{"a", ".", "(?i)k", `\pL`, `\PL`, "[^a]", "(?i)[a-z]", "(?-s).", `\p{Greek}`, "(?i)ß", "日", "(a|.)", "(.*)", `((\pL|.)?)`} {
		accepted := ""
		for n := 1; n <= 1000; n++ {
			re, err := canonicalRegex(fmt.Sprintf("%s{%d}", piece, n), false)
			if err != nil {
				break
			}
			accepted = re
		}
		q, err := SQL(Comparison{Field: "message", Op: OpRegex, Values: []string{accepted}})
		if err != nil {
			t.Fatal(err)
		}
		engine.ask(t, "SELECT count() FROM (SELECT repeat('x', 2000) AS message) WHERE "+q.Where, q.Params)
		t.Log(accepted)
	}
}

func sameAnswer(t *testing.T, engine *testEngine, events []*audit.Event, x Expr) bool {
	t.Helper()
	m, err := Compile(x)
	if err != nil {
		t.Fatalf("compile %v: %v", x, err)
	}
	q, err := SQL(x)
	if err != nil {
		t.Fatalf("SQL of %v: %v", x, err)
	}
	var want []int
	for i, e := range events {
		if m.Match(e) {
			want = append(want, i)
		}
	}
	var got []int
	// The message is read as well, as a search does: then words are evaluated on rows, not by the index alone.
	for line := range strings.Lines(engine.ask(t, "SELECT src_offset, cityHash64(message) FROM audit.events WHERE "+q.Where+" ORDER BY src_offset", q.Params)) {
		offset, _, _ := strings.Cut(line, "\t")
		n, err := strconv.Atoi(offset)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, n)
	}
	if slices.Equal(got, want) {
		return true
	}
	for i, e := range events {
		if slices.Contains(got, i) != slices.Contains(want, i) {
			t.Errorf("%v\nmatcher says %v, SQL says %v\n%s %v\nof %+v", x, slices.Contains(want, i), slices.Contains(got, i), q.Where, q.Params, e)
			break
		}
	}
	return false
}

// createEvents makes the real table, with small granules so that indexes have something to skip.
func createEvents(t *testing.T, engine *testEngine) {
	t.Helper()
	ddl, err := fs.ReadFile(tables.Migrations(), "00001_events.sql")
	if err != nil {
		t.Fatal(err)
	}
	up, _, _ := strings.Cut(string(ddl), "-- +goose Down")
	small := strings.Replace(up, "index_granularity = 8192", "index_granularity = 16", 1)
	if small == up {
		t.Fatal("the table's granularity stands elsewhere")
	}
	engine.ask(t, "CREATE DATABASE IF NOT EXISTS audit", nil)
	engine.ask(t, strings.TrimSuffix(strings.TrimSpace(small), ";"), nil)
}

// insertEvents writes the events with their index as offset, the second half without a text index on the message.
func insertEvents(t *testing.T, engine *testEngine, events []*audit.Event) {
	t.Helper()
	const chunk = 50
	for from := 0; from < len(events); from += chunk {
		var b strings.Builder
		b.WriteString("INSERT INTO audit.events (ingest_day, src_offset, time, hour, id, tenant, action, category, outcome, reason, severity, actor_type, actor_id, actor_name, " +
			"source_ip, source_user_agent, session_id, target_type, target_id, target_name, changed_fields, service_name, service_version, service_instance, sequence, " +
			"request_id, request_method, request_route, request_status, trace_id, correlation_id, message, metadata)")
		if from >= len(events)/2 {
			b.WriteString(" SETTINGS exclude_materialize_skip_indexes_on_insert='ix_message'")
		}
		b.WriteString(" VALUES ")
		for i, e := range events[from:min(from+chunk, len(events))] {
			b.WriteString(eventRow(from+i, e))
		}
		engine.ask(t, b.String(), nil)
	}
}

func eventRow(offset int, e *audit.Event) string {
	s := func(text string) string { return fmt.Sprintf("unhex('%x')", text) }
	target := firstTarget(e)
	ip := "::"
	if e.Source.IP.IsValid() {
		ip = e.Source.IP.String()
	}
	var changed, metadata []string
	for _, c := range e.Changes {
		changed = append(changed, s(c.Field))
	}
	for _, m := range e.Metadata {
		metadata = append(metadata, s(m.Key), s(m.Value))
	}
	array := "[" + strings.Join(changed, ", ") + "]"
	if len(changed) == 0 {
		array = "[]::Array(String)"
	}
	micro := e.Time.UnixMicro()
	return "(" + strings.Join([]string{
		"today()", strconv.Itoa(offset), fmt.Sprintf("fromUnixTimestamp64Micro(toInt64(%d), 'UTC')", micro), strconv.Itoa(int(math.Floor(float64(e.Time.Unix()) / 3600))), s(e.ID), s(e.Tenant), s(e.Action), s(string(e.Category)),
		"'" + e.Outcome.String() + "'", s(e.Reason), "'" + e.Severity.String() + "'", s(string(e.Actor.Type)), s(e.Actor.ID), s(e.Actor.Name), "toIPv6('" + ip + "')",
		s(e.Source.UserAgent), s(e.SessionID), s(target.Type), s(target.ID), s(target.Name), array, s(e.Service.Name), s(e.Service.Version), s(e.Service.Instance),
		strconv.FormatUint(e.Sequence, 10), s(e.Request.ID), s(e.Request.Method), s(e.Request.Route), strconv.Itoa(int(e.Request.Status)), s(e.TraceID), s(e.CorrelationID),
		s(e.Message), "map(" + strings.Join(metadata, ", ") + ")",
	}, ", ") + ")"
}

// TestFoldDifferential compares case folding and the repair of UTF-8 with ClickHouse's: over every character that this Go release knows, and over
// random bytes.
func TestFoldDifferential(t *testing.T) {
	engine := newTestEngine(t)
	check := func(sql, from string, all []string, want func(string) string) {
		t.Helper()
		for part := range slices.Chunk(all, 5000) {
			hexed := make([]string, len(part))
			for i, s := range part {
				hexed[i] = fmt.Sprintf("'%x'", s)
			}
			rows := strings.Split(engine.ask(t, "SELECT lower(hex("+sql+")) FROM (SELECT unhex(arrayJoin(["+strings.Join(hexed, ",")+"])) AS s)", nil), "\n")
			for i, s := range part {
				if got := fmt.Sprintf("%x", want(s)); got != rows[i] {
					t.Errorf("%s %q: %s here, %s in ClickHouse", from, s, got, rows[i])
				}
			}
		}
	}
	var runes []string
	for r := rune(1); r <= unicode.MaxRune; r++ {
		if utf8.ValidRune(r) && (unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsNumber(r) || unicode.IsSymbol(r)) {
			runes = append(runes, string(r))
		}
	}
	check("caseFoldUTF8(toValidUTF8(s))", "fold", runes, foldCase)
	g := newGenerator(3, 0)
	var bytes []string
	for range 20000 {
		b := make([]byte, g.IntN(9))
		for i := range b {
			b[i] = pick(g, []byte("aA \x00\x80\xbf\xc0\xc2\xc3\xa4\xe2\x82\xac\xed\xa0\xef\xbf\xbd\xf0\x9f\x98\x80\xf4\x90\xf8\xff"))
		}
		bytes = append(bytes, string(b)+strings.Repeat("x", g.IntN(2)*g.IntN(40)))
	}
	check("toValidUTF8(s)", "repair", bytes, toValid)
	check("caseFoldUTF8(toValidUTF8(s))", "fold", bytes, foldCase)
}
