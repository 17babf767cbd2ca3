package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// silentServer accepts connections and says nothing.
func silentServer(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0") // the system accepts; nobody reads
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln.Addr().String()
}

// TestWrongCallsAreExplained: one line that says what was wrong and what to do, exit status 2 for a wrong call and 1 for what did not work out.
func TestWrongCallsAreExplained(t *testing.T) {
	bin := binary(t)
	silent, file := silentServer(t), filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const nobody = "127.0.0.1:1"
	stale := t.TempDir() // of a pipeline that was killed
	if err := (endpoints{API: "http://" + nobody, Kafka: nobody, ClickHouse: "http://" + nobody}).write(stale); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		call string
		env  string
		code int
		want string
	}{
		{"consumer", "", 2, "no Kafka broker given: use --kafka HOST:PORT, or AUDITTRAIL_KAFKA"},
		{"consumer --kafka localhost", "", 2, "--kafka localhost: expected HOST:PORT, such as localhost:9092"},
		{"consumer --kafka " + nobody, "", 2, "no ClickHouse given: use --clickhouse URL, or AUDITTRAIL_CLICKHOUSE"},
		{"consumer --kafka " + nobody + " --clickhouse localhost:8123", "", 2, `--clickhouse: address "localhost:8123" is not an http:// or https:// URL`},
		{"consumer --kafka " + nobody + " --clickhouse http://" + nobody + " --metrics-listen " + silent, "", 1, silent + ": the port is already in use (choose another address with --metrics-listen or AUDITTRAIL_METRICS_LISTEN"},
		{"queryapi --listen 0.0.0.0:0 --clickhouse http://" + nobody, "", 2, "--insecure-no-auth"},
		{"queryapi --clickhouse http://" + nobody + " --listen " + silent, "", 1, silent + ": the port is already in use (choose another address with --listen or AUDITTRAIL_LISTEN"},
		{"generate --data /nowhere", "", 2, "--count"},
		{"generate --data /nowhere --count 1", "", 1, "start `audittrail up`"},
		{"generate --count 1 --kafka " + nobody, "", 1, "cannot reach Kafka at 127.0.0.1:1: connection refused: is it running, and is --kafka (AUDITTRAIL_KAFKA) right?"},
		{"topics", "AUDITTRAIL_KAFKA=" + nobody, 1, "cannot reach Kafka at 127.0.0.1:1"},
		{"topics --kafka " + silent, "", 1, "cannot reach Kafka at " + silent + ": no answer within 5s"},
		{"migrate --clickhouse http://" + nobody, "", 1, "cannot reach ClickHouse at http://127.0.0.1:1: connection refused: is it running, and is --clickhouse (AUDITTRAIL_CLICKHOUSE) right?"},
		{"migrate --clickhouse http://" + silent, "", 1, "cannot reach ClickHouse at http://" + silent + ": no answer within 5s"},
		{"quarantine list --clickhouse http://" + nobody, "", 1, "cannot reach ClickHouse at http://127.0.0.1:1"},
		{"generate --count 1 --data " + stale, "", 1, "cannot reach Kafka at 127.0.0.1:1: connection refused: does `audittrail up` still run? (The address is from " + stale},
		{"quarantine list --data " + stale, "", 1, "cannot reach ClickHouse at http://127.0.0.1:1: connection refused: does `audittrail up` still run?"},
		{"quarantine list --data /nowhere", "", 1, "start `audittrail up`"},
		{"quarantine show nonsense --data /nowhere", "", 2, `"nonsense" is not a place: expected TOPIC/PARTITION/OFFSET`},
		{"quarantine redrive --place audit.events/x/1 --data /nowhere", "", 2, "is not a place"},
		{"up --data " + file, "", 1, "--data or AUDITTRAIL_DATA"},
		{"up --libchdb /nowhere --listen 127.0.0.1:0 --data " + t.TempDir(), "", 1, "--libchdb"},
		{"up --listen 8000 --data " + t.TempDir(), "", 2, `"8000" is not HOST:PORT`},
		{"upp", "", 2, "upp"},
		{"version", "AUDITTRAIL_LISTN=1", 2, "AUDITTRAIL_LISTN (did you mean AUDITTRAIL_LISTEN?)"},
		{"verify --from yesterday --data /nowhere", "", 2, "--from yesterday is not a day like 2026-11-25"},
		{"verify --from 2026-11-25 --to 2026-11-24 --data /nowhere", "", 2, "--to 2026-11-24 is before --from 2026-11-25"},
		{"verify --repair --skip-kafka --data /nowhere", "", 2, "--repair reads from Kafka"},
		{"verify --kafka " + nobody + " --clickhouse http://" + nobody, "", 1, "cannot reach Kafka at 127.0.0.1:1"},
		{"verify --skip-kafka --clickhouse http://" + nobody, "", 1, "cannot reach ClickHouse at http://127.0.0.1:1"},
		{"consumer --leave --kafka " + nobody, "", 2, "--leave needs --instance-id"},
	} {
		cmd := exec.Command(bin, strings.Fields(c.call)...)
		cmd.Env = append(os.Environ(), c.env)
		start := time.Now()
		out, _ := cmd.CombinedOutput()
		text, _, _ := strings.Cut(string(out), "Try `") // which follows on a line of its own
		if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(text, c.want) || strings.Count(text, "\n") != 1 {
			t.Errorf("%s audittrail %s: status %d, want %d and one line with %q:\n%s", c.env, c.call, code, c.code, c.want, out)
		}
		if took := time.Since(start); took > 8*time.Second {
			t.Errorf("audittrail %s took %s", c.call, took)
		}
	}
}

// TestWhatPeopleTryFirst works.
func TestWhatPeopleTryFirst(t *testing.T) {
	bin := binary(t)
	for _, args := range [][]string{{"--version"}, {"help"}, {"help", "up"}, {}} {
		if out, err := exec.Command(bin, args...).CombinedOutput(); err != nil || len(out) == 0 {
			t.Errorf("audittrail %q: %v %s", args, err, out)
		}
	}
}
