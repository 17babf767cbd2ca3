package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// coordinates are those of every record in the tests that does not set its own.
func coordinates() Record {
	return Record{
		TopicID:   [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
		Partition: 3, Offset: 4711, Time: time.Date(2026, 11, 24, 9, 15, 28, 987654321, time.UTC),
	}
}

// readRecord reads a file of header lines, an empty line and the value, to the last byte.
func readRecord(t testing.TB, path string) *Record {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rec := coordinates()
	for {
		line, rest, ok := bytes.Cut(content, []byte("\n"))
		if !ok {
			t.Fatalf("%s has no empty line", path)
		}
		content = rest
		if len(line) == 0 {
			rec.Value = content
			return &rec
		}
		key, value, _ := strings.Cut(string(line), ": ")
		rec.Headers = append(rec.Headers, Header{Key: key, Value: []byte(value)})
	}
}

func recordFiles(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/decode/*.record")
	if err != nil || len(files) == 0 {
		t.Fatalf("no records: %v", err)
	}
	return files
}

func checkGolden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-update writes it anew)\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

func indented(t *testing.T, compact []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, compact, "", "  "); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, compact)
	}
	out.WriteByte('\n')
	return out.Bytes()
}

// TestDecodeGolden pins what every kind of record becomes; one decoder and one event serve all of them, as in the consumer.
func TestDecodeGolden(t *testing.T) {
	d := NewDecoder()
	var e Event
	for _, file := range recordFiles(t) {
		name := strings.TrimSuffix(filepath.Base(file), ".record")
		t.Run(name, func(t *testing.T) {
			rec := readRecord(t, file)
			var got []byte
			if err := d.Decode(rec, &e); err != nil {
				got = describeReject(t, err)
			} else {
				got = indented(t, Encode(nil, &e))
			}
			if strings.HasPrefix(name, "broken_") != bytes.HasPrefix(got, []byte("reject")) && name != "binary_foreign_type" {
				t.Errorf("got\n%s", got)
			}
			checkGolden(t, strings.TrimSuffix(file, ".record")+".golden", got)
		})
	}
}

func describeReject(t *testing.T, err error) []byte {
	t.Helper()
	var reject *Reject
	if !errors.As(err, &reject) {
		t.Fatalf("the error is a %T: %v", err, err)
	}
	return fmt.Appendf(nil, "reject\nreason: %s\nfield: %s\ndetail: %s\n", reject.Reason, reject.Field, reject.Detail)
}

// TestEncodeGolden pins the bytes on the wire: key, headers and value.
func TestEncodeGolden(t *testing.T) {
	for name, e := range encodeCases() {
		t.Run(name, func(t *testing.T) {
			key, value, headers := EncodeRecord(e)
			var got bytes.Buffer
			fmt.Fprintf(&got, "key: %q\n", key)
			for _, h := range headers {
				fmt.Fprintf(&got, "%s: %s\n", h.Key, h.Value)
			}
			fmt.Fprintf(&got, "\n%s\n", value)
			checkGolden(t, "testdata/encode/"+name+".golden", got.Bytes())
			if !json.Valid(value) {
				t.Error("the value is not JSON")
			}
		})
	}
}
