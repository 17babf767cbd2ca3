package lines_test

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/audittrail/audittrail/producer/lines"
)

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "in.log")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, path, stdin string) *lines.File {
	t.Helper()
	f, err := lines.Open(t.Context(), path, strings.NewReader(stdin))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

type got struct {
	number  uint64
	text    string
	end     int64
	tooLong bool
}

func collect(t *testing.T, f *lines.File, limit int) []got {
	t.Helper()
	var all []got
	for l, err := range f.All(limit) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, got{l.Number, string(l.Text), l.End, l.TooLong})
	}
	return all
}

func TestAll(t *testing.T) {
	big := strings.Repeat("x", 200<<10)
	tests := []struct {
		name, content string
		limit         int
		want          []got
	}{
		{"empty", "", 10, nil},
		{"no end at the end", "a\nbc", 10, []got{{1, "a", 2, false}, {2, "bc", 4, false}}},
		{"blank lines and CRLF", "\r\n\na\r\n", 10, []got{{1, "", 2, false}, {2, "", 3, false}, {3, "a", 6, false}}},
		{"exactly the limit", "abc\nabc\r\nabc", 3, []got{{1, "abc", 4, false}, {2, "abc", 9, false}, {3, "abc", 12, false}}},
		{"one over", "abcd\ne\n", 3, []got{{1, "abc", 5, true}, {2, "e", 7, false}}},
		{"larger than the buffer", big + "\nz\n", 100 << 10, []got{{1, big[:100<<10], 200<<10 + 1, true}, {2, "z", 200<<10 + 3, false}}},
		{"larger than the buffer but kept", big + "\nz", 300 << 10, []got{{1, big, 200<<10 + 1, false}, {2, "z", 200<<10 + 2, false}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, path := range []string{write(t, tt.content), lines.Stdin} {
				f := open(t, path, tt.content)
				if f.Size() != int64(len(tt.content)) || f.Hash() != sha256.Sum256([]byte(tt.content)) {
					t.Errorf("size %d or hash %x is wrong", f.Size(), f.Hash())
				}
				all := collect(t, f, tt.limit)
				if len(all) != len(tt.want) {
					t.Fatalf("%d lines, want %d", len(all), len(tt.want))
				}
				for i := range all {
					if all[i] != tt.want[i] {
						t.Errorf("line %d: got %d bytes, end %d, too long %v", i+1, len(all[i].text), all[i].end, all[i].tooLong)
					}
				}
				if again := collect(t, f, tt.limit); len(again) != len(all) {
					t.Errorf("second reading: %d lines, want %d", len(again), len(all))
				}
				if err := f.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestGzip: a packed log has the lines, the hash and so the ids of the log itself, from a file or a pipe.
func TestGzip(t *testing.T) {
	const content = "one\ntwo\n"
	var packed strings.Builder
	// A log that was packed in two parts, as "gzip >> FILE" does.
	for _, part := range []string{content[:5], content[5:]} {
		w := gzip.NewWriter(&packed)
		if _, err := w.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{write(t, packed.String()), lines.Stdin} {
		f := open(t, path, packed.String())
		all := collect(t, f, 100)
		if f.Hash() != sha256.Sum256([]byte(content)) || f.Size() != int64(len(content)) || len(all) != 2 || all[1].text != "two" {
			t.Errorf("size %d, lines %v", f.Size(), all)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, broken := range []string{packed.String()[:packed.Len()-3], packed.String()[:5]} {
		if _, err := lines.Open(t.Context(), write(t, broken), nil); err == nil || !strings.Contains(err.Error(), "in.log") {
			t.Errorf("a packed file that was cut: %v", err)
		}
	}
}

func TestGrowingAndShrinkingFile(t *testing.T) {
	path := write(t, "one\ntwo\n")
	f := open(t, path, "")
	defer f.Close()
	more, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer more.Close()
	if _, err := more.WriteString("three\n"); err != nil {
		t.Fatal(err)
	}
	if all := collect(t, f, 100); len(all) != 2 {
		t.Errorf("a line that was added after the hash was read: %v", all)
	}
	if err := os.Truncate(path, 4); err != nil {
		t.Fatal(err)
	}
	var last error
	for _, err := range f.All(100) {
		last = err
	}
	if last == nil || !strings.Contains(last.Error(), "cut to 4 of 8 bytes") {
		t.Errorf("truncated file: got error %v", last)
	}
}

// TestMemoryIsConstant: reading ten thousand lines allocates no more than reading ten.
func TestMemoryIsConstant(t *testing.T) {
	allocations := func(n int) float64 {
		f := open(t, write(t, strings.Repeat("a line of some length\n", n)), "")
		defer f.Close()
		return testing.AllocsPerRun(3, func() {
			for _, err := range f.All(100) {
				if err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	if few, many := allocations(10), allocations(10_000); many > few {
		t.Errorf("%g allocations for ten lines, %g for ten thousand", few, many)
	}
}

func TestEventIDs(t *testing.T) {
	f := open(t, lines.Stdin, "x\n")
	defer f.Close()
	other := open(t, lines.Stdin, "y\n")
	defer other.Close()
	// Pinned: ids of events that were imported once must be found again by every later version.
	if id := f.EventID(1, 1); id != "47ab8734-401b-5381-bea1-e567b4410bd1" {
		t.Errorf("the id is %s", id)
	}
	seen := map[string]bool{f.EventID(1, 1): true, f.EventID(1, 2): true, f.EventID(2, 1): true, other.EventID(1, 1): true}
	if len(seen) != 4 {
		t.Error("two events have one id")
	}
}

func TestOpenErrors(t *testing.T) {
	spools := func() int {
		all, err := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "audittrail-import-*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	t.Setenv("TMPDIR", t.TempDir())
	broken := errors.New("broken pipe")
	if _, err := lines.Open(t.Context(), lines.Stdin, iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("broken standard input: %v", err)
	}
	if _, err := lines.Open(t.Context(), lines.Stdin, nil); err == nil {
		t.Error("no standard input: no error")
	}
	if _, err := lines.Open(t.Context(), t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("a directory: %v", err)
	}
	if _, err := lines.Open(t.Context(), "no/such/file", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lines.Open(ctx, write(t, "x"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if n := spools(); n != 0 {
		t.Errorf("%d spooled copies left behind", n)
	}
	f := open(t, lines.Stdin, "x\n")
	if spools() != 1 {
		t.Error("standard input was not spooled")
	}
	if err := f.Close(); err != nil || spools() != 0 {
		t.Errorf("close: %v, %d copies left", err, spools())
	}
}
