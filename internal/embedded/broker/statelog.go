package broker

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"maps"
	"math"
	"os"
	"slices"
)

// groups.log and pids.log are runs of entries: length, CRC and version (little endian: 4, 4 and 2 bytes; length and CRC cover the version), then JSON.
const logHeaderSize = 10

// wholeEntries returns how many bytes of a log are whole entries.
func wholeEntries(raw []byte) int {
	at := 0
	for at+logHeaderSize <= len(raw) {
		length := int(binary.LittleEndian.Uint32(raw[at:]))
		if length < 2 || length > len(raw)-at-8 {
			break
		}
		if crc32.Checksum(raw[at+8:at+8+length], castagnoli) != binary.LittleEndian.Uint32(raw[at+4:]) {
			break
		}
		at += 8 + length
	}
	return at
}

func logEntry(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	e := make([]byte, logHeaderSize, logHeaderSize+len(data))
	e = append(e, data...)
	binary.LittleEndian.PutUint32(e, uint32(2+len(data)))
	binary.LittleEndian.PutUint16(e[8:], 1)
	binary.LittleEndian.PutUint32(e[4:], crc32.Checksum(e[8:], castagnoli))
	return e, nil
}

// truncateLog cuts a broken entry off the end of a log, which was never acknowledged.
func truncateLog(path string, log *slog.Logger) error {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	whole := wholeEntries(raw)
	if whole == len(raw) {
		return nil
	}
	log.Warn("cut off a write that was not finished", "file", path, "bytes", len(raw)-whole)
	return os.Truncate(path, int64(whole))
}

// fenceProducers raises the epochs of producers above those of their abandoned transactions.
func fenceProducers(path string, abandoned map[int64]int16) error {
	var entries []byte
	for _, producer := range slices.Sorted(maps.Keys(abandoned)) {
		e, err := logEntry(struct {
			Type  string `json:"type"`
			PID   int64  `json:"pid"`
			Epoch int16  `json:"epoch"`
		}{"timeout", producer, min(abandoned[producer], math.MaxInt16-1) + 1})
		if err != nil {
			return err
		}
		entries = append(entries, e...)
	}
	if len(entries) == 0 {
		return nil
	}
	return appendFile(path, entries)
}
