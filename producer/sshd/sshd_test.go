package sshd

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/audittrail/audittrail/producer"
	"github.com/audittrail/audittrail/producer/internal/producertest"
	"github.com/audittrail/audittrail/producer/lines"
	"github.com/audittrail/audittrail/schemas/audit"
)

var update = flag.Bool("update", false, "write the golden files anew")

const realLog = "testdata/auth.log"

func start(t testing.TB) (*producer.Producer, []string) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, producer.DefaultTopic))
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

func run(t testing.TB, opts Options) Result {
	t.Helper()
	i, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	res, err := i.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// TestRealLog imports the real log twice, once from standard input, and checks what arrives.
func TestRealLog(t *testing.T) {
	p, brokers := start(t)
	var steps []producer.Progress
	want := Result{
		Lines: map[Kind]uint64{KindFailed: 717, KindAccepted: 226, KindClosed: 225, KindNoEvent: 2927, KindNotSSHD: 3026},
		// 1,042 refused logins: 632 lines for one each, and 85 that say how often they were repeated.
		Failures: 1042, Logins: 226, Logouts: 225, Acknowledged: 1493,
		First: time.Date(2017, 3, 27, 13, 8, 9, 0, time.UTC), Last: time.Date(2017, 4, 20, 14, 14, 29, 0, time.UTC),
	}
	opts := Options{Producer: p, Path: realLog, Year: 2017, Tenant: "acme", Progress: func(p producer.Progress) { steps = append(steps, p) }}
	if res := run(t, opts); !reflect.DeepEqual(res, want) {
		t.Errorf("got  %+v\nwant %+v", res, want)
	}
	size := int64(797_637)
	if last := steps[len(steps)-1]; last != (producer.Progress{Sent: 1493, Acknowledged: 1493, Bytes: size, TotalBytes: size}) {
		t.Errorf("progress ends with %+v", last)
	}
	first := producertest.Read(t, brokers, producer.DefaultTopic)
	checkEvents(t, first)

	f, err := os.Open(realLog)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	opts.Path, opts.Stdin = "-", f
	if res := run(t, opts); !reflect.DeepEqual(res, want) {
		t.Errorf("second import: got %+v", res)
	}
	ids := producertest.IDs(producertest.Read(t, brokers, producer.DefaultTopic))
	if len(ids) != 1493 {
		t.Errorf("%d different ids after two imports, want 1493", len(ids))
	}
	for id, n := range ids {
		if n != 2 {
			t.Fatalf("%s is there %d times", id, n)
		}
	}
}

func checkEvents(t *testing.T, all []producertest.Published) {
	t.Helper()
	failed, sources := 0, map[netip.Addr]bool{}
	sessions := map[string]int{}
	for _, r := range all {
		e := &r.Event
		if r.Reject != nil {
			t.Fatal(r.Reject)
		}
		if e.Tenant != "acme" || e.Service.Name != "sshd" || e.Time.Year() != 2017 || !e.Source.IP.IsValid() || e.Sequence != 0 {
			t.Fatalf("%+v", e)
		}
		switch {
		case e.Outcome == audit.OutcomeFailure:
			failed++
			sources[e.Source.IP] = true
			if e.Actor.ID != "" || e.SessionID != "" {
				t.Fatalf("a refused login has an actor: %+v", e)
			}
		case e.Actor.ID == "" || e.Actor.ID != e.Actor.Name:
			t.Fatalf("%s without an actor: %+v", e.Action, e)
		default:
			sessions[e.SessionID]++
		}
	}
	if len(all) != 1493 || failed != 1042 || len(sources) != 105 {
		t.Errorf("%d events, %d refused logins from %d addresses; want 1493, 1042 and 105", len(all), failed, len(sources))
	}
	// Each session has a login and a logout; the last one is still open.
	whole := 0
	for _, n := range sessions {
		if n == 2 {
			whole++
		}
	}
	if len(sessions) != 226 || whole != 225 {
		t.Errorf("%d sessions, %d of them with an end", len(sessions), whole)
	}
}

func TestRealLogIsUnchanged(t *testing.T) {
	b, err := os.ReadFile(realLog)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	if got := hex.EncodeToString(sum[:]); got != realLogHash {
		t.Errorf("sha256 of %s is %s", realLog, got)
	}
}

// TestGolden pins the first events of the real log byte by byte, ids included.
func TestGolden(t *testing.T) {
	p, brokers := start(t)
	log, err := os.ReadFile(realLog)
	if err != nil {
		t.Fatal(err)
	}
	head := filepath.Join(t.TempDir(), "auth.log")
	// These lines have logins, logouts, refused ones of known and unknown users, and a repeated line.
	if err := os.WriteFile(head, []byte(strings.Join(strings.SplitAfter(string(log), "\n")[:2310], "")), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, Options{Producer: p, Path: head, Year: 2017})
	byID := map[string]string{}
	for _, r := range producertest.Read(t, brokers, producer.DefaultTopic) {
		byID[r.Event.ID] = string(r.Record.Value)
	}
	golden := filepath.Join("testdata", "first_events.ndjson")
	if *update {
		writeGolden(t, golden, head, byID)
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(want)) {
		n++
		var e audit.Event
		if err := audit.NewDecoder().Read([]byte(line), nil, &e); err != nil {
			t.Fatal(err)
		}
		if got := byID[e.ID]; got != strings.TrimSuffix(line, "\n") {
			t.Errorf("event %d:\n got %s\nwant %s", n, got, line)
		}
	}
	if n != len(byID) || n == 0 {
		t.Errorf("%d events, want %d", len(byID), n)
	}
}

func TestWhatIsNotUnderstood(t *testing.T) {
	p, brokers := start(t)
	// What is left of it when it is cut looks like a login from elsewhere.
	long := "Mar 27 13:00:03 h sshd[1]: Failed password for invalid user "
	const forged = " from 192.0.2.1 port 22 ssh2"
	long += strings.Repeat("x", maxLine-len(long)-len(forged)) + forged + " from 203.0.113.9 port 22 ssh2"
	log := strings.Join([]string{
		"no syslog at all",
		"Mar 27 13:00:01 h cron[1]: job",
		"Mar 27 13:00:02 h sshd[1]: something new",
		long,
		"Mar 27 13:00:04 h sshd[1]: Failed password for invalid user \xff from 203.0.113.9 port 22 ssh2",
		"Feb 30 13:00:05 h sshd[1]: Failed password for root from 203.0.113.9 port 22 ssh2",
	}, "\n")
	var told []string
	res := run(t, Options{
		Producer: p, Path: "-", Stdin: strings.NewReader(log), Year: 2017,
		OnUnclear: func(u Unclear) { told = append(told, fmt.Sprint(u.Line, " ", u.Kind, ": ", u.Detail)) },
	})
	want := map[Kind]uint64{KindNotSyslog: 1, KindNotSSHD: 1, KindNotUnderstood: 1, KindUnreadable: 2, KindFailed: 1}
	wantTold := []string{
		"3 not_understood: no known message of sshd", "4 unreadable: longer than 32768 bytes",
		`6 unreadable: "Feb 30 13:00:05" is no time, or not one of the year 2017`,
	}
	if !reflect.DeepEqual(res.Lines, want) || res.Failures != 1 || res.Acknowledged != 1 || !reflect.DeepEqual(told, wantTold) {
		t.Errorf("got %+v and %q", res, told)
	}
	if e := producertest.Read(t, brokers, producer.DefaultTopic)[0].Event; e.Actor.Name != "\uFFFD" {
		t.Errorf("the name is %q", e.Actor.Name)
	}
	total := uint64(0)
	for _, k := range Kinds() {
		total += res.Lines[k]
	}
	if total != 6 {
		t.Errorf("Kinds() leaves some of the lines out: %d of 6", total)
	}
}

// TestNewYear: a log that begins in December and ends in January, packed as log rotation does it.
func TestNewYear(t *testing.T) {
	const log = `Dec 31 23:59:58 h sshd[1]: Failed password for root from 203.0.113.9 port 22 ssh2
Jan  1 00:00:01 h cron[7]: happy new year
Jan  1 00:00:02 h sshd[1]: message repeated 2 times: [ Failed password for root from 203.0.113.9 port 22 ssh2]
Dec 31 23:59:59 h sshd[2]: Failed password for late from 203.0.113.9 port 22 ssh2
Jan  2 00:00:00 h sshd[1]: Failed password for root from 203.0.113.9 port 22 ssh2
`
	path := filepath.Join(t.TempDir(), "auth.log.1.gz")
	var packed strings.Builder
	w := gzip.NewWriter(&packed)
	if _, err := w.Write([]byte(log)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), os.WriteFile(path, []byte(packed.String()), 0o600)); err != nil {
		t.Fatal(err)
	}
	zone := time.FixedZone("CET", 3600)
	for name, opts := range map[string]Options{
		"year given":          {Path: path, Year: 2024},
		"year found":          {Path: path, Now: func() time.Time { return time.Date(2025, 1, 3, 0, 0, 0, 0, zone) }},
		"from standard input": {Path: "-", Stdin: strings.NewReader(log), Year: 2024},
	} {
		t.Run(name, func(t *testing.T) {
			p, brokers := start(t)
			opts.Producer, opts.Location = p, zone
			res := run(t, opts)
			first, last := time.Date(2024, 12, 31, 22, 59, 58, 0, time.UTC), time.Date(2025, 1, 1, 23, 0, 0, 0, time.UTC)
			if res.Failures != 5 || !res.First.Equal(first) || !res.Last.Equal(last) {
				t.Errorf("got %+v, want 5 events from %s to %s", res, first, last)
			}
			times := map[string]int{}
			for _, r := range producertest.Read(t, brokers, producer.DefaultTopic) {
				times[r.Event.Time.Format(time.RFC3339)+" "+r.Event.Actor.Name]++
			}
			want := map[string]int{"2024-12-31T22:59:58Z root": 1, "2024-12-31T23:00:02Z root": 2, "2024-12-31T22:59:59Z late": 1, "2025-01-01T23:00:00Z root": 1}
			if !reflect.DeepEqual(times, want) {
				t.Errorf("got %v, want %v", times, want)
			}
		})
	}
}

// TestAnotherFile: what is no log of syslog at all is an error; an empty log is none.
func TestAnotherFile(t *testing.T) {
	p, _ := start(t)
	for content, want := range map[string]string{
		"# Title\n\nSome text, with a point: here.\n": "none of the 3 lines of stdin",
		"Mar 27 13:00:01 h cron[1]: job\n# Title\n":   "",
		"": "",
	} {
		i, err := New(Options{Producer: p, Path: "-", Stdin: strings.NewReader(content)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := i.Run(t.Context()); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", content, err)
		}
	}
}

func TestErrors(t *testing.T) {
	p, _ := start(t)
	for name, opts := range map[string]Options{
		"no producer": {Path: "x"},
		"no path":     {Producer: p},
		"bad year":    {Producer: p, Path: "x", Year: 17},
		"next year":   {Producer: p, Path: "x", Year: time.Now().Year() + 2},
	} {
		if _, err := New(opts); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	i, err := New(Options{Producer: p, Path: "no/such/file"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Run(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	away, err := producer.New(producer.Options{Brokers: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer away.Close(t.Context())
	if i, err = New(Options{Producer: away, Path: realLog}); err != nil {
		t.Fatal(err)
	}
	if _, err := i.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("Kafka is away: %v", err)
	}
}

const realLogHash = "978a7cd44a8dfac823922093bc0409fe0404073dd9e27a7d22e796c0d5f38a2c"

// writeGolden writes the events in the order of the log.
func writeGolden(t *testing.T, golden, log string, byID map[string]string) {
	t.Helper()
	file, err := lines.Open(t.Context(), log, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var out strings.Builder
	for line, err := range file.All(maxLine) {
		if err != nil {
			t.Fatal(err)
		}
		for part := uint32(1); ; part++ {
			value, ok := byID[file.EventID(line.Number, part)]
			if !ok {
				break
			}
			out.WriteString(value + "\n")
		}
	}
	if err := os.WriteFile(golden, []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
