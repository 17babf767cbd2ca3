package sshd

import (
	"net/netip"
	"strconv"
	"strings"
)

// Kind is what a line turned out to be. Every line has exactly one.
type Kind string

// The kinds of lines.
const (
	// KindFailed is a refused login: one or, when the line says that it was repeated, several events.
	KindFailed Kind = "failed"
	// KindAccepted is a login.
	KindAccepted Kind = "accepted"
	// KindClosed is the end of a session.
	KindClosed Kind = "closed"
	// KindNoEvent is a line of sshd that only accompanies those above, or is about no login.
	KindNoEvent Kind = "no_event"
	// KindNotUnderstood is a line of sshd with a message that this package does not know.
	KindNotUnderstood Kind = "not_understood"
	// KindUnreadable is a line of sshd that is damaged: what it tells is not in the trail.
	KindUnreadable Kind = "unreadable"
	// KindNotSSHD is a line of another program.
	KindNotSSHD Kind = "not_sshd"
	// KindNotSyslog is a line that does not begin as syslog's do.
	KindNotSyslog Kind = "not_syslog"
)

// Kinds returns all kinds, in the order in which a summary should show them.
func Kinds() []Kind {
	return []Kind{KindFailed, KindAccepted, KindClosed, KindNoEvent, KindNotUnderstood, KindUnreadable, KindNotSSHD, KindNotSyslog}
}

// maxRepeat bounds the events of one line, so that a forged count cannot flood the trail.
const maxRepeat = 100_000

// maxAddress is more than an IPv6 address with a zone and " port " take.
const maxAddress = 96

// message is what one line of sshd says.
type message struct {
	kind Kind
	// user is the name as attempted, which may hold anything, also spaces, quotes and " from ".
	user string
	// unknown says that the system has no such user.
	unknown bool
	method  string
	// fingerprint is the key's type and hash, of a login with a key.
	fingerprint string
	from        netip.AddrPort
	// tentative is an end that counts only for a session whose login is known: before the login, connections end with the same words.
	tentative bool
}

// silent are the beginnings of messages that give no event, because another line tells the same or because they are not about a login.
var silent = []string{
	"Invalid user ", "Illegal user ", "input_userauth_request: ", "pam_unix(sshd:auth): ", "pam_unix(sshd:account): ", "pam_unix(sshd:session): session opened ",
	"PAM ", "error: maximum authentication attempts exceeded ", "error: PAM: ", "Disconnecting", "Received disconnect ", "Disconnected from ",
	"Connection closed ", "Connection reset ", "Connection from ", "Timeout, client not responding", "Did not receive identification ", "Bad protocol version ",
	"banner exchange: ", "ssh_dispatch_run_fatal: ", "kex_exchange_identification: ", "fatal: ", "Unable to negotiate ", "Server listening ",
	"Received signal ", "Received SIGHUP", "Starting session: ", "Close session: ", "User child is on pid ", "User ", "Postponed ", "Partial ",
	"subsystem request ", "Transferred: ", "reverse mapping ", "Address ", "Exiting on signal ", "Accepted key ", "Found matching ",
	"drop connection ", "beginning MaxStartups ", "exited MaxStartups ", "srclimit_penalise: ", "Read error ", "Write failed ", "syslogin_perform_logout: ",
}

// cutRepeat unwraps "message repeated N times: [ TEXT]".
func cutRepeat(text string) (string, uint32, bool) {
	rest, ok := strings.CutPrefix(text, "message repeated ")
	if !ok {
		return text, 1, true
	}
	count, rest, ok := strings.Cut(rest, " times: [ ")
	n, err := strconv.ParseUint(count, 10, 32)
	if !ok || err != nil || n == 0 || n > maxRepeat || !strings.HasSuffix(rest, "]") {
		return text, 1, false
	}
	return rest[:len(rest)-1], uint32(n), true
}

// parseMessage reads one message without its wrapping.
func parseMessage(text string) message {
	var m message
	ok := true
	switch {
	case strings.HasPrefix(text, "Failed "):
		m, ok = parseLogin(KindFailed, text[len("Failed "):])
	case strings.HasPrefix(text, "Accepted ") && !strings.HasPrefix(text, "Accepted key "):
		m, ok = parseLogin(KindAccepted, text[len("Accepted "):])
	case strings.HasPrefix(text, "pam_unix(sshd:session): session closed for user "):
		m = message{kind: KindClosed, user: text[len("pam_unix(sshd:session): session closed for user "):]}
	case strings.HasSuffix(text, " [preauth]"):
		// A connection that ended, or was refused, before anybody was logged in; what was tried stands in the lines before.
		m.kind = KindNoEvent
	default:
		m = parseClosed(text)
	}
	if ok && m.kind != "" {
		return m
	}
	if ok {
		for _, prefix := range silent {
			if strings.HasPrefix(text, prefix) {
				return message{kind: KindNoEvent}
			}
		}
	}
	return message{kind: KindNotUnderstood}
}

// parseLogin reads "METHOD for [invalid user ]USER from IP port N[ ssh2][: KEY]".
func parseLogin(kind Kind, text string) (message, bool) {
	method, rest, ok := strings.Cut(text, " for ")
	if !ok || strings.Contains(method, " ") {
		return message{}, false
	}
	// From the right, since the attacker writes the user name: it may well contain another " from 10.0.0.1 port 22".
	for end := len(rest); ; {
		at := strings.LastIndex(rest[:end], " from ")
		if at < 0 {
			return message{}, false
		}
		if from, tail, ok := parseOrigin(rest[at+len(" from "):]); ok {
			if fingerprint, ok := parseTail(tail); ok {
				m := message{kind: kind, method: method, from: from, fingerprint: fingerprint}
				m.user, m.unknown = cutUnknown(rest[:at])
				return m, true
			}
		}
		end = at
	}
}

func cutUnknown(user string) (string, bool) {
	if name, ok := strings.CutPrefix(user, "invalid user "); ok {
		return name, true
	}
	return strings.CutPrefix(user, "illegal user ")
}

// parseOrigin reads "IP port N" and returns what follows. The address is missing when sshd did not know it either.
func parseOrigin(text string) (netip.AddrPort, string, bool) {
	// An address is short: looking no further keeps the time for a line proportional to its length, whatever is in it.
	at := strings.Index(text[:min(len(text), maxAddress)], " port ")
	if at < 0 {
		return netip.AddrPort{}, "", false
	}
	host, rest := text[:at], text[at+len(" port "):]
	digits := 0
	for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
		digits++
	}
	port, err := strconv.ParseUint(rest[:digits], 10, 16)
	if err != nil {
		return netip.AddrPort{}, "", false
	}
	addr, err := netip.ParseAddr(host)
	if err != nil && host != "UNKNOWN" {
		return netip.AddrPort{}, "", false
	}
	return netip.AddrPortFrom(addr.WithZone("").Unmap(), uint16(port)), rest[digits:], true
}

// parseTail reads what may follow the port of a login: "[ ssh2][: KEY][ [preauth]]".
func parseTail(tail string) (fingerprint string, ok bool) {
	tail = strings.TrimSuffix(tail, " [preauth]")
	tail = strings.TrimPrefix(strings.TrimPrefix(tail, " ssh2"), " ssh1")
	if tail == "" {
		return "", true
	}
	return strings.CutPrefix(tail, ": ")
}

// parseClosed reads the lines in which the connection of a logged-in user ends: "Disconnected from [user USER ]IP port N" and its kin. The zero
// message is none of them.
func parseClosed(text string) message {
	for _, end := range []struct {
		prefix    string
		tentative bool
	}{
		{"Disconnected from ", false},
		{"Connection closed by ", true},
		{"Connection reset by ", true},
		{"Timeout, client not responding from ", true},
	} {
		rest, ok := strings.CutPrefix(text, end.prefix)
		if !ok {
			continue
		}
		m := message{kind: KindClosed, tentative: end.tentative}
		if name, ok := strings.CutPrefix(rest, "user "); ok {
			at := strings.LastIndex(name, " port ")
			at = strings.LastIndex(name[:max(at, 0)], " ")
			if at < 0 {
				return message{}
			}
			m.user, rest = name[:at], name[at+1:]
		}
		var tail string
		if m.from, tail, ok = parseOrigin(rest); !ok || tail != "" {
			return message{}
		}
		return m
	}
	return message{}
}
