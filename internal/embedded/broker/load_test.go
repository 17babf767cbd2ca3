package broker

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestLoad: memory does not grow with the number of records, while they come in and when the broker comes back after a kill.
func TestLoad(t *testing.T) {
	if os.Getenv("AUDITTRAIL_SLOW") == "" {
		t.Skip("set AUDITTRAIL_SLOW=1: writes 0.5 GB")
	}
	const records, size = 1_000_000, 500
	dir := t.TempDir()
	p := start(t, dir, "127.0.0.1:0")
	makeTopic(t, p.addr, "t", 4, nil)
	cl := client(t, p.addr, kgo.DefaultProduceTopic("t"), kgo.ProducerLinger(5*time.Millisecond), kgo.ProducerBatchCompression(kgo.NoCompression()))
	value := strings.Repeat("x", size)
	began := time.Now()
	for i := range records {
		cl.Produce(t.Context(), &kgo.Record{Key: []byte(strconv.Itoa(i)), Value: []byte(value)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := cl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	batches := 0
	files, _ := filepath.Glob(filepath.Join(dir, "log", "partitions", "*", "*.idx"))
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			batches += int(info.Size() / indexEntrySize)
		}
	}
	resident, peak := memory(t, p)
	t.Logf("%d records of %d B in %d batches: %v, %.0f a second, each batch synced; resident %d MB, peak %d MB", records, size, batches, took.Round(time.Millisecond), records/took.Seconds(), resident>>20, peak>>20)
	check := func() {
		t.Helper()
		if peak > 256<<20 && !raceDetector {
			t.Errorf("%d MB of memory for %d MB of records", peak>>20, records*size>>20)
		}
	}
	check()
	for _, how := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		p.end(t, how)
		began = time.Now()
		p = start(t, dir, "127.0.0.1:0")
		resident, peak = memory(t, p)
		t.Logf("start after %v: %v, resident %d MB, peak %d MB", how, time.Since(began).Round(time.Millisecond), resident>>20, peak>>20)
		check()
	}
	// One produce at a time waits for the disk each time.
	one := client(t, p.addr, kgo.DefaultProduceTopic("t"), kgo.ProducerLinger(0))
	began = time.Now()
	for range 200 {
		if err := one.ProduceSync(t.Context(), kgo.StringRecord(value)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("one record at a time: %v each", (time.Since(began) / 200).Round(time.Microsecond))
}

// memory of a process in bytes: resident, and the peak.
func memory(t *testing.T, p *process) (resident, peak uint64) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(b)) {
		var kib uint64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d", &kib); n == 1 {
			resident = kib << 10
		}
		if n, _ := fmt.Sscanf(line, "VmHWM: %d", &kib); n == 1 {
			peak = kib << 10
		}
	}
	return resident, peak
}
