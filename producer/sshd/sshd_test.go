package sshd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

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
	long := "Mar 27 13:00:03 h sshd[1]: Failed password for invalid user " + strings.Repeat("x", maxLine) + " from 203.0.113.9 port 22 ssh2"
	log := strings.Join([]string{
		"no syslog at all",
		"Mar 27 13:00:01 h cron[1]: job",
		"Mar 27 13:00:02 h sshd[1]: something new",
		long,
		"Mar 27 13:00:04 h sshd[1]: Failed password for invalid user \xff from 203.0.113.9 port 22 ssh2",
	}, "\n")
	var told []uint64
	res := run(t, Options{
		Producer: p, Path: "-", Stdin: strings.NewReader(log),
		NotUnderstood: func(line uint64, _ []byte) { told = append(told, line) },
	})
	want := Result{Lines: map[Kind]uint64{KindNotSSHD: 2, KindNotUnderstood: 2, KindFailed: 1}, Failures: 1, Acknowledged: 1}
	if !reflect.DeepEqual(res, want) || !reflect.DeepEqual(told, []uint64{3, 4}) {
		t.Errorf("got %+v and lines %v", res, told)
	}
	if e := producertest.Read(t, brokers, producer.DefaultTopic)[0].Event; e.Actor.Name != "\uFFFD" {
		t.Errorf("the name is %q", e.Actor.Name)
	}
	total := uint64(0)
	for _, k := range Kinds() {
		total += res.Lines[k]
	}
	if total != 5 {
		t.Errorf("Kinds() leaves some of the lines out: %d of 5", total)
	}
}

func TestErrors(t *testing.T) {
	p, _ := start(t)
	for name, opts := range map[string]Options{
		"no producer": {Path: "x"},
		"no path":     {Producer: p},
		"bad year":    {Producer: p, Path: "x", Year: 17},
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
