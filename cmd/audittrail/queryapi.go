package main

import (
	"context"
	"net"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/internal/ops"
	"github.com/audittrail/audittrail/internal/run"
	"github.com/audittrail/audittrail/queryapi"
	apihttp "github.com/audittrail/audittrail/queryapi/http"
)

type queryapiCmd struct {
	clickhouseFlags
	apiFlags
}

// apiFlags say where the API is served.
type apiFlags struct {
	Listen         string `default:"127.0.0.1:8000" placeholder:"HOST:PORT" help:"Address of the API, /metrics, /livez and /readyz."`
	InsecureNoAuth bool   `help:"Serve other machines although there are no accounts: everybody who can connect reads everything."`
}

// Run runs the API alone.
func (c *queryapiCmd) Run(e *env) error {
	ln, err := c.listener()
	if err != nil {
		return err
	}
	ch, err := c.patientClient()
	if err != nil {
		return err
	}
	defer ch.Close()
	g := run.Group{Log: e.log}
	if err := c.start(e, &g, ln, ch, strings.Join(c.Clickhouse, ", "), ops.NewRegistry(), new(ops.Health)); err != nil {
		return err
	}
	return g.Wait(e.ctx)
}

func (f apiFlags) listener() (net.Listener, error) {
	if err := queryapi.CheckListen(f.Listen, f.InsecureNoAuth); err != nil {
		return nil, usagef("--listen: %w", err)
	}
	return listen(f.Listen, "--listen")
}

// start adds the API to the group: its probe of ClickHouse, and its server.
func (f apiFlags) start(e *env, g *run.Group, ln net.Listener, ch *clickhouse.Client, at string, reg *prometheus.Registry, health *ops.Health) error {
	svc, err := queryapi.New(queryapi.Options{ClickHouse: ch, Address: at, Logger: e.log, Registry: reg, Health: health, InsecureNoAuth: f.InsecureNoAuth})
	if err != nil {
		return err
	}
	handler, err := apihttp.New(svc)
	if err != nil {
		return err
	}
	g.Start("query api", svc.Run)
	g.Start("api server", func(ctx context.Context) error { return ops.Serve(ctx, ln, handler) })
	return nil
}
