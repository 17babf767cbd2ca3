package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/audittrail/audittrail/internal/ops"
	"github.com/audittrail/audittrail/internal/run"
)

// serveOps starts the part that answers on the address, where a service without an API of its own shows its health and metrics. Each service has another
// default port, so that all of them run on one machine as they come.
func serveOps(g *run.Group, addr string, reg *prometheus.Registry, health *ops.Health) error {
	if addr == "" || addr == "none" {
		return nil
	}
	ln, err := listen(addr, "--metrics-listen")
	if err != nil {
		return err
	}
	g.Start("metrics", func(ctx context.Context) error { return ops.Serve(ctx, ln, ops.Handler(reg, health)) })
	return nil
}

// runOnKafka runs a service as the last part of the group, once Kafka answers, and until the process is told to stop. The wait is for the sake of those
// who read the log: one line says what is missing, where the service's own clients would repeat themselves.
func runOnKafka(e *env, g *run.Group, probe *ops.Probe, name string, service func(context.Context) error) error {
	g.Start("kafka probe", probe.Run)
	if err := g.Until(e.ctx, probe.Answered); err != nil {
		return stopEarly(e, g, err)
	}
	g.Start(name, service)
	return g.Wait(e.ctx)
}

// stopEarly stops the parts of a process that did not get ready, and returns why: err, or nothing if it was told to stop meanwhile.
func stopEarly(e *env, g *run.Group, err error) error {
	if e.ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, g.Stop())
}

// listen binds an address and says which flag to change when it cannot.
func listen(addr, flag string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, listenError(addr, flag, err)
	}
	return ln, nil
}

// listenError says why nothing can be served on an address, and what to change.
func listenError(addr, flag string, err error) error {
	variable := envPrefix + "_" + strings.ToUpper(strings.ReplaceAll(strings.TrimPrefix(flag, "--"), "-", "_"))
	var errno syscall.Errno
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("cannot listen on %s: the port is already in use (choose another address with %s or %s; port 0 picks a free one)", addr, flag, variable)
	case errors.As(err, &errno):
		return fmt.Errorf("cannot listen on %s: %w (choose another address with %s or %s)", addr, errno, flag, variable)
	default:
		return usagef("%s %s: %w", flag, addr, err)
	}
}
