// Package rule holds what a compiled detection rule is: which events it matches, what they are grouped by, and when a group becomes an alert. It
// holds the built-in rules too.
//
// It evaluates nothing over time (that is the engine's job) and reads no rule files: whoever does compiles them into a Rule.
package rule
