package wire

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/uuid"
)

// Match says that one event matched rules that group alike. Its Kafka key is the group key.
type Match struct {
	// RuleSet is the version of the set of rules that was in force.
	RuleSet uint32
	// Rules are the keys of the rules that matched; at least one.
	Rules []uint32
	// Time is when the event happened, in microseconds since 1970.
	Time int64
	// Published is the Kafka time of the event's record, in milliseconds since 1970.
	Published int64
	// Partition and Offset are where the event stands in audit.events.
	Partition int32
	Offset    int64
	// Clamped says that the event claimed to be from the future and Time is its Kafka time instead.
	Clamped bool
	// Detail is what an alert may show of the event.
	Detail Detail
}

// Detail is what an alert may show of an event, packed: most matches never become part of an alert, and many are kept in memory.
type Detail string

// Facts are the contents of a Detail.
type Facts struct {
	// ID is the event's id.
	ID string
	// User is the actor's name, empty when it has none.
	User string
	// Source is the client's address, the zero Addr when it has none.
	Source netip.Addr
}

// The first byte of a record.
const (
	kindMatch = 0x10 // match record, version 0
	kindClock = 0x20 // clock record, version 0
)

// The forms of an event id.
const (
	idText = iota
	idUUID
)

const flagClamped = 1

// Limits of what Parse accepts, so that arithmetic with times cannot overflow: the year 1 to the year 9999.
const (
	minMicros = -62_135_596_800_000_000
	maxMicros = 253_402_300_799_999_999
	maxRules  = 4096
)

// AppendMatch appends the record's value to dst.
func AppendMatch(dst []byte, m *Match) []byte {
	var flags byte
	if m.Clamped {
		flags = flagClamped
	}
	dst = append(dst, kindMatch, flags)
	dst = binary.BigEndian.AppendUint32(dst, m.RuleSet)
	dst = binary.AppendUvarint(dst, uint64(len(m.Rules)))
	for _, r := range m.Rules {
		dst = binary.BigEndian.AppendUint32(dst, r)
	}
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.Time))
	dst = binary.AppendUvarint(dst, uint64(m.Published))
	dst = binary.AppendUvarint(dst, uint64(m.Partition))
	dst = binary.AppendUvarint(dst, uint64(m.Offset))
	return append(dst, m.Detail...)
}

// AppendDetail appends the packed facts to dst.
func AppendDetail(dst []byte, f *Facts) []byte {
	if id, ok := canonicalUUID(f.ID); ok {
		dst = append(dst, idUUID)
		dst = append(dst, id[:]...)
	} else {
		dst = append(dst, idText)
		dst = appendText(dst, f.ID)
	}
	dst = appendText(dst, f.User)
	ip := f.Source.WithZone("").AsSlice()
	dst = append(dst, byte(len(ip)))
	return append(dst, ip...)
}

// canonicalUUID returns the id as a UUID, if its text can be made from that again.
func canonicalUUID(id string) (uuid.UUID, bool) {
	if len(id) != 36 {
		return uuid.UUID{}, false
	}
	u, err := uuid.Parse(id)
	return u, err == nil && u.String() == id
}

func appendText(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// parseMatch fills m from what follows the first byte.
func parseMatch(value []byte, m *Match) error {
	r := reader{rest: value}
	flags := r.byte()
	m.RuleSet = r.uint32()
	n := r.uvarint(maxRules)
	m.Rules = m.Rules[:0]
	for range n {
		m.Rules = append(m.Rules, r.uint32())
	}
	m.Time = int64(r.uint64())
	m.Published = int64(r.uvarint(maxMicros / 1000))
	m.Partition = int32(r.uvarint(1<<31 - 1))
	m.Offset = int64(r.uvarint(1<<63 - 1))
	m.Clamped = flags&flagClamped != 0
	detail := r.rest
	var f Facts
	r.facts(&f, false)
	if r.bad || len(r.rest) > 0 || n == 0 || flags&^flagClamped != 0 || m.Time < minMicros || m.Time > maxMicros {
		return errMatch
	}
	m.Detail = Detail(detail)
	return nil
}

// Facts unpacks the detail. Details come from Parse, which has checked them: one that is damaged gives empty facts.
func (d Detail) Facts() Facts {
	r := reader{rest: []byte(d)}
	var f Facts
	if r.facts(&f, true); r.bad {
		return Facts{}
	}
	return f
}

// IDBytes returns the bytes that identify the event: equal ones for equal ids.
func (d Detail) IDBytes() string {
	r := reader{rest: []byte(d)}
	r.id(false)
	if r.bad {
		return ""
	}
	return string(d[:len(d)-len(r.rest)])
}

func (r *reader) facts(f *Facts, fill bool) {
	f.ID = r.id(fill)
	user := r.text()
	ip := r.bytes(int(r.byte()))
	if len(ip) != 0 && len(ip) != 4 && len(ip) != 16 {
		r.bad = true
	}
	if !fill || r.bad {
		return
	}
	f.User = string(user)
	f.Source, _ = netip.AddrFromSlice(ip) // none is the zero Addr
}

func (r *reader) id(fill bool) string {
	var text []byte
	switch r.byte() {
	case idUUID:
		text = r.bytes(16)
		if fill && !r.bad {
			return uuid.UUID(text).String()
		}
	case idText:
		text = r.text()
		// One form for each id, or an id could be counted twice.
		if _, ok := canonicalUUID(string(text)); ok {
			r.bad = true
		}
		if fill && !r.bad {
			return string(text)
		}
	default:
		r.bad = true
	}
	return ""
}
