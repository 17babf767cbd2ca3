package main

import (
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
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

	for i := len(services) - 1; i >= 0; i-- {
		_ = services[i].Process.Signal(syscall.SIGTERM)
		if err := services[i].Wait(); err != nil {
			t.Errorf("%v ended with %v", services[i].Args[1:], err)
		}
	}
}
