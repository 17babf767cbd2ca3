// Package engine is the embedded ClickHouse: libchdb (ClickHouse as a shared library, loaded without cgo) behind an HTTP server that speaks ClickHouse's
// HTTP interface on a loopback address, and the supervisor that keeps it running in a child process.
//
// Clients see a ClickHouse server: queries, parameters, settings, streamed results, streamed inserts, exceptions with their codes and statuses. What it does
// not do: users and grants (every client on the machine has all rights), sessions (session_id is accepted and has no effect), compression, external tables,
// replication, and query ids inside the engine (in system.processes the client's query_id is the beginning of Settings['log_comment']).
//
// It is for one machine, first contact and tests. Larger installations run a ClickHouse cluster.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Defaults of Options.
const (
	DefaultMemoryLimit   = 2 << 30
	DefaultMaxConcurrent = 16
	DefaultMaxWaiting    = 64
	DefaultStopTimeout   = 15 * time.Second
	DefaultIOTimeout     = 30 * time.Second
)

// Options of a Server.
type Options struct {
	// DataDir is the folder of the tables; made when missing. One process at a time may use it. Required.
	DataDir string
	// Library is the path of libchdb; see FindLibrary. Required.
	Library string
	// DisplayName is what displayName() says; "embedded" when empty.
	DisplayName string
	// MemoryLimit bounds the engine's memory, in bytes; a statement that would pass it fails with code 241. One statement gets three quarters of it.
	// DefaultMemoryLimit when 0.
	MemoryLimit int64
	// MaxConcurrent statements run at once (DefaultMaxConcurrent), MaxWaiting more wait (DefaultMaxWaiting), for IOTimeout at most; beyond that requests
	// fail with code 202.
	MaxConcurrent, MaxWaiting int
	// StopTimeout is how long Serve lets running statements finish once its context ends; then they are cancelled. DefaultStopTimeout when 0.
	StopTimeout time.Duration
	// IOTimeout ends a request whose client neither sends nor takes a byte for so long. DefaultIOTimeout when 0.
	IOTimeout time.Duration
	// LockWait is how long to wait for a predecessor in the same folder to end.
	LockWait time.Duration
	// Logger is for people; nil means silence. Statements and their data are never logged.
	Logger *slog.Logger
}

func (o Options) withDefaults() (Options, error) {
	switch {
	case o.DataDir == "":
		return o, errors.New("embedded ClickHouse: no data folder given")
	case o.Library == "":
		return o, errors.New("embedded ClickHouse: no library given")
	case o.MemoryLimit < 0, o.MaxConcurrent < 0, o.MaxWaiting < 0, o.StopTimeout < 0, o.IOTimeout < 0, o.LockWait < 0:
		return o, errors.New("embedded ClickHouse: a limit is negative")
	}
	if o.DisplayName == "" {
		o.DisplayName = "embedded"
	}
	if o.MemoryLimit == 0 {
		o.MemoryLimit = DefaultMemoryLimit
	}
	if o.MaxConcurrent == 0 {
		o.MaxConcurrent = DefaultMaxConcurrent
	}
	if o.MaxWaiting == 0 {
		o.MaxWaiting = DefaultMaxWaiting
	}
	if o.StopTimeout == 0 {
		o.StopTimeout = DefaultStopTimeout
	}
	if o.IOTimeout == 0 {
		o.IOTimeout = DefaultIOTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// Server is an embedded ClickHouse. A process can have one, and serve it once.
type Server struct {
	o        Options
	log      *slog.Logger
	db       *database
	admitted *admission
	life     sync.RWMutex // read-locked by every request; stop locks it for good
}

// New checks the options. It starts nothing.
func New(o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Server{o: o, log: o.Logger, admitted: newAdmission(o.MaxConcurrent, o.MaxWaiting, o.IOTimeout)}, nil
}

// Listen opens a listener for Serve or a Supervisor. The address must be a loopback one, because every client has all rights; port 0 picks a free one.
func Listen(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen address %q of the embedded ClickHouse: %w", address, err)
	}
	if !isLoopback(host) {
		return nil, fmt.Errorf("listen address %q of the embedded ClickHouse is not a loopback address: it has no users, so it serves this machine only", address)
	}
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for the embedded ClickHouse: %w", err)
	}
	return ln, nil
}

// Serve boots the engine and answers requests on ln until ctx ends; then it finishes the running statements and returns nil. It closes ln. The process
// should end then: libchdb's background threads, and the lock on the folder, stay until it does. An error says that the engine could not start (folder.ErrLocked:
// the folder is in use) or that the listener failed.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	defer ln.Close()
	if tcp, ok := ln.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		return fmt.Errorf("embedded ClickHouse: %s is not a loopback address", ln.Addr())
	}
	started := time.Now()
	db, err := bootDatabase(s.o)
	if err != nil {
		return err
	}
	s.db = db
	s.log.Info("embedded clickhouse is ready", "version", db.version, "address", ln.Addr().String(), "took", time.Since(started).Round(time.Millisecond))

	// Requests outlive ctx until StopTimeout has passed.
	working, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	srv := &http.Server{
		Handler:           http.HandlerFunc(s.serveHTTP),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    1 << 20, // statements may come in the URL
		BaseContext:       func(net.Listener) context.Context { return working },
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err = <-failed:
		err = fmt.Errorf("serve the embedded ClickHouse: %w", err)
	case <-ctx.Done():
	}
	s.stop(srv, giveUp)
	return err
}

// stop ends the requests, first politely, and then the engine.
func (s *Server) stop(srv *http.Server, giveUp context.CancelFunc) {
	polite, cancel := context.WithTimeout(context.Background(), s.o.StopTimeout)
	defer cancel()
	if srv.Shutdown(polite) != nil {
		s.log.Warn("cancelling the statements that still run")
	}
	giveUp()
	_ = srv.Close()
	s.life.Lock()
	s.db.shutdown()
	s.log.Info("embedded clickhouse is stopped")
}

// admission bounds how many requests work and wait at once.
type admission struct {
	running  chan struct{}
	present  chan struct{} // running and waiting
	patience time.Duration
}

func newAdmission(running, waiting int, patience time.Duration) *admission {
	return &admission{running: make(chan struct{}, running), present: make(chan struct{}, running+waiting), patience: patience}
}

// enter waits for a place. leave must be called after it returned nil.
func (a *admission) enter(ctx context.Context) error {
	select {
	case a.present <- struct{}{}:
	default:
		return a.refusal()
	}
	tooLong := time.NewTimer(a.patience)
	defer tooLong.Stop()
	select {
	case a.running <- struct{}{}:
		return nil
	case <-ctx.Done():
		<-a.present
		return newException(codeQueryWasCancelled, "Query was cancelled")
	case <-tooLong.C:
		<-a.present
		return a.refusal()
	}
}

func (a *admission) refusal() error {
	return newException(codeTooManyQueries, "Too many simultaneous queries. Maximum: %d", cap(a.running))
}

func (a *admission) leave() {
	<-a.running
	<-a.present
}
