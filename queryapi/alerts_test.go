package queryapi

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/audittrail/audittrail/queryapi/internal/testtrail"
	"github.com/audittrail/audittrail/schemas/audit"
)

func alert(id string, version uint64, state audit.AlertState, lastSeen time.Time, key string) testtrail.Version {
	return testtrail.Version{
		Alert: audit.Alert{
			ID: id, Version: version, State: state, RuleID: "11111111-" + id, RuleName: "brute_force_ip", Level: "high", Tenant: "default",
			Key:       map[string]string{"source.ip_prefix": key},
			FirstSeen: noon.Add(-time.Hour), LastSeen: lastSeen, Window: "1m", Count: 5 * version,
			Users: audit.Names{Values: []string{"root"}, Total: 1}, Sources: audit.Names{Values: []string{strings.TrimSuffix(key, "/32")}, Total: 1}, Samples: []string{"e1"},
		},
		Published: lastSeen.Add(time.Second),
	}
}

// alarms are three alerts in six versions; newest last seen: c, b, a.
func alarms() []testtrail.Version {
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes-60) * time.Minute) }
	rows := []testtrail.Version{
		alert("a", 1, audit.AlertOpen, at(1), "10.0.0.1/32"), alert("b", 1, audit.AlertOpen, at(2), "10.0.0.2/32"),
		alert("a", 2, audit.AlertAcknowledged, at(3), "10.0.0.1/32"), alert("b", 2, audit.AlertOpen, at(5), "10.0.0.2/32"),
		alert("c", 1, audit.AlertOpen, at(6), "2001:db8:0:1::/64"), alert("a", 3, audit.AlertResolved, at(4), "10.0.0.1/32"),
	}
	rows[4].Tenant, rows[4].Level, rows[4].RuleName, rows[4].Sources.Values = "acme", "critical", "password_spray", []string{"2001:db8:0:1::7"}
	for i := range rows {
		rows[i].Offset = int64(i)
	}
	rows[5].Published = at(7)
	return rows
}

func TestAlertFilters(t *testing.T) {
	client := testtrail.Open(t)
	s := newService(t, Options{ClickHouse: client, Now: clock})
	testtrail.InsertAlerts(t, client, alarms()...)
	for query, want := range map[string]string{
		"":                               "c b a",
		"order=asc":                      "a b c",
		"state=open":                     "c b", // a was open once
		"state=resolved":                 "a",
		"state=acknowledged":             "",
		"state=open&state=resolved":      "c b a",
		"rule=brute_force_ip":            "b a",
		"rule=11111111-c":                "c",
		"rule=11111111-c&rule=nothing":   "c",
		"level=critical":                 "c",
		"tenant=acme":                    "c",
		"source_ip=10.0.0.1":             "a",
		"ip=10.0.0.2&ip=10.0.0.1/32":     "b a",
		"source_ip=2001:db8:0:1::7":      "c",
		"source_ip=2001:DB8:0:1:0::1234": "c", // another address of the prefix in the key
		"source_ip=2001:db8:0:1::/64":    "c",
		"source_ip=10.9.9.9":             "",
		"key=10.0.0.1/32":                "a",
		"key=source.ip_prefix":           "",
		"from=2026-03-01T11:05:00Z":      "c b",
		"to=2026-03-01T11:05:00Z":        "a",
		"from=-55m&to=-54m":              "b",
		"limit=1":                        "c",
	} {
		page, err := s.Alerts(t.Context(), Everything("test"), parameters(t, query))
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if got := strings.Join(ids(t, page), " "); got != want {
			t.Errorf("%s: found %q, want %q", query, got, want)
		}
	}
	page, err := s.Alerts(t.Context(), Everything("test"), parameters(t, "total=true&limit=1&state=open"))
	if err != nil || *page.Total != 2 {
		t.Errorf("total: %v, %v", page, err)
	}
}

func TestAlertTextsStayTexts(t *testing.T) {
	client := testtrail.Open(t)
	s := newService(t, Options{ClickHouse: client, Now: clock})
	var rows []testtrail.Version
	for i, text := range evil {
		v := alert(text, 1, audit.AlertOpen, noon, text)
		v.RuleID, v.Tenant, v.Offset = text, text, int64(i)
		rows = append(rows, v)
	}
	testtrail.InsertAlerts(t, client, rows...)
	for i, text := range evil {
		for j, name := range []string{"rule", "tenant", "key"} {
			if (i+j)%3 != 0 {
				continue
			}
			page, err := s.Alerts(t.Context(), Everything("test"), url.Values{name: {text}})
			if err != nil || !slices.Equal(ids(t, page), []string{text}) {
				t.Errorf("%s=%q: %v, %v", name, text, page, err)
			}
		}
		if v, err := s.Alert(t.Context(), Everything("test"), text); err != nil || len(v.Versions) != 1 {
			t.Errorf("alert %q: %v, %v", text, v, err)
		}
		page, err := s.Alerts(t.Context(), Scope{Tenants: []string{text}}, nil)
		if err != nil || !slices.Equal(ids(t, page), []string{text}) {
			t.Errorf("tenant %q sees %v, %v", text, page, err)
		}
	}
}

func TestAlertVersions(t *testing.T) {
	client := testtrail.Open(t)
	s := newService(t, Options{ClickHouse: client, Now: clock})
	testtrail.InsertAlerts(t, client, alarms()...)
	v, err := s.Alert(t.Context(), Everything("test"), "a")
	if err != nil {
		t.Fatal(err)
	}
	var states []string
	for _, item := range v.Versions {
		var a audit.Alert
		if err := json.Unmarshal(item, &a); err != nil {
			t.Fatal(err)
		}
		states = append(states, fmt.Sprintf("%d %s %d", a.Version, a.State, a.Count))
	}
	if want := []string{"3 resolved 15", "2 acknowledged 10", "1 open 5"}; !slices.Equal(states, want) || string(v.Alert) != string(v.Versions[0]) || v.Truncated {
		t.Errorf("versions %v, want %v", states, want)
	}
}

func TestAlertScope(t *testing.T) {
	client := testtrail.Open(t)
	s := newService(t, Options{ClickHouse: client, Now: clock})
	testtrail.InsertAlerts(t, client, alarms()...)
	acme := Scope{Caller: "eve", Tenants: []string{"acme"}}
	for _, c := range []struct {
		scope Scope
		query string
		want  string
	}{
		{acme, "", "c"},
		{acme, "tenant=default", ""},
		{acme, "tenant=default&tenant=acme", "c"},
		{acme, "limit=1", "c"},
		{Scope{}, "", ""},
		{Scope{Tenants: []string{"acme", "default"}}, "", "c b a"},
	} {
		page, err := s.Alerts(t.Context(), c.scope, parameters(t, c.query))
		if err != nil || strings.Join(ids(t, page), " ") != c.want {
			t.Errorf("%+v %s: %v, %v, want %q", c.scope, c.query, page, err, c.want)
		}
	}
	if _, err := s.Alert(t.Context(), acme, "a"); codeOf(t, err) != CodeNotFound {
		t.Errorf("an alert of another tenant: %v", err)
	}
	if _, err := s.Alert(t.Context(), acme, "c"); err != nil {
		t.Errorf("an alert of the tenant: %v", err)
	}
}

// TestAlertPages walks over alerts, many of them last seen at one time, while they change: each is shown once, as it was when the walk began.
func TestAlertPages(t *testing.T) {
	for seed := range rounds(2, 15) {
		client := testtrail.Open(t)
		s := newService(t, Options{ClickHouse: client, Now: clock})
		rng := rand.New(rand.NewPCG(uint64(seed), 2))
		versions := map[string]uint64{}
		published := noon
		change := func(n int) {
			var rows []testtrail.Version
			for range n {
				id := fmt.Sprintf("a%d", rng.IntN(40))
				versions[id]++
				published = published.Add(time.Millisecond)
				v := alert(id, versions[id], audit.AlertOpen, noon.Add(time.Duration(rng.IntN(6))*time.Minute), "10.0.0.1/32")
				v.Published, v.Offset = published, published.UnixMilli()
				rows = append(rows, v)
			}
			testtrail.InsertAlerts(t, client, rows...)
		}
		change(80)
		v := url.Values{"order": {pick(rng, "asc", "desc")}, "limit": {"1000"}}
		want := walk(t, s.Alerts, Everything("test"), v, nil)
		if len(want) != len(versions) {
			t.Fatalf("%d alerts at once, want %d", len(want), len(versions))
		}
		v.Set("limit", fmt.Sprint(1+rng.IntN(9)))
		if got := walk(t, s.Alerts, Everything("test"), v, func() { change(10) }); !slices.Equal(got, want) {
			t.Errorf("%s: in pages %v, at once %v", v.Encode(), got, want)
		}
	}
}
