package filter

import (
	"testing"
	"time"

	"github.com/audittrail/audittrail/schemas/audit"
)

func TestConstructors(t *testing.T) {
	ok := func(x Expr, err error) string {
		if err != nil {
			return "error: " + err.Error()
		}
		return x.String()
	}
	day := time.Date(2025, 3, 1, 0, 0, 0, 0, time.UTC)
	cet := time.FixedZone("", 3600)
	a, b, c := Word("a"), Word("b"), Word("c")
	for i, test := range []struct{ got, want string }{
		{ok(Equal("actor.name", "ana")), "actor.name:ana"},
		{ok(Equal("user.name", "ana", "ana", "b*")), `actor.name:(ana OR "b*")`},
		{ok(Equal("actor.name", "")), "-actor.name:*"},
		{ok(Equal("actor.name")), "error: actor.name: no value to compare with"},
		{ok(Equal("actr.name", "x")), `error: there is no field "actr.name"; did you mean actor.name?`},
		{ok(Equal("source.ip", "10.0.0.0/8", "::ffff:1.2.3.4")), "source.ip:10.0.0.0/8 OR source.ip:1.2.3.4"},
		{ok(Equal("source.ip", "::")), "-source.ip:*"},
		{ok(Equal("action", "FAILED_LOGIN")), "action:auth.login outcome:(failure OR denied)"},
		{ok(Equal("outcome", "Failure")), "outcome:failure"},
		{ok(Equal("outcome", "")), `error: outcome: "" is none of unknown, success, failure, denied, error`},
		{ok(Equal("request.status", "0403")), "request.status:403"},
		{ok(Equal("time", "2025-03-01")), "time:>=2025-03-01T00:00:00Z time:<2025-03-02T00:00:00Z"},
		{ok(CIDR("source.ip", "10.1.2.3/8")), "source.ip:10.0.0.0/8"},
		{ok(CIDR("source.ip", "10.0.0.1")), "source.ip:10.0.0.1"},
		{ok(CIDR("source.ip", "x")), `error: source.ip: "x" is neither an IP address nor a network such as 10.0.0.0/8`},
		{ok(CIDR("actor.name", "10.0.0.0/8")), "error: actor.name: is no address field, so no network can hold it"},
		{ok(Exists("metadata.k")), "metadata.k:*"},
		{ok(Compare("reason", OpContains, true, "")), "reason:*"},
		{ok(Compare("reason", OpWildcard, true, `a\*b`)), `reason|i:"a*b"`},
		{ok(Compare("reason", OpWildcard, false, "*", "x")), "reason:* OR reason:x"},
		{ok(Compare("reason", OpRegex, false, `a\"b`)), `reason|re:"a\"b"`},
		{ok(Compare("severity", OpGreater, false, "critical")), "-*"},
		{TimeRange(time.Time{}, time.Time{}).String(), "*"},
		{TimeRange(day, time.Time{}).String(), "time:>=2025-03-01T00:00:00Z"},
		{TimeRange(time.Time{}, day.In(cet)).String(), "time:<2025-03-01T00:00:00Z"},
		{TimeRange(day, day.Add(1)).String(), "time:>=2025-03-01T00:00:00Z time:<2025-03-01T00:00:00.000001Z"},
		{TimeRange(day.AddDate(10_000, 0, 0), time.Time{}).String(), "-*"},
		{TimeRange(day.AddDate(-5000, 0, 0), day.AddDate(10_000, 0, 0)).String(), "*"},
		{Words("  Failed  10.0.0.1 ").String(), "Failed 10 0 0 1 message:*10.0.0.1*"},
		{Words("").String(), "*"},
		{And().String(), "*"},
		{And(a, All, And(b, c)).String(), "a b c"},
		{And(a, None).String(), "-*"},
		{Or().String(), "-*"},
		{Or(a, None, Or(b, c)).String(), "a OR b OR c"},
		{Or(a, All).String(), "*"},
		{Not(Not(a)).String(), "a"},
		{Not(And(a, Or(b, c))).String(), "-(a (b OR c))"},
	} {
		if test.got != test.want {
			t.Errorf("%d: %s, want %s", i, test.got, test.want)
		}
	}
}

// TestMergingKeepsArguments guards the immutability of expressions: joining alternatives must not write into the values of one of them.
func TestMergingKeepsArguments(t *testing.T) {
	values := make([]string, 1, 8)
	values[0] = "a"
	first := Comparison{Field: "reason", Values: values}
	anyOf([]Expr{first, Comparison{Field: "reason", Values: []string{"b"}}})
	if values = values[:2]; values[1] != "" {
		t.Errorf("the argument's memory now holds %q", values)
	}
}

func TestSuggest(t *testing.T) {
	for name, want := range map[string]string{
		"actor": "actor.name", "user": "actor.name", "ip": "source.ip", "status": "request.status", "target": "target.name", "service": "service.name", "actorname": "actor.name",
		"actor_name": "actor.name", "Actor.Name": "actor.name", "source.pi": "source.ip", "mesage": "message", "severty": "severity", "event.outcom": "outcome", "timestamp": "time",
		"records": "data.records", "metadata": "metadata.KEY", "zzzzz": "", "": "", "a_name_that_is_much_longer_than_any_of_the_fields_that_there_are_in_an_event": "",
	} {
		if got := nearestField(name); got != want {
			t.Errorf("%q suggests %q, want %q", name, got, want)
		}
	}
}

func TestFieldValues(t *testing.T) {
	e := sample()
	for name, want := range map[string]string{
		"time": "2025-03-01T10:00:00.123456Z", "source.ip": "10.1.2.3", "source.ip_prefix": "10.1.2.3/32", "outcome": "denied", "target.id": "42", "changes.field": "email,Phone",
		"request.status": "403", "metadata.team": "x y", "metadata.nothing": "", "actor.id": "", "labels.team": "x y", "data.records": "1200",
	} {
		f, err := Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Text(e); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
		if got := f.Text(&audit.Event{}); got != "" && f.Kind != KindEnum && f.Kind != KindTime {
			t.Errorf("%s of an empty event is %q", name, got)
		}
	}
	for name, want := range map[string]float64{"request.status": 403, "metadata.amount": -12.5, "data.records": 1200} {
		f, _ := Lookup(name)
		if got, ok := f.Number(e); !ok || got != want {
			t.Errorf("%s is %v, %v, want %v", name, got, ok, want)
		}
	}
	for _, name := range []string{"metadata.team", "time", "source.ip", "actor.id", "changes.field"} {
		f, _ := Lookup(name)
		if n, ok := f.Number(e); ok {
			t.Errorf("%s is the number %v", name, n)
		}
	}
	names := map[string]bool{}
	for _, f := range Fields() {
		for _, name := range append(f.Aliases, f.Name) {
			if names[name] {
				t.Errorf("%s names two fields", name)
			}
			names[name] = true
		}
	}
}
