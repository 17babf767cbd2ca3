package main

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/audittrail/audittrail/internal/certs/certtest"
)

// kafkaPassword must be in no output of any command.
const kafkaPassword = "pw-of-kafka"

// secureKafka is a broker that demands TLS, a client certificate and a login, and what the commands need to be let in.
type secureKafka struct {
	addr   string
	a      *certtest.Authority
	secret string
}

func newSecureKafka(t *testing.T) *secureKafka {
	t.Helper()
	a := certtest.New(t)
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.TLS(a.Server()), kfake.EnableSASL(),
		kfake.Superuser("PLAIN", "trail", kafkaPassword), kfake.Superuser("SCRAM-SHA-256", "trail", kafkaPassword), kfake.Superuser("SCRAM-SHA-512", "trail", kafkaPassword))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	a.Client()
	k := &secureKafka{addr: c.ListenAddrs()[0], a: a, secret: filepath.Join(t.TempDir(), "secret")}
	if err := os.WriteFile(k.secret, []byte(kafkaPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return k
}

// flags let a command in, by certificate and login.
func (k *secureKafka) flags(mechanism string) []string {
	return []string{
		"--kafka", k.addr, "--kafka-tls", "--kafka-ca", k.a.File("ca.crt"), "--kafka-cert", k.a.File("client.crt"), "--kafka-key", k.a.File("client.key"),
		"--kafka-sasl", mechanism, "--kafka-user", "trail",
	}
}

// command is a call of the binary that has the password in a file.
func (k *secureKafka) command(bin string, args ...string) *exec.Cmd {
	cmd := exec.Command(bin, args...)
	cmd.Env = append(os.Environ(), "AUDITTRAIL_KAFKA_PASSWORD_FILE="+k.secret)
	return cmd
}

// TestSecureServers runs every command that talks to Kafka against a broker with TLS, client certificates and logins, and those that talk to ClickHouse
// against one whose certificate only its own authority vouches for.
func TestSecureServers(t *testing.T) {
	bin := binary(t)
	k := newSecureKafka(t)
	p := &pipeline{t: t, bin: bin, log: filepath.Join(t.TempDir(), "log")}
	p.at.ClickHouse = "http://" + freeAddr(t)
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		log.Close()
		if t.Failed() {
			t.Log(p.output())
		}
	})
	serve := func(args ...string) *exec.Cmd {
		t.Helper()
		cmd := k.command(bin, append(args, "--log-level", "debug")...)
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if cmd.ProcessState == nil {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			}
		})
		return cmd
	}
	once := func(args ...string) string {
		t.Helper()
		out, err := k.command(bin, append(args, "--log-level", "debug")...).CombinedOutput()
		if err != nil || strings.Contains(string(out), kafkaPassword) {
			t.Fatalf("audittrail %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	ready := func(addr string) {
		t.Helper()
		p.eventually(addr+" to be ready", func() bool { status, _ := fetch(t, "http://"+addr); return status == http.StatusOK })
	}
	with := func(flags []string, args ...string) []string { return append(args, flags...) }

	engine := serve("clickhouse", "--data", t.TempDir(), "--clickhouse-listen", p.at.ClickHouse[len("http://"):])
	ready(p.at.ClickHouse[len("http://"):] + "/ping")
	front := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: p.at.ClickHouse[len("http://"):]}))
	front.TLS = k.a.Server()
	front.TLS.ClientAuth = 0
	front.StartTLS()
	t.Cleanup(front.Close)
	tables := []string{"--clickhouse", front.URL, "--clickhouse-ca", k.a.File("ca.crt")}
	if out, err := k.command(bin, "migrate", "--clickhouse", front.URL).CombinedOutput(); err == nil || !strings.Contains(string(out), "unknown authority") {
		t.Errorf("ClickHouse of an unknown authority: %v\n%s", err, out)
	}

	once(with(tables, "migrate")...)
	once(with(k.flags("PLAIN"), "topics", "--partitions", "2")...)
	consumerOps, detectorOps, api := freeAddr(t), freeAddr(t), freeAddr(t)
	services := []*exec.Cmd{
		serve(with(append(k.flags("scram-sha-512"), tables...), "consumer", "--metrics-listen", consumerOps)...),
		serve(with(k.flags("SCRAM-SHA-256"), "detector", "--metrics-listen", detectorOps)...),
		serve(with(tables, "queryapi", "--listen", api)...),
		engine,
	}
	ready(consumerOps + "/readyz")
	ready(detectorOps + "/readyz")
	ready(api + "/readyz")
	p.at.API = "http://" + api
	once(with(k.flags("SCRAM-SHA-512"), "import", "sshd", sshLog, "--year", "2017", "--tenant", "ssh")...)
	once(with(k.flags("PLAIN"), "generate", "--count", "10")...)
	p.eventually("the failed logins", func() bool { return p.total("tenant=ssh&action=FAILED_LOGIN") == 1042 })
	p.eventually("the alerts", func() bool { addresses, _ := p.attackers("ssh"); return addresses == 101 })
	once(with(append(k.flags("PLAIN"), tables...), "verify", "--repair")...)
	once(with(append(k.flags("PLAIN"), tables...), "quarantine", "redrive")...)
	once(with(tables, "quarantine", "list")...)
	for _, cmd := range services {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v ended with %v", cmd.Args[1:2], err)
		}
	}
	if strings.Contains(p.output(), kafkaPassword) {
		t.Error("a service shows the password")
	}
}

// TestWrongSecurityIsExplained: what does not go together names the flag, and what Kafka refuses says what to look at. The password is never shown.
func TestWrongSecurityIsExplained(t *testing.T) {
	bin := binary(t)
	k := newSecureKafka(t)
	ca, cert, key := k.a.File("ca.crt"), k.a.File("client.crt"), k.a.File("client.key")
	to := " --kafka " + k.addr
	tls := to + " --kafka-tls --kafka-ca " + ca
	both := tls + " --kafka-cert " + cert + " --kafka-key " + key
	const password = "AUDITTRAIL_KAFKA_PASSWORD=" + kafkaPassword
	for _, c := range []struct {
		call, env string
		code      int
		want      string
	}{
		{"topics" + to + " --kafka-ca " + ca, "", 2, "--kafka-ca needs --kafka-tls (AUDITTRAIL_KAFKA_TLS)"},
		{"topics" + to + " --kafka-cert " + cert + " --kafka-key " + key, "", 2, "--kafka-cert needs --kafka-tls"},
		{"topics" + to, "AUDITTRAIL_KAFKA_KEY=" + key, 2, "--kafka-key needs --kafka-tls"},
		{"topics" + tls + " --kafka-cert " + cert, "", 2, "--kafka-cert needs --kafka-key (AUDITTRAIL_KAFKA_KEY)"},
		{"topics" + tls + " --kafka-key " + key, "", 2, "--kafka-key needs --kafka-cert (AUDITTRAIL_KAFKA_CERT)"},
		{"topics" + to + " --kafka-tls --kafka-ca /nowhere", "", 2, "--kafka-ca: read the authorities' certificates: open /nowhere: no such file"},
		{"topics" + to + " --kafka-tls --kafka-ca " + key, "", 2, "--kafka-ca: " + key + " has no certificate in PEM form"},
		{"topics" + tls + " --kafka-cert " + cert + " --kafka-key " + cert, "", 2, "--kafka-cert, --kafka-key: load the client certificate"},
		{"topics" + both + " --kafka-user trail", password, 2, "--kafka-user needs --kafka-sasl (AUDITTRAIL_KAFKA_SASL): PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"},
		{"topics" + both, password, 2, "--kafka-password needs --kafka-sasl"},
		{"topics" + both + " --kafka-sasl PLAIN", password, 2, "--kafka-sasl needs --kafka-user (AUDITTRAIL_KAFKA_USER)"},
		{"topics" + both + " --kafka-sasl PLAIN --kafka-user trail", "", 2, "--kafka-sasl needs --kafka-password (AUDITTRAIL_KAFKA_PASSWORD"},
		{"topics" + both + " --kafka-sasl GSSAPI --kafka-user trail", password, 2, "--kafka-sasl GSSAPI: expected PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"},
		{"consumer" + both + " --kafka-sasl PLAIN", password, 2, "--kafka-sasl needs --kafka-user"},
		{"detector" + both + " --kafka-sasl PLAIN", password, 2, "--kafka-sasl needs --kafka-user"},
		{"generate --count 1 --kafka-tls --data /nowhere", "", 2, "--kafka-tls needs --kafka HOST:PORT"},
		{"generate --count 1 --data /nowhere", password, 2, "--kafka-password needs --kafka HOST:PORT"},
		{"migrate --clickhouse http://127.0.0.1:1 --clickhouse-ca " + ca, "", 2, "--clickhouse-ca is for https:// URLs, which --clickhouse http://127.0.0.1:1 is not"},
		{"migrate --clickhouse https://127.0.0.1:1 --clickhouse-ca /nowhere", "", 2, "--clickhouse-ca: read the authorities' certificates: open /nowhere"},

		{"topics" + to, "", 1, "is TLS missing? (are --kafka-tls, "},
		{"topics" + to + " --kafka-tls", "", 1, "unknown authority (are --kafka-tls, "},
		{"topics" + tls, "", 1, "certificate required (are --kafka-tls, "},
		{"topics" + both, "", 1, "is SASL missing? (are --kafka-tls, "},
		{"topics" + both + " --kafka-sasl PLAIN --kafka-user trial", password, 1, "is the login right?) (are --kafka-tls, "},
		{"topics" + both + " --kafka-sasl SCRAM-SHA-256 --kafka-user trial", password, 1, "is the login right?) (are --kafka-tls, "},
		{"generate --count 1" + both + " --kafka-sasl SCRAM-SHA-512 --kafka-user trial", password, 1, "is the login right?) (are --kafka-tls, "},
	} {
		cmd := exec.Command(bin, append(strings.Fields(c.call), "--log-level", "debug")...)
		cmd.Env = append(os.Environ(), c.env)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(string(out), c.want) || strings.Contains(string(out), kafkaPassword) {
			t.Errorf("%.40s audittrail %s: status %d, want %d with %q and without the password:\n%s", c.env, c.call, code, c.code, c.want, out)
		}
	}
}
