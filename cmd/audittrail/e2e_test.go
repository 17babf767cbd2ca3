package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/audittrail/audittrail/internal/embedded/engine"
)

// The end-to-end tests run the binary as a user does: another process, its flags, its output, its ports.

var built struct {
	sync.Once
	path string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.path != "" {
		os.RemoveAll(filepath.Dir(built.path))
	}
	os.Exit(code)
}

// binary builds the program once.
func binary(t *testing.T) string {
	t.Helper()
	if _, err := engine.FindLibrary(""); err != nil {
		if os.Getenv("CI") == "" {
			t.Skip("needs the embedded ClickHouse: ", err)
		}
		t.Fatal(err)
	}
	built.Do(func() {
		dir, err := os.MkdirTemp("", "audittrail-e2e")
		if err != nil {
			built.err = err
			return
		}
		built.path = filepath.Join(dir, "audittrail")
		cmd := exec.Command("go", "build", "-o", built.path, ".")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// pipeline is a running `audittrail up`.
type pipeline struct {
	t    *testing.T
	bin  string
	data string
	cmd  *exec.Cmd
	at   endpoints
	log  string
}

// up starts the pipeline on free ports and waits until it is ready.
func up(t *testing.T, data string) *pipeline {
	t.Helper()
	p := &pipeline{t: t, bin: binary(t), data: data, log: filepath.Join(t.TempDir(), "up.log")}
	out, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p.cmd = exec.Command(p.bin, "up", "--data", data, "--listen", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0", "--clickhouse-listen", "127.0.0.1:0")
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
		if t.Failed() {
			text, _ := os.ReadFile(p.log)
			t.Logf("output of audittrail up:\n%s", text)
		}
	})
	p.eventually("the pipeline to be ready", func() bool {
		var err error
		p.at, err = readEndpoints(data)
		return err == nil && strings.Contains(p.output(), "audittrail is ready")
	})
	return p
}

func (p *pipeline) output() string {
	text, _ := os.ReadFile(p.log)
	return string(text)
}

func (p *pipeline) eventually(what string, cond func() bool) {
	p.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			p.t.Fatalf("waited in vain for %s", what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// stop stops the pipeline with SIGTERM and demands a clean end.
func (p *pipeline) stop() {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("audittrail up ended with %v", err)
	}
	if _, err := os.Stat(endpointsPath(p.data)); err == nil {
		p.t.Error("endpoints.json is still there after a clean stop")
	}
}

// run runs a client command and returns its output.
func (p *pipeline) run(args ...string) (string, error) {
	out, err := exec.Command(p.bin, append(args, "--data", p.data)...).CombinedOutput()
	return string(out), err
}

func (p *pipeline) must(args ...string) string {
	p.t.Helper()
	out, err := p.run(args...)
	if err != nil {
		p.t.Fatalf("audittrail %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// clickhouse asks ClickHouse as curl would.
func (p *pipeline) clickhouse(sql string) string {
	p.t.Helper()
	res, err := http.Post(p.at.ClickHouse, "text/plain", strings.NewReader(sql))
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		p.t.Fatalf("%s: %d %s %v", sql, res.StatusCode, b, err)
	}
	return strings.TrimSpace(string(b))
}

type page struct {
	Items      []map[string]any `json:"items"`
	NextCursor string           `json:"next_cursor"`
	Meta       struct {
		Total *int `json:"total"`
	} `json:"meta"`
}

func (p *pipeline) get(path string, query url.Values) page {
	p.t.Helper()
	res, err := http.Get(p.at.API + path + "?" + query.Encode())
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	var out page
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil || res.StatusCode != http.StatusOK {
		p.t.Fatalf("GET %s: %d %v", path, res.StatusCode, err)
	}
	return out
}

// total counts the events that match.
func (p *pipeline) total(query string) int {
	p.t.Helper()
	q, err := url.ParseQuery(query)
	if err != nil {
		p.t.Fatal(err)
	}
	q.Set("total", "true")
	q.Set("limit", "1")
	n := p.get("/api/logs/", q).Meta.Total
	if n == nil {
		p.t.Fatalf("%s: no total", query)
	}
	return *n
}

// attackers returns how many addresses have a brute-force alert in the tenant, and how many alerts there are.
func (p *pipeline) attackers(tenant string) (addresses, alerts int) {
	p.t.Helper()
	seen := make(map[string]bool)
	q := url.Values{"tenant": {tenant}, "rule": {"brute_force_ip"}, "limit": {"100"}}
	for {
		got := p.get("/api/alerts/", q)
		for _, a := range got.Items {
			alerts++
			seen[a["key"].(map[string]any)["source.ip_prefix"].(string)] = true
		}
		if got.NextCursor == "" {
			return len(seen), alerts
		}
		q.Set("cursor", got.NextCursor)
	}
}

const sshLog = "../../producer/sshd/testdata/auth.log"

func TestRealLogEndToEnd(t *testing.T) {
	p := up(t, filepath.Join(t.TempDir(), "data"))
	// Live events of today flow beside the log of 2017.
	live := exec.Command(p.bin, "generate", "--rate", "200", "--data", p.data)
	if err := live.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = live.Process.Kill(); _ = live.Wait() })

	out := p.must("import", "sshd", sshLog, "--year", "2017", "--tenant", "ssh")
	if !strings.Contains(out, "1042 failed and 226 accepted logins") {
		t.Errorf("the import says %q", out)
	}
	counts := func() [3]int {
		_, alerts := p.attackers("ssh")
		return [3]int{p.total("tenant=ssh&action=FAILED_LOGIN"), p.total("tenant=ssh&action=auth.login&outcome=success"), alerts}
	}
	want := [3]int{1042, 226, 101}
	p.eventually(fmt.Sprint("failed logins, accepted logins and alerts to be ", want), func() bool { return counts() == want })
	if addresses, _ := p.attackers("ssh"); addresses != 101 {
		t.Errorf("%d addresses have an alert, want 101", addresses)
	}
	if n := p.total("tenant=ssh&action=auth.login&outcome=failure&source_ip=10.0.0.0/8"); n != 0 {
		t.Errorf("%d failed logins came from a private network", n)
	}
	p.eventually("live events beside them", func() bool { return p.total("from=-1h") > 200 })
	_ = live.Process.Signal(syscall.SIGINT)
	_ = live.Wait()

	// Stop, start: all still there, nothing twice.
	p.eventually("all events to be stored", p.idle)
	before := p.clickhouse("SELECT count(), uniqExact(src_topic_id, src_partition, src_offset), uniqExact(id) FROM audit.events")
	p.stop()
	p = up(t, p.data)
	if got := counts(); got != want {
		t.Errorf("after a restart there are %v failed logins, accepted logins and alerts, want %v", got, want)
	}
	if after := p.clickhouse("SELECT count(), uniqExact(src_topic_id, src_partition, src_offset), uniqExact(id) FROM audit.events"); after != before {
		t.Errorf("before the restart ClickHouse had %s rows, offsets and ids, after it %s", before, after)
	}

	// A second import is recognisable: the same ids.
	p.must("import", "sshd", sshLog, "--year", "2017", "--tenant", "ssh")
	p.eventually("the second import to be stored", func() bool { return p.total("tenant=ssh&action=FAILED_LOGIN") == 2*1042 })
	if ids := p.clickhouse("SELECT uniqExact(id) FROM audit.events WHERE tenant = 'ssh' AND action = 'auth.login'"); ids != "1268" {
		t.Errorf("after a second import the logins have %s ids, want 1268", ids)
	}
	p.stop()
}

// idle reports whether the consumer has settled all that it has read, and has read all that there is.
func (p *pipeline) idle() bool {
	res, err := http.Get(p.at.API + "/metrics")
	if err != nil {
		return false
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || !strings.Contains(string(text), "\naudittrail_consumer_buffered_bytes 0\n") {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "audittrail_consumer_lag_records{") && !strings.HasSuffix(line, " 0\n") {
			return false
		}
	}
	return true
}

func TestAnyKafkaClientCanPublish(t *testing.T) {
	p := up(t, filepath.Join(t.TempDir(), "data"))
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.at.Kafka), kgo.DefaultProduceTopic("audit.events"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	produce := func(value string) {
		t.Helper()
		// kcat where it is installed: a client that shares no code with ours.
		if kcat, err := exec.LookPath("kcat"); err == nil && len(value) < 1000 && value != "" && !strings.ContainsAny(value, "\x00\n") {
			cmd := exec.Command(kcat, "-b", p.at.Kafka, "-t", "audit.events", "-P")
			cmd.Stdin = strings.NewReader(value)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("kcat: %v %s", err, out)
			}
			return
		}
		if err := cl.ProduceSync(context.Background(), &kgo.Record{Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	produce(`{"id":"bare-1","action":"LOGIN","outcome":"success","actor":{"name":"ana"},"service":{"name":"shop"},"shoe_size":43}`)
	produce(`{"specversion":"1.0","id":"structured-1","source":"/shop","type":"com.example.login","time":"2026-11-25T10:00:00Z",` +
		`"data":{"action":"auth.login","outcome":"failure","actor":{"name":"bob"},"source":{"ip":"192.0.2.7"},"service":{"name":"shop"}}}`)
	p.eventually("both events in the API", func() bool { return p.total("q="+url.QueryEscape("id:(bare-1, structured-1)")) == 2 })
	bare := p.get("/api/logs/", url.Values{"id": {"bare-1"}}).Items[0]
	if bare["action"] != "auth.login" || bare["metadata"].(map[string]any)["shoe_size"] != "43" {
		t.Errorf("the bare event is %v", bare)
	}
	structured := p.get("/api/logs/", url.Values{"source_ip": {"192.0.2.0/24"}}).Items[0]
	if structured["id"] != "structured-1" || structured["time"] != "2026-11-25T10:00:00Z" {
		t.Errorf("the structured event is %v", structured)
	}

	// Broken input of each kind ends in quarantine with a reason, and the count adds up.
	broken := map[string]string{
		"bad JSON":       `{"action":`,
		"missing action": `{"outcome":"success"}`,
		"300 KiB":        `{"action":"auth.login","message":"` + strings.Repeat("x", 300<<10) + `"}`,
		"empty":          "",
		"binary":         "\x00\x01\xff\xfe",
	}
	for _, v := range broken {
		produce(v)
	}
	p.eventually("the broken records in quarantine", func() bool {
		return p.clickhouse("SELECT count() FROM audit.quarantine WHERE reason != ''") == fmt.Sprint(len(broken))
	})
	checkQuarantineCommands(t, p, len(broken))
	// 2 rows, 5 quarantined and no hole make 7 offsets.
	p.eventually("the ledger to add up", func() bool {
		return p.clickhouse("SELECT sum(rows), sum(quarantined), sum(holes), sum(end_offset - first_offset) FROM audit.ledger FINAL WHERE src_topic = 'audit.events'") == "2\t5\t0\t7"
	})
	p.stop()
}

func TestKilledPipelineStartsAgain(t *testing.T) {
	p := up(t, filepath.Join(t.TempDir(), "data"))
	if out := p.must("generate", "--count", "20000"); strings.Contains(out, "\x1b") {
		t.Errorf("a progress bar where there is no terminal: %q", out)
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	p = up(t, p.data)
	p.eventually("all acknowledged events to be stored", func() bool { return p.clickhouse("SELECT count() FROM audit.events") == "20000" })
	if got := p.clickhouse("SELECT uniqExact(src_partition, src_offset), uniqExact(id) FROM audit.events"); got != "20000\t20000" {
		t.Errorf("%s offsets and ids, want 20000 each", got)
	}
	// Events and rollups of one insert become visible one after the other.
	for _, rollup := range []string{"rollup_1m", "rollup_1h"} {
		p.eventually(rollup+" to count the same", func() bool { return p.clickhouse("SELECT sum(events) FROM audit."+rollup) == "20000" })
	}
	p.stop()
}

func TestPortInUseIsAClearError(t *testing.T) {
	p := up(t, filepath.Join(t.TempDir(), "data"))
	for flag, addr := range map[string]string{
		"--listen": strings.TrimPrefix(p.at.API, "http://"), "--kafka-listen": p.at.Kafka, "--clickhouse-listen": strings.TrimPrefix(p.at.ClickHouse, "http://"),
	} {
		args := map[string]string{"--listen": "127.0.0.1:0", "--kafka-listen": "127.0.0.1:0", "--clickhouse-listen": "127.0.0.1:0"}
		args[flag] = addr
		cmd := exec.Command(p.bin, "up", "--data", t.TempDir())
		for f, a := range args {
			cmd.Args = append(cmd.Args, f, a)
		}
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), addr) || !strings.Contains(string(out), flag+" or AUDITTRAIL_") || !strings.Contains(string(out), "already in use") ||
			strings.Count(string(out), "\n") != 1 {
			t.Errorf("%s %s: %v\n%s", flag, addr, err, out)
		}
	}
	// The same folder twice.
	out, err := exec.Command(p.bin, "up", "--data", p.data, "--listen", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0", "--clickhouse-listen", "127.0.0.1:0").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "is in use by another audittrail process (its API is on "+p.at.API) {
		t.Errorf("the same folder twice: %v\n%s", err, out)
	}
	p.stop()
}
