package main

import (
	"strings"
	"testing"
)

// checkQuarantineCommands looks at the broken records of a running pipeline through the commands.
func checkQuarantineCommands(t *testing.T, p *pipeline, broken int) {
	t.Helper()
	list := p.must("quarantine", "list")
	if n := strings.Count(list, "audit.events/"); n != broken || !strings.HasPrefix(list, "TIME ") {
		t.Errorf("%d of %d records are listed:\n%s", n, broken, list)
	}
	if out := p.must("quarantine", "list", "--limit", "2"); !strings.Contains(out, "latest 2; there may be more") {
		t.Errorf("a cut list does not say so:\n%s", out)
	}
	if out := p.must("quarantine", "list", "--reason", "nothing"); out != "No record in quarantine is of this kind.\n" {
		t.Errorf("an empty list says %q", out)
	}
	place := func(reason string) string {
		t.Helper()
		for line := range strings.Lines(list) {
			if f := strings.Fields(line); len(f) > 4 && f[4] == reason {
				return f[1]
			}
		}
		t.Fatalf("no record with the reason %s:\n%s", reason, list)
		return ""
	}
	noAction := place("no_action")
	shown := p.must("quarantine", "show", noAction)
	if !strings.Contains(shown, "place      "+noAction+"\n") || !strings.Contains(shown, "reason     no_action\n") || !strings.Contains(shown, "  | {\"outcome\":\"success\"}\n") {
		t.Errorf("a record is shown as\n%s", shown)
	}
	if raw := p.must("quarantine", "show", noAction, "--raw"); raw != `{"outcome":"success"}` {
		t.Errorf("its bytes are %q", raw)
	}
	if out, err := p.run("quarantine", "show", "audit.events/0/999999"); err == nil || !strings.Contains(out, "is not in quarantine") {
		t.Errorf("a record that is not there: %v %s", err, out)
	}
	out := p.must("quarantine", "redrive")
	if strings.Count(out, ": left where it is: ") != broken || !strings.Contains(out, "0 published again, 5 left, 0 were redriven before\n") {
		t.Errorf("redrive says\n%s", out)
	}
}
