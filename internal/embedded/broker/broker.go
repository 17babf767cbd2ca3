// Package broker is the embedded broker: franz-go's kfake, which speaks Kafka's protocol (groups, transactions, ACLs, SASL) and keeps its data in a folder
// with every write synced. It is for one machine, first contact and tests; larger installations run Apache Kafka.
//
// Topics and their ids, records, committed offsets with their metadata, transactional producers and ACLs survive a restart and kill -9: see recoverFolder for
// what kfake leaves to be done. Retention and compaction run every hour. What does not survive kill -9 is the atomicity of a transaction that was being
// committed at that moment: some of its partitions may be committed while the others, and the offsets, are not.
package broker

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/audittrail/audittrail/internal/embedded/folder"
)

// Options of a Broker.
type Options struct {
	// DataDir is the folder of the log; made when missing. One process at a time may use it. Required.
	DataDir string
	// Listen is host:port; port 0 picks a free one. Required. Only a loopback address is served: the broker has no users.
	Listen string
	// LockWait is how long to wait for a predecessor in the same folder to end.
	LockWait time.Duration
	// Logger is for people; nil means silence.
	Logger *slog.Logger
}

// Broker is an embedded broker.
type Broker struct {
	dir     string // kfake's
	running string // a file that is there while the broker runs
	addr    string
	log     *slog.Logger
	lock    *os.File
	cluster *kfake.Cluster
	closed  sync.Once
}

// Start opens the folder and serves at once; stop it with Run or Close. The cluster's id is made with the folder: another folder is another cluster.
func Start(o Options) (*Broker, error) {
	host, _, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen address %q of the embedded broker: %w", o.Listen, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("listen address %q of the embedded broker is not a loopback address: it has no users, so it serves this machine only", o.Listen)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	// The port first: a second broker fails before it touches the folder.
	ln, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for the embedded broker: %w", err)
	}
	b := &Broker{dir: filepath.Join(o.DataDir, "log"), running: filepath.Join(o.DataDir, "running"), addr: ln.Addr().String(), log: o.Logger}
	if err := b.open(o, ln); err != nil {
		_ = ln.Close()
		if b.lock != nil {
			_ = b.lock.Close()
		}
		return nil, fmt.Errorf("start the embedded broker on %s with the data in %s: %w", o.Listen, o.DataDir, err)
	}
	return b, nil
}

// open takes the folder, puts it right, and serves.
func (b *Broker) open(o Options, ln net.Listener) (err error) {
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return err
	}
	if b.lock, err = folder.Lock(o.DataDir, o.LockWait); err != nil {
		return err
	}
	_, err = os.Stat(b.running)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := recoverFolder(b.dir, err == nil, o.Logger); err != nil {
		return err
	}
	if err := writeFile(b.running, nil); err != nil {
		return err
	}
	// kfake reads the log when it opens it, segment by segment: collect the garbage while that goes on.
	percent := debug.SetGCPercent(20)
	defer func() { debug.SetGCPercent(percent); debug.FreeOSMemory() }()
	b.cluster, err = kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return patientListener{ln}, nil }),
		kfake.ClusterID(newClusterID()), // the folder's own id wins when it has one
		kfake.DataDir(b.dir),
		kfake.SyncWrites(),
		// Restarts on one machine are quick: a group need not wait long for a member that was killed.
		kfake.GroupMinSessionTimeout(time.Second),
		kfake.BrokerConfigs(map[string]string{
			"log.cleaner.backoff.ms": "315360000000", // kfake's own timer would compact unsafely: see maintain
			"log.segment.bytes":      "16777216",     // a start reads one segment of each partition into memory at a time
		}),
		kfake.WithLogger(logger{o.Logger}),
	)
	return err
}

// Addr is where clients reach the broker, host:port.
func (b *Broker) Addr() string { return b.addr }

// Run keeps the topics compacted and trimmed until ctx ends, and then stops the broker.
func (b *Broker) Run(ctx context.Context) error {
	tick := time.NewTicker(maintainEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return b.Close()
		case <-tick.C:
			if err := maintain(b.dir, b.cluster); err != nil {
				b.log.Error("embedded broker: maintenance failed, it will be tried again", "error", err)
			}
		}
	}
}

// Close writes what is in memory to disk, stops serving and frees the folder. Closing again does nothing.
func (b *Broker) Close() error {
	var err error
	b.closed.Do(func() {
		b.cluster.Close()
		// Only now: a broker that is killed before this line did not stop in order.
		if e := errors.Join(os.Remove(b.running), b.lock.Close()); e != nil {
			err = fmt.Errorf("stop the embedded broker: %w", e)
		}
	})
	return err
}

// newClusterID returns an id of the form that Kafka's own tools make: a random UUID in base64 for URLs.
func newClusterID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// logger passes kfake's log lines on.
type logger struct{ log *slog.Logger }

// Logf implements kfake.Logger.
func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	to := slog.LevelDebug
	// Its warnings are about milliseconds of a synced write, and come by the second under load: nothing that needs a person.
	if level == kfake.LogLevelError {
		to = slog.LevelError
	}
	ctx := context.Background()
	if l.log.Enabled(ctx, to) {
		l.log.Log(ctx, to, "embedded broker: "+fmt.Sprintf(format, args...))
	}
}
