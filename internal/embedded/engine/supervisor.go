package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	firstRestartDelay = 100 * time.Millisecond
	maxRestartDelay   = 5 * time.Second
	// stableAfter is how long a child must have lived for the next restart to be quick again.
	stableAfter = 30 * time.Second
	// startAttempts bounds the tries of a child that was killed before the first success: what never worked will not start to.
	startAttempts = 3
	pingTimeout   = 2 * time.Second
	pingInterval  = 20 * time.Millisecond
)

// SupervisorOptions of a Supervisor.
type SupervisorOptions struct {
	// Listener is where the engine is reached; from Listen. The supervisor holds it while children come and go, so the address stays and connections queue
	// during a restart, and closes it in the end. Required.
	Listener net.Listener
	// Command are the arguments of the child, which must call RunChild. Required.
	Command []string
	// Program is the child's executable; this one when empty.
	Program string
	// Env are variables for the child in addition to this process's.
	Env []string
	// StopTimeout is how long a child may take to stop before it is killed. DefaultStopTimeout and a bit when 0.
	StopTimeout time.Duration
	// Output gets the child's standard output and error, which are its log lines; os.Stderr when nil.
	Output io.Writer
	// Logger is for people; nil means silence.
	Logger *slog.Logger
	// Registerer gets the metrics; nil means none.
	Registerer prometheus.Registerer
}

// Supervisor keeps an embedded ClickHouse running in a child process, so that its crash or kill takes nothing else along.
type Supervisor struct {
	o       SupervisorOptions
	log     *slog.Logger
	client  *http.Client
	url     string
	metrics *supervisorMetrics

	mu       sync.Mutex
	child    *exec.Cmd // nil while there is none
	ready    bool
	restarts int
}

// NewSupervisor checks the options. It starts nothing.
func NewSupervisor(o SupervisorOptions) (*Supervisor, error) {
	if o.Listener == nil || len(o.Command) == 0 {
		return nil, errors.New("embedded ClickHouse: the supervisor needs a listener and a command")
	}
	if _, ok := o.Listener.(*net.TCPListener); !ok {
		return nil, fmt.Errorf("embedded ClickHouse: the supervisor cannot pass on a %T", o.Listener)
	}
	if o.Program == "" {
		var err error
		if o.Program, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("find the program of the embedded ClickHouse: %w", err)
		}
	}
	if o.StopTimeout == 0 {
		o.StopTimeout = DefaultStopTimeout + 5*time.Second
	}
	if o.Output == nil {
		o.Output = os.Stderr
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Supervisor{
		o: o, log: o.Logger, url: "http://" + o.Listener.Addr().String(),
		client: &http.Client{Timeout: pingTimeout, Transport: &http.Transport{DisableKeepAlives: true}},
	}
	var err error
	s.metrics, err = newSupervisorMetrics(o.Registerer, s)
	return s, err
}

// URL is where clients reach the engine; the same for the life of the supervisor.
func (s *Supervisor) URL() string { return s.url }

// PID of the child; 0 while there is none.
func (s *Supervisor) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child == nil {
		return 0
	}
	return s.child.Process.Pid
}

// Restarts counts how often a child died and was replaced.
func (s *Supervisor) Restarts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.restarts
}

// Memory of the child in bytes: resident now, and at most. Zero where the system does not tell (it needs /proc), or without a child.
func (s *Supervisor) Memory() (resident, peak uint64) {
	pid := s.PID()
	if pid == 0 {
		return 0, 0
	}
	return processMemory(fmt.Sprintf("/proc/%d/status", pid))
}

// Ready is nil when the engine answers, else it says why not.
func (s *Supervisor) Ready(ctx context.Context) error {
	s.mu.Lock()
	ready := s.ready
	s.mu.Unlock()
	if !ready {
		return errors.New("the embedded ClickHouse is starting")
	}
	return s.ping(ctx)
}

// WaitReady returns nil as soon as the engine answers, or the context's error.
func (s *Supervisor) WaitReady(ctx context.Context) error {
	for {
		if s.Ready(ctx) == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the embedded ClickHouse: %w", context.Cause(ctx))
		case <-time.After(pingInterval):
		}
	}
}

func (s *Supervisor) ping(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/ping", nil)
	if err != nil {
		return fmt.Errorf("ask the embedded ClickHouse: %w", err)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return fmt.Errorf("ask the embedded ClickHouse: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("ask the embedded ClickHouse: it answered %s", res.Status)
	}
	return nil
}

// Run keeps a child running until ctx ends, stops it and returns nil. It returns an error only when no child ever got ready: later it restarts for ever.
func (s *Supervisor) Run(ctx context.Context) error {
	defer s.o.Listener.Close()
	delay, everReady := firstRestartDelay, false
	for attempt := 1; ; attempt++ {
		started := time.Now()
		ready, err := s.runOnce(ctx)
		if ctx.Err() != nil {
			return err
		}
		everReady = everReady || ready
		if !everReady && (attempt == startAttempts || gaveUp(err)) {
			return fmt.Errorf("the embedded ClickHouse does not start (see its lines above): %w", err)
		}
		if time.Since(started) > stableAfter {
			delay = firstRestartDelay
		}
		s.log.Error("embedded clickhouse died: restarting it", "reason", err, "lived", time.Since(started).Round(time.Millisecond), "delay", delay)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(delay):
		}
		delay = min(delay*2, maxRestartDelay)
		s.mu.Lock()
		s.restarts++
		s.mu.Unlock()
		s.metrics.restarts.Inc()
	}
}

// gaveUp says whether a child ended with an exit status of its own: what it could not do, it cannot do the next time either.
func gaveUp(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.Exited()
}

// endedBy says whether a child was ended by the signal itself.
func endedBy(err error, signal syscall.Signal) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == signal
}

// runOnce runs one child to its end. It says whether the child ever answered, and why it ended; nothing when it was stopped in order.
func (s *Supervisor) runOnce(ctx context.Context) (ready bool, err error) {
	cmd, lifeline, err := s.start()
	if err != nil {
		return false, err
	}
	defer lifeline.Close()
	s.setChild(cmd)
	defer s.setChild(nil)

	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	answered := make(chan bool, 1)
	go func() { answered <- s.watchStart(watching) }()

	select {
	case err = <-exited:
		if err == nil {
			err = errors.New("it ended without being told to")
		}
	case <-ctx.Done():
		err = s.terminate(cmd, exited)
	}
	stopWatching()
	return <-answered, err
}

// start launches a child with the listener as its file 3 and the read end of the life line as its standard input.
func (s *Supervisor) start() (*exec.Cmd, io.Closer, error) {
	file, err := s.o.Listener.(*net.TCPListener).File()
	if err != nil {
		return nil, nil, fmt.Errorf("pass the listener to the embedded ClickHouse: %w", err)
	}
	defer file.Close()
	cmd := exec.Command(s.o.Program, s.o.Command...)
	cmd.Env = append(os.Environ(), s.o.Env...)
	cmd.ExtraFiles = []*os.File{file}
	cmd.Stdout, cmd.Stderr = s.o.Output, s.o.Output
	cmd.WaitDelay = time.Second // for a grandchild that holds the output open
	// A group of its own: a Ctrl-C at the terminal is for the parent, which stops its parts in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, fmt.Errorf("start the embedded ClickHouse: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("start the embedded ClickHouse: %w", err)
	}
	return cmd, lifeline, nil
}

func (s *Supervisor) setChild(cmd *exec.Cmd) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.child, s.ready = cmd, false
}

// watchStart waits for the first answer of a new child.
func (s *Supervisor) watchStart(ctx context.Context) bool {
	for {
		if s.ping(ctx) == nil {
			s.mu.Lock()
			s.ready = true
			s.mu.Unlock()
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pingInterval):
		}
	}
}

// terminate asks the child to stop, and kills it when it does not.
func (s *Supervisor) terminate(cmd *exec.Cmd, exited <-chan error) error {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-exited:
		if err != nil && !endedBy(err, syscall.SIGTERM) { // it was too young to handle the signal
			return fmt.Errorf("stop the embedded ClickHouse: %w", err)
		}
		return nil
	case <-time.After(s.o.StopTimeout):
		_ = cmd.Process.Kill()
		<-exited
		return fmt.Errorf("stop the embedded ClickHouse: killed, it did not stop within %s", s.o.StopTimeout)
	}
}

// processMemory reads resident and peak memory, in bytes, from a status file of /proc.
func processMemory(path string) (resident, peak uint64) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseUint(fields[1], 10, 64)
		switch fields[0] {
		case "VmRSS:":
			resident = kib << 10
		case "VmHWM:":
			peak = kib << 10
		}
	}
	return resident, peak
}
