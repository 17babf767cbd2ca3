package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

var update = flag.Bool("update", false, "write generated files anew")

func application(t *testing.T) *kong.Application {
	t.Helper()
	return newParser(new(cli)).Model
}

func TestUnknownVariablesAreRefused(t *testing.T) {
	app := application(t)
	for name, want := range map[string]string{
		"AUDITTRAIL_LISTEN":                         "",
		"AUDITTRAIL_KAFKA_LISTEN":                   "",
		"AUDITTRAIL_CLICKHOUSE_PASSWORD":            "",
		"AUDITTRAIL_CLICKHOUSE_PASSWORD_FILE":       "",
		"AUDITTRAIL_LISTEN_FILE":                    "AUDITTRAIL_LISTEN_FILE", // not a secret
		"AUDITTRAIL_LISTN":                          "AUDITTRAIL_LISTN (did you mean AUDITTRAIL_LISTEN?)",
		"AUDITTRAIL_CHILD":                          "AUDITTRAIL_CHILD", // not for people
		"AUDITTRAIL_SOMETHING_ELSE":                 "AUDITTRAIL_SOMETHING_ELSE",
		"AUDITTRAIL_KAKFA":                          "AUDITTRAIL_KAKFA (did you mean AUDITTRAIL_KAFKA?)",
		"AUDITTRAIL_SLOW":                           "",
		"AUDITTRAIL_PORT":                           "", // these are Kubernetes'
		"AUDITTRAIL_SERVICE_HOST":                   "",
		"AUDITTRAIL_QUERYAPI_SERVICE_PORT_HTTP":     "",
		"AUDITTRAIL_QUERYAPI_PORT_8000_TCP_ADDR":    "",
		"AUDITTRAIL_QUERYAPI_PORT_8000_TCP_ADDRESS": "AUDITTRAIL_QUERYAPI_PORT_8000_TCP_ADDRESS",
		"OTHER_LISTN":                               "",
	} {
		err := checkVariables(app, []string{"PATH=/bin", name + "=s3cret"})
		var usage usageError
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case want != "" && (!errors.As(err, &usage) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret")):
			t.Errorf("%s: %v, want a usage error with %q and never the value", name, err, want)
		}
	}
}

// TestEveryFlagHasAVariable also demands help, and that variables which several commands share mean one kind of thing.
func TestEveryFlagHasAVariable(t *testing.T) {
	app := application(t)
	kinds := make(map[string]string)
	eachFlag(app.Node, func(n *kong.Node, f *kong.Flag) {
		if f.Hidden {
			return
		}
		want := envPrefix + "_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if len(f.Envs) != 1 || f.Envs[0] != want || f.Help == "" {
			t.Errorf("%s --%s has the variables %v, want %s, and the help %q", n.FullPath(), f.Name, f.Envs, want, f.Help)
		}
		kind := f.Target.Type().String()
		if have := kinds[want]; have != "" && have != kind {
			t.Errorf("%s is a %s and a %s", want, have, kind)
		}
		kinds[want] = kind
	})
}

// entry is one meaning of a variable.
type entry struct {
	help, def string
	commands  []string
}

// TestEnvExample keeps .env.example complete: it lists every variable with its help, its default, and the commands that take it.
func TestEnvExample(t *testing.T) {
	app := application(t)
	entries := make(map[string][]*entry)
	eachFlag(app.Node, func(n *kong.Node, f *kong.Flag) {
		if f.Hidden {
			return
		}
		command := strings.TrimSpace(strings.TrimPrefix(n.FullPath(), app.Name))
		help := strings.ReplaceAll(f.Help, "${enum}", f.Enum)
		for _, name := range f.Envs {
			i := slices.IndexFunc(entries[name], func(e *entry) bool { return e.help == help && e.def == f.Default })
			if i < 0 {
				i = len(entries[name])
				entries[name] = append(entries[name], &entry{help: help, def: f.Default})
			}
			entries[name][i].commands = append(entries[name][i].commands, command)
		}
	})
	secrets := secretVariables(app)
	var b strings.Builder
	b.WriteString("# Every setting of audittrail as an environment variable, with its default and the commands that take it. A flag of the same name wins; an empty\n" +
		"# variable is one that is not set. A variable of this prefix that is not listed here is refused.\n")
	for _, name := range flagVariables(app) {
		if len(entries[name]) > 0 {
			b.WriteString("\n")
		}
		for _, e := range entries[name] {
			commands := strings.Join(e.commands, ", ")
			if commands == "" {
				commands = "all"
			}
			fmt.Fprintf(&b, "# %s [%s]\n#%s=%s\n", e.help, commands, name, e.def)
		}
		if slices.Contains(secrets, name) {
			fmt.Fprintf(&b, "#%s_FILE=\n", name)
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
