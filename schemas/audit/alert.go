package audit

import "time"

// Limits of the lists that an alert carries; the totals beside them are exact unless the alert is approximate.
const (
	MaxAlertNames   = 20
	MaxAlertSamples = 10
)

// AlertState is where an alert stands.
type AlertState string

// The states. Only the detector opens and resolves; people acknowledge.
const (
	AlertOpen         AlertState = "open"
	AlertAcknowledged AlertState = "acknowledged"
	AlertResolved     AlertState = "resolved"
)

// Alert is one version of an episode: a span of time in which a rule's condition held for one group key. Every change (opened, updated, resolved,
// reopened) is a new Version of the same ID, published whole.
type Alert struct {
	// ID is derived from the rule, the key and the triggering event, so that a replay of the same log gives the same one.
	ID string `json:"id"`
	// Version counts from 1.
	Version uint64     `json:"version"`
	State   AlertState `json:"state"`

	RuleID   string `json:"rule_id"`
	RuleName string `json:"rule_name"`
	// Level is Sigma's: informational, low, medium, high, critical.
	Level  string `json:"level"`
	Tenant string `json:"tenant"`
	// Key holds the values that the rule groups by, such as source.ip_prefix.
	Key map[string]string `json:"key"`

	// FirstSeen and LastSeen are the event times of the first and the last match of the episode.
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
	// Window is the rule's timespan, in Sigma's notation (1m).
	Window string `json:"window"`
	// Count is how many events matched in the episode.
	Count uint64 `json:"count"`
	// Users and Sources are the distinct actor names and source addresses.
	Users   Names `json:"users"`
	Sources Names `json:"sources"`
	// Samples are ids of matching events, the first ones.
	Samples []string `json:"samples"`
	// Actions are what the rule recommends to do.
	Actions []string `json:"actions,omitempty"`
	Tags    []string `json:"tags,omitempty"`
	// Approximate says that a limit was reached and Count or the totals may be too low.
	Approximate bool `json:"approximate,omitempty"`
}

// Names is a bounded list of distinct values and how many there are in all.
type Names struct {
	Values []string `json:"values"`
	Total  uint64   `json:"total"`
}
