package filter

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/audittrail/audittrail/schemas/audit"
)

// sample is a failed login with most fields.
func sample() *audit.Event {
	return &audit.Event{
		ID: "0198", Time: time.Date(2025, 3, 1, 10, 0, 0, 123_456_000, time.UTC), Tenant: "acme", Action: "auth.login", Category: audit.CategoryAuth,
		Outcome: audit.OutcomeDenied, Reason: "invalid_credentials", Severity: audit.SeverityMedium,
		Actor: audit.Actor{Type: audit.ActorUser, Name: "Jürgen Groß"}, Source: audit.Source{IP: netip.MustParseAddr("10.1.2.3"), UserAgent: `Mozilla/5.0 (X11; Linux) "x"`},
		SessionID: "s1", Targets: []audit.Target{{Type: "record", ID: "42", Name: "Report 100%.pdf"}, {Type: "record", ID: "43"}},
		Changes: []audit.Change{{Field: "email"}, {Field: "Phone"}}, Data: audit.Data{Records: 1200, Bytes: 1 << 40},
		Service: audit.Service{Name: "billing", Version: "1.10.0", Instance: "billing-0"}, Sequence: 7,
		Request: audit.Request{ID: "r1", Method: "POST", Route: "/api/login/", Status: 403}, TraceID: "t1", SpanID: "b7", CorrelationID: "c1",
		Message:  "Login of Jürgen FAILED: wrong password (3rd time)",
		Metadata: audit.Metadata{{Key: "team", Value: "x y"}, {Key: "amount", Value: "-12.50"}, {Key: "owner", Value: "jürgen gross"}, {Key: "empty", Value: ""}},
	}
}

func TestMatch(t *testing.T) {
	for query, want := range map[string]bool{
		"": true, "-*": false,
		"action:auth.login": true, "action:auth.*": true, "action:*login": true, "action:AUTH.LOGIN": false, "action|i:AUTH.LOGIN": true, "action:a*.l*n": true, "action:auth?login": true,
		"action:auth.logi": false, "action:FAILED_LOGIN": true, "action:LOGIN": true, "action:LOGOUT": false, "outcome:denied": true, "outcome:(success, failure)": false,
		"severity:>=medium": true, "severity:>medium": false, "severity:<high": true,
		"actor.id:*": false, "-actor.id:*": true, "actor.id:x": false, "-actor.id:x": true, `actor.id:""`: true, `-actor.id:""`: false, `actor.id:*x*`: false, `actor.id|re:".*"`: false,
		"actor.id:<5": false, "-actor.id:<5": true, "actor.id|fieldref:actor.id": false, "metadata.empty:*": false, "metadata.nothing:*": false, "has:metadata.team": true,
		`actor.name|i:"jürgen gross"`: true, `actor.name|i:"JÜRGEN GROSS"`: true, `actor.name:"Jürgen Groß"`: true, `actor.name|i:JÜR*`: true, `actor.name|i:*"ß"`: true, `actor.name|i:*"ROS"*`: true,
		`actor.name|i:J?RGEN*SS`: true, `actor.name|i:"J?RGEN"*`: false, "actor.name|fieldref:metadata.owner": false, "actor.name|i|fieldref:metadata.owner": true, "target.id|fieldref:(session_id, target.id)": true,
		"source.ip:10.1.2.3": true, "source.ip:::ffff:10.1.2.3": true, "source.ip:10.0.0.0/8": true, "source.ip:10.2.0.0/16": false, "source.ip:::/0": false, "source.ip:0.0.0.0/0": true,
		"source.ip:(1.1.1.1, 10.1.2.0/24)": true, "source.ip_prefix:10.1.2.3": true, "source.ip_prefix:10.1.2.3/32": true,
		"target.id:42": true, "target.id:43": false, `target.name:*"100%"*`: true, `target.name:"Report 100"?".pdf"`: true, "target.name:*_*": false,
		"changes.field:email": true, "changes.field:phone": false, "changes.field|i:phone": true, "-changes.field:email": false, "changes.field:e*": true, "changes.field:*": true,
		"request.status:403": true, "request.status:>=400": true, "request.status:[404 TO *]": false, "request.status:{402 TO 403]": true, "sequence:0": false, "data.records:>1000": true,
		"data.bytes:<=1099511627776": true, "span_id:b7": true,
		"metadata.amount:<0": true, "metadata.amount:>=-12.5": true, "metadata.amount:<-12.5": false, "metadata.amount:-12.5": false, "metadata.team:>0": false, "service.version:>1": false,
		"time:2025-03-01": true, "time:2025-03-01T10:00": true, "time:>2025-03-01T10:00": false, "time:>=2025-03-01T10:00": true, "time:<2025-03-01T10:00:00.123456Z": false,
		"time:2025-03-01T10:00:00.123456Z": true, "time:<=2025-03-01T11:00:00.123456+01:00": true,
		"failed": true, "fail": false, "FAILED login": true, "jürgen": true, "JÜRGEN": true, `"wrong password"`: true, `"password wrong"`: false, "password wrong": true, "3rd": true,
		"jürgen failed -success": true, `"failed: WRONG"`: true, `"(3rd"`: true, `message|eq:"login"`: false, "message:*FAILED*": true, "message:*failed*": false, "message|i:*failed*": true,
		`source.user_agent|re:"\(X1\d;"`: true, `source.user_agent|re:"^\(X"`: false, `source.user_agent|re|i:"mozilla/[0-9]+"`: true, `source.user_agent:*"\"x\""`: true,
		"action:(a, b, c, d, e, f, g, h, auth.login)": true, "action|i:(a, b, c, d, e, f, g, h, AUTH.LOGIN)": true, "reason:(a, b, c, d, e, f, g, h, i)": false,
		"(action:x OR tenant:acme) -tenant:other": true, "action:x OR tenant:y": false, "-(action:x tenant:acme)": true,
	} {
		x, err := Parse(query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		m, err := Compile(x)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if got := m.Match(sample()); got != want {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	e := sample()
	e.Actor.Name, e.Message = "Ana", "Login of Ana FAILED: wrong password"
	for _, query := range hotQueries {
		m := mustCompile(t, query)
		if n := testing.AllocsPerRun(100, func() { m.Match(e) }); n != 0 {
			t.Errorf("%s: %v allocations an event", query, n)
		}
	}
}

// TestHandMade gives the evaluators trees that this package's functions never build: an error, never a panic.
func TestHandMade(t *testing.T) {
	for _, x := range []Expr{
		nil, Word(""), Word("a b"),
		Negation{},
		Conjunction{nil},
		Comparison{Field: "nothing"},
		Comparison{Field: "action", Op: 99, Values: []string{"x"}},
		Comparison{Field: "source.ip", Values: []string{"x"}},
		Comparison{Field: "source.ip", Values: []string{"10.0.0.0/8"}},
		Comparison{Field: "source.ip", Op: OpCIDR, Values: []string{"x"}},
		Comparison{Field: "source.ip", Op: OpPrefix, Values: []string{"x"}},
		Comparison{Field: "time", Values: []string{"2025"}},
		Comparison{Field: "time", Op: OpLess, Values: []string{"x"}},
		Comparison{Field: "sequence", Op: OpPrefix, Values: []string{"1"}},
		Comparison{Field: "action", Op: OpRegex, Values: []string{"("}},
		Comparison{Field: "action", Op: OpLess, Values: []string{"x"}},
		Comparison{Field: "action", Op: OpFieldRef, Values: []string{"time"}},
		Comparison{Field: "action", Op: OpFieldRef, Values: []string{"nothing"}},
		Comparison{Field: "changes.field", Op: 99, Values: []string{"x"}},
	} {
		if _, err := Compile(x); !isError(err) {
			t.Errorf("Compile(%#v) gives %v", x, err)
		}
		if q, err := SQL(x); !isError(err) {
			t.Errorf("SQL(%#v) gives %v, %v", x, q, err)
		}
	}
	for _, x := range []Expr{Conjunction{}, Disjunction{}, Comparison{Field: "action"}, Comparison{Field: "sequence", Op: OpLess}, Comparison{Field: "source.ip", Op: OpCIDR}} {
		m, err := Compile(x)
		if err != nil {
			t.Fatal(err)
		}
		q, err := SQL(x)
		if want := map[bool]string{true: "1", false: "0"}[m.Match(sample())]; err != nil || q.Where != want {
			t.Errorf("%#v matches %s, its SQL is %s, %v", x, want, q.Where, err)
		}
	}
}

func isError(err error) bool {
	_, ok := err.(*Error)
	return ok
}

func mustCompile(t testing.TB, query string) *Matcher {
	t.Helper()
	x, err := Parse(query)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Compile(x)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// hotQueries are what rules and live tails ask.
var hotQueries = []string{
	"action:auth.login outcome:(failure, denied) -reason:session_expired",
	"action|i:AUTH.LOGIN outcome:(failure, denied)",
	"action:(audit.disable, audit.retention.reduce, audit.records.delete, audit.sink.remove, role.grant, permission.grant, user.promote, auth.lock)",
	"source.ip:(10.0.0.0/8, 192.168.0.0/16, 2001:db8::/32)",
	"request.status:>=400 metadata.amount:<0",
	"failed password",
	"actor.name|i:*NA target.name:*.pdf",
	`source.user_agent|re:"^Mozilla/[0-9]"`,
	"target.name:report*100*",
}

func BenchmarkMatch(b *testing.B) {
	e := sample()
	for _, query := range hotQueries {
		b.Run(strings.Map(func(r rune) rune {
			if r == '/' || r == ' ' {
				return '_'
			}
			return r
		}, query), func(b *testing.B) {
			m := mustCompile(b, query)
			b.ReportAllocs()
			for b.Loop() {
				m.Match(e)
			}
		})
	}
}
