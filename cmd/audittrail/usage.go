package main

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
)

// usageError says that the program was called wrongly: exit status 2.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// parse reads the command line and the environment. Its errors are about the call.
func parse(parser *kong.Kong, args []string) (*kong.Context, error) {
	forgetEmptyVariables(parser.Model)
	ctx, err := parser.Parse(asCommands(args))
	var pe *kong.ParseError
	switch {
	case errors.As(err, &pe) && pe.Context != nil:
		return nil, usagef("%s\nTry `%s --help`.", nameVariable(pe.Context, err.Error()), commandPath(pe.Context))
	case err != nil:
		return nil, usageError{err}
	}
	if err := checkMinimums(ctx); err != nil {
		return nil, usagef("%w\nTry `%s --help`.", err, commandPath(ctx))
	}
	return ctx, nil
}

// asCommands understands what people try first: no arguments at all, help, and --version.
func asCommands(args []string) []string {
	switch {
	case len(args) == 0:
		return []string{"--help"}
	case args[0] == "help":
		return append(args[1:len(args):len(args)], "--help")
	case args[0] == "--version":
		return []string{"version"}
	}
	return args
}

func commandPath(ctx *kong.Context) string {
	if node := ctx.Selected(); node != nil {
		return node.FullPath()
	}
	path := ctx.Model.Name
	for _, p := range ctx.Path { // a command that needs another one after it
		if p.Command != nil {
			path = p.Command.FullPath()
		}
	}
	return path
}

// nameVariable makes the parser's error about a flag name the variable instead, when the value came from there.
func nameVariable(ctx *kong.Context, message string) string {
	for _, f := range ctx.Flags() {
		rest, about := strings.CutPrefix(message, "--"+f.Name)
		if source := sourceOf(ctx, f); about && source != "--"+f.Name && (rest == "" || strings.ContainsAny(rest[:1], " :=")) {
			rest, _, _ = strings.Cut(rest, " (from envar ")
			return "the environment variable " + source + rest
		}
	}
	return message
}

// sourceOf is where the flag's value came from: its variable, or its own name.
func sourceOf(ctx *kong.Context, f *kong.Flag) string {
	for _, p := range ctx.Path {
		if p.Flag == f {
			return "--" + f.Name
		}
	}
	for _, name := range f.Envs {
		if _, ok := os.LookupEnv(name); ok {
			return name
		}
	}
	return "--" + f.Name
}

// checkMinimums holds numbers against the tag min:"N" of their flags.
func checkMinimums(ctx *kong.Context) error {
	for _, f := range ctx.Flags() {
		if !f.Tag.Has("min") {
			continue
		}
		least, err := strconv.ParseFloat(f.Tag.Get("min"), 64)
		if err != nil {
			return fmt.Errorf("the tag min of --%s: %w", f.Name, err)
		}
		var value float64
		switch {
		case f.Target.CanInt():
			value = float64(f.Target.Int())
		case f.Target.CanUint():
			value = float64(f.Target.Uint())
		case f.Target.Kind() == reflect.Float64:
			value = f.Target.Float()
		}
		if value < least {
			return fmt.Errorf("%s: expected %s or more but got %v", sourceOf(ctx, f), f.Tag.Get("min"), f.Target)
		}
	}
	return nil
}
