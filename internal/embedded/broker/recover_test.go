package broker

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var quiet = slog.New(slog.DiscardHandler)

// killedFolder makes the folder of a broker that was killed with a transaction open, after these values.
func killedFolder(t *testing.T, values ...string) string {
	t.Helper()
	dir := t.TempDir()
	b, err := Start(Options{DataDir: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	makeTopic(t, b.Addr(), "t", 1, map[string]*string{"cleanup.policy": ptr("compact")})
	produce(t, b.Addr(), "t", values...)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "running"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// reopen starts a broker on the folder and returns the values in it.
func reopen(t *testing.T, dir string) []string {
	t.Helper()
	b, err := Start(Options{DataDir: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	return committed(t, b.Addr(), "t")
}

// TestCutOffWrites: whatever part of the last batch, of its index entry and of the last log entries was written, the whole ones before it are kept and what
// comes next is, too.
func TestCutOffWrites(t *testing.T) {
	values := []string{"one", "two", "three"}
	dir := killedFolder(t, values...)
	part := filepath.Join(dir, "log", "partitions", "t-0")
	segment, err := os.ReadFile(segmentPath(part, 0))
	if err != nil {
		t.Fatal(err)
	}
	index, err := os.ReadFile(indexPath(part, 0))
	if err != nil {
		t.Fatal(err)
	}
	if len(index) != len(values)*indexEntrySize {
		t.Fatalf("%d bytes of index", len(index))
	}
	last := lastBatch(t, segmentPath(part, 0))
	for _, cut := range []struct {
		name           string
		segment, index []byte
		want           []string
	}{
		{"nothing", segment, index, values},
		{"index entry missing", segment, index[:len(index)-indexEntrySize], values},
		{"index entry cut", segment, index[:len(index)-3], values},
		{"index entry too many", segment, append(slices.Clone(index), index[:indexEntrySize]...), values},
		{"no index", segment, nil, values},
		{"head of the batch", segment[:last+5], index[:len(index)-indexEntrySize], values[:2]},
		{"half of the batch", segment[:(int(last)+len(segment))/2], index[:len(index)-indexEntrySize], values[:2]},
		{"all but one byte", segment[:len(segment)-1], index, values[:2]},
		{"a page of zeros", append(slices.Clone(segment[:last]), make([]byte, 4096)...), index[:len(index)-indexEntrySize], values[:2]},
		{"a flipped bit", append(slices.Clone(segment[:len(segment)-1]), segment[len(segment)-1]^1), index, values[:2]},
		{"empty segment", nil, nil, nil},
	} {
		t.Run(cut.name, func(t *testing.T) {
			t.Parallel()
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			part := filepath.Join(copied, "log", "partitions", "t-0")
			for path, data := range map[string][]byte{segmentPath(part, 0): cut.segment, indexPath(part, 0): cut.index} {
				if err := os.WriteFile(path, data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range []string{"groups.log", "pids.log"} {
				appendTo(t, filepath.Join(copied, "log", name), "\x40\x00\x00\x00 cut off")
			}
			if err := recoverFolder(filepath.Join(copied, "log"), true, quiet); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"groups.log", "pids.log"} {
				raw, err := os.ReadFile(filepath.Join(copied, "log", name))
				if err != nil || wholeEntries(raw) != len(raw) {
					t.Errorf("%s: %d of %d bytes are whole entries, %v", name, wholeEntries(raw), len(raw), err)
				}
			}
			if entries, err := os.ReadFile(indexPath(part, 0)); len(cut.want) > 0 && (err != nil || len(entries) != len(cut.want)*indexEntrySize) {
				t.Errorf("%d bytes of index for %d batches, %v", len(entries), len(cut.want), err)
			}
			if got := reopen(t, copied); !slices.Equal(got, cut.want) {
				t.Fatalf("records %q, want %q", got, cut.want)
			}
			b, err := Start(Options{DataDir: copied, Listen: "127.0.0.1:0"})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			produce(t, b.Addr(), "t", "next")
			if got := committed(t, b.Addr(), "t"); !slices.Equal(got, append(slices.Clone(cut.want), "next")) {
				t.Errorf("records %q after one more", got)
			}
		})
	}
}

func lastBatch(t *testing.T, path string) (at int64) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	pos := int64(0)
	if _, err := eachBatch(f, true, func(b batch) { at, pos = pos, pos+b.size }); err != nil {
		t.Fatal(err)
	}
	return at
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedSegment: damage that no cut-off write explains is not repaired by forgetting records.
func TestDamagedSegment(t *testing.T) {
	dir := killedFolder(t, "one", "two")
	part := filepath.Join(dir, "log", "partitions", "t-0")
	if err := os.WriteFile(segmentPath(part, 100), abortMarker(100, 0, 1, 0), 0o600); err != nil {
		t.Fatal(err)
	}
	appendTo(t, segmentPath(part, 0), "not a batch")
	_, err := Start(Options{DataDir: dir, Listen: "127.0.0.1:0"})
	if err == nil || !strings.Contains(err.Error(), "is damaged at byte") {
		t.Errorf("error %v", err)
	}
}

// TestCompactionCutOff: kfake removes a partition's files before it writes new ones; a kill in between loses nothing.
func TestCompactionCutOff(t *testing.T) {
	values := []string{"one", "two", "three"}
	t.Run("files removed", func(t *testing.T) {
		dir := killedFolder(t, values...)
		log := filepath.Join(dir, "log")
		if err := keepFiles(log); err != nil {
			t.Fatal(err)
		}
		part := filepath.Join(log, "partitions", "t-0")
		for _, path := range []string{segmentPath(part, 0), indexPath(part, 0)} {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		if got := reopen(t, dir); !slices.Equal(got, values) {
			t.Errorf("records %q, want %q", got, values)
		}
		if _, err := os.Stat(filepath.Join(log, before)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the kept files stay: %v", err)
		}
	})
	t.Run("files written, and more since", func(t *testing.T) {
		dir := killedFolder(t, values...)
		log := filepath.Join(dir, "log")
		if err := keepFiles(log); err != nil {
			t.Fatal(err)
		}
		// What kfake does then: new files, which grow.
		part := filepath.Join(log, "partitions", "t-0")
		data, err := os.ReadFile(segmentPath(part, 0))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(segmentPath(part, 0)); err != nil {
			t.Fatal(err)
		}
		at := lastBatch(t, segmentPath(filepath.Join(log, before, "t-0"), 0))
		if err := os.WriteFile(segmentPath(part, 2), append(bytes.Clone(data[at:]), abortMarker(3, 0, 1, 0)...), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := reopen(t, dir); !slices.Equal(got, values[2:]) {
			t.Errorf("records %q, want %q", got, values[2:])
		}
	})
}

// TestRecoveryRepeats: doing it again changes nothing.
func TestRecoveryRepeats(t *testing.T) {
	dir := killedFolder(t, "one")
	log := filepath.Join(dir, "log")
	part := filepath.Join(log, "partitions", "t-0")
	// A transaction without an end.
	open := abortMarker(1, 0, 77, 3)
	open[22] &^= 0x20 // a control batch no more
	putCRC(open)
	appendTo(t, segmentPath(part, 0), string(open))
	read := func() string {
		var all strings.Builder
		for _, path := range []string{segmentPath(part, 0), indexPath(part, 0), filepath.Join(log, "pids.log")} {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			all.WriteString(string(b) + "\n")
		}
		return all.String()
	}
	if err := recoverFolder(log, true, quiet); err != nil {
		t.Fatal(err)
	}
	scan, err := scanPartition(part, quiet)
	if err != nil || len(scan.open) != 0 || scan.snapshot.HighWatermark != 3 {
		t.Errorf("after the recovery: %+v, %v", scan, err)
	}
	was := read()
	if !strings.Contains(was, `{"type":"timeout","pid":77,"epoch":4}`) {
		t.Error("the producer is not fenced")
	}
	for range 2 {
		if err := recoverFolder(log, true, quiet); err != nil {
			t.Fatal(err)
		}
		if read() != was {
			t.Fatal("recovering again changed the files")
		}
	}
}

// FuzzSegment: any bytes are read to their first broken batch, and never beyond their end.
func FuzzSegment(f *testing.F) {
	whole := abortMarker(0, 0, 1, 0)
	f.Add(whole)
	f.Add(append(bytes.Clone(whole), abortMarker(1, 0, 2, 0)[:70]...))
	f.Add([]byte{})
	f.Add(make([]byte, 200))
	path := filepath.Join(f.TempDir(), "0.dat")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		total := int64(0)
		valid, err := eachBatch(file, true, func(b batch) { total += b.size })
		if err != nil || valid != total || valid > int64(len(data)) {
			t.Fatalf("%d of %d bytes are valid, the batches take %d: %v", valid, len(data), total, err)
		}
		if n := wholeEntries(data); n < 0 || n > len(data) {
			t.Fatalf("%d of %d bytes are whole entries", n, len(data))
		}
	})
}
