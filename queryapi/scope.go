package queryapi

import "github.com/audittrail/audittrail/internal/filter"

// Scope is what a caller may see. It is added to every search on the server, after everything that the caller sent has been parsed, so that nothing
// in a request can widen it. The zero Scope sees nothing.
type Scope struct {
	// Caller names who asks. A cursor of one caller is of no use to another.
	Caller string
	// Events holds for the events that the caller may see; none when nil.
	Events filter.Expr
	// Tenants are those whose alerts the caller may see.
	Tenants []string
	// AllTenants makes that the alerts of every tenant.
	AllTenants bool
}

// Everything is the scope of a caller who may see the whole trail.
func Everything(caller string) Scope {
	return Scope{Caller: caller, Events: filter.All, AllTenants: true}
}

// events returns the condition on events.
func (s Scope) events() filter.Expr {
	if s.Events == nil {
		return filter.None
	}
	return s.Events
}
