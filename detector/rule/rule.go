package rule

import (
	"errors"
	"fmt"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/audittrail/audittrail/schemas/audit"
)

// DefaultLateness is how much later than others an event of the same group may arrive and still be counted, when a rule does not say.
const DefaultLateness = time.Minute

// Limits of one rule. They bound what a group may cost in memory, and how much of audit.matches must be read again after a restart.
const (
	// MaxTimespan is the longest window that can be rebuilt by reading audit.matches again.
	MaxTimespan = 15 * time.Minute
	// MaxThreshold bounds the times that are kept for one group.
	MaxThreshold = 10_000
	// MaxResolveAfter bounds how long an alert stays open without need.
	MaxResolveAfter = 24 * time.Hour
)

// Rule raises an alert when Threshold events that match it, of one group, happen within Timespan.
type Rule struct {
	// ID never changes (Sigma's id, a UUID); Name is for people and unique.
	ID   string
	Name string
	// Level is Sigma's: informational, low, medium, high or critical.
	Level string
	// Match says whether the rule counts an event. It must depend on nothing but the event, which it must not keep.
	Match func(*audit.Event) bool
	// GroupBy are the fields that make a group; at least one. Events without a value for one of them form a group of their own.
	GroupBy []Field
	// Threshold is how many events it takes, at least 1.
	Threshold int
	// Timespan is the length of the sliding, half-open window (t − Timespan, t], up to MaxTimespan.
	Timespan time.Duration
	// ResolveAfter is how long after the last time the condition held an episode ends; at least Timespan.
	ResolveAfter time.Duration
	// Lateness is how much later than others an event may arrive; DefaultLateness when 0.
	Lateness time.Duration
	// Actions are what people should do about an alert.
	Actions []string
	// Tags are Sigma's, such as attack.t1110.001.
	Tags []string
}

// Field is one thing that a rule groups by.
type Field struct {
	// Name is the JSON path that appears as a key of the alert.
	Name string
	// Value returns the field's value of an event, and false when the event has none.
	Value func(*audit.Event) (string, bool)
}

// Key identifies the rule in match records: four bytes instead of a UUID. Two rules of one set never share one (Validate).
func (r *Rule) Key() uint32 { return uint32(xxh3.HashString(r.ID)) }

// SetVersion returns a number that changes with every change of a set of rules that is visible from outside: match records carry it. Match cannot be
// looked into: who compiles a rule must change its ID or another field along with it.
func SetVersion(rules []Rule) uint32 {
	h := xxh3.New()
	for i := range rules {
		r := &rules[i]
		fmt.Fprintf(h, "%q%q%q%d%d%d%d%q%q", r.ID, r.Name, r.Level, r.Threshold, r.Timespan, r.ResolveAfter, r.Lateness, r.Actions, r.Tags)
		for _, f := range r.GroupBy {
			fmt.Fprintf(h, "%q", f.Name)
		}
	}
	return uint32(h.Sum64())
}

// LatenessOrDefault returns Lateness, or DefaultLateness when it is 0.
func (r *Rule) LatenessOrDefault() time.Duration {
	if r.Lateness == 0 {
		return DefaultLateness
	}
	return r.Lateness
}

// Window is Timespan in Sigma's notation: a number and one of s, m, h, d.
func (r *Rule) Window() string {
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if r.Timespan >= unit.length && r.Timespan%unit.length == 0 {
			return fmt.Sprintf("%d%s", r.Timespan/unit.length, unit.name)
		}
	}
	return fmt.Sprintf("%ds", r.Timespan/time.Second)
}

// Validate reports every rule of a set that cannot work.
func Validate(rules []Rule) error {
	var errs []error
	keys, names := make(map[uint32]string), make(map[string]bool)
	for i := range rules {
		r := &rules[i]
		if err := r.validate(); err != nil {
			errs = append(errs, fmt.Errorf("rule %q: %w", r.Name, err))
		}
		if other, taken := keys[r.Key()]; taken {
			errs = append(errs, fmt.Errorf("rule %q: its id %q cannot be told from that of rule %q", r.Name, r.ID, other))
		}
		if names[r.Name] {
			errs = append(errs, fmt.Errorf("rule %q: there are two of that name", r.Name))
		}
		keys[r.Key()], names[r.Name] = r.Name, true
	}
	return errors.Join(errs...)
}

func (r *Rule) validate() error {
	switch {
	case r.ID == "" || r.Name == "":
		return errors.New("it needs an id and a name")
	case r.Match == nil:
		return errors.New("it matches nothing")
	case len(r.GroupBy) == 0:
		return errors.New("it groups by nothing")
	case r.Threshold < 1 || r.Threshold > MaxThreshold:
		return fmt.Errorf("its threshold %d is not between 1 and %d", r.Threshold, MaxThreshold)
	case r.Timespan < time.Second || r.Timespan > MaxTimespan || r.Timespan%time.Second != 0:
		return fmt.Errorf("its timespan %s is not whole seconds up to %s", r.Timespan, MaxTimespan)
	case r.ResolveAfter < r.Timespan || r.ResolveAfter > MaxResolveAfter:
		return fmt.Errorf("its resolve_after %s is not between its timespan %s and %s", r.ResolveAfter, r.Timespan, MaxResolveAfter)
	case r.Lateness < 0 || r.Lateness > MaxAllowance:
		return fmt.Errorf("its lateness %s is not between 0 and %s", r.Lateness, MaxAllowance)
	}
	for _, f := range r.GroupBy {
		if f.Name == "" || f.Value == nil {
			return errors.New("it groups by a field without a name or a value")
		}
	}
	return nil
}

// MaxAllowance bounds the allowance for late events, however far apart the source partitions are.
const MaxAllowance = time.Hour
