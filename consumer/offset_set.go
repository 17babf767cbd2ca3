package consumer

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/audittrail/audittrail/internal/clickhouse"
)

// storedRow is a row that a table has under an offset.
type storedRow struct {
	offset int64
	hash   uint64
}

// offsetSet is the rows that a table has of one range, by offset. A nil set has none.
type offsetSet struct {
	rows []storedRow
	// offsets counts different ones: fewer than the rows if one was stored twice.
	offsets int64
}

// add appends a row; rows come in the order of their offsets.
func (s *offsetSet) add(offset int64, hash uint64) {
	if n := len(s.rows); n == 0 || s.rows[n-1].offset != offset {
		s.offsets++
	}
	s.rows = append(s.rows, storedRow{offset, hash})
}

// within returns the rows under offsets of [first, end).
func (s *offsetSet) within(first, end int64) []storedRow {
	if s == nil {
		return nil
	}
	from, _ := slices.BinarySearchFunc(s.rows, first, func(r storedRow, o int64) int { return cmp.Compare(r.offset, o) })
	to, _ := slices.BinarySearchFunc(s.rows, end, func(r storedRow, o int64) int { return cmp.Compare(r.offset, o) })
	return s.rows[from:max(from, to)]
}

// has reports whether something is stored under the offset.
func (s *offsetSet) has(offset int64) bool { return len(s.within(offset, offset+1)) > 0 }

// holds reports whether just this is stored under the offset.
func (s *offsetSet) holds(offset int64, hash uint64) bool {
	return slices.ContainsFunc(s.within(offset, offset+1), func(r storedRow) bool { return r.hash == hash })
}

// doubled reports whether an offset was stored more than once.
func (s *offsetSet) doubled() bool { return int64(len(s.rows)) > s.offsets }

// storedOffsets returns what the table has of [first, end).
func storedOffsets(ctx context.Context, ch *clickhouse.Client, table string, topicID [16]byte, partition int32, first, end int64) (*offsetSet, error) {
	rows, err := ch.Query(ctx, "SELECT src_offset, raw_hash FROM audit."+table+inRange+" ORDER BY src_offset", rangeParams(topicID, partition, first, end))
	if err != nil {
		return nil, fmt.Errorf("ask %s for stored offsets: %w", table, err)
	}
	defer rows.Close()
	set := new(offsetSet)
	if mutated("check") {
		return set, nil
	}
	for rows.Next() {
		var (
			offset int64
			hash   uint64
		)
		if err := rows.Scan(&offset, &hash); err != nil {
			return nil, fmt.Errorf("read stored offsets of %s: %w", table, err)
		}
		set.add(offset, hash)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read stored offsets of %s: %w", table, err)
	}
	return set, nil
}
