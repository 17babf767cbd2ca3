package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

var update = flag.Bool("update", false, "write generated files anew")

func application(t *testing.T) *kong.Application {
	t.Helper()
	return newParser(new(cli)).Model
}

func TestEnvironmentIsChecked(t *testing.T) {
	app := application(t)
	for _, c := range []struct {
		name string
		ok   bool
	}{
		{"AUDITTRAIL_LISTEN", true},
		{"AUDITTRAIL_KAFKA_LISTEN", true},
		{"AUDITTRAIL_CLICKHOUSE_PASSWORD", true},
		{"AUDITTRAIL_CLICKHOUSE_PASSWORD_FILE", true},
		{"AUDITTRAIL_LISTEN_FILE", false}, // not a secret
		{"AUDITTRAIL_LISTN", false},
		{"AUDITTRAIL_SLOW", true},
		{"OTHER_LISTN", true},
	} {
		err := checkEnvironment(app, []string{"PATH=/bin", c.name + "=x"})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil && !strings.Contains(err.Error(), c.name) {
			t.Errorf("the error %q does not name %s", err, c.name)
		}
	}
}

// TestEnvExample keeps .env.example complete: it lists every variable with its help and default.
func TestEnvExample(t *testing.T) {
	app := application(t)
	type entry struct{ help, def string }
	entries := make(map[string]entry)
	eachFlag(app.Node, func(f *kong.Flag) {
		if !f.Hidden {
			for _, name := range f.Envs {
				entries[name] = entry{strings.ReplaceAll(f.Help, "${enum}", f.Enum), f.Default}
			}
		}
	})
	secrets := secretVariables(app)
	var b strings.Builder
	b.WriteString("# Every setting of audittrail as an environment variable, with its default. A flag of the same name wins.\n# A variable of this prefix that is not listed here is an error at start.\n")
	for _, name := range flagVariables(app) {
		e, ok := entries[name]
		if !ok {
			continue
		}
		fmt.Fprintf(&b, "\n# %s\n#%s=%s\n", e.help, name, e.def)
		for _, s := range secrets {
			if s == name {
				fmt.Fprintf(&b, "#%s_FILE=\n", name)
			}
		}
	}
	path := filepath.Join("..", "..", ".env.example")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != b.String() {
		t.Errorf(".env.example is out of date: run make generate")
	}
}

func TestSecretsFromFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("pw\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("X_FILE", file)
	if got, err := secret("", "X_FILE"); err != nil || got != "pw" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := secret("other", "X_FILE"); err == nil || strings.Contains(err.Error(), "other") {
		t.Errorf("both given: %v", err)
	}
	t.Setenv("X_FILE", file+"-none")
	if _, err := secret("", "X_FILE"); err == nil || !strings.Contains(err.Error(), "X_FILE") {
		t.Errorf("missing file: %v", err)
	}
}
