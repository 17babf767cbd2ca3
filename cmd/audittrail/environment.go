package main

import (
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/audittrail/audittrail/internal/suggest"
)

const envPrefix = "AUDITTRAIL"

// notFlags are variables of our prefix that are read elsewhere: by the build and by the tests.
var notFlags = []string{"AUDITTRAIL_CACHE", "AUDITTRAIL_SLOW"}

// warnOfUnknownVariables tells of variables of our prefix that mean nothing: a misspelt one would be ignored silently. It is no error, for Kubernetes
// sets variables such as AUDITTRAIL_PORT by itself beside a service of that name.
func warnOfUnknownVariables(log *slog.Logger, app *kong.Application, environ []string) {
	known, secrets := append(flagVariables(app), notFlags...), secretVariables(app)
	var bare []string // without the prefix, which they all share
	for _, name := range secrets {
		known = append(known, name+"_FILE") // a secret may also be given as the name of a file that holds it
	}
	for _, name := range known {
		bare = append(bare, strings.TrimPrefix(name, envPrefix+"_"))
	}
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		rest, ours := strings.CutPrefix(name, envPrefix+"_")
		if !ours || slices.Contains(known, name) {
			continue
		}
		if near := suggest.Nearest(rest, bare); near != "" {
			log.Warn("unknown environment variable", "name", name, "did_you_mean", envPrefix+"_"+near)
		} else {
			log.Warn("unknown environment variable", "name", name, "hint", "--help shows those of a command, .env.example all")
		}
	}
}

// forgetEmptyVariables makes an empty variable one that is not set: that is how env files and compose files leave a setting out.
func forgetEmptyVariables(app *kong.Application) {
	for _, name := range flagVariables(app) {
		if value, ok := os.LookupEnv(name); ok && value == "" {
			_ = os.Unsetenv(name) // fails for impossible names only
		}
	}
}

// flagVariables returns the variables of all flags of all commands, sorted.
func flagVariables(app *kong.Application) []string {
	var out []string
	eachFlag(app.Node, func(_ *kong.Node, f *kong.Flag) { out = append(out, f.Envs...) })
	slices.Sort(out)
	return slices.Compact(out)
}

// secretVariables are those of flags tagged secret:"", sorted.
func secretVariables(app *kong.Application) []string {
	var out []string
	eachFlag(app.Node, func(_ *kong.Node, f *kong.Flag) {
		if f.Tag.Has("secret") {
			out = append(out, f.Envs...)
		}
	})
	slices.Sort(out)
	return slices.Compact(out)
}

func eachFlag(n *kong.Node, fn func(*kong.Node, *kong.Flag)) {
	for _, f := range n.Flags {
		if f.Name != "help" {
			fn(n, f)
		}
	}
	for _, child := range n.Children {
		eachFlag(child, fn)
	}
}
