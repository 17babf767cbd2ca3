package generate

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/audittrail/audittrail/schemas/audit"
)

// Source makes the events of a made-up company: the same ones for the same seed and times. It is used from one goroutine.
type Source struct {
	rng    *rand.Rand
	actors []actor
	busy   *rand.Zipf
	// services and sequences belong together: the events of each instance are numbered from 1.
	services  [serviceCount][instances]audit.Service
	sequences [serviceCount][instances]uint64
	burst     burst
	// mfa is the actor whose login waits for its second factor.
	mfa *actor
	buf []byte
}

// burst is a run of refused logins from one address.
type burst struct {
	left    int
	made    int
	start   time.Time
	tenant  string
	address netip.Addr
	agent   string
	// gap is the longest time between two attempts, short enough for five within a minute.
	gap time.Duration
}

// NewSource returns a source for the seed.
func NewSource(seed uint64) *Source {
	rng := rand.New(rand.NewPCG(seed, 0x6175646974747261))
	s := &Source{rng: rng, actors: newActors(rng), busy: rand.NewZipf(rng, skew, 4, actorCount-1)}
	// A restarted service counts from 1 under a new name; so does another run.
	run := fmt.Sprintf("%06x", rng.Uint32()>>8)
	for i := range s.services {
		name := "identity"
		switch {
		case i < len(applications):
			name = applications[i].name
		case i == gatewayService:
			name = "api-gateway"
		}
		for j := range s.services[i] {
			s.services[i][j] = audit.Service{Name: name, Instance: fmt.Sprintf("%s-%d-%s", name, j, run)}
		}
	}
	return s
}

// Next makes the next event, whatever e held before; its lists are reused. It happened at the given time; only the attempts of a burst may lie before
// it, so that they are close together however far apart the given times are.
func (s *Source) Next(e *audit.Event, at time.Time) {
	*e = audit.Event{Targets: e.Targets[:0], Changes: e.Changes[:0], Metadata: e.Metadata[:0], Outcome: audit.OutcomeSuccess}
	e.Time = at.UTC().Truncate(time.Microsecond)
	s.fill(e)
	e.Category = audit.CategoryOf(e.Action)
	e.ID = s.eventID(e.Time)
	if e.TraceID == "" && s.rng.IntN(20) == 0 {
		e.TraceID, e.SpanID = s.hex(16), s.hex(8)
	}
}

// fill chooses what happens. The weights are out of 1,000.
func (s *Source) fill(e *audit.Event) {
	if s.burst.left > 0 && s.rng.IntN(2) == 0 {
		s.attempt(e)
		return
	}
	if s.burst.left == 0 && s.rng.IntN(1000) < burstsPerMille {
		s.startBurst()
	}
	if a := s.mfa; a != nil {
		s.mfa = nil
		s.secondFactor(e, a)
		return
	}
	a := &s.actors[s.busy.Uint64()]
	if a.Type == audit.ActorUser && a.session == "" {
		s.login(e, a)
		return
	}
	for n, w := s.rng.IntN(1000), 0; w < len(weights); w++ {
		if n -= weights[w].perMille; n < 0 {
			weights[w].happen(s, e, a)
			return
		}
	}
	s.read(e, a)
}

// by fills who did it and which service saw it.
func (s *Source) by(e *audit.Event, a *actor, service int) {
	e.Tenant = a.tenant
	e.Actor = a.Actor
	e.Source.IP = a.address
	e.Source.UserAgent = a.agent
	e.SessionID = a.session
	s.seenBy(e, service)
}

func (s *Source) seenBy(e *audit.Event, service int) {
	i := s.rng.IntN(instances)
	s.sequences[service][i]++
	e.Service = s.services[service][i]
	e.Sequence = s.sequences[service][i]
}

func (s *Source) request(e *audit.Event, method, route string, status uint16) {
	e.Request = audit.Request{ID: s.hex(4), Method: method, Route: route, Status: status}
}

func (s *Source) hex(bytes int) string { return newHex(s.rng, bytes) }

// newHex returns at most 16 random bytes in hexadecimal.
func newHex(rng *rand.Rand, bytes int) string {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:], rng.Uint64())
	if bytes > 8 {
		binary.BigEndian.PutUint64(raw[8:], rng.Uint64())
	}
	var out [32]byte
	return string(out[:hex.Encode(out[:], raw[:bytes])])
}

// eventID returns a UUIDv7 of the event's time.
func (s *Source) eventID(at time.Time) string {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:], uint64(at.UnixMilli())<<16|s.rng.Uint64()&0x0fff|0x7000)
	binary.BigEndian.PutUint64(id[8:], s.rng.Uint64()&^(3<<62)|2<<62)
	return id.String()
}
