//go:build !failpoints

package consumer

// Fault tests are built with the tag failpoints, which lets them stop the program at each step or switch a protection off. In a normal build there is
// nothing: these are inlined away.

// failpoint returns the error that a test injects at a step.
func failpoint(string) error { return nil }

// mutated reports whether a test has switched off a protection, to show that it is needed.
func mutated(string) bool { return false }
