package audit

import (
	"net/netip"
	"strconv"
	"unsafe"
)

// alias returns the bytes as a string without copying them.
func alias(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// scalar passes the next value and returns its text if it is a string or a number. ok is false for null and for all else, which is kept as a warning.
func (d *Decoder) scalar(field string) (text string, ok bool) {
	raw := d.value()
	switch raw[0] {
	case '"':
		return alias(d.unquote(raw)), true
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return alias(raw), true
	case 'n':
		return "", false
	}
	d.warn(field, d.compact(raw))
	return "", false
}

// anyText passes the next value and returns its text if it is a string, else its compact JSON.
func (d *Decoder) anyText() string {
	raw := d.value()
	if raw[0] == '"' {
		return alias(d.unquote(raw))
	}
	return d.compact(raw)
}

// rawText passes the next value and returns its compact JSON.
func (d *Decoder) rawText() string { return d.compact(d.value()) }

// compact returns valid JSON without white space between its tokens.
func (d *Decoder) compact(raw []byte) string {
	if i := indexSpace(raw); i >= 0 {
		start := len(d.scratch)
		d.scratch = appendCompact(d.scratch, raw)
		return alias(d.scratch[start:])
	}
	return alias(raw)
}

// indexSpace returns the position of the first white space between tokens, or -1.
func indexSpace(raw []byte) int {
	inString := false
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			inString = !inString
		case '\\':
			i++
		case ' ', '\n', '\t', '\r':
			if !inString {
				return i
			}
		}
	}
	return -1
}

// appendCompact appends valid JSON without its white space between tokens.
func appendCompact(dst, raw []byte) []byte {
	for i := indexSpace(raw); i >= 0; i = indexSpace(raw) {
		dst = append(dst, raw[:i]...)
		raw = raw[i+1:]
	}
	return append(dst, raw...)
}

func (d *Decoder) text(field string, dst *string) {
	if text, ok := d.scalar(field); ok {
		*dst = text
	}
}

// number takes a whole number that is not negative, or its text.
func (d *Decoder) number(field string, dst *uint64) {
	text, ok := d.scalar(field)
	if !ok || text == "" {
		return
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		d.warn(field, text)
		return
	}
	*dst = n
}

func (d *Decoder) status() {
	var n uint64
	text, ok := d.scalar(fieldStatus)
	if !ok || text == "" {
		return
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		d.warn(fieldStatus, text)
		return
	}
	d.e.Request.Status = uint16(n)
}

func (d *Decoder) boolean(field string, dst *bool) {
	switch d.peek() {
	case 't', 'f':
		*dst = d.value()[0] == 't'
	default:
		d.unusable(field)
	}
}

func (d *Decoder) time() {
	raw := d.value()
	switch raw[0] {
	case '"':
		d.setTime(alias(d.unquote(raw)))
	case 'n':
	default:
		d.setTime(d.compact(raw))
	}
}

// setTime takes RFC 3339 and remembers what is not.
func (d *Decoder) setTime(text string) {
	if text == "" {
		return
	}
	t, ok := parseTime(text)
	if ok {
		text = ""
	}
	d.e.Time, d.badTime = t, text
}

func (d *Decoder) ip() {
	text, ok := d.scalar(fieldSourceIP)
	if !ok || text == "" {
		return
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		d.warn(fieldSourceIP, text)
		return
	}
	d.e.Source.IP = plainIP(ip)
}

func (d *Decoder) category() {
	text, ok := d.scalar(fieldCategory)
	if !ok || text == "" {
		return
	}
	c, known := parseCategory(text)
	if !known {
		d.warn(fieldCategory, text)
		return
	}
	d.e.Category = c
}

func (d *Decoder) outcome() {
	text, ok := d.scalar(fieldOutcome)
	if !ok || text == "" {
		return
	}
	d.hasOutcome = true
	o, known := ParseOutcome(text)
	if !known {
		d.warn(fieldOutcome, text)
		return
	}
	d.e.Outcome = o
}

func (d *Decoder) severity() {
	text, ok := d.scalar(fieldSeverity)
	if !ok || text == "" {
		return
	}
	s, known := ParseSeverity(text)
	if !known {
		d.warn(fieldSeverity, text)
		return
	}
	d.e.Severity = s
}

func (d *Decoder) actorType() {
	text, ok := d.scalar(fieldActorType)
	if !ok || text == "" {
		return
	}
	t, known := parseActorType(text)
	if !known {
		d.warn(fieldActorType, text)
		return
	}
	d.e.Actor.Type = t
}

// enterObject enters the next value if it is an object. null is absent; all else is kept as a warning.
func (d *Decoder) enterObject(field string) bool {
	if d.enter('{') {
		return true
	}
	d.unusable(field)
	return false
}

// enterArray is enterObject for arrays.
func (d *Decoder) enterArray(field string) bool {
	if d.enter('[') {
		return true
	}
	d.unusable(field)
	return false
}

func (d *Decoder) unusable(field string) {
	raw := d.value()
	switch raw[0] {
	case 'n':
	case '"':
		d.warn(field, alias(d.unquote(raw)))
	default:
		d.warn(field, d.compact(raw))
	}
}
