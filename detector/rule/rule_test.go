package rule

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/audittrail/audittrail/schemas/audit"
)

func login(change func(*audit.Event)) *audit.Event {
	e := &audit.Event{Tenant: "default", Action: "auth.login", Outcome: audit.OutcomeFailure}
	if change != nil {
		change(e)
	}
	return e
}

func TestFailedLogin(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*audit.Event)
		want   bool
	}{
		"failure":         {nil, true},
		"denied":          {func(e *audit.Event) { e.Outcome = audit.OutcomeDenied }, true},
		"throttled":       {func(e *audit.Event) { e.Reason = "throttled" }, true},
		"success":         {func(e *audit.Event) { e.Outcome = audit.OutcomeSuccess }, false},
		"error":           {func(e *audit.Event) { e.Outcome = audit.OutcomeError }, false},
		"unknown":         {func(e *audit.Event) { e.Outcome = audit.OutcomeUnknown }, false},
		"expired session": {func(e *audit.Event) { e.Reason = "session_expired" }, false},
		"logout":          {func(e *audit.Event) { e.Action = "auth.logout" }, false},
		"second factor":   {func(e *audit.Event) { e.Action = "auth.mfa" }, false},
	} {
		if got := FailedLogin(login(c.change)); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestSourcePrefix(t *testing.T) {
	for ip, want := range map[string]string{
		"203.0.113.7":          "203.0.113.7/32",
		"::ffff:203.0.113.7":   "203.0.113.7/32",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"fe80::1%eth0":         "fe80::/64",
		"::":                   "",
		"":                     "",
	} {
		e := login(nil)
		if ip != "" {
			e.Source.IP = netip.MustParseAddr(ip)
		}
		if got, ok := SourcePrefix().Value(e); got != want || ok != (want != "") {
			t.Errorf("%q gives %q, %t; want %q", ip, got, ok, want)
		}
	}
}

func TestBuiltInRulesAreValid(t *testing.T) {
	rules := BuiltIn()
	if err := Validate(rules); err != nil {
		t.Fatal(err)
	}
	r := rules[0]
	if r.Name != "brute_force_ip" || r.Threshold != 5 || r.Window() != "1m" || r.ResolveAfter != 10*time.Minute || len(r.Actions) == 0 {
		t.Errorf("the default rule is %+v", r)
	}
}

func TestWindowIsInSigmasNotation(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Second: "1s", 90 * time.Second: "90s", time.Minute: "1m", 10 * time.Minute: "10m", time.Hour: "1h", 36 * time.Hour: "36h", 48 * time.Hour: "2d",
	} {
		r := Rule{Timespan: d}
		if got := r.Window(); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
}

func TestValidateNamesTheRuleAndTheFault(t *testing.T) {
	for want, change := range map[string]func(*Rule){
		"id and a name":    func(r *Rule) { r.ID = "" },
		"matches nothing":  func(r *Rule) { r.Match = nil },
		"groups by":        func(r *Rule) { r.GroupBy = nil },
		"without a name":   func(r *Rule) { r.GroupBy = []Field{{}} },
		"threshold 0":      func(r *Rule) { r.Threshold = 0 },
		"threshold 10001":  func(r *Rule) { r.Threshold = MaxThreshold + 1 },
		"timespan 500ms":   func(r *Rule) { r.Timespan = 500 * time.Millisecond },
		"timespan 1.5s":    func(r *Rule) { r.Timespan = 1500 * time.Millisecond },
		"timespan 16m0s":   func(r *Rule) { r.Timespan = 16 * time.Minute },
		"resolve_after 1s": func(r *Rule) { r.ResolveAfter = time.Second },
		"lateness -1s":     func(r *Rule) { r.Lateness = -time.Second },
		"lateness 2h0m0s":  func(r *Rule) { r.Lateness = 2 * time.Hour },
	} {
		r := BruteForceIP()
		change(&r)
		err := Validate([]Rule{r})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `rule "brute_force_ip"`) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if err := Validate([]Rule{BruteForceIP(), BruteForceIP()}); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("two rules of one name and id: %v", err)
	}
}

func TestSetVersionFollowsEveryVisibleChange(t *testing.T) {
	seen := map[uint32]string{SetVersion(nil): "none", SetVersion(BuiltIn()): "built in"}
	for name, change := range map[string]func(*Rule){
		"name": func(r *Rule) { r.Name = "x" }, "level": func(r *Rule) { r.Level = "low" }, "threshold": func(r *Rule) { r.Threshold++ },
		"timespan": func(r *Rule) { r.Timespan *= 2 }, "resolve": func(r *Rule) { r.ResolveAfter *= 2 }, "lateness": func(r *Rule) { r.Lateness *= 2 },
		"actions": func(r *Rule) { r.Actions = r.Actions[1:] }, "tags": func(r *Rule) { r.Tags = nil }, "grouping": func(r *Rule) { r.GroupBy = r.GroupBy[1:] },
	} {
		r := BruteForceIP()
		change(&r)
		v := SetVersion([]Rule{r})
		if other, taken := seen[v]; taken {
			t.Errorf("a change of %s gives the version of %q", name, other)
		}
		seen[v] = name
	}
}

func text(name string, value *string) Field {
	return Field{Name: name, Value: func(*audit.Event) (string, bool) {
		if value == nil {
			return "", false
		}
		return *value, true
	}}
}

func TestGroupKeysTellGroupsApart(t *testing.T) {
	p := func(s string) *string { return &s }
	seen := make(map[string]string)
	for name, g := range map[string]Grouping{
		"two":                NewGrouping([]Field{text("a", p("x")), text("b", p("y"))}),
		"other fields":       NewGrouping([]Field{text("a", p("x")), text("c", p("y"))}),
		"swapped":            NewGrouping([]Field{text("a", p("y")), text("b", p("x"))}),
		"first missing":      NewGrouping([]Field{text("a", nil), text("b", p("y"))}),
		"second missing":     NewGrouping([]Field{text("a", p("x")), text("b", nil)}),
		"missing in words":   NewGrouping([]Field{text("a", p("x")), text("b", p(Missing))}),
		"empty":              NewGrouping([]Field{text("a", p("x")), text("b", p(""))}),
		"separators":         NewGrouping([]Field{text("a", p("x\x02y")), text("b", p(""))}),
		"long":               NewGrouping([]Field{text("a", p(strings.Repeat("z", 300))), text("b", nil)}),
		"long, another tail": NewGrouping([]Field{text("a", p(strings.Repeat("z", 299)+"!")), text("b", nil)}),
	} {
		key := string(g.AppendKey(nil, nil))
		if other, taken := seen[key]; taken {
			t.Errorf("%q and %q have the same key", name, other)
		}
		seen[key] = name
		values, err := g.Values(key)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, f := range g.fields {
			want, ok := f.Value(nil)
			if want = Shorten(want); !ok {
				want = Missing
			}
			if values[f.Name] != want {
				t.Errorf("%s: %s is %q, want %q", name, f.Name, values[f.Name], want)
			}
		}
	}
}

func FuzzGroupKey(f *testing.F) {
	g := NewGrouping([]Field{text("a", nil), text("b", nil)})
	f.Add([]byte("x"), []byte(""))
	f.Add(g.AppendKey(nil, nil), []byte{0xff})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		_, _ = g.Values(string(key)) // any bytes may be the key of a foreign record
		a, b := string(key), string(value)
		made := NewGrouping([]Field{text("a", &a), text("b", &b)}).AppendKey(nil, nil)
		values, err := g.Values(string(made))
		if err != nil || values["a"] != Shorten(a) || values["b"] != Shorten(b) {
			t.Fatalf("%q and %q came back as %q, %v", a, b, values, err)
		}
		if !bytes.Equal(made[:4], g.AppendKey(nil, nil)[:4]) {
			t.Fatal("the signature depends on the values")
		}
	})
}

func TestShorten(t *testing.T) {
	short := strings.Repeat("é", 100)
	if Shorten(short) != short {
		t.Error("a short text was changed")
	}
	a, b := Shorten(short+"é"), Shorten(short+"è")
	if a == b || len(a) > maxKeyValue || !utf8.ValidString(a) || !strings.HasPrefix(a, "éé") {
		t.Errorf("long texts became %q and %q", a, b)
	}
}
