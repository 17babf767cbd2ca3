package rule

import (
	"net/netip"
	"time"

	"github.com/audittrail/audittrail/schemas/audit"
)

// BuiltIn returns the rules that every installation has.
func BuiltIn() []Rule { return []Rule{BruteForceIP()} }

// BruteForceIP is the product's default rule: five or more failed logins from one source within one minute.
func BruteForceIP() Rule {
	return Rule{
		ID:           "6f0a1d1e-0f0b-4b7c-8c1e-2b5f0c1f0101",
		Name:         "brute_force_ip",
		Level:        "high",
		Match:        FailedLogin,
		GroupBy:      []Field{Tenant(), SourcePrefix()},
		Threshold:    5,
		Timespan:     time.Minute,
		ResolveAfter: 10 * time.Minute,
		Lateness:     DefaultLateness,
		Actions: []string{
			"Check whether any login from this source succeeded after the burst.",
			"Block or rate-limit the source at the gateway for 1 hour.",
			"Force a password reset for accounts that show a success from this source.",
		},
		Tags: []string{"attack.credential-access", "attack.t1110", "attack.t1110.001"},
	}
}

// FailedLogin says whether the event is a login that was refused. A session that expired is no attempt to get in.
func FailedLogin(e *audit.Event) bool {
	return e.Action == "auth.login" &&
		(e.Outcome == audit.OutcomeFailure || e.Outcome == audit.OutcomeDenied) &&
		e.Reason != "session_expired"
}

// Tenant groups by tenant: without it a rule would mix the events of customers.
func Tenant() Field {
	return Field{Name: "tenant", Value: func(e *audit.Event) (string, bool) { return e.Tenant, e.Tenant != "" }}
}

// SourcePrefix groups by what is likely one client: its IPv4 address, or the /64 of its IPv6 address.
func SourcePrefix() Field { return Field{Name: "source.ip_prefix", Value: sourcePrefix} }

func sourcePrefix(e *audit.Event) (string, bool) {
	ip := e.Source.IP.Unmap()
	// The unspecified address says no more than a missing one, and tables store the one as the other.
	if !ip.IsValid() || ip == netip.IPv6Unspecified() {
		return "", false
	}
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	prefix, err := ip.WithZone("").Prefix(bits)
	return prefix.String(), err == nil
}
