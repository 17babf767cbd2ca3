package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// readmeLines returns the lines of the README's shell blocks without comments.
func readmeLines(t *testing.T) []string {
	t.Helper()
	lines := shellLines(t, "../../README.md")
	for i, line := range lines {
		line, _, _ = strings.Cut(line, "  #")
		lines[i] = strings.TrimSpace(line)
	}
	return lines
}

// TestReadmeCommands holds the README against the program: each command line must parse, and each make target must exist.
func TestReadmeCommands(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	commands, targets := 0, 0
	for _, line := range readmeLines(t) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == "make":
			targets++
			if !strings.Contains(string(makefile), "\n"+words[1]+":") {
				t.Errorf("%s: there is no such target", line)
			}
		case strings.TrimPrefix(words[0], "bin/") == "audittrail":
			commands++
			if _, err := newParser(new(cli)).Parse(words[1:]); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
	if commands < 8 || targets < 2 {
		t.Errorf("the README has %d commands and %d make targets: are they still found?", commands, targets)
	}
}

// TestReadmeRequests runs the README's requests against a running pipeline.
func TestReadmeRequests(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("needs curl")
	}
	p := up(t, filepath.Join(t.TempDir(), "data"))
	p.must("generate", "--count", "500")
	p.eventually("the events", func() bool { return p.total("") == 500 })
	here := strings.NewReplacer("http://127.0.0.1:8000", p.at.API, "http://127.0.0.1:8123", p.at.ClickHouse, "127.0.0.1:9092", p.at.Kafka)
	_, err := exec.LookPath("kcat")
	kcat := err == nil
	requests := 0
	for _, line := range readmeLines(t) {
		if !strings.HasPrefix(line, "curl ") && (!kcat || !strings.Contains(line, "kcat ")) {
			continue
		}
		requests++
		out, err := exec.Command("sh", "-c", here.Replace(line)).CombinedOutput()
		if err != nil || strings.Contains(string(out), "urn:audittrail:problem") || strings.Contains(string(out), "DB::Exception") {
			t.Errorf("%s: %v\n%s", line, err, out)
		}
	}
	if requests < 5 {
		t.Errorf("the README has %d requests: are they still found?", requests)
	}
	for _, args := range [][]string{{"verify"}, {"verify", "--repair"}, {"quarantine", "list"}, {"quarantine", "redrive"}} {
		p.must(args...)
	}
	p.stop()
}
