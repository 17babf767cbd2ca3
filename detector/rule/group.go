package rule

import (
	"encoding/binary"
	"errors"
	"strings"

	"github.com/zeebo/xxh3"

	"github.com/audittrail/audittrail/schemas/audit"
)

// Missing stands in an alert's key for a field that the events do not have.
const Missing = "(missing)"

// maxKeyValue bounds one value of a group key, in bytes. A longer one is cut and told apart by a hash.
const maxKeyValue = 200

// Grouping is an ordered list of fields, shared by all rules that group alike: they share the match records as well.
type Grouping struct {
	fields    []Field
	signature uint32
}

// NewGrouping returns the grouping by these fields.
func NewGrouping(fields []Field) Grouping {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	return Grouping{fields, uint32(xxh3.HashString(strings.Join(names, "\x00")))}
}

// Signature identifies the list of field names.
func (g Grouping) Signature() uint32 { return g.signature }

// AppendKey appends the group key of an event: the signature, then each value with its length, so that no two groups share one. It is the Kafka
// key of match records.
func (g Grouping) AppendKey(dst []byte, e *audit.Event) []byte {
	dst = binary.BigEndian.AppendUint32(dst, g.signature)
	for _, f := range g.fields {
		v, ok := f.Value(e)
		if !ok {
			dst = append(dst, 0)
			continue
		}
		v = Shorten(v)
		dst = binary.AppendUvarint(dst, uint64(len(v))+1)
		dst = append(dst, v...)
	}
	return dst
}

// errKey is a group key that was not made by this grouping.
var errKey = errors.New("the group key has another form")

// Values returns the fields and values of a group key, with Missing for those that the events do not have.
func (g Grouping) Values(key string) (map[string]string, error) {
	if len(key) < 4 || binary.BigEndian.Uint32([]byte(key[:4])) != g.signature {
		return nil, errKey
	}
	rest := key[4:]
	values := make(map[string]string, len(g.fields))
	for _, f := range g.fields {
		n, size := binary.Uvarint([]byte(rest[:min(len(rest), binary.MaxVarintLen64)]))
		if size <= 0 || n > uint64(len(rest)-size)+1 {
			return nil, errKey
		}
		rest = rest[size:]
		if n == 0 {
			values[f.Name] = Missing
			continue
		}
		values[f.Name], rest = rest[:n-1], rest[n-1:]
	}
	if rest != "" {
		return nil, errKey
	}
	return values, nil
}

// Shorten returns a text as it is or, when it is long enough to be a burden, its beginning and a hash of the whole.
func Shorten(s string) string {
	if len(s) <= maxKeyValue {
		return s
	}
	const digits = "0123456789abcdef"
	sum := xxh3.HashString128(s).Bytes()
	hex := make([]byte, 0, 2*len(sum))
	for _, b := range sum {
		hex = append(hex, digits[b>>4], digits[b&15])
	}
	return strings.ToValidUTF8(s[:maxKeyValue-len(hex)-1], "") + "~" + string(hex)
}
