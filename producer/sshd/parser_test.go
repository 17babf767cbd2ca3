package sshd

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/audittrail/audittrail/schemas/audit"
)

func newParser(year int) *parser {
	return &parser{
		file: "auth.log", tenant: "acme",
		id:       func(line uint64, part uint32) string { return fmt.Sprintf("%d/%d", line, part) },
		calendar: calendar{year: year, loc: time.UTC, now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)},
		sessions: newSessions(),
	}
}

// parseAll returns the events of the lines and the lines' kinds.
func parseAll(t testing.TB, p *parser, text string) (events []audit.Event, kinds []Kind) {
	t.Helper()
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		kind, err := p.parse(uint64(i+1), line, func(e *audit.Event) error {
			events = append(events, *e.Clone())
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, kind)
	}
	return events, kinds
}

func TestHeaders(t *testing.T) {
	const failed = "Failed password for root from 203.0.113.9 port 22 ssh2"
	tests := []struct {
		line string
		kind Kind
		time string
	}{
		{"Mar  7 03:04:05 host sshd[12]: " + failed, KindFailed, "2024-03-07T03:04:05Z"},
		{"Mar 17 03:04:05 host sshd: " + failed, KindFailed, "2024-03-17T03:04:05Z"},
		{"Mar 17 03:04:05 host sshd-session[12]: " + failed, KindFailed, "2024-03-17T03:04:05Z"},
		{"2026-03-07T03:04:05.123456789+01:00 host sshd[12]: " + failed, KindFailed, "2026-03-07T02:04:05.123456Z"},
		{"Feb 29 03:04:05 host sshd[12]: " + failed, KindFailed, "2024-02-29T03:04:05Z"},
		{"Feb 30 03:04:05 host sshd[12]: " + failed, KindUnreadable, ""},
		{"2026-03-07T03:04:05+0100 host sshd[12]: " + failed, KindFailed, "2026-03-07T02:04:05Z"},
		{"2026-13-07T03:04:05+0100 host sshd[12]: " + failed, KindUnreadable, ""},
		{"2026-13-07T03:04:05+0100 host cron[12]: " + failed, KindNotSyslog, ""},
		{"Feb 30 03:04:05 host sshd[12]: Server listening on 0.0.0.0", KindNoEvent, ""},
		{"Mar 17 03:04:05 host sshd[12]: message repeated 2 times: [ " + failed, KindUnreadable, ""},
		{"Mar 17 25:04:05 host sshd[12]: " + failed, KindUnreadable, ""},
		{"Mär 17 03:04:05 host sshd[12]: " + failed, KindNotSyslog, ""},
		{"Mar 17 03:04:05 host cron[12]: " + failed, KindNotSSHD, ""},
		{"Mar 17 03:04:05 host sshd[12] " + failed, KindNotSyslog, ""},
		{"Mar 17 03:04:05 host", KindNotSyslog, ""},
		{"2026", KindNotSyslog, ""},
		{"", KindNotSyslog, ""},
	}
	for _, tt := range tests {
		events, kinds := parseAll(t, newParser(2024), tt.line)
		if kinds[0] != tt.kind || (len(events) == 1) != (tt.time != "") {
			t.Errorf("%q: kind %s, %d events", tt.line, kinds[0], len(events))
		} else if tt.time != "" && events[0].Time.Format(time.RFC3339Nano) != tt.time {
			t.Errorf("%q: time %s, want %s", tt.line, events[0].Time.Format(time.RFC3339Nano), tt.time)
		}
	}
}

func TestYears(t *testing.T) {
	tests := []struct {
		name   string
		year   int
		stamps []string
		want   []int
	}{
		{"given", 2017, []string{"Mar 27", "Apr 20"}, []int{2017, 2017}},
		{"new year", 2017, []string{"Dec 31", "Jan  1", "Feb  3"}, []int{2017, 2018, 2018}},
		{"a late line of December", 2017, []string{"Dec 31", "Jan  1", "Dec 31", "Jan  1"}, []int{2017, 2018, 2017, 2018}},
		{"quiet months", 2017, []string{"Nov  2", "Jan  1"}, []int{2017, 2018}},
		{"two years", 2017, []string{"Jun  1", "Dec  1", "Mar  1", "Dec  1", "Jan  1"}, []int{2017, 2017, 2018, 2018, 2019}},
		{"a late line of the last month", 2017, []string{"Apr  1", "Mar 31", "Apr  1"}, []int{2017, 2017, 2017}},
		{"into a leap year", 2023, []string{"Dec 31", "Feb 29"}, []int{2023, 2024}},
		// Now is 24 November 2026.
		{"found, this year", 0, []string{"Nov 24", "Nov 25"}, []int{2026, 2026}},
		{"found, a leap year", 0, []string{"Feb 29", "Mar  1"}, []int{2024, 2024}},
		{"found, the last year", 0, []string{"Dec  1", "Jan  1"}, []int{2025, 2026}},
	}
	for _, tt := range tests {
		c := newParser(tt.year).calendar
		for i, stamp := range tt.stamps {
			at, ok := c.at(stamp + " 12:00:00")
			if !ok || at.Year() != tt.want[i] {
				t.Errorf("%s: %s is in %d (%v), want %d", tt.name, stamp, at.Year(), ok, tt.want[i])
			}
		}
	}
}

func TestLocation(t *testing.T) {
	lisbon, err := time.LoadLocation("Europe/Lisbon")
	if err != nil {
		t.Skip("no time zone database here")
	}
	p := newParser(2017)
	p.calendar.loc = lisbon
	events, _ := parseAll(t, p, "Jul  1 12:00:00 h sshd[1]: Failed password for x from 203.0.113.9 port 22 ssh2")
	if got := events[0].Time; got != time.Date(2017, 7, 1, 11, 0, 0, 0, time.UTC) {
		t.Errorf("noon in Lisbon is %s", got)
	}
}

func TestEvents(t *testing.T) {
	events, kinds := parseAll(t, newParser(2017), `
Mar 27 13:00:00 bastion sshd[10]: message repeated 2 times: [ Failed password for invalid user admin from 203.0.113.9 port 4711 ssh2]
Mar 27 13:00:01 bastion sshd[11]: Accepted publickey for alice from 192.0.2.7 port 50000 ssh2: RSA SHA256:abc
Mar 27 13:00:02 bastion sshd[11]: pam_unix(sshd:session): session opened for user alice by (uid=0)
Mar 27 13:10:00 bastion sshd[12]: Disconnected from 192.0.2.7 port 50000
Mar 27 13:10:00 bastion sshd[11]: pam_unix(sshd:session): session closed for user alice
`)
	if want := []Kind{KindFailed, KindAccepted, KindNoEvent, KindClosed, KindNoEvent}; !reflect.DeepEqual(kinds, want) {
		t.Errorf("kinds %v, want %v", kinds, want)
	}
	if len(events) != 4 {
		t.Fatalf("%d events", len(events))
	}
	second := events[1]
	want := audit.Event{
		ID: "1/2", Time: time.Date(2017, 3, 27, 13, 0, 0, 0, time.UTC), Tenant: "acme", Action: "auth.login", Category: audit.CategoryAuth,
		Outcome: audit.OutcomeFailure, Reason: "unknown_user",
		Actor:   audit.Actor{Type: audit.ActorUser, Name: "admin"},
		Source:  audit.Source{IP: events[1].Source.IP},
		Targets: []audit.Target{{Type: "host", ID: "bastion", Name: "bastion"}},
		Service: audit.Service{Name: "sshd", Instance: "bastion"},
		Message: "Mar 27 13:00:00 bastion sshd[10]: message repeated 2 times: [ Failed password for invalid user admin from 203.0.113.9 port 4711 ssh2]",
		Metadata: audit.Metadata{
			{Key: "port", Value: "4711"},
			{Key: "method", Value: "password"},
			{Key: "pid", Value: "10"},
			{Key: "file", Value: "auth.log"},
			{Key: "line", Value: "1"},
			{Key: "repeat", Value: "2/2"},
		},
	}
	if !reflect.DeepEqual(second, want) || second.Source.IP.String() != "203.0.113.9" {
		t.Errorf("got  %+v\nwant %+v", second, want)
	}
	if first := events[0]; first.ID != "1/1" {
		t.Errorf("the first of the repeated events is %s", first.ID)
	}
	in, out := events[2], events[3]
	if in.Actor != (audit.Actor{Type: audit.ActorUser, ID: "alice", Name: "alice"}) || in.Outcome != audit.OutcomeSuccess || in.SessionID != in.ID {
		t.Errorf("login: %+v", in)
	}
	if key, _ := in.Metadata.Get("key"); key != "RSA SHA256:abc" {
		t.Errorf("key %q", key)
	}
	if out.Action != "auth.logout" || out.Actor != in.Actor || out.SessionID != in.SessionID || out.Source.IP != in.Source.IP {
		t.Errorf("logout: %+v", out)
	}
}

func TestEndsOfSessions(t *testing.T) {
	const in = "Mar 27 13:00:01 h sshd[11]: Accepted password for alice from 192.0.2.7 port 50000 ssh2\n"
	tests := []struct {
		name, text string
		// logouts are "user@ip session".
		logouts []string
	}{
		{"told by the monitor only", in + "Mar 27 14:00:00 h sshd[11]: pam_unix(sshd:session): session closed for user alice", []string{"alice@192.0.2.7 1/1"}},
		{
			"told by the monitor first", in + "Mar 27 14:00:00 h sshd[11]: pam_unix(sshd:session): session closed for user alice\n" +
				"Mar 27 14:00:00 h sshd[12]: Disconnected from user alice 192.0.2.7 port 50000",
			[]string{"alice@192.0.2.7 1/1"},
		},
		{"connection lost", in + "Mar 27 14:00:00 h sshd[12]: Connection reset by 192.0.2.7 port 50000", []string{"alice@192.0.2.7 1/1"}},
		{"same address, another host", in + "Mar 27 14:00:00 g sshd[12]: Disconnected from 192.0.2.7 port 50000", []string{"@192.0.2.7 "}},
		{"same process, another user", in + "Mar 27 14:00:00 h sshd[11]: pam_unix(sshd:session): session closed for user bob", []string{"bob@invalid IP "}},
		{"login not in the file", "Mar 27 14:00:00 h sshd[12]: Disconnected from user alice 192.0.2.7 port 50000", []string{"alice@192.0.2.7 "}},
		{"perhaps no session at all", "Mar 27 14:00:00 h sshd[12]: Connection closed by 192.0.2.7 port 50000", nil},
		{
			"port and process used again", in + "Mar 27 14:00:00 h sshd[12]: Disconnected from 192.0.2.7 port 50000\n" +
				strings.Replace(in, "alice", "bob", 1) + "Mar 27 15:00:00 h sshd[13]: Disconnected from 192.0.2.7 port 50000",
			[]string{"alice@192.0.2.7 1/1", "bob@192.0.2.7 3/1"},
		},
	}
	for _, tt := range tests {
		events, _ := parseAll(t, newParser(2017), tt.text)
		var got []string
		for _, e := range events {
			if e.Action == "auth.logout" {
				got = append(got, fmt.Sprintf("%s@%s %s", e.Actor.ID, e.Source.IP, e.SessionID))
			}
		}
		if !reflect.DeepEqual(got, tt.logouts) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.logouts)
		}
	}
}

// TestSessionsAreBounded: more logins than are remembered forget the oldest and nothing else.
func TestSessionsAreBounded(t *testing.T) {
	p := newParser(2017)
	one := func(n int, format string) (event audit.Event) {
		line := "Mar 27 13:00:00 h " + fmt.Sprintf(format, n, 10+n>>16, n&0xffff)
		if _, err := p.parse(uint64(n), line, func(e *audit.Event) error { event = *e; return nil }); err != nil {
			t.Fatal(err)
		}
		return event
	}
	const all = 3*maxSessions + 10
	for n := range all {
		one(n, "sshd[%d]: Accepted password for alice from 192.0.2.%d port %d ssh2")
	}
	if len(p.sessions.byPeer) != maxSessions || len(p.sessions.byPID) != maxSessions || len(p.sessions.oldest) > 2*maxSessions {
		t.Errorf("%d and %d sessions are remembered, in a queue of %d", len(p.sessions.byPeer), len(p.sessions.byPID), len(p.sessions.oldest))
	}
	const closed = "sshd[9%d]: Disconnected from 192.0.2.%d port %d"
	for _, n := range []int{all - 1, all - maxSessions} {
		if e := one(n, closed); e.Actor.ID != "alice" {
			t.Errorf("session %d of %d is forgotten", n, all)
		}
	}
	if e := one(all-maxSessions-1, closed); e.Actor.ID != "" {
		t.Error("one session too many is remembered")
	}
}

// FuzzParse: no line ends the import, no line makes an event that cannot be published or that changes on its way through Kafka.
func FuzzParse(f *testing.F) {
	for _, line := range []string{
		"Mar 27 13:06:56 host sshd[1291]: Server listening on 0.0.0.0 port 22.",
		"Mar 29 23:18:33 host sshd[6402]: message repeated 5 times: [ Failed password for root from 218.60.136.106 port 56338 ssh2]",
		"Apr 20 14:14:29 host sshd[3964]: Accepted publickey for ubuntu from 85.245.107.41 port 51816 ssh2: RSA SHA256:Kl8k",
		"2026-03-07T03:04:05.123456+01:00 host sshd-session[12]: Disconnected from user alice 2001:db8::7 port 22",
		"Mar 27 13:06:56 host sshd[1]: pam_unix(sshd:session): session closed for user a\nMar 27 13:06:56 host sshd[1]: Connection closed by 1.2.3.4 port 1",
	} {
		f.Add(line)
	}
	enough := errors.New("enough")
	f.Fuzz(func(t *testing.T, text string) {
		p := newParser(0)
		d := audit.NewDecoder()
		for i, line := range strings.Split(text, "\n") {
			if !utf8.ValidString(line) {
				line = strings.ToValidUTF8(line, "?")
			}
			events := 0
			kind, err := p.parse(uint64(i+1), line, func(e *audit.Event) error {
				if events++; events > 3 {
					return enough
				}
				if err := e.Validate(); err != nil {
					if e.Time.Year() >= 1900 && e.Time.Year() < 2300 {
						t.Errorf("%q gives an invalid event: %v", line, err)
					}
					return nil
				}
				_, value, headers := audit.EncodeRecord(e)
				var got audit.Event
				if err := d.Decode(&audit.Record{Value: value, Headers: headers}, &got); err != nil {
					t.Fatal(err)
				}
				if have, want := got.Clone(), e.Clone(); !reflect.DeepEqual(have, want) {
					t.Errorf("got  %+v\nwant %+v", have, want)
				}
				return nil
			})
			if err != nil && !errors.Is(err, enough) {
				t.Fatal(err)
			}
			gives := kind == KindFailed || kind == KindAccepted || kind == KindClosed
			if gives != (events > 0) || (err == nil && events > 3) {
				t.Errorf("%q: kind %s, %d events", line, kind, events)
			}
		}
	})
}
