package consumer

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// plannedRange is a range of one partition as it stands in the offset commit's metadata.
type plannedRange struct {
	// First and End bound the range: [First, End).
	First, End int64
	// Day is the ingest day of its rows, midnight UTC.
	Day time.Time
	// Shard is the ClickHouse shard that it goes to.
	Shard uint16
	// Replay is 0 for a range that is sent for the first time, and greater for a repair.
	Replay uint32
}

// plan is what the offset commit's metadata says of one partition: the ranges that may be in ClickHouse though the offset has not passed them, none if
// there are none. Whoever owns the partition next must finish exactly these.
type plan struct {
	TopicID [16]byte
	// Decoder is the version of the decoder that made the rows.
	Decoder int
	// At is when the intent was written: no insert of the ranges starts much later.
	At time.Time
	// Since is when the first of them may have been inserted first: their tokens are not older.
	Since  time.Time
	Ranges []plannedRange
}

const (
	planVersion = "a2"
	// maxPlanBytes bounds the metadata: brokers refuse more than 4,096 bytes.
	maxPlanBytes = 2048
	// maxPlanned bounds the ranges in flight of one partition; a divided range and those of an owner before may add to them.
	maxPlanned = 8
)

// String returns the metadata: "a2 TOPICID DECODER AT SINCE [RANGE…]", the times in Unix seconds, each range FIRST+LENGTH:DAY:SHARD:REPLAY with the day in
// days since 1970. Numbers are in base 36 to keep it short. Ranges that do not fit are left out: whoever is next finds them by asking ClickHouse.
func (p plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s %s %s", planVersion, base64.RawURLEncoding.EncodeToString(p.TopicID[:]), b36(int64(p.Decoder)), b36(p.At.Unix()), b36(p.Since.Unix()))
	for _, r := range p.Ranges {
		text := fmt.Sprintf(" %s+%s:%s:%s:%s", b36(r.First), b36(r.End-r.First), b36(r.Day.Unix()/secondsPerDay), b36(int64(r.Shard)), b36(int64(r.Replay)))
		if b.Len()+len(text) > maxPlanBytes {
			break
		}
		b.WriteString(text)
	}
	return b.String()
}

const secondsPerDay = 24 * 60 * 60

func b36(n int64) string { return strconv.FormatInt(n, 36) }

// parsePlan reads what String wrote. Empty text is an empty plan. An error means that somebody else wrote the metadata, or a newer version did.
func parsePlan(s string) (plan, error) {
	if s == "" {
		return plan{}, nil
	}
	f := strings.Fields(s)
	if len(s) > maxPlanBytes || f[0] != planVersion || len(f) < 5 {
		return plan{}, fmt.Errorf("offset metadata %.40q is not a plan of version %s", s, planVersion)
	}
	var p plan
	id, err := base64.RawURLEncoding.DecodeString(f[1])
	if err != nil || len(id) != len(p.TopicID) {
		return plan{}, fmt.Errorf("offset metadata %.40q: %q is not a topic id", s, f[1])
	}
	copy(p.TopicID[:], id)
	var n numbers
	p.Decoder = int(n.parse(f[2], 31))
	p.At = time.Unix(n.parse(f[3], 40), 0).UTC()
	p.Since = time.Unix(n.parse(f[4], 40), 0).UTC()
	for _, text := range f[5:] {
		p.Ranges = append(p.Ranges, n.parseRange(text))
	}
	if n.bad != "" {
		return plan{}, fmt.Errorf("offset metadata %.40q: %q is not a number or a range", s, n.bad)
	}
	for i := 1; i < len(p.Ranges); i++ {
		if p.Ranges[i].First != p.Ranges[i-1].End {
			return plan{}, fmt.Errorf("offset metadata %.40q: the ranges are not contiguous", s)
		}
	}
	return p, nil
}

// numbers parses base-36 numbers and remembers the first bad one.
type numbers struct{ bad string }

func (n *numbers) parse(s string, bits uint) int64 {
	v, err := strconv.ParseInt(s, 36, 64)
	if (err != nil || v < 0 || v >= 1<<bits) && n.bad == "" {
		n.bad = s
	}
	return v
}

func (n *numbers) parseRange(s string) plannedRange {
	f := strings.FieldsFunc(s, func(r rune) bool { return r == '+' || r == ':' })
	if len(f) != 5 {
		n.bad = s
		return plannedRange{}
	}
	r := plannedRange{First: n.parse(f[0], 62)}
	length := n.parse(f[1], 62)
	if length == 0 {
		n.bad = s
	}
	r.End = r.First + length
	r.Day = time.Unix(n.parse(f[2], 16)*secondsPerDay, 0).UTC() // ClickHouse's Date ends in 2149, at 65,535
	r.Shard = uint16(n.parse(f[3], 16))
	r.Replay = uint32(n.parse(f[4], 32))
	return r
}
