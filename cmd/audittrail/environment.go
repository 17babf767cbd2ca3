package main

import (
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/audittrail/audittrail/internal/suggest"
)

const envPrefix = "AUDITTRAIL"

// notFlags are variables of our prefix that are read elsewhere: by the build and by the tests.
var notFlags = []string{"AUDITTRAIL_CACHE", "AUDITTRAIL_SLOW"}

// fromKubernetes are the variables that Kubernetes sets by itself beside a service whose name begins with audittrail.
var fromKubernetes = regexp.MustCompile(`^AUDITTRAIL(_[A-Z0-9]+)*_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// checkVariables refuses variables of our prefix that mean nothing: a misspelt one would be ignored silently.
func checkVariables(app *kong.Application, environ []string) error {
	known, secrets := append(flagVariables(app), notFlags...), secretVariables(app)
	var bare []string // without the prefix, which they all share
	for _, name := range secrets {
		known = append(known, name+"_FILE") // a secret may also be given as the name of a file that holds it
	}
	for _, name := range known {
		bare = append(bare, strings.TrimPrefix(name, envPrefix+"_"))
	}
	var unknown []string
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		rest, ours := strings.CutPrefix(name, envPrefix+"_")
		if !ours || slices.Contains(known, name) || fromKubernetes.MatchString(name) {
			continue
		}
		if near := suggest.Nearest(rest, bare); near != "" {
			name += " (did you mean " + envPrefix + "_" + near + "?)"
		}
		unknown = append(unknown, name)
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return usagef("unknown environment variable: %s\nTry `audittrail COMMAND --help`, or see .env.example.", strings.Join(unknown, ", "))
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
