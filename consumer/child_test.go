package consumer

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/internal/kafka"
)

// childEnv makes the test binary a consumer process of its own, so that it can really be killed.
const childEnv = "AUDITTRAIL_CONSUMER_CHILD"

// childOptions are what a child gets from its parent.
type childOptions struct {
	Kafka      kafka.Config
	ClickHouse string
	Session    time.Duration
	Insert     time.Duration
	Age        time.Duration
	Rows       int
	Instance   string
}

// runChild is the main of a child process.
func runChild(text string) int {
	var o childOptions
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ch, err := clickhouse.New(clickhouse.Options{URLs: []string{o.ClickHouse}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	c, err := New(Options{
		Kafka: o.Kafka, ClickHouse: ch, SessionTimeout: o.Session, InsertTimeout: o.Insert, MaxAge: o.Age, MaxRows: o.Rows, InstanceID: o.Instance,
		DrainTimeout: 2 * time.Second, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := c.Run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// child is a consumer in a process of its own.
type child struct {
	t   testing.TB
	cmd *exec.Cmd
	// clientID names the process among the group's members.
	clientID string
	// exited is closed when the process has ended.
	exited chan struct{}

	mu    sync.Mutex
	lines []string
}

// spawn starts a child with the failpoints.
func (w *world) spawn(o childOptions, failpoints string) *child {
	w.t.Helper()
	o.Kafka = w.cfg
	w.spawned++
	o.Kafka.ClientID = fmt.Sprint("child-", w.spawned)
	if o.ClickHouse == "" {
		o.ClickHouse = w.url
	}
	if o.Session == 0 {
		o.Session = time.Second
	}
	if o.Insert == 0 {
		o.Insert = 3 * time.Second
	}
	if o.Age == 0 {
		o.Age = 30 * time.Millisecond
	}
	text, err := json.Marshal(o)
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(text), "GOFAIL_FAILPOINTS="+failpoints)
	out, err := cmd.StderrPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	c := &child{t: w.t, cmd: cmd, clientID: o.Kafka.ClientID, exited: make(chan struct{})}
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			c.mu.Lock()
			c.lines = append(c.lines, s.Text())
			c.mu.Unlock()
			if os.Getenv("AUDITTRAIL_TEST_LOG") != "" {
				fmt.Fprintln(os.Stderr, cmd.Process.Pid, s.Text())
			}
		}
		_ = cmd.Wait()
		close(c.exited)
	}()
	w.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGCONT)
		c.kill()
	})
	return c
}

func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	<-c.exited
}

// terminate asks the child to stop and waits for it.
func (c *child) terminate() {
	c.t.Helper()
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	<-c.exited
	status, _ := c.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() && status.Signal() == syscall.SIGTERM {
		return // it had only just been started and did not listen to signals yet
	}
	if code := c.cmd.ProcessState.ExitCode(); code != 0 {
		c.t.Errorf("the consumer ended with status %d:\n%s", code, strings.Join(c.lines, "\n"))
	}
}
