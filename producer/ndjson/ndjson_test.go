package ndjson_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/audittrail/audittrail/producer"
	"github.com/audittrail/audittrail/producer/internal/producertest"
	"github.com/audittrail/audittrail/producer/ndjson"
	"github.com/audittrail/audittrail/schemas/audit"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func start(t testing.TB) (*producer.Producer, []string) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, producer.DefaultTopic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	brokers := c.ListenAddrs()
	p, err := producer.New(producer.Options{Brokers: brokers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(context.Background()) })
	return p, brokers
}

func run(t testing.TB, opts ndjson.Options) ndjson.Result {
	t.Helper()
	opts.Now = func() time.Time { return noon }
	i, err := ndjson.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	res, err := i.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestEveryFormIsRead(t *testing.T) {
	p, brokers := start(t)
	const bare = `{"id":"e1","time":"2026-11-24T09:15:27.123456Z","tenant":"globex","action":"record.update","category":"data","outcome":"success",` +
		`"severity":"info","actor":{"type":"user","id":"u-1"},"changes":[{"field":"amount","old":1,"new":[2,null]}],` +
		`"service":{"name":"billing","instance":"b-1"},"sequence":9,"message":"a \"quoted\" sentence"}`
	log := strings.Join([]string{
		"\uFEFF" + bare,
		`{"specversion":"1.0","id":"e2","source":"crm","type":"audittrail.auth.login","time":"2026-11-24T09:00:00Z","datacontenttype":"application/json",` +
			`"data":{"action":"auth.login","outcome":"denied","actor":{"name":"bob"}}}` + "\r",
		"",
		`{"action":"LOGOUT","team":{"lead":"carol"}}`,
		`{"id":"e4","action":"data.export","time":"yesterday","service":{"instance":"x-1"}}`,
	}, "\n")
	var last producer.Progress
	res := run(t, ndjson.Options{
		Producer: p, Path: "-", Stdin: strings.NewReader(log), Tenant: "acme", Service: audit.Service{Name: "legacy", Version: "3"},
		Progress: func(p producer.Progress) { last = p },
	})
	if want := (ndjson.Result{Lines: 5, Events: 4, Blank: 1, Undated: 2, Repaired: 2, Acknowledged: 4}); res != want {
		t.Errorf("got %+v, want %+v", res, want)
	}
	if n := int64(len(log)); last != (producer.Progress{Sent: 4, Acknowledged: 4, Bytes: n, TotalBytes: n}) {
		t.Errorf("progress ends with %+v", last)
	}
	all := producertest.Read(t, brokers, producer.DefaultTopic)
	if got := string(all[0].Record.Value); got != bare {
		t.Errorf("a complete event was changed:\n got %s\nwant %s", got, bare)
	}
	login := all[1].Event
	if login.ID != "e2" || login.Outcome != audit.OutcomeDenied || login.Actor.Name != "bob" || login.Tenant != "acme" || login.Service.Name != "crm" {
		t.Errorf("CloudEvent: %+v", login)
	}
	logout := all[2].Event
	if logout.Action != "auth.logout" || !logout.Time.Equal(noon) || logout.Tenant != "acme" || logout.Service != (audit.Service{Name: "legacy", Version: "3"}) || len(logout.ID) != 36 {
		t.Errorf("almost nothing given: %+v", logout)
	}
	if v, _ := logout.Metadata.Get(audit.MetaTime); v != "missing" {
		t.Errorf("the missing time is not told: %v", logout.Metadata)
	}
	if v, _ := logout.Metadata.Get("team"); v != `{"lead":"carol"}` {
		t.Errorf("an unknown key is lost: %v", logout.Metadata)
	}
	export := all[3].Event
	if v, _ := export.Metadata.Get(audit.MetaTime); v != "yesterday" || !export.Time.Equal(noon) || export.Service != (audit.Service{Name: "legacy", Instance: "x-1"}) {
		t.Errorf("unreadable time: %+v", export)
	}
}

// TestTimes: what has another form than RFC 3339, or lies outside the years 1900 to 2299, is never guessed at. The event gets the time of the import
// and keeps the text. A far future that is readable stays.
func TestTimes(t *testing.T) {
	for text, want := range map[string]string{
		`"2100-01-01T00:00:00Z"`: "2100-01-01T00:00:00Z",
		`"2299-12-31T23:59:59Z"`: "2299-12-31T23:59:59Z",
		`"2300-01-01T00:00:00Z"`: "",
		`1764064800`:             "", // seconds
		`1764064800000`:          "", // milliseconds
		`"1764064800000"`:        "",
		`"2026-11-24T12:00:00"`:  "", // which zone?
	} {
		p, brokers := start(t)
		res := run(t, ndjson.Options{Producer: p, Path: "-", Stdin: strings.NewReader(`{"action":"a.b","outcome":"success","time":` + text + `}`)})
		e := producertest.Read(t, brokers, producer.DefaultTopic)[0].Event
		kept, _ := e.Metadata.Get(audit.MetaTime)
		if want == "" {
			if !e.Time.Equal(noon) || kept != strings.Trim(text, `"`) || res.Undated != 1 {
				t.Errorf("%s: time %s, text %q, %+v", text, e.Time, kept, res)
			}
		} else if e.Time.Format(time.RFC3339) != want || kept != "" || res.Undated != 0 {
			t.Errorf("%s: time %s, text %q, %+v", text, e.Time, kept, res)
		}
	}
}

// TestWhatIsRepairedIsMarked: an action that nobody knows is as good as another; an outcome that is missing or unknown is marked, not made up.
func TestWhatIsRepairedIsMarked(t *testing.T) {
	for _, tt := range []struct {
		line, action, outcome, warned, text string
	}{
		{`{"action":"coffee.brew","outcome":"success"}`, "coffee.brew", "success", "", ""},
		{`{"action":"EXPORT","outcome":"success"}`, "data.export", "success", "", ""},
		{`{"action":"FAILED_LOGIN"}`, "auth.login", "failure", "", ""},
		{`{"action":"LOGIN"}`, "auth.login", "unknown", "outcome", "missing"},
		{`{"action":"a.b","outcome":"unknown"}`, "a.b", "unknown", "", ""},
		{`{"action":"a.b","outcome":"won"}`, "a.b", "unknown", "outcome", "won"},
		{`{"action":"a.b","severity":"odd"}`, "a.b", "unknown", "severity,outcome", "missing"},
		{`{"action":"a.b","metadata":{"audittrail.warn":"outcome","audittrail.warn.outcome":"won"}}`, "a.b", "unknown", "outcome", "won"},
	} {
		p, brokers := start(t)
		res := run(t, ndjson.Options{Producer: p, Path: "-", Stdin: strings.NewReader(tt.line)})
		e := producertest.Read(t, brokers, producer.DefaultTopic)[0].Event
		warned, _ := e.Metadata.Get(audit.MetaWarn)
		text, _ := e.Metadata.Get(audit.MetaWarn + ".outcome")
		if e.Action != tt.action || e.Outcome.String() != tt.outcome || warned != tt.warned || text != tt.text || (res.Repaired == 1) != (warned != "") {
			t.Errorf("%s: %s %s, warned of %q (%q), %+v", tt.line, e.Action, e.Outcome, warned, text, res)
		}
	}
}

// TestIDsOfASecondImport: events that bring no id get the same one every time, and different content gives different ones.
func TestIDsOfASecondImport(t *testing.T) {
	p, brokers := start(t)
	path := filepath.Join(t.TempDir(), "a.ndjson")
	content := strings.Repeat(`{"action":"record.read"}`+"\n", 3)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, ndjson.Options{Producer: p, Path: path})
	run(t, ndjson.Options{Producer: p, Path: "-", Stdin: strings.NewReader(content)})
	run(t, ndjson.Options{Producer: p, Path: "-", Stdin: strings.NewReader(content + "\n")})
	counts := map[int]int{}
	for _, n := range producertest.IDs(producertest.Read(t, brokers, producer.DefaultTopic)) {
		counts[n]++
	}
	if !reflect.DeepEqual(counts, map[int]int{2: 3, 1: 3}) {
		t.Errorf("ids by how often they are there: %v, want three twice and three once", counts)
	}
}

func TestBrokenLines(t *testing.T) {
	long := `{"action":"record.read","message":"` + strings.Repeat("x", ndjson.MaxLineBytes) + `"}`
	big := `{"action":"record.read","message":"` + strings.Repeat("x", audit.MaxEventBytes) + `"}`
	log := strings.Join([]string{
		`{"action":"record.read"}`,
		`{"action":"record.read"`,
		`[1]`,
		`{"outcome":"success"}`,
		`{"action":"No Such Form"}`,
		long,
		big,
		"\xff\xfe",
		`{"action":"record.read"}`,
	}, "\n")
	want := []string{"2 bad_json", "3 not_object", "4 missing action", "5 invalid action", "6 too_large", "7 too_large", "8 bad_json"}
	for _, raw := range []bool{false, true} {
		t.Run(fmt.Sprint("raw ", raw), func(t *testing.T) {
			p, brokers := start(t)
			var told []string
			res := run(t, ndjson.Options{
				Producer: p, Path: "-", Stdin: strings.NewReader(log), Raw: raw,
				OnBroken: func(b ndjson.Broken) {
					told = append(told, strings.TrimSpace(fmt.Sprintf("%d %s %s", b.Line, b.Reject.Reason, b.Reject.Field)))
					if text := strings.Split(log, "\n")[b.Line-1]; !strings.HasPrefix(text, string(b.Text)) || b.Published != (raw && b.Line != 6) {
						t.Errorf("line %d: text of %d bytes, published %v", b.Line, len(b.Text), b.Published)
					}
				},
			})
			if !reflect.DeepEqual(told, want) {
				t.Errorf("told %q, want %q", told, want)
			}
			wantRes := ndjson.Result{Lines: 9, Events: 2, Broken: 7, Undated: 2, Repaired: 2, Acknowledged: 2}
			quarantined := map[string]bool{}
			if raw {
				wantRes.Raw, wantRes.Acknowledged = 6, 8
				for _, n := range []int{1, 2, 3, 6, 7} {
					quarantined[strings.Split(log, "\n")[n]] = true
				}
			}
			if res != wantRes {
				t.Errorf("got %+v, want %+v", res, wantRes)
			}
			got := map[string]bool{}
			for _, r := range producertest.Read(t, brokers, producer.DefaultTopic) {
				if r.Reject != nil {
					got[string(r.Record.Value)] = true
				}
			}
			// Line 5 is kept by the consumer, as it is.
			if !reflect.DeepEqual(got, quarantined) {
				t.Errorf("%d records for the quarantine, want the bytes of %d lines", len(got), len(quarantined))
			}
		})
	}
}

func TestErrors(t *testing.T) {
	p, _ := start(t)
	for name, opts := range map[string]ndjson.Options{"no producer": {Path: "x"}, "no path": {Producer: p}} {
		if _, err := ndjson.New(opts); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	i, err := ndjson.New(ndjson.Options{Producer: p, Path: "no/such/file"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Run(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	i, err = ndjson.New(ndjson.Options{
		Producer: p, Path: "-", Stdin: strings.NewReader("x\n" + `{"action":"record.read"}`), OnBroken: func(ndjson.Broken) { cancel() },
	})
	if err != nil {
		t.Fatal(err)
	}
	if res, err := i.Run(ctx); !errors.Is(err, context.Canceled) || res.Lines != 1 {
		t.Errorf("interrupted: %+v, %v", res, err)
	}
}

// FuzzImport: every line is an event in the trail, or told of.
func FuzzImport(f *testing.F) {
	p, _ := start(f)
	f.Add([]byte(`{"action":"record.read"}` + "\n\n" + `{"action":"LOGIN","metadata":{"a":1},"x":[{}]}`))
	f.Add([]byte(`{"specversion":"1.0","id":"2","source":"crm","type":"t","data":{"action":"a.b","targets":[{"id":1}],"changes":[{"field":"x","old":{}}]}}`))
	f.Add([]byte("{\"action\":\"\\ud800.x\"}\r\n\xff"))
	f.Fuzz(func(t *testing.T, content []byte) {
		told := uint64(0)
		res := run(t, ndjson.Options{Producer: p, Path: "-", Stdin: strings.NewReader(string(content)), OnBroken: func(ndjson.Broken) { told++ }})
		if res.Events+res.Broken+res.Blank != res.Lines || res.Broken != told || res.Acknowledged != res.Events {
			t.Errorf("%+v, told of %d broken lines", res, told)
		}
	})
}
