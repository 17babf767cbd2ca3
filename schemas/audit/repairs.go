package audit

import (
	"slices"
	"strconv"
	"strings"
)

const (
	warnPrefix = MetaWarn + "."
	// missing is the text kept for a required field that the record does not have.
	missing = "missing"
)

// warn keeps what could not be used for a field; of several texts, the first.
func (d *Decoder) warn(field, text string) {
	if d.err != nil {
		return
	}
	d.keepMetadata(d.join(warnPrefix, field), text)
	if !slices.Contains(d.warned, field) {
		d.warned = append(d.warned, field)
	}
}

// nested keeps the next value, of an unknown member of a known object, under its path; of several texts, the first.
func (d *Decoder) nested(parent string, key []byte) {
	start := len(d.scratch)
	d.scratch = append(append(append(d.scratch, parent...), '.'), key...)
	path := alias(d.scratch[start:])
	d.keepMetadata(path, d.anyText())
}

// join returns a+b in the scratch memory.
func (d *Decoder) join(a, b string) string {
	start := len(d.scratch)
	d.scratch = append(append(d.scratch, a...), b...)
	return alias(d.scratch[start:])
}

// setMetadata sets an entry; of a repeated key the last text counts.
func (d *Decoder) setMetadata(key, value string) {
	m := d.e.Metadata
	for i := range m {
		if m[i].Key == key {
			m[i].Value = value
			return
		}
	}
	d.addMetadata(key, value)
}

// keepMetadata sets an entry unless the key is there.
func (d *Decoder) keepMetadata(key, value string) {
	if _, ok := d.e.Metadata.Get(key); !ok {
		d.addMetadata(key, value)
	}
}

func (d *Decoder) addMetadata(key, value string) {
	if !isReserved(key) {
		if d.counted == MaxMetadata {
			d.dropped++
			return
		}
		d.counted++
	}
	d.e.Metadata = append(d.e.Metadata, MetadataEntry{Key: key, Value: value})
}

// noteRepairs writes into the metadata what the decoder replaced, could not use and dropped.
func (d *Decoder) noteRepairs() {
	if d.badTime != "" {
		d.setMetadata(MetaTime, d.badTime)
	}
	if len(d.warned) > 0 {
		d.setMetadata(MetaWarn, d.warnList())
	}
	if d.dropped > 0 {
		start := len(d.scratch)
		d.scratch = strconv.AppendInt(d.scratch, int64(d.dropped), 10)
		d.setMetadata(MetaDropped, alias(d.scratch[start:]))
	}
}

// warnList returns the warned fields after those that the record itself lists (it was decoded before), without repeating one.
func (d *Decoder) warnList() string {
	listed, _ := d.e.Metadata.Get(MetaWarn)
	start := len(d.scratch)
	d.scratch = append(d.scratch, listed...)
	for _, field := range d.warned {
		if isListed(listed, field) {
			continue
		}
		if len(d.scratch) > start {
			d.scratch = append(d.scratch, ',')
		}
		d.scratch = append(d.scratch, field...)
	}
	return alias(d.scratch[start:])
}

func isListed(list, field string) bool {
	for item := range strings.SplitSeq(list, ",") {
		if item == field {
			return true
		}
	}
	return false
}

// isReserved reports whether the decoder writes the metadata key itself. These do not count towards MaxMetadata, so that a full event can still
// say what was repaired, and can be encoded and decoded again. They are few.
func isReserved(key string) bool {
	if !strings.HasPrefix(key, "audittrail.") {
		return false
	}
	if field, ok := strings.CutPrefix(key, warnPrefix); ok {
		return slices.Contains(warnFields[:], field)
	}
	return key == MetaWarn || key == MetaTime || key == MetaDropped
}
