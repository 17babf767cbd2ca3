package broker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The tests run this binary again as a broker of its own, so that it can be killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "broker-child" {
		os.Exit(childMain(os.Args[2], os.Args[3]))
	}
	os.Exit(m.Run())
}

func childMain(dir, listen string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	b, err := Start(Options{DataDir: dir, Listen: listen, LockWait: 5 * time.Second, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(b.Addr())
	// Maintenance on demand: nobody waits an hour.
	demand := make(chan os.Signal, 1)
	signal.Notify(demand, syscall.SIGUSR1)
	go func() {
		for range demand {
			fmt.Println("maintained", maintain(b.dir, b.cluster))
		}
	}()
	if err := b.Run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// process is a broker in a process of its own.
type process struct {
	cmd  *exec.Cmd
	addr string
	out  *bufio.Reader
}

// start runs a broker; addr "127.0.0.1:0" picks a port.
func start(t testing.TB, dir, addr string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0], "broker-child", dir, addr)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal("the broker does not start: ", err)
	}
	return &process{cmd: cmd, addr: strings.TrimSpace(line), out: lines}
}

// maintain makes the process compact and trim its topics.
func (p *process) maintain(t testing.TB) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if line, err := p.out.ReadString('\n'); err != nil || line != "maintained <nil>\n" {
		t.Fatalf("maintenance: %q, %v", line, err)
	}
}

// end ends the process with a signal and waits for it.
func (p *process) end(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	err := p.cmd.Wait()
	if signal == syscall.SIGTERM && err != nil {
		t.Errorf("the broker did not stop in order: %v", err)
	}
}

func client(t testing.TB, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(addr), kgo.MetadataMinAge(10 * time.Millisecond), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond })}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func makeTopic(t testing.TB, addr, topic string, partitions int32, configs map[string]*string) {
	t.Helper()
	if _, err := kadm.NewClient(client(t, addr)).CreateTopic(t.Context(), partitions, 1, configs, topic); err != nil {
		t.Fatal(err)
	}
}

// committed returns the values of a topic that a read-committed reader sees, in order, one partition.
func committed(t testing.TB, addr, topic string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	adm := kadm.NewClient(client(t, addr))
	begins, err := adm.ListStartOffsets(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	ends, err := adm.ListCommittedOffsets(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	begin, _ := begins.Lookup(topic, 0)
	o, _ := ends.Lookup(topic, 0)
	cl := client(t, addr, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(100*time.Millisecond))
	var values []string
	for next := begin.Offset; next < o.Offset; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("at offset %d of %d: %v", next, o.Offset, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			if !r.Attrs.IsControl() {
				values = append(values, string(r.Value))
			}
		})
	}
	return values
}

// produce stores values, one after the other.
func produce(t testing.TB, addr, topic string, values ...string) {
	t.Helper()
	cl := client(t, addr, kgo.DefaultProduceTopic(topic))
	defer cl.Close()
	for _, v := range values {
		if err := cl.ProduceSync(t.Context(), kgo.KeyStringRecord("key", v)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func ptr(s string) *string { return &s }

// TestRestartKeeps: cluster and topic ids, records, offsets with metadata, topic settings and ACLs outlive a stop in order and a kill.
func TestRestartKeeps(t *testing.T) {
	for name, how := range map[string]syscall.Signal{"stop": syscall.SIGTERM, "kill": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			p := start(t, dir, "127.0.0.1:0")
			makeTopic(t, p.addr, "t", 1, map[string]*string{"retention.ms": ptr("123456789")})
			produce(t, p.addr, "t", "one", "two", "three")
			adm := kadm.NewClient(client(t, p.addr))
			offsets := kadm.Offsets{}
			offsets.Add(kadm.Offset{Topic: "t", Partition: 0, At: 2, LeaderEpoch: -1, Metadata: "plan \x00 ünï"})
			if err := adm.CommitAllOffsets(t.Context(), "group", offsets); err != nil {
				t.Fatal(err)
			}
			acl := kadm.NewACLs().Topics("t").Allow("User:a").AllowHosts().Operations(kadm.OpRead)
			if _, err := adm.CreateACLs(t.Context(), acl); err != nil {
				t.Fatal(err)
			}
			was := state(t, p.addr)
			for range 2 {
				p.end(t, how)
				p = start(t, dir, "127.0.0.1:0")
				if is := state(t, p.addr); is != was {
					t.Fatalf("state\n%s\nwant\n%s", is, was)
				}
			}
			other := start(t, t.TempDir(), "127.0.0.1:0")
			if a, b := clusterID(t, p.addr), clusterID(t, other.addr); a == b {
				t.Errorf("a new folder has the cluster id of another: %s", a)
			}
		})
	}
}

func clusterID(t testing.TB, addr string) string {
	t.Helper()
	m, err := kadm.NewClient(client(t, addr)).Metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return m.Cluster
}

// state describes what must not change.
func state(t testing.TB, addr string) string {
	t.Helper()
	adm := kadm.NewClient(client(t, addr))
	topics, err := adm.ListTopics(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	offsets, err := adm.FetchOffsets(t.Context(), "group")
	if err != nil {
		t.Fatal(err)
	}
	o, _ := offsets.Lookup("t", 0)
	configs, err := adm.DescribeTopicConfigs(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	retention := ""
	for _, c := range configs[0].Configs {
		if c.Key == "retention.ms" {
			retention = c.MaybeValue()
		}
	}
	acls, err := adm.DescribeACLs(t.Context(), kadm.NewACLs().Topics("t").Allow("User:a").AllowHosts().Operations(kadm.OpRead))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("cluster %s, topic %v, records %q, offset %d %q, retention %s, %d ACLs",
		clusterID(t, addr), topics["t"].ID, committed(t, addr, "t"), o.At, o.Metadata, retention, len(acls[0].Described))
}

// TestKilledInMidProduce: what was acknowledged is there, in the order of its producer, and the broker comes up again, however often it is killed under load.
func TestKilledInMidProduce(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir, "127.0.0.1:0")
	makeTopic(t, p.addr, "t", 1, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var acknowledged atomic.Int64
	done := make(chan []int)
	go func() {
		cl := client(t, p.addr, kgo.DefaultProduceTopic("t"), kgo.ProducerLinger(time.Millisecond), kgo.MaxBufferedRecords(500))
		var mu sync.Mutex
		var acked []int
		for i := 0; ctx.Err() == nil; i++ {
			cl.Produce(ctx, kgo.StringRecord(fmt.Sprintf("%d %s", i, strings.Repeat("x", 2000))), func(_ *kgo.Record, err error) {
				if err == nil {
					mu.Lock()
					acked = append(acked, i)
					mu.Unlock()
					acknowledged.Add(1)
				}
			})
		}
		cl.Close() // fails what is still buffered
		mu.Lock()
		defer mu.Unlock()
		done <- acked
	}()
	for range 3 {
		before := acknowledged.Load()
		eventually(t, "records are acknowledged", func() bool { return acknowledged.Load() > before+2000 })
		p.end(t, syscall.SIGKILL)
		p = start(t, dir, p.addr)
	}
	before := acknowledged.Load()
	eventually(t, "records are acknowledged", func() bool { return acknowledged.Load() > before+1000 })
	cancel()
	acked := <-done
	stored := map[int]int{}
	for _, v := range committed(t, p.addr, "t") {
		n, _, _ := strings.Cut(v, " ")
		i, err := strconv.Atoi(n)
		if err != nil {
			t.Fatal(err)
		}
		stored[i]++
	}
	lost, repeated := 0, 0
	for _, i := range acked {
		if stored[i] == 0 {
			lost++
		}
	}
	for _, n := range stored {
		repeated += n - 1
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged records are lost", lost, len(acked))
	}
	t.Logf("%d acknowledged, %d stored, %d sent again after a kill", len(acked), len(stored), repeated)
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-deadline:
			t.Fatal("gave up waiting: " + what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// TestAbandonedTransactionStaysAborted: what was in a transaction when the broker was killed is never seen, not even after the same producer has committed
// others and the broker was killed again.
func TestAbandonedTransactionStaysAborted(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir, "127.0.0.1:0")
	makeTopic(t, p.addr, "t", 1, nil)
	begin := func(value string) *kgo.Client {
		t.Helper()
		cl := client(t, p.addr, kgo.TransactionalID("tx"), kgo.DefaultProduceTopic("t"))
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := cl.ProduceSync(t.Context(), kgo.StringRecord(value)).FirstErr(); err != nil {
			t.Fatal(err)
		}
		return cl
	}
	commit := func(value string) {
		t.Helper()
		cl := begin(value)
		if err := cl.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		cl.Close()
	}
	commit("one")
	begin("abandoned")
	want := "one"
	for i := range 3 {
		p.end(t, syscall.SIGKILL)
		p = start(t, dir, "127.0.0.1:0")
		if got := strings.Join(committed(t, p.addr, "t"), " "); got != want {
			t.Fatalf("after kill %d: %q, want %q", i, got, want)
		}
		commit(strconv.Itoa(i))
		want += " " + strconv.Itoa(i)
	}
	if got := strings.Join(committed(t, p.addr, "t"), " "); got != want {
		t.Fatalf("%q, want %q", got, want)
	}
}

// TestSurvivingProducerIsFenced: a producer whose transaction was open when the broker was killed learns that it is gone.
func TestSurvivingProducerIsFenced(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir, "127.0.0.1:0")
	makeTopic(t, p.addr, "t", 1, nil)
	cl := client(t, p.addr, kgo.TransactionalID("tx"), kgo.DefaultProduceTopic("t"))
	for _, value := range []string{"one", "two"} {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := cl.ProduceSync(t.Context(), kgo.StringRecord(value)).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if value == "two" {
			p.end(t, syscall.SIGKILL)
			p = start(t, dir, p.addr)
		}
		err := cl.EndTransaction(t.Context(), kgo.TryCommit)
		if (err == nil) != (value == "one") {
			t.Errorf("commit of %s: %v", value, err)
		}
	}
	if got := committed(t, p.addr, "t"); len(got) != 1 || got[0] != "one" {
		t.Errorf("records %q", got)
	}
}

// TestOffsetsGoOn: a partition that retention has emptied goes on at its next offset, never at 0 again.
func TestOffsetsGoOn(t *testing.T) {
	for name, how := range map[string]syscall.Signal{"stop": syscall.SIGTERM, "kill": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			p := start(t, dir, "127.0.0.1:0")
			makeTopic(t, p.addr, "t", 1, map[string]*string{"retention.ms": ptr("1")})
			produce(t, p.addr, "t", "one", "two", "three")
			p.maintain(t)
			if got := committed(t, p.addr, "t"); len(got) != 0 {
				t.Fatalf("retention left %q", got)
			}
			for i := range 3 {
				p.end(t, how)
				p = start(t, dir, "127.0.0.1:0")
				end, err := kadm.NewClient(client(t, p.addr)).ListEndOffsets(t.Context(), "t")
				if o, _ := end.Lookup("t", 0); err != nil || o.Offset != 3 {
					t.Fatalf("after restart %d: end offset %d, %v", i, o.Offset, err)
				}
			}
			produce(t, p.addr, "t", "four")
			if got := committed(t, p.addr, "t"); len(got) != 1 || got[0] != "four" {
				t.Errorf("records %q", got)
			}
		})
	}
}

// TestCompaction: superseded records go, the last one of a key stays, also across a kill.
func TestCompaction(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir, "127.0.0.1:0")
	makeTopic(t, p.addr, "t", 1, map[string]*string{"cleanup.policy": ptr("compact")})
	produce(t, p.addr, "t", "one", "two", "three", "four")
	p.maintain(t)
	want := []string{"three", "four"} // the last batch is never touched, so the key has one more
	if got := committed(t, p.addr, "t"); !slices.Equal(got, want) {
		t.Errorf("compacted to %q, want %q", got, want)
	}
	produce(t, p.addr, "t", "five")
	p.end(t, syscall.SIGKILL)
	p = start(t, dir, "127.0.0.1:0")
	if got := committed(t, p.addr, "t"); !slices.Equal(got, append(want, "five")) {
		t.Errorf("after a kill: %q", got)
	}
}

func TestStartErrors(t *testing.T) {
	dir := t.TempDir()
	b, err := Start(Options{DataDir: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, dir, listen, want string }{
		{"port in use", t.TempDir(), b.Addr(), "address already in use"},
		{"folder in use", dir, "127.0.0.1:0", "another process uses it"},
		{"everybody", t.TempDir(), "0.0.0.0:0", "not a loopback address"},
		{"name", t.TempDir(), "example.org:9092", "not a loopback address"},
		{"no port", t.TempDir(), "127.0.0.1", "missing port"},
		{"bad port", t.TempDir(), "127.0.0.1:many", "many"},
		{"folder that cannot be made", "/proc/nothing", "127.0.0.1:0", "/proc/nothing"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			other, err := Start(Options{DataDir: tc.dir, Listen: tc.listen})
			if err == nil {
				other.Close()
				t.Fatal("it starts")
			}
			if !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want %q in it", err, tc.want)
			}
		})
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
	if b, err = Start(Options{DataDir: dir, Listen: "127.0.0.1:0"}); err != nil {
		t.Fatalf("the folder is not free again: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Run(ctx); err != nil {
		t.Error(err)
	}
}

// flaky fails as a listener without file descriptors does.
type flaky struct {
	net.Listener
	failures int
}

func (f *flaky) Accept() (net.Conn, error) {
	if f.failures > 0 {
		f.failures--
		return nil, syscall.EMFILE
	}
	return f.Listener.Accept()
}

func TestListenerGoesOn(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if conn, err := net.Dial("tcp", ln.Addr().String()); err == nil {
			conn.Close()
		}
	}()
	patient := patientListener{&flaky{Listener: ln, failures: 3}}
	conn, err := patient.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	ln.Close()
	if _, err := patient.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed listener: %v", err)
	}
}
