package lines

import (
	"encoding/binary"

	"github.com/google/uuid"
)

// namespace is the UUIDv5 namespace of imported events: the name space URL with the module's path and "/import".
var namespace = uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://github.com/audittrail/audittrail/import"))

// EventID returns the id of an event made from a line, a UUIDv5 of the content's hash, the line's number and, where one line stands for several
// events, which of them it is, from 1. The same bytes give the same ids wherever and whenever they are imported.
func (f *File) EventID(line uint64, part uint32) string {
	name := make([]byte, 0, len(f.hash)+8+4)
	name = append(name, f.hash[:]...)
	name = binary.BigEndian.AppendUint64(name, line)
	name = binary.BigEndian.AppendUint32(name, part)
	return uuid.NewSHA1(namespace, name).String()
}
