package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/audittrail/audittrail/internal/embedded/broker"
)

// freeAddr returns an address that nobody listens on just now.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// TestServicesRunApart runs what the README says for a cluster, each service in a process of its own, given nothing but addresses.
func TestServicesRunApart(t *testing.T) {
	bin := binary(t)
	b, err := broker.Start(broker.Options{DataDir: filepath.Join(t.TempDir(), "kafka"), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	p := &pipeline{t: t, bin: bin}
	p.at.Kafka, p.at.ClickHouse, p.at.API = b.Addr(), "http://"+freeAddr(t), "http://"+freeAddr(t)

	var services []*exec.Cmd
	serve := func(args ...string) {
		t.Helper()
		cmd := exec.Command(bin, args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		services = append(services, cmd)
		t.Cleanup(func() {
			if cmd.ProcessState == nil {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			}
		})
	}
	once := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(bin, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	ready := func(what, url string) {
		t.Helper()
		p.eventually(what+" to be ready", func() bool {
			res, err := http.Get(url)
			if err != nil {
				return false
			}
			res.Body.Close()
			return res.StatusCode == http.StatusOK
		})
	}
	serve("clickhouse", "--data", t.TempDir(), "--clickhouse-listen", p.at.ClickHouse[len("http://"):])
	ready("clickhouse", p.at.ClickHouse+"/ping")
	once("topics", "--kafka", p.at.Kafka, "--partitions", "3")
	once("migrate", "--clickhouse", p.at.ClickHouse)
	consumerOps, detectorOps := freeAddr(t), freeAddr(t)
	serve("consumer", "--kafka", p.at.Kafka, "--clickhouse", p.at.ClickHouse, "--metrics-listen", consumerOps)
	serve("detector", "--kafka", p.at.Kafka, "--metrics-listen", detectorOps)
	serve("queryapi", "--clickhouse", p.at.ClickHouse, "--listen", p.at.API[len("http://"):])
	ready("consumer", "http://"+consumerOps+"/readyz")
	ready("detector", "http://"+detectorOps+"/readyz")
	ready("query api", p.at.API+"/readyz")
	for _, addr := range []string{consumerOps, detectorOps} {
		ready("live", "http://"+addr+"/livez")
		ready("metrics", "http://"+addr+"/metrics")
	}
	once("import", "sshd", sshLog, "--year", "2017", "--tenant", "ssh", "--kafka", p.at.Kafka)
	p.eventually("the failed logins", func() bool { return p.total("tenant=ssh&action=FAILED_LOGIN") == 1042 })
	p.eventually("the alerts", func() bool { addresses, alerts := p.attackers("ssh"); return addresses == 101 && alerts == 101 })
	once("verify", "--kafka", p.at.Kafka, "--clickhouse", p.at.ClickHouse)

	stop := func(cmd *exec.Cmd) {
		t.Helper()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v ended with %v", cmd.Args[1:], err)
		}
	}
	stop(services[3])
	// Kafka goes away under the consumer, which says so, and under the detector, which stops all the same.
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	p.eventually("the consumer to miss Kafka", func() bool {
		status, body := fetch(t, "http://"+consumerOps+"/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "kafka: "+p.at.Kafka+": ") && !strings.Contains(body, "clickhouse")
	})
	if status, _ := fetch(t, "http://"+consumerOps+"/livez"); status != http.StatusOK {
		t.Errorf("/livez answers %d without Kafka", status)
	}
	stop(services[2])
	stop(services[1])
	stop(services[0])
}

// fetch returns status and body, 0 when nobody answers.
func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// TestServicesSayWhatTheyWaitFor: nobody is at their addresses. They live, are not ready, name the address in the log and in /readyz, and stop when told.
func TestServicesSayWhatTheyWaitFor(t *testing.T) {
	const nobody = "127.0.0.1:1"
	for _, c := range []struct {
		args    []string
		listen  string
		missing []string
	}{
		{[]string{"consumer", "--kafka", nobody, "--clickhouse", "http://" + nobody}, "--metrics-listen", []string{"kafka", "clickhouse connection"}},
		{[]string{"detector", "--kafka", nobody}, "--metrics-listen", []string{"kafka"}},
		{[]string{"queryapi", "--clickhouse", "http://" + nobody}, "--listen", []string{"clickhouse"}},
	} {
		addr := freeAddr(t)
		p := &pipeline{t: t, log: filepath.Join(t.TempDir(), "log")}
		log, err := os.Create(p.log)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(binary(t), append(c.args, c.listen, addr)...)
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		log.Close()
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		for _, what := range c.missing {
			p.eventually(c.args[0]+" to miss "+what, func() bool {
				status, body := fetch(t, "http://"+addr+"/readyz")
				return status == http.StatusServiceUnavailable && strings.Contains(body, what+": "+nobody+": connection refused\n")
			})
			if out := p.output(); strings.Count(out, `"waiting for `+what+`" address=`) != 1 || !strings.Contains(out, "is it running") {
				t.Errorf("%s does not say once that it waits for %s:\n%s", c.args[0], what, out)
			}
		}
		if status, _ := fetch(t, "http://"+addr+"/livez"); status != http.StatusOK {
			t.Errorf("%s: /livez answers %d", c.args[0], status)
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s ended with %v\n%s", c.args[0], err, p.output())
		}
	}
}
