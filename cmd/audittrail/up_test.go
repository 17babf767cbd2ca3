package main

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// begin starts `audittrail up` on free ports without waiting for it.
func begin(t *testing.T, args ...string) *pipeline {
	t.Helper()
	p := &pipeline{t: t, bin: binary(t), data: filepath.Join(t.TempDir(), "data"), log: filepath.Join(t.TempDir(), "up.log")}
	out, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p.cmd = exec.Command(p.bin, append([]string{"up", "--data", p.data, "--listen", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0", "--clickhouse-listen", "127.0.0.1:0"}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	})
	return p
}

// TestStopWhileStarting: being told to stop is no failure, ready or not.
func TestStopWhileStarting(t *testing.T) {
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		p := begin(t)
		p.eventually("ClickHouse to be ready", func() bool { return strings.Contains(p.output(), "embedded clickhouse is ready") })
		_ = p.cmd.Process.Signal(signal)
		if err := p.cmd.Wait(); err != nil || !strings.Contains(p.output(), "Stopped. The data stays in "+p.data) {
			t.Errorf("after %s: %v\n%s", signal, err, p.output())
		}
	}
}

// TestSecondSignalEndsAtOnce holds up the stop by freezing ClickHouse.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	p := up(t, filepath.Join(t.TempDir(), "data"))
	out, err := exec.Command("pgrep", "-P", strconv.Itoa(p.cmd.Process.Pid)).Output()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("needs pgrep")
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatalf("the one child of the pipeline: %v %s", err, out)
	}
	if err := syscall.Kill(child, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(child, syscall.SIGCONT) }() // it ends when it sees that its parent has gone
	_ = p.cmd.Process.Signal(os.Interrupt)
	p.eventually("the first signal to take effect", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.at.API, "http://"))
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	_ = p.cmd.Process.Signal(os.Interrupt)
	_ = p.cmd.Wait()
	if code := p.cmd.ProcessState.ExitCode(); code != 130 || !strings.Contains(p.output(), "on the second signal") {
		t.Errorf("status %d, want 130\n%s", code, p.output())
	}
}

// TestFailingPartEndsAll: with the reason, once.
func TestFailingPartEndsAll(t *testing.T) {
	library := filepath.Join(t.TempDir(), "libchdb.so")
	if err := os.WriteFile(library, []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := begin(t, "--libchdb", library)
	_ = p.cmd.Wait()
	if code := p.cmd.ProcessState.ExitCode(); code != 1 || strings.Count(p.output(), "does not start") != 1 || strings.Contains(p.output(), "is ready") {
		t.Errorf("status %d, want 1 and the reason once:\n%s", code, p.output())
	}
}

// TestBanner can be pasted into a shell.
func TestBanner(t *testing.T) {
	c := upCmd{dataFlag: dataFlag{Data: "/srv/it's here"}}
	text := c.banner(endpoints{API: "http://127.0.0.1:8000", Kafka: "127.0.0.1:9092", ClickHouse: "http://127.0.0.1:8123"})
	for _, want := range []string{`generate --count 10000 --data '/srv/it'\''s here'`, "curl http://127.0.0.1:8000/api/alerts/", "http://127.0.0.1:8123", "127.0.0.1:9092", "Ctrl-C"} {
		if !strings.Contains(text, want) {
			t.Errorf("the banner lacks %s:\n%s", want, text)
		}
	}
	if strings.Contains(text, "{") {
		t.Errorf("the banner has a gap:\n%s", text)
	}
	c.Data = defaultData()
	if text := c.banner(endpoints{}); strings.Contains(text, "--data") {
		t.Errorf("the default folder is named:\n%s", text)
	}
	for addr, want := range map[string]string{"0.0.0.0:8000": "127.0.0.1:8000", "[::]:8000": "127.0.0.1:8000", "192.0.2.1:80": "192.0.2.1:80"} {
		tcp, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := dialable(tcp); got != want {
			t.Errorf("%s is reached on %s, want %s", addr, got, want)
		}
	}
}
