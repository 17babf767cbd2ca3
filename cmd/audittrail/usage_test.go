package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// TestWrongValues: each message names the flag or the variable that is to be changed, the value, and what was expected.
func TestWrongValues(t *testing.T) {
	for _, c := range []struct {
		args, name, value, want string
	}{
		{"generate --count abc", "", "", `--count: expected a valid 64 bit uint but got "abc"`},
		{"generate", "AUDITTRAIL_COUNT", "abc", `the environment variable AUDITTRAIL_COUNT: expected a valid 64 bit uint but got "abc"` + "\n"},
		{"generate", "AUDITTRAIL_DURATION", "soon", `the environment variable AUDITTRAIL_DURATION: expected duration but got "soon"`},
		{"version", "AUDITTRAIL_LOG_LEVEL", "chatty", `the environment variable AUDITTRAIL_LOG_LEVEL must be one of "debug","info","warn","error" but got "chatty"`},
		{"version --log-level chatty", "AUDITTRAIL_LOG_LEVEL", "info", `--log-level must be one of "debug","info","warn","error" but got "chatty"`},
		{"detector --workers 0", "", "", "--workers: expected 1 or more but got 0"},
		{"detector", "AUDITTRAIL_WORKERS", "-3", "AUDITTRAIL_WORKERS: expected 1 or more but got -3"},
		{"up --partitions=-1", "", "", "--partitions: expected 1 or more but got -1"},
		{"quarantine list --since=-1h", "", "", "--since: expected 0 or more but got -1h0m0s"},
		{"generate --rate=-1", "", "", "--rate: expected 0 or more but got -1"},
		{"up --lisen x", "", "", `unknown flag --lisen, did you mean "--listen"?` + "\nTry `audittrail up --help`."},
		{"quarantine show", "", "", "expected \"<place>\"\nTry `audittrail quarantine show --help`."},
		{"quarantine show a --raw --json", "", "", "--raw and --json can't be used together"},
		{"import", "", "", "expected one of \"sshd\", \"ndjson\"\nTry `audittrail import --help`."},
		{"upp", "", "", `unexpected argument upp, did you mean "up"?` + "\nTry `audittrail --help`."},
	} {
		if c.name != "" {
			t.Setenv(c.name, c.value)
		}
		_, err := parse(newParser(new(cli)), strings.Fields(c.args))
		if c.name != "" {
			t.Setenv(c.name, "") // an empty variable is none
		}
		var usage usageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error()+"\n", c.want) {
			t.Errorf("%s %s=%s: %v\nwant %s", c.args, c.name, c.value, err, c.want)
		}
	}
}

func TestEmptyVariablesAreNotSet(t *testing.T) {
	for _, name := range []string{"AUDITTRAIL_COUNT", "AUDITTRAIL_LOG_LEVEL", "AUDITTRAIL_KAFKA", "AUDITTRAIL_LISTEN", "AUDITTRAIL_BATCH_AGE"} {
		t.Setenv(name, "")
	}
	var c cli
	if _, err := parse(newParser(&c), []string{"up"}); err != nil || c.Up.Listen != "127.0.0.1:8000" || c.LogLevel != "info" {
		t.Errorf("%v; listens on %q, logs from %q", err, c.Up.Listen, c.LogLevel)
	}
}

func TestVariablesAreRead(t *testing.T) {
	t.Setenv("AUDITTRAIL_KAFKA", "a:1,b:2")
	t.Setenv("AUDITTRAIL_INSECURE_NO_AUTH", "true")
	var c cli
	if _, err := parse(newParser(&c), []string{"detector"}); err != nil || len(c.Detector.Kafka) != 2 {
		t.Errorf("%v; brokers %q", err, c.Detector.Kafka)
	}
	if _, err := parse(newParser(&c), []string{"queryapi"}); err != nil || !c.Queryapi.InsecureNoAuth {
		t.Errorf("%v; %v", err, c.Queryapi.InsecureNoAuth)
	}
}

// TestHelp: each command says what it is for, shows an example that parses, and each flag's variable and default.
func TestHelp(t *testing.T) {
	shown := 0
	for _, node := range application(t).Leaves(true) {
		command := strings.TrimPrefix(node.FullPath(), "audittrail ")
		var out bytes.Buffer
		k := newParser(new(cli))
		k.Stdout, k.Exit = &out, func(int) { panic(true) }
		func() {
			defer func() { _ = recover() }()
			_, _ = parse(k, append(strings.Fields(command), "--help"))
		}()
		help := strings.Join(strings.Fields(out.String()), " ")
		for _, flag := range node.Flags {
			if flag.Hidden || flag.Name == "help" {
				continue
			}
			if !strings.Contains(help, "$"+flag.Envs[0]) || flag.Default != "" && !strings.Contains(help, flag.Default) {
				t.Errorf("the help of %s does not show the variable or the default of --%s", command, flag.Name)
			}
		}
		if len(examples[command]) == 0 || node.Help == "" || !strings.Contains(help, "Example:") {
			t.Errorf("%s has no summary or no example", command)
		}
		for _, line := range examples[command] {
			shown++
			_, line, _ = strings.Cut("| "+line, "| audittrail ")
			if i := strings.LastIndex(line, "| audittrail "); i >= 0 {
				line = line[i+len("| audittrail "):]
			}
			if _, err := parse(newParser(new(cli)), strings.Fields(line)); err != nil || !strings.HasPrefix(line, command) {
				t.Errorf("the example %q of %s: %v", line, command, err)
			}
		}
	}
	total := 0
	for _, lines := range examples {
		total += len(lines)
	}
	if shown != total {
		t.Errorf("%d of %d examples are of commands that exist", shown, total)
	}
}
