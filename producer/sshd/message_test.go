package sshd

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParseMessage(t *testing.T) {
	from := netip.MustParseAddrPort
	tests := []struct {
		text string
		want message
	}{
		// Refused logins.
		{
			"Failed password for root from 203.0.113.9 port 4711 ssh2",
			message{kind: KindFailed, user: "root", method: "password", from: from("203.0.113.9:4711")},
		},
		{
			"Failed password for invalid user admin from 203.0.113.9 port 4711 ssh2",
			message{kind: KindFailed, user: "admin", unknown: true, method: "password", from: from("203.0.113.9:4711")},
		},
		{
			"Failed password for illegal user admin from 203.0.113.9 port 4711",
			message{kind: KindFailed, user: "admin", unknown: true, method: "password", from: from("203.0.113.9:4711")},
		},
		{
			"Failed keyboard-interactive/pam for root from 2001:db8::7 port 4711 ssh2 [preauth]",
			message{kind: KindFailed, user: "root", method: "keyboard-interactive/pam", from: from("[2001:db8::7]:4711")},
		},
		{
			"Failed publickey for root from ::ffff:203.0.113.9 port 4711 ssh2: RSA SHA256:abc",
			message{kind: KindFailed, user: "root", method: "publickey", fingerprint: "RSA SHA256:abc", from: from("203.0.113.9:4711")},
		},
		{
			"Failed none for root from fe80::1%eth0 port 4711 ssh2",
			message{kind: KindFailed, user: "root", method: "none", from: from("[fe80::1]:4711")},
		},
		{
			"Failed password for root from UNKNOWN port 65535 ssh2",
			message{kind: KindFailed, user: "root", method: "password", from: netip.AddrPortFrom(netip.Addr{}, 65535)},
		},
		// Names that attackers choose.
		{
			"Failed password for invalid user  from 203.0.113.9 port 4711 ssh2",
			message{kind: KindFailed, user: "", unknown: true, method: "password", from: from("203.0.113.9:4711")},
		},
		{
			"Failed password for invalid user a b  c from 203.0.113.9 port 4711 ssh2",
			message{kind: KindFailed, user: "a b  c", unknown: true, method: "password", from: from("203.0.113.9:4711")},
		},
		{
			"Failed password for invalid user root from 192.0.2.1 port 22 ssh2 from 203.0.113.9 port 4711 ssh2",
			message{kind: KindFailed, user: "root from 192.0.2.1 port 22 ssh2", unknown: true, method: "password", from: from("203.0.113.9:4711")},
		},
		{
			"Failed password for invalid user x from 192.0.2.1 port 22 ssh2: RSA SHA256:x from 203.0.113.9 port 4711 ssh2",
			message{kind: KindFailed, user: "x from 192.0.2.1 port 22 ssh2: RSA SHA256:x", unknown: true, method: "password", from: from("203.0.113.9:4711")},
		},
		{
			`Failed password for invalid user "it's" <b>\303\244</b> from 203.0.113.9 port 4711 ssh2`,
			message{kind: KindFailed, user: `"it's" <b>\303\244</b>`, unknown: true, method: "password", from: from("203.0.113.9:4711")},
		},
		{
			"Failed password for invalid user from from 203.0.113.9 port 4711 ssh2",
			message{kind: KindFailed, user: "from", unknown: true, method: "password", from: from("203.0.113.9:4711")},
		},
		{
			"Failed password for invalid user invalid user bob for bob from 203.0.113.9 port 4711 ssh2",
			message{kind: KindFailed, user: "invalid user bob for bob", unknown: true, method: "password", from: from("203.0.113.9:4711")},
		},
		{
			"Failed password for invalid user x] message repeated 9 times: [ from 203.0.113.9 port 4711 ssh2",
			message{kind: KindFailed, user: "x] message repeated 9 times: [", unknown: true, method: "password", from: from("203.0.113.9:4711")},
		},
		// Accepted logins.
		{
			"Accepted password for alice from 203.0.113.9 port 4711 ssh2",
			message{kind: KindAccepted, user: "alice", method: "password", from: from("203.0.113.9:4711")},
		},
		{
			"Accepted publickey for alice from 203.0.113.9 port 4711 ssh2: ED25519-CERT SHA256:abc ID alice@ca (serial 7) CA ED25519 SHA256:def",
			message{
				kind: KindAccepted, user: "alice", method: "publickey", from: from("203.0.113.9:4711"),
				fingerprint: "ED25519-CERT SHA256:abc ID alice@ca (serial 7) CA ED25519 SHA256:def",
			},
		},
		// Ends of sessions.
		{"Disconnected from 203.0.113.9 port 4711", message{kind: KindClosed, from: from("203.0.113.9:4711")}},
		{"Disconnected from user alice 203.0.113.9 port 4711", message{kind: KindClosed, user: "alice", from: from("203.0.113.9:4711")}},
		{"Disconnected from user DOM\\a b 2001:db8::7 port 4711", message{kind: KindClosed, user: `DOM\a b`, from: from("[2001:db8::7]:4711")}},
		{"Connection closed by 203.0.113.9 port 4711", message{kind: KindClosed, tentative: true, from: from("203.0.113.9:4711")}},
		{"pam_unix(sshd:session): session closed for user alice", message{kind: KindClosed, user: "alice"}},
		// Ends before a login, and what only accompanies.
		{"Disconnected from authenticating user root 203.0.113.9 port 4711 [preauth]", message{kind: KindNoEvent}},
		{"Disconnected from invalid user x 203.0.113.9 port 4711 [preauth]", message{kind: KindNoEvent}},
		{"Connection closed by 203.0.113.9 port 4711 [preauth]", message{kind: KindNoEvent}},
		{"Invalid user admin from 203.0.113.9", message{kind: KindNoEvent}},
		{"Received disconnect from 203.0.113.9 port 4711:11: disconnected by user", message{kind: KindNoEvent}},
		{"Accepted key RSA SHA256:abc found at /home/a/.ssh/authorized_keys:1", message{kind: KindNoEvent}},
		{"Server listening on :: port 22.", message{kind: KindNoEvent}},
		// What is not understood.
		{"", message{kind: KindNotUnderstood}},
		{"Something new", message{kind: KindNotUnderstood}},
		{"Failed password for root", message{kind: KindNotUnderstood}},
		{"Failed password for root from 203.0.113.9 port 4711 ssh2 and more", message{kind: KindNotUnderstood}},
		{"Failed password for root from 203.0.113.9 port 99999 ssh2", message{kind: KindNotUnderstood}},
		{"Failed password for root from somewhere port 22 ssh2", message{kind: KindNotUnderstood}},
		{"Accepted password for root from 203.0.113.9 port", message{kind: KindNotUnderstood}},
	}
	for _, tt := range tests {
		if got := parseMessage(tt.text); got != tt.want {
			t.Errorf("%q:\n got %+v\nwant %+v", tt.text, got, tt.want)
		}
	}
}

func TestCutRepeat(t *testing.T) {
	tests := []struct {
		text, inner string
		count       uint32
		ok          bool
	}{
		{"plain", "plain", 1, true},
		{"message repeated 5 times: [ Failed password for x]", "Failed password for x", 5, true},
		{"message repeated 2 times: [ a ] b]]", "a ] b]", 2, true},
		{"message repeated 100000 times: [ x]", "x", 100_000, true},
		{"message repeated 100001 times: [ x]", "", 1, false},
		{"message repeated 0 times: [ x]", "", 1, false},
		{"message repeated -1 times: [ x]", "", 1, false},
		{"message repeated 5 times: [ x", "", 1, false},
		{"message repeated 5 times", "", 1, false},
		{"message repeated many times: [ x]", "", 1, false},
	}
	for _, tt := range tests {
		inner, count, ok := cutRepeat(tt.text)
		if ok != tt.ok || count != tt.count || ok && inner != tt.inner {
			t.Errorf("%q: got %q, %d, %v", tt.text, inner, count, ok)
		}
	}
}

// FuzzLogin checks the grammar against how sshd writes the line: whatever the name, the address is the one that sshd appended.
func FuzzLogin(f *testing.F) {
	f.Add("root", true)
	f.Add("", true)
	f.Add("a from 192.0.2.1 port 22 ssh2", false)
	f.Add("x from 192.0.2.1 port 22 ssh2: RSA SHA256:x", true)
	f.Add("invalid user y", true)
	f.Fuzz(func(t *testing.T, user string, unknown bool) {
		text := "password for "
		if unknown {
			text += "invalid user "
		} else if strings.HasPrefix(user, "invalid user ") || strings.HasPrefix(user, "illegal user ") {
			t.Skip("sshd writes the same for a user of that name and for one who is unknown")
		}
		m, ok := parseLogin(KindFailed, text+user+" from 203.0.113.9 port 4711 ssh2")
		want := message{kind: KindFailed, user: user, unknown: unknown, method: "password", from: netip.MustParseAddrPort("203.0.113.9:4711")}
		if !ok || m != want {
			t.Errorf("got %+v, %v\nwant %+v", m, ok, want)
		}
	})
}
