package queryapi

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/audittrail/audittrail/internal/filter"
)

func TestWrongParameters(t *testing.T) {
	for query, want := range map[string]string{
		"actoin=auth.login":                  "actoin: there is no such parameter; did you mean action?",
		"Actor=7":                            "Actor: there is no such parameter; did you mean actor?",
		"xyzzy=1":                            "xyzzy: there is no such parameter",
		"scope=all":                          "scope: there is no such parameter",
		"actor=":                             "actor: is empty",
		"actor=ana&actor=":                   "actor: is empty",
		"limit=0":                            `limit: "0" is no number from 1 to 1000`,
		"limit=1001":                         `limit: "1001" is no number from 1 to 1000`,
		"limit=ten":                          `limit: "ten" is no number from 1 to 1000`,
		"limit=1&limit=2":                    "limit: is given more than once",
		"order=up":                           `order: "up" is neither desc nor asc`,
		"total=yes":                          `total: "yes" is neither false nor true`,
		"outcome=succes":                     `outcome: "succes" is none of unknown, success, failure, denied, error; did you mean success?`,
		"severity=hihg":                      `severity: "hihg" is none of info, low, medium, high, critical; did you mean high?`,
		"category=auht":                      `category: "auht" is none of auth, data, access, admin, system; did you mean auth?`,
		"source_ip=localhost":                `source_ip: "localhost" is neither an IP address nor a network such as 10.0.0.0/8`,
		"ip=10.0.0.0/33":                     "source_ip: ",
		"action=a*b":                         `action: "a*b": a * may only stand at the end`,
		"action=**":                          `action: "**": a * may only stand at the end`,
		"from=yesterday":                     `from: "yesterday" is neither a time`,
		"from=2026-03-01T10:00:00+01:00":     "from: ", // the + is a blank
		"from=-5x":                           "from: ",
		"from=-999999999w":                   `from: "-999999999w" is before 1900`,
		"from=-1h&to=-2h":                    "to: must be later than from",
		"from=-1h&to=-1h":                    "to: must be later than from",
		"from=2026-03-01&from=2026-03-02":    "from: is given more than once",
		"search=+":                           "search: has no words",
		"q=action:":                          "q: column ",
		"q=nonsuch:1":                        "q: ",
		"cursor=abc":                         "cursor: does not belong to this search",
		"actor=" + strings.Repeat("x", 8193): "actor: is longer than 8192 bytes",
		manyValues(101):                      "id: is given more than 100 times",
		"xyzzy=1&limit=0&actor=":             "xyzzy: there is no such parameter; there are action, actor, ",
	} {
		_, err := parseEventSearch(Everything("test"), parameters(t, query), noon)
		var e *Error
		if !errors.As(err, &e) || e.Code != CodeInvalid {
			t.Errorf("%.60s: %v", query, err)
			continue
		}
		if !strings.Contains(e.Error(), want) {
			t.Errorf("%.60s: %q, want %q", query, e.Error(), want)
		}
	}
}

func manyValues(n int) string {
	v := url.Values{}
	for i := range n {
		v.Add("id", fmt.Sprint(i))
	}
	return v.Encode()
}

func TestSearchOfAbsentColumn(t *testing.T) {
	search, err := parseEventSearch(Everything("test"), parameters(t, "q=span_id:1"), noon)
	if err != nil {
		t.Fatal(err)
	}
	var e *Error
	if _, err := (&Service{}).newEventQuery(search); !errors.As(err, &e) || e.Code != CodeInvalid || e.Parameters[0].Parameter != "q" {
		t.Errorf("a field that the table does not have: %v", err)
	}
}

func TestWrongAlertParameters(t *testing.T) {
	for query, want := range map[string]string{
		"state=opne":               `state: "opne" is none of open, acknowledged, resolved; did you mean open?`,
		"level=info":               "level: ",
		"rle=x":                    "rle: there is no such parameter; did you mean rule?",
		"source_ip=nothing":        `source_ip: "nothing" is neither`,
		"source_ip=fe80::1%25eth0": "source_ip: ",
		"outcome=failure":          "outcome: there is no such parameter",
	} {
		_, err := parseAlertSearch(Everything("test"), parameters(t, query), noon)
		if codeOf(t, err) != CodeInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", query, err, want)
		}
	}
}

func TestParseTime(t *testing.T) {
	for text, want := range map[string]time.Time{
		"now": noon, "-24h": noon.Add(-24 * time.Hour), "now-15m": noon.Add(-15 * time.Minute), "-7d": noon.Add(-7 * 24 * time.Hour), "-2w": noon.Add(-14 * 24 * time.Hour),
		"-90s": noon.Add(-90 * time.Second), "2026-02-28": time.Date(2026, 2, 28, 0, 0, 0, 0, time.UTC), "2026-03-01T13:00:00+01:00": noon,
		"2026-03-01T12:00:00.000001Z": noon.Add(time.Microsecond), "-0s": noon,
	} {
		if got, err := parseTime(text, noon); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "24h", "+1h", "now+1h", "-1", "-h", "-1.5h", "- 1h", "2026", "2026-13-01", "2026-03-01 10:00:00", "-9999999999s"} {
		if got, err := parseTime(text, noon); err == nil {
			t.Errorf("%q: %v, want an error", text, got)
		}
	}
}

func TestCursorIsBound(t *testing.T) {
	next := func(scope Scope, query string, at time.Time) string {
		search, err := parseEventSearch(scope, parameters(t, query), at)
		if err != nil {
			t.Fatal(err)
		}
		return search.next(cursor{at: 42})
	}
	all := Everything("admin")
	text := next(all, "actor=ana&outcome=failure&outcome=denied&from=-1h", noon)
	resume := func(scope Scope, query string) (*eventSearch, error) {
		v := parameters(t, query)
		v.Set("cursor", text)
		return parseEventSearch(scope, v, noon.Add(time.Hour))
	}
	for _, same := range []string{
		"actor=ana&outcome=failure&outcome=denied&from=-1h",
		"from=-1h&outcome=denied&outcome=failure&outcome=denied&actor=ana&order=desc&limit=7&total=true",
	} {
		search, err := resume(all, same)
		if err != nil {
			t.Errorf("%s: %v", same, err)
			continue
		}
		if want := noon.Add(-time.Hour); search.after.at != 42 || !search.from.Equal(want) {
			t.Errorf("%s: after %+v from %v, want the relative time of the first page, %v", same, search.after, search.from, want)
		}
	}
	for _, other := range []string{
		"actor=ana&outcome=failure&from=-1h", "actor=ana&outcome=failure&outcome=denied&from=-2h", "actor=ana&outcome=failure&outcome=denied&from=-1h&order=asc",
		"actor=ana&outcome=failure&outcome=denied", "", "actor_name=ana&outcome=failure&outcome=denied&from=-1h",
	} {
		if _, err := resume(all, other); codeOf(t, err) != CodeInvalid {
			t.Errorf("%s: %v, want the cursor refused", other, err)
		}
	}
	if _, err := resume(Everything("bob"), "actor=ana&outcome=failure&outcome=denied&from=-1h"); codeOf(t, err) != CodeInvalid {
		t.Errorf("another caller: %v, want the cursor refused", err)
	}
	// Names and values cannot be shifted into one another, and one list's cursor is not another's.
	text = next(all, "from=-1h", noon)
	if _, err := parseAlertSearch(all, url.Values{"from": {"-1h"}, "cursor": {text}}, noon); codeOf(t, err) != CodeInvalid {
		t.Errorf("a cursor of events for alerts: %v", err)
	}
	if a, b := next(all, "actor=a%26tenant%3Db", noon), next(all, "actor=a&tenant=b", noon); a == b {
		t.Error("two searches share their cursors")
	}
}

func TestCursorTampering(t *testing.T) {
	c := cursor{now: 1, pin: 2, at: 3, tie: eventPosition{inside: true, topicID: topics[0], partition: 4, offset: 5}.tie()}
	text := c.text("bound")
	if got, ok := parseCursor(text, "bound"); !ok || got != c {
		t.Fatalf("%+v, %v, want %+v", got, ok, c)
	}
	for i := range text {
		for _, b := range []byte("Az09-_=+ \x00") {
			if b == text[i] {
				continue
			}
			if got, ok := parseCursor(text[:i]+string(b)+text[i+1:], "bound"); ok {
				t.Errorf("byte %d changed to %q: read as %+v", i, b, got)
			}
		}
		if got, ok := parseCursor(text[:i], "bound"); ok {
			t.Errorf("cut to %d bytes: read as %+v", i, got)
		}
	}
	for _, bound := range []string{"", "bounds", "boun"} {
		if _, ok := parseCursor(text, bound); ok {
			t.Errorf("accepted for %q", bound)
		}
	}
	if _, ok := parseCursor(text+text, "bound"); ok {
		t.Error("two cursors in a row are accepted")
	}
}

func TestPositions(t *testing.T) {
	for _, p := range []eventPosition{
		{micros: -5}, {micros: 1, inside: true, topicID: topics[1], partition: 1<<32 - 1, offset: 1<<63 - 1},
	} {
		if got, ok := positionOf(&cursor{at: p.micros, tie: p.tie()}); !ok || got != p {
			t.Errorf("%+v, %v, want %+v", got, ok, p)
		}
	}
	if _, ok := positionOf(&cursor{tie: "short"}); ok {
		t.Error("a tie of another list is accepted")
	}
	for micros, want := range map[int64]string{0: "0", 3_599_999_999: "0", 3_600_000_000: "1", -1: "-1", -3_600_000_000: "-1", -3_600_000_001: "-2"} {
		if got := hourOf(micros); got != want {
			t.Errorf("hour of %d: %s, want %s", micros, got, want)
		}
	}
}

func TestCheckListen(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:8000": true, "127.8.8.8:0": true, "[::1]:8000": true, "localhost:8000": true, "[::ffff:127.0.0.1]:80": true,
		":8000": false, "0.0.0.0:8000": false, "[::]:8000": false, "192.168.1.1:8000": false, "example.com:80": false, "localhost.example.com:80": false,
	} {
		if err := CheckListen(addr, false); (err == nil) != want {
			t.Errorf("%s: %v", addr, err)
		}
		if err := CheckListen(addr, true); err != nil {
			t.Errorf("%s without authentication: %v", addr, err)
		}
	}
	for _, addr := range []string{"", "127.0.0.1", "8000"} {
		if CheckListen(addr, true) == nil {
			t.Errorf("%q is accepted", addr)
		}
	}
}

func FuzzCursor(f *testing.F) {
	f.Add(cursor{at: 1}.text("b"), "b")
	f.Add(cursor{now: -1, pin: 7, at: 1 << 62, tie: strings.Repeat("t", maxCursorTie)}.text(""), "")
	f.Add("", "b")
	f.Add("AQ", "b")
	f.Fuzz(func(t *testing.T, text, bound string) {
		c, ok := parseCursor(text, bound)
		if ok && c.text(bound) != text {
			t.Errorf("%q is read as %+v, which is written as %q", text, c, c.text(bound))
		}
		if ok && len(c.tie) > maxCursorTie {
			t.Errorf("a tie of %d bytes", len(c.tie))
		}
		positionOf(&c)
	})
}

func FuzzEventSearch(f *testing.F) {
	for _, seed := range []string{
		"", "action=LOGIN&outcome=failure", "source_ip=10.0.0.0/8&from=-24h&to=now", "q=actor.name:ana+OR+severity:>%3Dhigh", "search=a+b&limit=3&order=asc",
		"actor=" + url.QueryEscape(evil[0]), "cursor=x", "from=now-999999999w", "q=%28", "id=%00&id=%ff",
	} {
		f.Add(seed)
	}
	none := Scope{Caller: "nobody", Events: filter.None}
	f.Fuzz(func(t *testing.T, query string) {
		v, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		search, err := parseEventSearch(none, v, noon)
		if err != nil {
			codeOf(t, err)
			return
		}
		// Whatever was asked for: who may see nothing sees nothing.
		if search.where != filter.None {
			t.Errorf("%q widens the scope to %s", query, search.where)
		}
		again, err := parseEventSearch(none, withCursor(v, search.next(cursor{at: 1})), noon)
		if err != nil || again.after.at != 1 {
			t.Errorf("%q: the next page is refused: %v", query, err)
		}
		everything, err := parseEventSearch(Everything("test"), v, noon)
		if err != nil {
			t.Fatal(err)
		}
		q, err := (&Service{}).newEventQuery(everything)
		if err != nil {
			codeOf(t, err)
			return
		}
		// The values are never in the statement.
		for name, values := range everything.values {
			for _, value := range values {
				if len(value) > 8 && !slices.Contains([]string{"q", "search"}, name) && strings.Contains(q.where.String(), value) {
					t.Errorf("%s=%q is in the statement %s", name, value, q.where.String())
				}
			}
		}
	})
}

func withCursor(v url.Values, text string) url.Values {
	out := url.Values{"cursor": {text}}
	for name, values := range v {
		if name != "cursor" {
			out[name] = values
		}
	}
	return out
}

func FuzzParseTime(f *testing.F) {
	for _, seed := range []string{"now", "-24h", "now-15m", "2026-03-01T10:00:00Z", "-999999999w", "0000-01-01"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseTime(text, noon)
		if err != nil {
			return
		}
		if strings.HasPrefix(text, "-") && got.After(noon) {
			t.Errorf("%q is %v, after now", text, got)
		}
	})
}

func FuzzAlertSearch(f *testing.F) {
	f.Add("state=open&source_ip=10.0.0.1&key=x")
	f.Fuzz(func(t *testing.T, query string) {
		v, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		search, err := parseAlertSearch(Scope{}, v, noon)
		if err != nil {
			codeOf(t, err)
			return
		}
		if !slices.Contains(search.versions.conditions, "false") {
			t.Errorf("%q widens the scope to %s", query, search.versions.String())
		}
		for name := range search.params() {
			if !strings.Contains(search.versions.String()+search.alerts.String(), "{"+name+":") {
				t.Errorf("parameter %s is nowhere", name)
			}
		}
	})
}
