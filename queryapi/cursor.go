package queryapi

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
)

// cursor is the place where a page ended. In a request it is an opaque text with a version, bound to what was asked and by whom by a hash: a cursor
// that was changed, or that comes with another filter or order, is refused rather than answered with a page from some other list. It carries no right:
// the caller's scope is applied to every page anew, so the hash needs no key.
type cursor struct {
	// now is when the first page was asked for, in microseconds since 1970: relative times mean the same on every page.
	now int64
	// pin is the state of the alerts that the walk sees, in milliseconds since 1970.
	pin int64
	// at is the time of the last row, in microseconds since 1970.
	at int64
	// tie tells the last row from others of the same time. Empty: all of that time have been shown.
	tie string
}

const (
	cursorVersion  = 1
	cursorChecksum = 16
	cursorFixed    = 1 + 3*8
	maxCursorTie   = 64
)

var cursorEncoding = base64.RawURLEncoding.Strict()

// text returns the cursor as it stands in requests. bound is what it is bound to.
func (c cursor) text(bound string) string {
	b := make([]byte, 1, cursorFixed+len(c.tie)+cursorChecksum)
	b[0] = cursorVersion
	for _, v := range []int64{c.now, c.pin, c.at} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	b = append(b, c.tie...)
	return cursorEncoding.EncodeToString(append(b, checksum(b, bound)...))
}

// parseCursor reads a cursor that text wrote; false if it is damaged or bound to something else.
func parseCursor(text, bound string) (cursor, bool) {
	if len(text) > cursorEncoding.EncodedLen(cursorFixed+maxCursorTie+cursorChecksum) {
		return cursor{}, false
	}
	b, err := cursorEncoding.DecodeString(text)
	if err != nil || len(b) < cursorFixed+cursorChecksum || b[0] != cursorVersion {
		return cursor{}, false
	}
	b, sum := b[:len(b)-cursorChecksum], b[len(b)-cursorChecksum:]
	if string(sum) != string(checksum(b, bound)) {
		return cursor{}, false
	}
	field := func(i int) int64 { return int64(binary.BigEndian.Uint64(b[1+8*i:])) }
	return cursor{now: field(0), pin: field(1), at: field(2), tie: string(b[cursorFixed:])}, true
}

func checksum(body []byte, bound string) []byte {
	h := sha256.New()
	h.Write(body)
	h.Write([]byte(bound))
	return h.Sum(nil)[:cursorChecksum]
}
