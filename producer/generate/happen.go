package generate

import (
	"strconv"
	"time"

	"github.com/audittrail/audittrail/schemas/audit"
)

// The mix: about two in three events are reads, 5 % are refused logins (half of them in bursts), logins follow logouts.
const (
	burstsPerMille = 2
	burstMin       = 6
	burstMax       = 20
	// recordCount is how many records of a kind there are.
	recordCount = 500_000
)

// weights are out of 1,000; what is left are reads.
var weights = [...]struct {
	perMille int
	happen   func(*Source, *audit.Event, *actor)
}{
	{170, (*Source).call},
	{90, (*Source).update},
	{42, (*Source).create},
	{12, (*Source).remove},
	{16, (*Source).export},
	{26, (*Source).mistype},
	{40, (*Source).logout},
	{2, (*Source).newUser},
	{3, (*Source).grant},
}

func (s *Source) login(e *audit.Event, a *actor) {
	a.session = s.hex(6)
	s.by(e, a, identityService)
	e.Action = "auth.login"
	e.Message = a.Name + " signed in"
	s.request(e, "POST", "/api/auth/login", 200)
	s.metadata(e, "method", "password")
	if s.rng.IntN(3) == 0 {
		s.mfa = a
	}
}

func (s *Source) secondFactor(e *audit.Event, a *actor) {
	s.by(e, a, identityService)
	e.Action = "auth.mfa"
	e.Message = a.Name + " confirmed the sign-in with a second factor"
	s.request(e, "POST", "/api/auth/mfa", 200)
	s.metadata(e, "method", "totp")
}

func (s *Source) logout(e *audit.Event, a *actor) {
	if a.Type != audit.ActorUser {
		s.read(e, a)
		return
	}
	s.by(e, a, identityService)
	e.Action = "auth.logout"
	e.Message = a.Name + " signed out"
	s.request(e, "POST", "/api/auth/logout", 204)
	a.session = ""
}

// mistype is a user's own failed login: a name, but no id.
func (s *Source) mistype(e *audit.Event, a *actor) {
	s.by(e, a, identityService)
	s.refuse(e, a.ID, "invalid_credentials")
}

func (s *Source) refuse(e *audit.Event, name, reason string) {
	e.Action, e.Outcome, e.Reason, e.Severity = "auth.login", audit.OutcomeFailure, reason, audit.SeverityLow
	e.Actor = audit.Actor{Type: audit.ActorUser, Name: name}
	e.SessionID = ""
	e.Message = "Sign-in as " + name + " refused"
	s.request(e, "POST", "/api/auth/login", 401)
	s.metadata(e, "method", "password")
}

func (s *Source) startBurst() {
	s.burst = burst{
		left:    burstMin + s.rng.IntN(burstMax-burstMin+1),
		tenant:  pickTenant(s.rng),
		address: newAttacker(s.rng),
		agent:   machineAgents[s.rng.IntN(len(machineAgents))],
		gap:     time.Duration(500+s.rng.IntN(2500)) * time.Millisecond,
	}
}

// attempt is one login of a burst; the last one may lock an account.
func (s *Source) attempt(e *audit.Event) {
	b := &s.burst
	b.left--
	e.Tenant = b.tenant
	e.Source = audit.Source{IP: b.address, UserAgent: b.agent}
	// Never in the future, and never more than the gap apart, however far apart the events around them are.
	if b.start.IsZero() {
		b.start = e.Time
	}
	e.Time = b.start.Add(min(e.Time.Sub(b.start), time.Duration(b.made)*b.gap))
	b.made++
	s.seenBy(e, identityService)
	if b.left == 0 && s.rng.IntN(2) == 0 {
		victim := &s.actors[s.busy.Uint64()]
		e.Action, e.Reason, e.Severity = "auth.lock", "too_many_failures", audit.SeverityHigh
		e.Actor = audit.Actor{Type: audit.ActorSystem, ID: "identity", Name: "identity"}
		e.Targets = append(e.Targets, audit.Target{Type: "user", ID: victim.ID, Name: victim.Name})
		e.Message = "Account of " + victim.Name + " locked after repeated failures"
		return
	}
	if s.rng.IntN(3) > 0 {
		s.refuse(e, guesses[s.rng.IntN(len(guesses))], "unknown_user")
	} else {
		s.refuse(e, s.actors[s.busy.Uint64()].ID, "invalid_credentials")
	}
}

// record fills in one record of one application, and the request that touched it; verb is how the message begins.
func (s *Source) record(e *audit.Event, a *actor, action, method, verb string) kind {
	app := s.rng.IntN(len(applications))
	s.by(e, a, app)
	k := applications[app].kinds[s.rng.IntN(len(applications[app].kinds))]
	number := strconv.Itoa(1 + s.rng.IntN(recordCount))
	e.Action = action
	e.Targets = append(e.Targets, audit.Target{Type: k.name, ID: number})
	s.buf = append(append(append(s.buf[:0], verb...), ' '), k.name...)
	e.Message = string(append(append(s.buf, ' '), number...))
	e.Request = audit.Request{Method: method, Route: k.route, Status: 200}
	switch n := s.rng.IntN(1000); {
	case n < 20:
		e.Outcome, e.Reason, e.Severity, e.Request.Status = audit.OutcomeDenied, "not_permitted", audit.SeverityLow, 403
	case n < 25:
		e.Outcome, e.Reason, e.Request.Status = audit.OutcomeError, "internal", 500
	}
	return k
}

func (s *Source) read(e *audit.Event, a *actor) { s.record(e, a, "record.read", "GET", "Viewed") }

func (s *Source) create(e *audit.Event, a *actor) {
	k := s.record(e, a, "record.create", "POST", "Created")
	for _, f := range k.fields {
		s.change(e, f, false)
	}
}

func (s *Source) update(e *audit.Event, a *actor) {
	k := s.record(e, a, "record.update", "PUT", "Changed")
	first := s.rng.IntN(len(k.fields))
	for i := range 1 + s.rng.IntN(2) {
		s.change(e, k.fields[(first+i)%len(k.fields)], true)
	}
}

func (s *Source) remove(e *audit.Event, a *actor) {
	s.record(e, a, "record.delete", "DELETE", "Deleted")
	e.Severity = max(e.Severity, audit.SeverityLow)
}

// change adds the new value of a field that has one value after the other.
func (s *Source) change(e *audit.Event, f field, old bool) {
	c := audit.Change{Field: f.name, Redacted: f.secret}
	if !f.secret {
		n := s.rng.IntN(len(f.values))
		c.New = f.values[n]
		if old {
			c.Old = f.values[(n+1)%len(f.values)]
		}
	}
	e.Changes = append(e.Changes, c)
}

// export takes ten records as a rule, sometimes a hundred thousand.
func (s *Source) export(e *audit.Event, a *actor) {
	k := s.record(e, a, "data.export", "GET", "Exported")
	e.Targets[0].ID = ""
	if e.Outcome != audit.OutcomeSuccess {
		e.Message = "Export of kind " + k.name + " failed"
		return
	}
	records := uint64(10)
	for records < 100_000 && s.rng.IntN(3) == 0 {
		records *= 10
	}
	records += s.rng.Uint64N(records)
	e.Message = "Exported " + strconv.FormatUint(records, 10) + " of kind " + k.name
	e.Data = audit.Data{Records: records, Bytes: records * (200 + s.rng.Uint64N(200)), Filter: "status = open"}
	if records >= 10_000 {
		e.Severity = audit.SeverityMedium
	}
}

// call is a request that the gateway saw.
func (s *Source) call(e *audit.Event, a *actor) {
	s.by(e, a, gatewayService)
	app := &applications[s.rng.IntN(len(applications))]
	e.Action = "api.access"
	s.request(e, "GET", app.kinds[0].route, 200)
	switch n := s.rng.IntN(100); {
	case n < 3:
		e.Outcome, e.Reason, e.Request.Status = audit.OutcomeFailure, "not_found", 404
	case n < 4:
		e.Outcome, e.Reason, e.Request.Status = audit.OutcomeDenied, "throttled", 429
	}
	e.Message = "Called " + app.name
	s.metadata(e, "duration_ms", strconv.Itoa(1+s.rng.IntN(400)))
}

func (s *Source) newUser(e *audit.Event, a *actor) {
	s.admin(e, a, "user.create", "POST", "/api/users", "Created the account of ")
}

func (s *Source) grant(e *audit.Event, a *actor) {
	s.admin(e, a, "role.grant", "POST", "/api/users/{id}/roles", "Made an auditor of ")
	e.Changes = append(e.Changes, audit.Change{Field: "role", Old: `"user"`, New: `"auditor"`})
}

func (s *Source) admin(e *audit.Event, a *actor, action, method, route, message string) {
	s.by(e, a, identityService)
	whom := &s.actors[s.rng.IntN(len(s.actors))]
	e.Action, e.Severity = action, audit.SeverityMedium
	e.Targets = append(e.Targets, audit.Target{Type: "user", ID: whom.ID, Name: whom.Name})
	e.Message = message + whom.Name
	s.request(e, method, route, 201)
}

func (s *Source) metadata(e *audit.Event, key, value string) {
	e.Metadata = append(e.Metadata, audit.MetadataEntry{Key: key, Value: value})
}
