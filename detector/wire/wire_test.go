package wire

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func detail(id, user, source string) Detail {
	f := Facts{ID: id, User: user}
	if source != "" {
		f.Source = netip.MustParseAddr(source)
	}
	return Detail(AppendDetail(nil, &f))
}

func records() map[string]Record {
	return map[string]Record{
		"match_uuid": {Match: Match{
			RuleSet: 0x01020304, Rules: []uint32{0xdeadbeef}, Time: 1_500_000_000_123_456, Published: 1_764_000_000_000, Partition: 11, Offset: 123_456_789,
			Detail: detail("0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", "root", "203.0.113.7"),
		}},
		"match_text": {Match: Match{
			Rules: []uint32{1, 2}, Time: -1, Clamped: true,
			Detail: detail("order-17", "", ""),
		}},
		"match_ipv6": {Match: Match{
			Rules: []uint32{7}, Time: maxMicros, Published: 1, Partition: 1<<31 - 1, Offset: 1<<63 - 1,
			Detail: detail("", "Ännchen", "2001:db8::1"),
		}},
		"clock": {IsClock: true, Clock: Clock{Total: 12, Sources: []Source{
			{0, 1_764_000_000_000, false}, {5, 0, true}, {11, 1_764_000_000_001, false},
		}}},
		"clock_none": {IsClock: true, Clock: Clock{Total: 1}},
	}
}

func encode(r *Record) []byte {
	if r.IsClock {
		return AppendClock(nil, &r.Clock)
	}
	return AppendMatch(nil, &r.Match)
}

func TestRecordsKeepTheirBytes(t *testing.T) {
	for name, rec := range records() {
		t.Run(name, func(t *testing.T) {
			got := encode(&rec)
			path := filepath.Join("testdata", name+".hex")
			if *update {
				if err := os.WriteFile(path, []byte(hex.EncodeToString(got)+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			want, err := hex.DecodeString(strings.TrimSpace(string(text)))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("wrote %x, the golden file has %x", got, want)
			}
			var back Record
			if err := Parse(want, &back); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(back, rec) {
				t.Errorf("read %+v, want %+v", back, rec)
			}
		})
	}
}

func TestFactsComeBack(t *testing.T) {
	for _, want := range []Facts{
		{ID: "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", User: "root", Source: netip.MustParseAddr("203.0.113.7")},
		{ID: "0190A1B2-C3D4-7E5F-8A9B-0C1D2E3F4A5B", Source: netip.MustParseAddr("2001:db8::1")}, // not canonical: kept as text
		{ID: "{0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a", User: strings.Repeat("x", 300)},
		{},
	} {
		d := Detail(AppendDetail(nil, &want))
		if got := d.Facts(); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	a, b := detail("e1", "root", "203.0.113.7"), detail("e1", "admin", "")
	if a.IDBytes() != b.IDBytes() || a.IDBytes() == detail("e2", "root", "203.0.113.7").IDBytes() {
		t.Error("the bytes of an id do not tell ids apart, or depend on other facts")
	}
	if got := Detail("\x07broken"); got.Facts() != (Facts{}) || got.IDBytes() != "" {
		t.Error("a damaged detail gave facts")
	}
}

func TestMatchIsSmall(t *testing.T) {
	rec := records()["match_uuid"]
	if n := len(encode(&rec)); n > 70 {
		t.Errorf("a match record takes %d bytes", n)
	}
}

func TestParseRefusesWhatNobodyWrote(t *testing.T) {
	whole := records()
	match, clock := whole["match_uuid"], whole["clock"]
	for name, value := range map[string][]byte{
		"empty":           {},
		"json":            []byte(`{"id":1}`),
		"later version":   append([]byte{kindMatch + 1}, encode(&match)[1:]...),
		"trailing":        append(encode(&match), 0),
		"clock trailing":  append(encode(&clock), 0),
		"no rule":         encode(&Record{Match: Match{Detail: detail("a", "", "")}}),
		"far future":      encode(&Record{Match: Match{Rules: []uint32{1}, Time: maxMicros + 1, Detail: detail("a", "", "")}}),
		"partition twice": {kindClock, 1, 2, 0, 2, 0, 2},
		"beyond total":    {kindClock, 1, 1, 1, 2},
		"long varint":     {kindClock, 0x81, 0x00, 0},
	} {
		var rec Record
		if err := Parse(value, &rec); err == nil {
			t.Errorf("%s: read as %+v", name, rec)
		}
	}
	for n := range encode(&match) {
		var rec Record
		if err := Parse(encode(&match)[:n], &rec); err == nil {
			t.Errorf("the first %d bytes of a match record were read as a whole one", n)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, rec := range records() {
		f.Add(encode(&rec))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		var rec Record
		if Parse(value, &rec) != nil {
			return
		}
		if again := encode(&rec); !bytes.Equal(again, value) {
			t.Fatalf("%x was read as %s and written as %x", value, fmt.Sprint(rec), again)
		}
		if !rec.IsClock && !bytes.Equal(AppendDetail(nil, ptr(rec.Match.Detail.Facts())), []byte(rec.Match.Detail)) {
			t.Fatalf("the detail %x changes when it is unpacked and packed", rec.Match.Detail)
		}
	})
}

func ptr[T any](v T) *T { return &v }

func BenchmarkParseMatch(b *testing.B) {
	rec := records()["match_uuid"]
	value := encode(&rec)
	b.ReportAllocs()
	var back Record
	for b.Loop() {
		if err := Parse(value, &back); err != nil {
			b.Fatal(err)
		}
	}
}
