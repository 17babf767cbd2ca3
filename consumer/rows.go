package consumer

import (
	"time"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/audittrail/audittrail/schemas/audit"
)

// rows collect the records of one range as columns of one table. They are reused by the next range after Reset.
type rows interface {
	// Table is the table's name.
	Table() string
	// Append decodes the record into one more row and returns the hash of its value. After an error, a *audit.Reject, nothing was appended.
	Append(*source, *audit.Record) (uint64, error)
	// Len is the number of rows.
	Len() int
	// SetDay fills in the ingest day of all rows.
	SetDay(time.Time)
	// Columns are the columns to insert.
	Columns() proto.Input
	// Reset forgets the rows and keeps the memory.
	Reset()
}
