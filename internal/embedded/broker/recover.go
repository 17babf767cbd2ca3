package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// kfake keeps what it acknowledged across kill -9, but it does not put everything else right (2026-09-18):
//
//   - A transaction that was open is left without an abort marker. Readers then take the producer's next, committed transaction for a part of the aborted
//     one and never see it; after a second kill the aborted records come back as committed; and who reads to an offset waits for ever for a record there.
//   - Its index entries are positional: a kill between the two writes of a batch shifts all later ones.
//   - It appends to groups.log and pids.log behind a broken entry, where it never reads.
//   - seq_windows.json is written at a clean stop only; an old one makes it refuse the producers that went on since.
//   - A partition without segments, as retention leaves it, begins at offset 0 again, even after a clean stop.
//   - Compaction removes a partition's files before it writes the new ones.
//   - Without a snapshot of a partition that agrees with its segments it reads the whole log into memory.
//
// So the folder is put right before kfake opens it. A crash during that means that the next start does it again: each step can be repeated.

// recoverFolder puts the folder right. killed says that the broker did not stop in order.
func recoverFolder(dir string, killed bool, log *slog.Logger) error {
	if _, err := os.Stat(filepath.Join(dir, "partitions")); errors.Is(err, fs.ErrNotExist) {
		return nil // a new folder
	}
	if err := restoreCompactions(dir, log); err != nil {
		return fmt.Errorf("restore a partition whose compaction was cut off: %w", err)
	}
	partitions, err := os.ReadDir(filepath.Join(dir, "partitions"))
	if err != nil {
		return fmt.Errorf("list the partitions: %w", err)
	}
	ends, err := readEnds(dir)
	if err != nil {
		return err
	}
	if killed {
		if err := recoverKilled(dir, partitions, ends, log); err != nil {
			return err
		}
	}
	for _, p := range partitions {
		if err := keepPlace(filepath.Join(dir, "partitions", p.Name()), ends[p.Name()]); err != nil {
			return fmt.Errorf("keep the place in partition %s: %w", p.Name(), err)
		}
	}
	return nil
}

func recoverKilled(dir string, partitions []fs.DirEntry, ends map[string]int64, log *slog.Logger) error {
	if err := os.Remove(filepath.Join(dir, "seq_windows.json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove outdated producer state: %w", err)
	}
	for _, name := range []string{"groups.log", "pids.log"} {
		if err := truncateLog(filepath.Join(dir, name), log); err != nil {
			return fmt.Errorf("check %s: %w", name, err)
		}
	}
	scans := make([]partitionScan, len(partitions))
	abandoned := map[int64]int16{}
	for i, p := range partitions {
		var err error
		if scans[i], err = scanPartition(filepath.Join(dir, "partitions", p.Name()), log); err != nil {
			return fmt.Errorf("check partition %s: %w", p.Name(), err)
		}
		ends[p.Name()] = max(ends[p.Name()], scans[i].snapshot.HighWatermark)
		for producer, open := range scans[i].open {
			abandoned[producer] = max(open.epoch, abandoned[producer])
		}
	}
	// Producers first: once its transaction is aborted, a producer that survived must find itself fenced and not commit nothing.
	if err := fenceProducers(filepath.Join(dir, "pids.log"), abandoned); err != nil {
		return fmt.Errorf("fence the producers of abandoned transactions: %w", err)
	}
	for i, p := range partitions {
		if err := errors.Join(scans[i].abort(), scans[i].writeSnapshot()); err != nil {
			return fmt.Errorf("abort the open transactions of partition %s: %w", p.Name(), err)
		}
	}
	if len(abandoned) > 0 {
		log.Info("aborted the transactions that were open when the broker was killed", "producers", len(abandoned))
	}
	return nil
}

// partitionScan is what the batches of a partition say.
type partitionScan struct {
	dir      string
	begun    bool // a batch was seen
	snapshot snapshot
	open     map[int64]openTransaction // by producer
}

type openTransaction struct {
	first int64 // offset
	epoch int16
}

// scanPartition reads the batches of a partition, cuts off what is broken at the end, and makes each index agree with its segment.
func scanPartition(dir string, log *slog.Logger) (partitionScan, error) {
	scan := partitionScan{dir: dir, snapshot: snapshot{Version: 1}, open: map[int64]openTransaction{}}
	bases, err := segments(dir)
	if err != nil {
		return scan, err
	}
	for i, base := range bases {
		if err := scan.segment(base, i == len(bases)-1, log); err != nil {
			return scan, err
		}
	}
	return scan, nil
}

func (s *partitionScan) segment(base int64, last bool, log *slog.Logger) error {
	f, err := os.OpenFile(segmentPath(s.dir, base), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var index []byte
	s.snapshot.HighWatermark = max(s.snapshot.HighWatermark, base)
	valid, err := eachBatch(f, last, func(b batch) {
		s.batch(b)
		index = append(index, indexEntry(b, s.snapshot.MaxTimestamp)...)
	})
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if lost := info.Size() - valid; lost > 0 {
		if !last {
			return fmt.Errorf("%s is damaged at byte %d: restore the folder, or remove it (what is in ClickHouse stays)", f.Name(), valid)
		}
		// It was never acknowledged: the answer comes after the write.
		log.Warn("cut off a write that was not finished", "file", f.Name(), "bytes", lost)
		if err := errors.Join(f.Truncate(valid), f.Sync()); err != nil {
			return err
		}
	}
	if valid == 0 {
		return errors.Join(os.Remove(f.Name()), os.RemoveAll(indexPath(s.dir, base)))
	}
	s.snapshot.Segments = append(s.snapshot.Segments, snapshotSegment{BaseOffset: base, Size: valid, MinEpoch: s.snapshot.Epoch, MaxEpoch: s.snapshot.Epoch})
	return writeIndex(indexPath(s.dir, base), index)
}

// batch notes what a batch means for the partition.
func (s *partitionScan) batch(b batch) {
	if !s.begun {
		s.begun, s.snapshot.LogStartOffset, s.snapshot.CreatedAt = true, b.first, time.UnixMilli(b.firstTimestamp)
	}
	s.snapshot.HighWatermark, s.snapshot.Epoch, s.snapshot.MaxTimestamp = b.end, b.leaderEpoch, max(s.snapshot.MaxTimestamp, b.maxTimestamp)
	open, inTransaction := s.open[b.producer]
	switch {
	case b.control():
		if inTransaction && !b.committed {
			s.snapshot.AbortedTxns = append(s.snapshot.AbortedTxns, abortedTransaction{b.producer, open.first, b.first})
		}
		delete(s.open, b.producer)
	case b.transactional() && !inTransaction:
		s.open[b.producer] = openTransaction{b.first, b.producerEpoch}
	case b.transactional():
		s.open[b.producer] = openTransaction{open.first, b.producerEpoch}
	}
}

func writeIndex(path string, index []byte) error {
	old, err := os.ReadFile(path)
	if err == nil && sameIndex(old, index) {
		return nil
	}
	return writeFile(path, index)
}

// abort writes a marker for each open transaction behind the last record.
func (s *partitionScan) abort() error {
	for _, producer := range slices.Sorted(maps.Keys(s.open)) {
		wire := abortMarker(s.snapshot.HighWatermark, s.snapshot.Epoch, producer, s.open[producer].epoch)
		b, _ := parseBatch(wire)
		last := &s.snapshot.Segments[len(s.snapshot.Segments)-1]
		// The index first: an entry too many is cut off by the next start, an entry too few would shift the following ones.
		if err := errors.Join(
			appendFile(indexPath(s.dir, last.BaseOffset), indexEntry(b, max(s.snapshot.MaxTimestamp, b.maxTimestamp))),
			appendFile(segmentPath(s.dir, last.BaseOffset), wire),
		); err != nil {
			return err
		}
		s.batch(b)
		last.Size += b.size
	}
	return nil
}

// writeSnapshot lets kfake open the partition one segment after the other.
func (s *partitionScan) writeSnapshot() error {
	if len(s.snapshot.Segments) == 0 {
		return nil // keepPlace reads the old one
	}
	s.snapshot.LastStableOffset = s.snapshot.HighWatermark
	// What DeleteRecords removed from inside a segment stays removed.
	old, err := readSnapshot(s.dir)
	if err != nil {
		return err
	}
	s.snapshot.LogStartOffset = max(s.snapshot.LogStartOffset, min(old.LogStartOffset, s.snapshot.HighWatermark))
	b, err := json.Marshal(s.snapshot)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(s.dir, snapshotFile), b)
}

// keepPlace makes a partition without segments go on at the offset where it was: end, or the one of kfake's snapshot. A control batch takes the offset
// before it.
func keepPlace(dir string, end int64) error {
	bases, err := segments(dir)
	if err != nil || len(bases) > 0 {
		return err
	}
	snapshot, err := readSnapshot(dir)
	if err != nil {
		return err
	}
	end = max(end, snapshot.HighWatermark)
	if end == 0 {
		return nil
	}
	const nobody = -1
	wire := abortMarker(end-1, snapshot.Epoch, nobody, 0)
	parsed, _ := parseBatch(wire)
	return errors.Join(
		writeFile(indexPath(dir, end-1), indexEntry(parsed, parsed.maxTimestamp)),
		writeFile(segmentPath(dir, end-1), wire),
	)
}

// writeFile replaces a file at once and durably.
func writeFile(path string, data []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func appendFile(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}
