package filter

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

// queries are texts of every form, for the golden files of printed filters and of SQL.
var queries = []string{
	"", "*", "-*", "failed", "failed login", `"failed login"`, "foo-bar", "Ärger", "(a OR b) NOT c", "a AND b OR c d", "-(a b)", "NOT NOT a",
	"actor.name:ana action:auth.* -outcome:success source.ip:10.0.0.0/8 request.status:>=500",
	`metadata.team:"x y"`, `metadata."my key":v`, `labels.team:v`, `metadata.a.b:c`, `metadata."a:b":c`, `metadata.team:*`, `metadata.team:x*`, `-metadata.team|i:x`,
	"action:(record.read, record.update)", "action:(record.read OR record.*OR OR x)", `action:("a,b", c\,d)`, "actor.name:a,b",
	"action:LOGIN", "action:FAILED_LOGIN", "action:(FAILED_LOGIN, EXPORT, CREATE)", "-action:FAILED_LOGIN", "event.action:login",
	"severity:>=high", "severity:<low", "severity:<=critical", "severity:CRITICAL", "outcome:(failure OR denied)", "outcome:fail*", "outcome:*",
	"source.ip:1.2.3.4", "source.ip:::ffff:1.2.3.4", "source.ip:1.2.3.4/32", "source.ip:(10.0.0.1, 2001:db8::/32, 10.0.0.0/8)", "source.ip:::ffff:10.0.0.0/104", "source.ip:::/0", "source.ip:*",
	`source.ip:""`, "source.ip_prefix:1.2.3.4", "source.ip_prefix:2001:db8::1", "source.ip_prefix:2001:db8::/64", "source.ip_prefix:*",
	"time:2025-03-01", "time:2025-03", "time:2025", `time:"2025-03-01 10:00"`, "time:2025-03-01T10:00:00Z", "time:2025-03-01T10:00:00.5+02:00", "time:2025-03-01T10:00:00.123456789Z",
	"time:>2025-03-01", "time:>=2025-03-01", "time:<2025-03-01", "time:<=2025-03-01", "time:[2025-03-01 TO 2025-03-31]", "time:[2025-03-01T00:00Z TO 2025-03-02T00:00Z}", "time:[* TO 2025]", "time:[* TO *]", "time:1969-12-31T23:59:59.999999Z",
	"request.status:403", "request.status:0", "request.status:[400 TO 500}", "request.status:{400 TO *]", "sequence:18446744073709551615", "http.response.status_code:(403, 404)",
	"metadata.amount:>-12.5", "metadata.amount:(<5, >10)", "metadata.amount:[1 TO 2]",
	"target.name:report-*.pdf", "target.name:?", "target.name:**", `target.name:\*`, `target.name:"*"`, `target.name:*"a b"*`, `target.name:a"*"b?`, `target.name:*.pdf`, `target.name:"100%"*_*`,
	"actor.name|i:ANA", "actor.name|i:100", "actor.name|i:Ärger*", "actor.name|i:a*b", "actor.name|i:(a, B, *c)", "user.name|i:straße",
	`request.route|re:"^/api/(users|roles)\d+"`, `request.route|re|i:"a\"b"`, `request.route|re:("a", "b")`, `reason|re:".*"`,
	"target.name|fieldref:actor.name", "target.name|i|fieldref:metadata.owner", "sequence|fieldref:request.status", "reason|fieldref:outcome", "target.id|fieldref:(actor.id, actor.name)",
	"actor.id:*", "has:actor.id", "-has:metadata.team", `has:metadata."a b"`, `actor.id:""`, `-actor.id:""`, `actor.id:("", x)`,
	"changes.field:email", "changes.field:(email, name)", "changes.field:e*", "changes.field|i:EMAIL", "changes.field:*", `changes.field|re:"^(a|b)$"`,
	"message:failed", "message:*fail*", `message:"failed login"`, `message|eq:"Failed login."`, `message|eq|i:"Failed login."`, "message:(a, b)", `message:""`,
	`actor.name:DOMAIN\user`, `actor.name:\\server\share`, `actor.name:"a\%00\%FFb"`, `actor.name:a\ b`, `actor.name:-x`, `actor.name:"' OR 1=1 --"`, `actor.name:{p0:String}`, `{p0:String}`,
	"10:30", "日本語", "a\u00a0b", "ana@example.com", "data.records:>100000", "span_id:x",
}

func TestParseGolden(t *testing.T) {
	var b strings.Builder
	for _, query := range queries {
		x, err := Parse(query)
		if err != nil {
			fmt.Fprintf(&b, "%s\n\terror: %v\n", query, err)
			continue
		}
		fmt.Fprintf(&b, "%s\n\t%s\n", query, x)
		roundTrip(t, x)
	}
	golden(t, "parse.golden", b.String())
}

func TestSQLGolden(t *testing.T) {
	var b strings.Builder
	for _, query := range queries {
		x, err := Parse(query)
		if err != nil {
			continue
		}
		fmt.Fprintf(&b, "%s\n", query)
		q, err := SQL(x)
		if err != nil {
			fmt.Fprintf(&b, "\terror: %v\n", err)
			continue
		}
		fmt.Fprintf(&b, "\t%s\n", q.Where)
		for _, p := range q.Params {
			fmt.Fprintf(&b, "\t\t%s = %s\n", p.Name, p.Value)
		}
	}
	golden(t, "sql.golden", b.String())
}

// mistakes are texts that Parse refuses.
var mistakes = []string{
	"actr.name:x", "actor:x", "ip:1.2.3.4", "status:500", "user:x", "metadata:x", "metadata.:x", "meta:x", "http://example.com", "nonsense_field:x", "ACTION:x", "event.acton:x",
	"a )", "(a", "((a) OR", "a OR", "OR a", "AND", "a AND", "NOT", "-", "a AND OR b", "()", "(a)(b)", "a(b)", "actor.name:a(b)",
	"actor.name:", "actor.name: ana", "actor.name:>", "actor.name:>x", "actor.name:>1*", "actor.name=ana", "request.status>=500", "message<5",
	`"a`, `actor.name:"a`, `actor.name:(a`, `actor.name:(a b)`, `actor.name:()`, `actor.name:(a,)`, `metadata."a:x`,
	"outcome:sucess", "outcome:>failure", "severity:hihg", "severity:urgent",
	"source.ip:10.0.0", "source.ip:10.*", "source.ip:10.0.0.0/33", "source.ip:fe80::1%eth0", "source.ip:>1.2.3.4", "source.ip_prefix:2001:db8::/96", `source.ip|re:"a"`,
	"time:yesterday", "time:2025-13-01", "time:2025-*", "time:[2025 2026]", "time:[2025 TO 2026", "time:[2025 TO ]", `time|re:"a"`, "time:{x TO *}",
	"request.status:-1", "request.status:4*", "request.status:4.5", "request.status:18446744073709551616", "request.status:abc",
	"metadata.n:>1e5", "metadata.n:<", "changes.field:>5",
	"actor.name|x:a", "actor.name|re:a", `actor.name|re:"("`, `actor.name|re:"(a{1000}){1000}"`, `actor.name|re:"(((a{100}){10}){10}){10}"`, `actor.name|re:"` + strings.Repeat("a", 1100) + `"`,
	"actor.name|fieldref:nobody", "actor.name|fieldref:source.ip", "sequence|fieldref:actor.name", "actor.name|fieldref:a*", "time|fieldref:time",
	"fail*", "a?", "has:", "has:nobody", "has:a*", "ключ:x", "日本語 actr.name:x",
	"a\xffb", strings.Repeat("(", 40) + "a", strings.Repeat("-(", 40) + "a", strings.Repeat("a ", 300), "id:(" + strings.Repeat("a,", 300) + "a)", strings.Repeat("a", 4097), "id:" + strings.Repeat("?*", 40),
}

func TestParseErrorsGolden(t *testing.T) {
	var b strings.Builder
	for _, query := range mistakes {
		x, err := Parse(query)
		e, ok := err.(*Error)
		if !ok {
			t.Errorf("%q gives %v, %v: want an *Error", query, x, err)
			continue
		}
		if len(query) > 80 {
			query = query[:80] + "…"
		}
		fmt.Fprintf(&b, "%q\n\t%v\n", query, e)
	}
	golden(t, "errors.golden", b.String())
}

// roundTrip demands that a filter in normal form survives printing and reading.
func roundTrip(t *testing.T, x Expr) {
	t.Helper()
	text := x.String()
	p := &parser{scanner: scanner{text: text}, termsLeft: 1 << 20}
	back, err := p.query()
	if err != nil {
		t.Fatalf("%#v prints as\n%s\nwhich cannot be read: %v", x, text, err)
	}
	if !reflect.DeepEqual(back, x) {
		t.Fatalf("%#v prints as\n%s\nwhich reads as\n%#v", x, text, back)
	}
}

func TestRoundTrip(t *testing.T) {
	n := 5_000
	if os.Getenv("AUDITTRAIL_SLOW") == "1" {
		n = 1_000_000
	}
	g := newGenerator(1, 100)
	for range n {
		roundTrip(t, g.expr(g.IntN(5), false))
	}
}

func FuzzParse(f *testing.F) {
	for _, query := range append(queries, mistakes...) {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, text string) {
		x, err := Parse(text)
		if err != nil {
			if e, ok := err.(*Error); !ok || e.Msg == "" || e.Pos < 0 || e.Pos > len(text)+1 {
				t.Fatalf("%q: %#v", text, err)
			}
			return
		}
		roundTrip(t, x)
		if _, err := Compile(x); err != nil {
			t.Fatalf("compile %v: %v", x, err)
		}
		q, err := SQL(x)
		if err == nil && strings.Count(q.Where, "(") != strings.Count(q.Where, ")") {
			t.Fatalf("unbalanced: %s", q.Where)
		}
	})
}
