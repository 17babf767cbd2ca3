package broker

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A partition's folder holds segments, BASE.dat, with record batches as they are on the wire, and beside each BASE.idx with one entry of kfake's own a batch.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// batchHeaderSize is the fixed part of a record batch (version 2) of Kafka's protocol.
const batchHeaderSize = 61

// batch is the header of a record batch.
type batch struct {
	first, end     int64 // offsets [first, end)
	size           int64 // bytes, all of it
	leaderEpoch    int32
	crc            uint32
	attributes     int16
	firstTimestamp int64
	maxTimestamp   int64
	producer       int64
	producerEpoch  int16
	committed      bool // of a control batch: it ends a transaction with success
}

func (b batch) control() bool       { return b.attributes&0x20 != 0 }
func (b batch) transactional() bool { return b.attributes&0x10 != 0 }

// parseBatch reads the header of a batch; ok is false for bytes that are none.
func parseBatch(h []byte) (b batch, ok bool) {
	if len(h) < batchHeaderSize {
		return batch{}, false
	}
	be := binary.BigEndian
	length := int32(be.Uint32(h[8:]))
	delta := int32(be.Uint32(h[23:]))
	b = batch{
		first: int64(be.Uint64(h)), size: int64(length) + 12, leaderEpoch: int32(be.Uint32(h[12:])), crc: be.Uint32(h[17:]), attributes: int16(be.Uint16(h[21:])),
		firstTimestamp: int64(be.Uint64(h[27:])), maxTimestamp: int64(be.Uint64(h[35:])), producer: int64(be.Uint64(h[43:])), producerEpoch: int16(be.Uint16(h[51:])),
	}
	b.end = b.first + int64(delta) + 1
	return b, h[16] == 2 && b.size >= batchHeaderSize && b.first >= 0 && delta >= 0
}

// eachBatch calls fn for the whole batches at the beginning of a segment, in order, and returns how many bytes they take. With verify the contents are
// checked as well: a write that was cut off damages the end of the last segment only.
func eachBatch(f *os.File, verify bool, fn func(batch)) (valid int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	header, body := make([]byte, batchHeaderSize), []byte(nil)
	for valid+batchHeaderSize <= info.Size() {
		if _, err := f.ReadAt(header, valid); err != nil {
			return valid, err
		}
		b, ok := parseBatch(header)
		if !ok || valid+b.size > info.Size() {
			break
		}
		if verify {
			const crcFrom = 21
			body = slices.Grow(body[:0], int(b.size-crcFrom))[:b.size-crcFrom]
			if _, err := f.ReadAt(body, valid+crcFrom); err != nil {
				return valid, err
			}
			if crc32.Checksum(body, castagnoli) != b.crc {
				break
			}
		}
		if b.control() {
			record := make([]byte, b.size-batchHeaderSize)
			if _, err := f.ReadAt(record, valid+batchHeaderSize); err != nil {
				return valid, err
			}
			b.committed = isCommit(record)
		}
		fn(b)
		valid += b.size
	}
	return valid, nil
}

// isCommit reads the one record of a control batch. What cannot be read counts as an abort.
func isCommit(record []byte) bool {
	var r kmsg.Record
	var key kmsg.ControlRecordKey
	return r.ReadFrom(record) == nil && key.ReadFrom(r.Key) == nil && key.Type == kmsg.ControlRecordKeyTypeCommit
}

// indexEntrySize and indexEntry are kfake's index: version, checksum, leader epoch, timestamp, and whether the batch was written in a transaction.
const indexEntrySize = 15

func indexEntry(b batch, maxTimestamp int64) []byte {
	e := make([]byte, indexEntrySize)
	e[0] = 1
	binary.LittleEndian.PutUint32(e[2:], uint32(b.leaderEpoch))
	binary.LittleEndian.PutUint64(e[6:], uint64(maxTimestamp))
	if b.transactional() && !b.control() {
		e[14] = 1
	}
	e[1] = byte(crc32.Checksum(e[2:], castagnoli))
	return e
}

// sameIndex compares what counts of two indexes: the timestamps in it are not used when it is loaded.
func sameIndex(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i += indexEntrySize {
		if a[i] != b[i] || [4]byte(a[i+2:i+6]) != [4]byte(b[i+2:i+6]) || a[i+14] != b[i+14] {
			return false
		}
	}
	return true
}

// abortMarker is the control batch that ends a producer's transaction at an offset.
func abortMarker(offset int64, leaderEpoch int32, producer int64, producerEpoch int16) []byte {
	key := kmsg.ControlRecordKey{Type: kmsg.ControlRecordKeyTypeAbort}
	marker := kmsg.EndTxnMarker{}
	rec := kmsg.Record{Key: key.AppendTo(nil), Value: marker.AppendTo(nil)}
	rec.Length = int32(len(rec.AppendTo(nil)) - 1) // its own length, a varint, takes one byte
	now := time.Now().UnixMilli()
	b := kmsg.RecordBatch{
		FirstOffset: offset, PartitionLeaderEpoch: leaderEpoch, Magic: 2, Attributes: 0x30, // control, transactional
		FirstTimestamp: now, MaxTimestamp: now, ProducerID: producer, ProducerEpoch: producerEpoch, FirstSequence: -1, NumRecords: 1, Records: rec.AppendTo(nil),
	}
	wire := b.AppendTo(nil)
	binary.BigEndian.PutUint32(wire[8:], uint32(len(wire)-12))
	putCRC(wire)
	return wire
}

func putCRC(wire []byte) {
	binary.BigEndian.PutUint32(wire[17:], crc32.Checksum(wire[21:], castagnoli))
}

// segments lists the base offsets of a partition's segments, in order.
func segments(dir string) ([]int64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var bases []int64
	for _, e := range entries {
		if base, ok := strings.CutSuffix(e.Name(), ".dat"); ok {
			if n, err := strconv.ParseInt(base, 10, 64); err == nil {
				bases = append(bases, n)
			}
		}
	}
	slices.Sort(bases)
	return bases, nil
}

func segmentPath(dir string, base int64) string {
	return filepath.Join(dir, fmt.Sprintf("%d.dat", base))
}

func indexPath(dir string, base int64) string { return filepath.Join(dir, fmt.Sprintf("%d.idx", base)) }

// endOffset is the offset behind the last whole batch of a partition; 0 without one.
func endOffset(dir string) (int64, error) {
	bases, err := segments(dir)
	if err != nil || len(bases) == 0 {
		return 0, err
	}
	end := bases[len(bases)-1]
	f, err := os.Open(segmentPath(dir, end))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	_, err = eachBatch(f, false, func(b batch) { end = b.end })
	return end, err
}
