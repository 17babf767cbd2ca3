package broker

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
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
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal("the broker does not start: ", err)
	}
	return &process{cmd: cmd, addr: strings.TrimSpace(line)}
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
	end, err := kadm.NewClient(client(t, addr)).ListCommittedOffsets(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	o, _ := end.Lookup(topic, 0)
	cl := client(t, addr, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(100*time.Millisecond))
	var values []string
	for next := int64(0); next < o.Offset; {
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
