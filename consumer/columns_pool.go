package consumer

// idleColumns is how many sets of columns of a table wait for their next range. Each keeps the memory of the largest range that it has held, so there must
// not be one for every partition.
const idleColumns = 2

// columnPool lends columns to the lanes while they fill a range.
type columnPool map[string]chan rows

func newColumnPool(tables ...string) columnPool {
	p := make(columnPool)
	for _, t := range tables {
		p[t] = make(chan rows, idleColumns)
	}
	return p
}

// take returns columns for the table, which have been used before if there are any.
func (p columnPool) take(table string) rows {
	select {
	case r := <-p[table]:
		return r
	default:
		return newRows(table)
	}
}

// give takes columns back whose rows are no longer needed.
func (p columnPool) give(r rows) {
	r.Reset()
	select {
	case p[r.Table()] <- r:
	default:
	}
}
