// Package broker is the embedded broker: franz-go's kfake, which speaks Kafka's protocol (groups, transactions, ACLs, SASL) and keeps its data in a folder
// with every write synced. It is for one machine, first contact and tests; larger installations run Apache Kafka.
//
// Topics and their ids, records, committed offsets with their metadata, and producers' state survive a restart and kill -9. Retention and compaction run by
// themselves.
package broker

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
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
	cluster *kfake.Cluster
	lock    *os.File
	addr    string
}

// Start opens the folder and serves at once; stop it with Run or Close. The cluster's id is made with the folder: another folder is another cluster.
func Start(o Options) (*Broker, error) {
	host, port, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen address %q of the embedded broker: %w", o.Listen, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("listen address %q of the embedded broker is not a loopback address: it has no users, so it serves this machine only", o.Listen)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("listen address %q of the embedded broker: %q is not a port", o.Listen, port)
	}
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the embedded broker: %w", err)
	}
	lock, err := folder.Lock(o.DataDir, o.LockWait)
	if err != nil {
		return nil, fmt.Errorf("embedded broker: %w", err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.Ports(int(number)),
		kfake.ListenFn(func(network, address string) (net.Listener, error) {
			_, p, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return net.Listen(network, net.JoinHostPort(host, p))
		}),
		kfake.ClusterID(newClusterID()), // the folder's own id wins when it has one
		kfake.DataDir(filepath.Join(o.DataDir, "log")),
		kfake.SyncWrites(),
		// Restarts on one machine are quick: a group need not wait long for a member that was killed.
		kfake.GroupMinSessionTimeout(time.Second),
		kfake.WithLogger(logger{o.Logger}),
	)
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("start the embedded broker on %s with the data in %s: %w", o.Listen, o.DataDir, err)
	}
	return &Broker{cluster: cluster, lock: lock, addr: cluster.ListenAddrs()[0]}, nil
}

// Addr is where clients reach the broker, host:port.
func (b *Broker) Addr() string { return b.addr }

// Run waits until ctx ends and then stops the broker.
func (b *Broker) Run(ctx context.Context) error {
	<-ctx.Done()
	return b.Close()
}

// Close writes what is in memory to disk, stops serving and frees the folder.
func (b *Broker) Close() error {
	b.cluster.Close()
	if err := b.lock.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("free the folder of the embedded broker: %w", err)
	}
	return nil
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
	switch level {
	case kfake.LogLevelError:
		to = slog.LevelError
	case kfake.LogLevelWarn: // slow disks, bytes cut off after a crash: nothing that needs a person
		to = slog.LevelInfo
	}
	ctx := context.Background()
	if l.log.Enabled(ctx, to) {
		l.log.Log(ctx, to, "embedded broker: "+fmt.Sprintf(format, args...))
	}
}
