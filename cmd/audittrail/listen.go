package main

import (
	"context"
	"fmt"
	"net"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/audittrail/audittrail/internal/ops"
	"github.com/audittrail/audittrail/internal/run"
)

// serveOps starts the part that answers on the address, where a service without an API of its own shows its health and metrics. Each service has another
// default port, so that all of them run on one machine as they come.
func serveOps(g *run.Group, addr string, reg *prometheus.Registry, health *ops.Health) error {
	if addr == "" {
		return nil
	}
	ln, err := listen(addr, "--metrics-listen")
	if err != nil {
		return err
	}
	g.Start("metrics", func(ctx context.Context) error { return ops.Serve(ctx, ln, ops.Handler(reg, health)) })
	return nil
}

// listen binds an address and says which flag to change when it cannot.
func listen(addr, flag string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w (choose another address with %s; port 0 picks a free one)", addr, err, flag)
	}
	return ln, nil
}
