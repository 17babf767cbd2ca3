package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/audittrail/audittrail/schemas"
)

// TestSearchDocument runs every example of docs/search.md against a running pipeline, and compares with what the document says comes back.
func TestSearchDocument(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("needs curl")
	}
	p := up(t, filepath.Join(t.TempDir(), "data"))
	p.must("import", "ndjson", "../../docs/search.ndjson")
	p.eventually("the events", func() bool { return p.total("") == 12 })
	p.eventually("the alert", func() bool { _, n := p.attackers("default"); return n == 1 })

	next, examples := "", 0
	for _, line := range shellLines(t, "../../docs/search.md") {
		command, want, _ := strings.Cut(line, "  #")
		command, want = strings.TrimSpace(command), strings.TrimSpace(want)
		if !strings.HasPrefix(command, "curl ") {
			continue
		}
		examples++
		command = strings.NewReplacer("http://127.0.0.1:8000", p.at.API, "NEXT", next, "curl ", "curl -sS ").Replace(command)
		out, err := exec.Command("sh", "-c", command).Output()
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		var got string
		if got, next, err = summary(out); err != nil {
			t.Errorf("%s: %v: %s", line, err, out)
		}
		problem, isProblem := strings.CutPrefix(want, "error: ")
		if isProblem && (!strings.Contains(string(out), "urn:audittrail:problem:invalid_parameter") || !strings.Contains(string(out), problem)) {
			t.Errorf("%s: got %s", line, out)
		}
		if !isProblem && got != want {
			t.Errorf("%s: got %s", line, got)
		}
	}
	if examples < 40 {
		t.Errorf("the document has %d examples: are they still found?", examples)
	}
	p.stop()
}

// TestSearchDocumentIsComplete: it names every parameter of the OpenAPI description.
func TestSearchDocumentIsComplete(t *testing.T) {
	text, err := os.ReadFile("../../docs/search.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`name: (\w+)[\s,]+in: query`).FindAllSubmatch(schemas.OpenAPI(), -1)
	for _, name := range names {
		if !strings.Contains(string(text), "`"+string(name[1])+"`") {
			t.Errorf("docs/search.md does not name the parameter %s", name[1])
		}
	}
	if len(names) < 25 {
		t.Errorf("only %d parameters were found", len(names))
	}
}

// summary says what an answer holds as the document does: ids of events, addresses of alerts, and the total if it was asked for.
func summary(answer []byte) (text, next string, err error) {
	type item struct {
		ID  string            `json:"id"`
		Key map[string]string `json:"key"`
	}
	var a struct {
		Items   []item `json:"items"`
		Records []item `json:"records"`
		Next    string `json:"next_cursor"`
		Meta    struct {
			Total *int `json:"total"`
		} `json:"meta"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return "", "", err
	}
	var names []string
	for _, i := range append(a.Items, a.Records...) {
		name := i.ID
		if prefix := i.Key["source.ip_prefix"]; prefix != "" {
			name = strings.TrimSuffix(prefix, "/32")
		}
		names = append(names, name)
	}
	text = strings.Join(names, " ")
	if text == "" {
		text = "none"
	}
	if a.Meta.Total != nil {
		text += fmt.Sprint(" of ", *a.Meta.Total)
	}
	return text, a.Next, nil
}

// shellLines returns the lines of a document's shell blocks, joined where they go on.
func shellLines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	inside := false
	joined := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```sh"
		case !inside:
		case strings.HasSuffix(line, `\`) || strings.HasSuffix(line, "|"):
			joined += strings.TrimSuffix(line, `\`) + " "
		default:
			out = append(out, strings.TrimSpace(joined+line))
			joined = ""
		}
	}
	return out
}
