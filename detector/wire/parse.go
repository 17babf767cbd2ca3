package wire

import (
	"encoding/binary"
	"errors"
)

// Record is one record of audit.matches. It is reused from record to record.
type Record struct {
	// IsClock tells which of the two it is.
	IsClock bool
	Match   Match
	Clock   Clock
}

var (
	errKind  = errors.New("neither a match nor a clock record of a known version")
	errMatch = errors.New("the match record is damaged")
	errClock = errors.New("the clock record is damaged")
)

// Parse fills rec from a record's value, of which it keeps nothing. The error says that the record was not written by a match stage of a known
// version.
func Parse(value []byte, rec *Record) error {
	if len(value) == 0 {
		return errKind
	}
	switch value[0] {
	case kindMatch:
		rec.IsClock = false
		return parseMatch(value[1:], &rec.Match)
	case kindClock:
		rec.IsClock = true
		return parseClock(value[1:], &rec.Clock)
	default:
		return errKind
	}
}

// reader takes values off the front; once one is not there, bad stays true and all further ones are zero.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) bytes(n int) []byte {
	if r.bad || n > len(r.rest) {
		r.bad = true
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// uvarint takes a number of at most limit, in its shortest form: equal records have equal bytes.
func (r *reader) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(r.rest)
	if r.bad || n <= 0 || v > limit || n > 1 && r.rest[n-1] == 0 {
		r.bad = true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) text() []byte { return r.bytes(int(r.uvarint(uint64(len(r.rest))))) }
