package sshd

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/audittrail/audittrail/schemas/audit"
)

// parser turns the lines of one file into events.
type parser struct {
	// file, tenant and id (of a line's part, from 1) go into the events.
	file   string
	tenant string
	id     func(line uint64, part uint32) string

	calendar calendar
	sessions *sessions
	event    audit.Event
	// cut says that the line goes on.
	cut bool
	// trouble says why the last line is KindNotUnderstood or KindUnreadable.
	trouble string
}

// parse reads a line and gives emit its events, one after the other, in an Event that is reused. An error of emit ends it.
func (p *parser) parse(number uint64, line string, emit func(*audit.Event) error) (Kind, error) {
	h, ok := cutHeader(line)
	if !ok {
		return KindNotSyslog, nil
	}
	// Lines of other programs move the calendar, too: the new year may come with one of them.
	at, ok := p.calendar.at(h.stamp)
	switch {
	case !h.fromSSHD() && !ok:
		return KindNotSyslog, nil
	case !h.fromSSHD():
		return KindNotSSHD, nil
	case p.cut:
		// Its end decides whose address it names.
		p.trouble = fmt.Sprintf("longer than %d bytes", maxLine)
		return KindUnreadable, nil
	}
	text, repeat, whole := cutRepeat(h.text)
	m := parseMessage(text)
	switch {
	case m.kind == KindNoEvent:
		return m.kind, nil
	case !whole:
		p.trouble = "it does not say what is repeated, or how often"
		return KindUnreadable, nil
	case m.kind == KindNotUnderstood:
		p.trouble = "no known message of sshd"
		return m.kind, nil
	case !ok:
		p.trouble = fmt.Sprintf("%q is no time, or not one of the year %d", h.stamp, p.calendar.year)
		return KindUnreadable, nil
	}
	kind := KindNoEvent
	for part := range repeat {
		p.begin(number, part+1, repeat, at, h, m)
		p.event.Message = line
		if !p.finish(h, m) {
			continue
		}
		kind = m.kind
		if err := emit(&p.event); err != nil {
			return kind, err
		}
	}
	return kind, nil
}

// begin fills the event with what all kinds have.
func (p *parser) begin(number uint64, part, repeat uint32, at time.Time, h header, m message) {
	e := &p.event
	*e = audit.Event{
		ID:       p.id(number, part),
		Time:     at.UTC().Truncate(time.Microsecond),
		Tenant:   p.tenant,
		Category: audit.CategoryAuth,
		Actor:    audit.Actor{Type: audit.ActorUser, Name: m.user},
		Source:   audit.Source{IP: m.from.Addr()},
		Targets:  append(e.Targets[:0], audit.Target{Type: "host", ID: h.host, Name: h.host}),
		Service:  audit.Service{Name: "sshd", Instance: h.host},
		Metadata: e.Metadata[:0],
	}
	if m.from.IsValid() {
		p.meta("port", strconv.Itoa(int(m.from.Port())))
	}
	if m.method != "" {
		p.meta("method", m.method)
	}
	if m.fingerprint != "" {
		p.meta("key", m.fingerprint)
	}
	p.meta("pid", h.pid)
	p.meta("file", p.file)
	p.meta("line", strconv.FormatUint(number, 10))
	if repeat > 1 {
		p.meta("repeat", strconv.FormatUint(uint64(part), 10)+"/"+strconv.FormatUint(uint64(repeat), 10))
	}
}

func (p *parser) meta(key, value string) {
	p.event.Metadata = append(p.event.Metadata, audit.MetadataEntry{Key: key, Value: value})
}

// finish adds what only one kind has; false means that this line gives no event.
func (p *parser) finish(h header, m message) bool {
	e := &p.event
	switch m.kind {
	case KindFailed:
		e.Action, e.Outcome, e.Reason = "auth.login", audit.OutcomeFailure, "invalid_credentials"
		if m.unknown {
			e.Reason = "unknown_user"
		}
	case KindAccepted:
		e.Action, e.Outcome = "auth.login", audit.OutcomeSuccess
		e.Actor.ID = m.user
		e.SessionID = e.ID
		p.sessions.open(&session{id: e.ID, user: strings.Clone(m.user), from: m.from, host: strings.Clone(h.host), pid: strings.Clone(h.pid)})
	default:
		e.Action, e.Outcome = "auth.logout", audit.OutcomeSuccess
		return p.closeSession(h, m)
	}
	return true
}

// closeSession ties a logout to its login. Without one (it lies before the file) the line speaks for itself; then both of the lines that sshd writes
// about an end may become events, one with the address, one with the user, for nothing shows that they belong together.
func (p *parser) closeSession(h header, m message) bool {
	e := &p.event
	s := p.sessions.find(h.host, h.pid, m)
	if s == nil {
		e.Actor.ID = m.user
		return !m.tentative
	}
	if s.closed {
		return false
	}
	s.closed = true
	e.SessionID = s.id
	e.Actor.ID, e.Actor.Name = s.user, s.user
	if !m.from.IsValid() && s.from.IsValid() {
		e.Source.IP = s.from.Addr()
		p.meta("port", strconv.Itoa(int(s.from.Port())))
	}
	return true
}
