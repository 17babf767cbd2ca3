package producer

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/audittrail/audittrail/schemas/audit"
)

// cluster starts a broker that has the topic of events.
func cluster(t testing.TB, opts ...kfake.Opt) (*kfake.Cluster, []string) {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(3, DefaultTopic)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, c.ListenAddrs()
}

// start returns a producer of a service named test.
func start(t testing.TB, opts Options) *Producer {
	t.Helper()
	if opts.Service.Name == "" {
		opts.Service = audit.Service{Name: "test", Version: "1", Instance: "test-1"}
	}
	p, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		p.Close(ctx)
	})
	return p
}

// within bounds a test that would otherwise hang.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	ctx := within(t)
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("in vain waited until %s", what)
		}
	}
}

var errCut = errors.New("connection cut by the test")

// cutter dials connections that break after the broker has handled the nth produce request, before its answer arrives: done, but reported lost.
type cutter struct {
	produced atomic.Int64
	at       int64
	cuts     atomic.Int64
}

func (c *cutter) option() kgo.Opt {
	return kgo.Dialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &cutConn{Conn: conn, cutter: c}, nil
	})
}

type cutConn struct {
	net.Conn
	cutter *cutter

	mu    sync.Mutex
	armed bool
}

// Write looks for the header of a request: four bytes of length, two of the API key, 0 for produce.
func (c *cutConn) Write(b []byte) (int, error) {
	if len(b) >= 6 && b[4] == 0 && b[5] == 0 && c.cutter.produced.Add(1) == c.cutter.at {
		c.mu.Lock()
		c.armed = true
		c.mu.Unlock()
	}
	return c.Conn.Write(b)
}

func (c *cutConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.armed && n > 0 {
		c.cutter.cuts.Add(1)
		c.Conn.Close()
		return 0, errCut
	}
	return n, err
}
