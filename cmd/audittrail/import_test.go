package main

import (
	"compress/gzip"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestImportExplains calls the importers as newcomers do: what went wrong is said with file and line, and nothing is skipped without a word.
func TestImportExplains(t *testing.T) {
	p := up(t, filepath.Join(t.TempDir(), "data"))
	dir := t.TempDir()
	file := func(name, content string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const failed = " h sshd[1]: Failed password for root from 203.0.113.9 port 22 ssh2\n"
	odd := file("odd.log", "Nov 24 10:00:00"+failed+"Feb 30 10:00:00"+failed+"Nov 24 10:00:02 h sshd[1]: Frobnicated\n")
	text := file("README.md", "# Title\n\nno log: at all, really not\n")
	events := file("odd.ndjson", strings.Join([]string{
		`{"action":"coffee.brew","outcome":"success"}`, `nope`, `{"action":"FAILED_LOGIN","time":1764064800000}`, `{"action":"PURGE"}`,
		`{"action":"a.b","outcome":"won","time":"2100-01-01T00:00:00Z","id":"future"}`, ``,
	}, "\n"))
	for _, tt := range []struct {
		args  string
		stdin string
		code  int
		want  []string
	}{
		{"sshd " + odd + " --year 1800", "", 1, []string{"year 1800"}},
		{"sshd " + odd + " --year 2900", "", 1, []string{"year 2900", "this year"}},
		{"sshd " + odd + " --year last", "", 2, []string{"--year", "last"}},
		{"sshd " + odd + " --zone Mars/North", "", 2, []string{"--zone Mars/North", "Europe/Berlin"}},
		{"sshd " + text, "", 1, []string{"none of the 3 lines of README.md"}},
		{"sshd " + odd + " --year 2025 --zone Europe/Berlin", "", 1, []string{
			odd + ":2: unreadable: \"Feb 30 10:00:00\"", odd + ":3: not_understood", "3 lines: 1 failed and 0 accepted",
			"from 2025-11-24T10:00:00+01:00", "1 damaged lines",
		}},
		{"sshd - --year 2025", "Nov 24 10:00:00" + failed, 0, []string{"stdin: 1 lines: 1 failed"}},
		{"ndjson " + events, "", 1, []string{
			events + ":2: not published: bad_json", events + ":4: not published: invalid: action", "5 lines: 3 events published (3 acknowledged), 2 refused",
			"2 events without a readable time", "1 events lack an outcome", "2 lines of " + events, "the others are",
		}},
		{"ndjson " + events + " --raw", "", 0, []string{events + ":4: published as it is", "3 events and 2 refused lines as they are published (5 acknowledged)"}},
		{"ndjson -", "[]", 1, []string{"stdin:1: not published: not_object", "no line of stdin is an event"}},
	} {
		cmd := exec.Command(p.bin, append(append([]string{"import"}, strings.Fields(tt.args)...), "--data", p.data)...)
		cmd.Stdin = strings.NewReader(tt.stdin)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != tt.code {
			t.Errorf("import %s: status %d, want %d", tt.args, code, tt.code)
		}
		for _, want := range tt.want {
			if !strings.Contains(string(out), want) {
				t.Errorf("import %s does not say %q:\n%s", tt.args, want, out)
			}
		}
	}

	// What cannot be opened has no lines to sum up.
	for _, c := range []struct{ args, want string }{
		{"sshd " + filepath.Join(dir, "none.log"), "none.log: no such file or directory"},
		{"ndjson " + filepath.Join(dir, "none.ndjson"), "none.ndjson: no such file or directory"},
		{"sshd " + dir, "is a directory"},
		{"ndjson " + dir, "is a directory"},
	} {
		out, err := p.run(append([]string{"import"}, strings.Fields(c.args)...)...)
		if err == nil || !strings.HasPrefix(out, "audittrail: ") || !strings.Contains(out, c.want) || strings.Count(out, "\n") != 1 {
			t.Errorf("import %s: %v, want one line with %q:\n%s", c.args, err, c.want, out)
		}
	}

	// 2 sshd events, 3 + 3 of ndjson, and the raw PURGE, which the consumer keeps; the raw line that is no JSON is in quarantine.
	p.eventually("the events", func() bool { return p.total("") == 9 })
	p.eventually("the quarantine", func() bool { return p.clickhouse("SELECT groupArray(reason) FROM audit.quarantine") == "['bad_json']" })
	if n := p.total("action=coffee.brew&category=system"); n != 2 {
		t.Errorf("the action that nobody knew is there %d times, want 2", n)
	}
	if got := p.get("/api/logs/", url.Values{"action": {"PURGE"}}).Items; len(got) != 1 || metadata(got[0], "audittrail.warn") != "outcome,service.name" {
		t.Errorf("the raw line is kept as %v", got)
	}
	if n := p.total("action=FAILED_LOGIN&service=import&from=-1h&q=" + url.QueryEscape("metadata.audittrail.time:1764064800000")); n != 2 {
		t.Errorf("the event with a number for a time is there %d times with the time of the import, want 2", n)
	}
	future := p.get("/api/logs/", url.Values{"from": {"2100-01-01"}}).Items
	if len(future) != 2 || future[0]["id"] != "future" || metadata(future[0], "audittrail.warn.outcome") != "won" {
		t.Errorf("events of the year 2100: %v", future)
	}
	p.must("verify")
	p.stop()
}

// metadata returns one metadata value of an event from the API.
func metadata(event map[string]any, key string) string {
	m, _ := event["metadata"].(map[string]any)
	text, _ := m[key].(string)
	return text
}

// TestPackedLogIsTheSameLog: the ids of a rotated, packed log are those of the log.
func TestPackedLogIsTheSameLog(t *testing.T) {
	p := up(t, filepath.Join(t.TempDir(), "data"))
	log, err := os.ReadFile(sshLog)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "auth.log.1.gz")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := gzip.NewWriter(f)
	_, err = w.Write(log)
	if err := errors.Join(err, w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	p.must("import", "sshd", path, "--year", "2017")
	p.must("import", "sshd", sshLog, "--year", "2017")
	p.eventually("both imports", func() bool { return p.clickhouse("SELECT count(), uniqExact(id) FROM audit.events") == "2986\t1493" })
	p.stop()
}
