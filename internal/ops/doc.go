// Package ops is what every service shows to those who run it: logs, metrics, and whether it is alive and ready. It decides nothing about a service:
// the service says what is wrong with it.
package ops
