// Command pipeline sends generated events through the whole embedded pipeline, as a user would run it, and prints how fast they went, what memory both
// processes took at most, and what an event costs on disk.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	binary := flag.String("binary", "bin/audittrail", "the program")
	events := flag.Int("events", 1_000_000, "how many events")
	limit := flag.Duration("limit", 10*time.Minute, "give up after")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), *limit)
	defer cancel()
	if err := run(ctx, *binary, *events); err != nil {
		fmt.Fprintln(os.Stderr, "pipeline:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, binary string, events int) error {
	data, err := os.MkdirTemp("", "audittrail-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(data)
	up := exec.CommandContext(ctx, binary, "up", "--data", data, "--listen", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0", "--clickhouse-listen", "127.0.0.1:0")
	up.Stderr = os.Stderr
	if err := up.Start(); err != nil {
		return err
	}
	defer func() {
		_ = up.Process.Signal(syscall.SIGTERM)
		_ = up.Wait()
	}()
	var at struct{ API, Kafka, ClickHouse string }
	err = until(ctx, func() bool {
		b, err := os.ReadFile(filepath.Join(data, "endpoints.json"))
		return err == nil && json.Unmarshal(b, &at) == nil
	})
	if err != nil {
		return err
	}

	start := time.Now()
	gen := exec.CommandContext(ctx, binary, "generate", "--count", strconv.Itoa(events), "--seed", "1", "--data", data)
	gen.Stdout, gen.Stderr = os.Stdout, os.Stderr
	if err := gen.Run(); err != nil {
		return err
	}
	published := time.Since(start)
	if err := until(ctx, func() bool { return query(at.ClickHouse, "SELECT count() FROM audit.events") == strconv.Itoa(events) }); err != nil {
		return err
	}
	stored := time.Since(start)
	if err := until(ctx, func() bool {
		return query(at.ClickHouse, "SELECT sum(events) FROM audit.rollup_1h") == strconv.Itoa(events)
	}); err != nil {
		return err
	}
	engine := childOf(up.Process.Pid)
	fmt.Printf("%-44s %d\n", "events", events)
	fmt.Printf("%-44s %.0f\n", "published, events a second", float64(events)/published.Seconds())
	fmt.Printf("%-44s %.0f\n", "published to stored, events a second", float64(events)/stored.Seconds())
	fmt.Printf("%-44s %s\n", "distinct offsets stored", query(at.ClickHouse, "SELECT uniqExact(src_partition, src_offset) FROM audit.events"))
	fmt.Printf("%-44s %s\n", "alerts", query(at.ClickHouse, "SELECT count() FROM audit.alerts"))
	fmt.Printf("%-44s %d\n", "peak memory of audittrail up, MiB", peakMiB(up.Process.Pid))
	fmt.Printf("%-44s %d\n", "peak memory of the embedded ClickHouse, MiB", peakMiB(engine))
	fmt.Printf("%-44s %.2f\n", "CPU of audittrail up, us an event", cpu(up.Process.Pid).Seconds()*1e6/float64(events))
	fmt.Printf("%-44s %.2f\n", "CPU of the embedded ClickHouse, us an event", cpu(engine).Seconds()*1e6/float64(events))
	fmt.Printf("%-44s %s\n", "ClickHouse, events table, bytes an event", query(at.ClickHouse,
		"SELECT round(sum(bytes_on_disk) / "+strconv.Itoa(events)+") FROM system.parts WHERE active AND database = 'audit' AND table = 'events'"))
	for _, part := range []string{"clickhouse", "kafka"} {
		fmt.Printf("%-44s %.0f\n", part+" folder, bytes an event", float64(size(filepath.Join(data, part)))/float64(events))
	}
	return nil
}

func until(ctx context.Context, cond func() bool) error {
	for !cond() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

func query(url, sql string) string {
	res, err := http.Post(url, "text/plain", strings.NewReader(sql))
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return strings.TrimSpace(string(b))
}

// childOf returns the pid of the process's first child.
func childOf(pid int) int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if len(strings.Fields(string(b))) == 0 {
		// The thread that started the child need not be the first one.
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
		for _, t := range tasks {
			if b, _ = os.ReadFile(t); len(b) > 0 {
				break
			}
		}
	}
	fields := strings.Fields(string(b))
	if len(fields) == 0 {
		return 0
	}
	child, _ := strconv.Atoi(fields[0])
	return child
}

var peak = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

func peakMiB(pid int) int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	m := peak.FindSubmatch(b)
	if m == nil {
		return 0
	}
	kib, _ := strconv.Atoi(string(m[1]))
	return kib / 1024
}

// cpu is the user and system time that a process has used, in the kernel's ticks of 10 ms.
func cpu(pid int) time.Duration {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

func size(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				total += info.Size()
			}
		}
		return nil
	})
	return total
}
