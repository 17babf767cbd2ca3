// Command pipeline sends generated events through the whole embedded pipeline, as a user would run it, and prints how fast they went, what memory both
// processes took at most, and what an event costs on disk.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/audittrail/audittrail/bench/internal/proc"
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
	err = proc.Until(ctx, func() bool {
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
	if err := proc.Until(ctx, func() bool { return query(at.ClickHouse, "SELECT count() FROM audit.events") == strconv.Itoa(events) }); err != nil {
		return err
	}
	stored := time.Since(start)
	if err := proc.Until(ctx, func() bool {
		return query(at.ClickHouse, "SELECT sum(events) FROM audit.rollup_1h") == strconv.Itoa(events)
	}); err != nil {
		return err
	}
	engine := proc.Child(up.Process.Pid)
	fmt.Printf("%-44s %d\n", "events", events)
	fmt.Printf("%-44s %.0f\n", "published, events a second", float64(events)/published.Seconds())
	fmt.Printf("%-44s %.0f\n", "published to stored, events a second", float64(events)/stored.Seconds())
	fmt.Printf("%-44s %s\n", "distinct offsets stored", query(at.ClickHouse, "SELECT uniqExact(src_partition, src_offset) FROM audit.events"))
	fmt.Printf("%-44s %s\n", "alerts", query(at.ClickHouse, "SELECT count() FROM audit.alerts"))
	fmt.Printf("%-44s %d\n", "peak memory of audittrail up, MiB", proc.PeakMiB(up.Process.Pid))
	fmt.Printf("%-44s %d\n", "peak memory of the embedded ClickHouse, MiB", proc.PeakMiB(engine))
	fmt.Printf("%-44s %.2f\n", "CPU of audittrail up, us an event", proc.CPU(up.Process.Pid).Seconds()*1e6/float64(events))
	fmt.Printf("%-44s %.2f\n", "CPU of the embedded ClickHouse, us an event", proc.CPU(engine).Seconds()*1e6/float64(events))
	fmt.Printf("%-44s %s\n", "ClickHouse, events table, bytes an event", query(at.ClickHouse,
		"SELECT round(sum(bytes_on_disk) / "+strconv.Itoa(events)+") FROM system.parts WHERE active AND database = 'audit' AND table = 'events'"))
	for _, part := range []string{"clickhouse", "kafka"} {
		fmt.Printf("%-44s %.0f\n", part+" folder, bytes an event", float64(proc.FolderBytes(filepath.Join(data, part)))/float64(events))
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
