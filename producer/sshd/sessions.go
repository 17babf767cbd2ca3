package sshd

import "net/netip"

// maxSessions bounds the logins that are remembered, so that memory does not grow with the file. The oldest is forgotten first: the end of such a
// session is still an event, but no longer tied to its login.
const maxSessions = 1 << 16

// session is a login of which the end is awaited or was seen.
type session struct {
	// id is the id of the login's event.
	id     string
	user   string
	from   netip.AddrPort
	host   string
	pid    string
	closed bool
}

// sessions finds the login that a closing line belongs to. sshd tells the end twice, each time in part: the process of the user names the address and
// the port, its monitor (which also wrote the "Accepted" line) names the user.
type sessions struct {
	byPeer map[peer]*session
	byPID  map[process]*session
	// oldest is a queue, used from head.
	oldest []*session
	head   int
}

type peer struct {
	host string
	from netip.AddrPort
}

type process struct{ host, pid string }

func newSessions() *sessions {
	return &sessions{byPeer: map[peer]*session{}, byPID: map[process]*session{}}
}

func (s *sessions) open(o *session) {
	if len(s.oldest)-s.head >= maxSessions {
		s.forget()
	}
	s.byPeer[peer{o.host, o.from}] = o
	s.byPID[process{o.host, o.pid}] = o
	s.oldest = append(s.oldest, o)
}

func (s *sessions) forget() {
	o := s.oldest[s.head]
	s.oldest[s.head] = nil
	if s.head++; s.head == maxSessions {
		s.oldest = append(s.oldest[:0:0], s.oldest[s.head:]...)
		s.head = 0
	}
	// A later login may have taken its place.
	if k := (peer{o.host, o.from}); s.byPeer[k] == o {
		delete(s.byPeer, k)
	}
	if k := (process{o.host, o.pid}); s.byPID[k] == o {
		delete(s.byPID, k)
	}
}

// find returns the session that m ends, nil when its login is not known.
func (s *sessions) find(host, pid string, m message) *session {
	if m.from.IsValid() {
		return s.byPeer[peer{host, m.from}]
	}
	if o := s.byPID[process{host, pid}]; o != nil && o.user == m.user {
		return o
	}
	return nil
}
