package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

const envPrefix = "AUDITTRAIL"

// notFlags are variables of our prefix that are read elsewhere: by the build and by the tests.
var notFlags = []string{"AUDITTRAIL_CACHE", "AUDITTRAIL_SLOW"}

// checkEnvironment refuses variables of our prefix that mean nothing: a misspelt one would be ignored silently.
func checkEnvironment(app *kong.Application, environ []string) error {
	known := append(flagVariables(app), notFlags...)
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, envPrefix+"_") || slices.Contains(known, name) {
			continue
		}
		// A secret may also be given as the name of a file that holds it.
		if base, ok := strings.CutSuffix(name, "_FILE"); ok && slices.Contains(secretVariables(app), base) {
			continue
		}
		return fmt.Errorf("the environment variable %s is not known; .env.example lists those that are", name)
	}
	return nil
}

// flagVariables returns the variables of all flags of all commands, sorted.
func flagVariables(app *kong.Application) []string {
	var out []string
	eachFlag(app.Node, func(f *kong.Flag) { out = append(out, f.Envs...) })
	slices.Sort(out)
	return slices.Compact(out)
}

// secretVariables are those of flags tagged secret:"".
func secretVariables(app *kong.Application) []string {
	var out []string
	eachFlag(app.Node, func(f *kong.Flag) {
		if f.Tag.Has("secret") {
			out = append(out, f.Envs...)
		}
	})
	return out
}

func eachFlag(n *kong.Node, fn func(*kong.Flag)) {
	for _, f := range n.Flags {
		if f.Name != "help" {
			fn(f)
		}
	}
	for _, child := range n.Children {
		eachFlag(child, fn)
	}
}
