package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/audittrail/audittrail/consumer"
	"github.com/audittrail/audittrail/detector"
	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/internal/embedded/broker"
	"github.com/audittrail/audittrail/internal/embedded/engine"
	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/internal/ops"
	"github.com/audittrail/audittrail/internal/run"
	tables "github.com/audittrail/audittrail/schemas/clickhouse"
)

//	clients ──► embedded broker (kfake, this process) ──► consumer ──► embedded ClickHouse (child process) ──► query api ──► --listen
//	                     ▲      └─► detector ─┐
//	                     └── audit.alerts ◄───┘

type upCmd struct {
	dataFlag
	engineFlags
	apiFlags
	KafkaListen      string `default:"127.0.0.1:9092" placeholder:"HOST:PORT" help:"Address of the embedded broker; loopback only, it has no users."`
	ClickhouseListen string `default:"127.0.0.1:8123" placeholder:"HOST:PORT" help:"Address of the embedded ClickHouse; loopback only, it has no users."`
	MemoryLimit      int64  `min:"0" default:"805306368" help:"Soft limit of this process's memory in bytes, the embedded ClickHouse apart (GOMEMLIMIT wins)."`
	Partitions       int32  `min:"1" default:"4" help:"Partitions of the topics that carry the load, when they are made."`
}

// Timings of the consumer groups: on one machine a process that was killed is back soon, and nobody else may do its work.
const upSession = 6 * time.Second

// Run runs the whole pipeline until it is told to stop.
func (c *upCmd) Run(e *env) error {
	// First of all: whoever starts it twice is told so, rather than that a port is in use.
	lock, err := lockData(e, c.Data)
	if err != nil {
		return err
	}
	defer lock.Close()
	g := &run.Group{Log: e.log, StopTimeout: stopTimeout}
	err = c.run(e, g)
	if err = errors.Join(err, g.Stop()); err == nil {
		fmt.Println("Stopped. The data stays in", c.Data)
	}
	return err
}

// stopTimeout bounds the stop of each part. It is longer than the supervisor of the embedded ClickHouse waits before it kills its child.
const stopTimeout = 25 * time.Second

// errStopped says that the process was told to stop before everything was ready.
var errStopped = errors.New("stopped")

// until waits for ready while the parts run.
func until(e *env, g *run.Group, ready func(context.Context) error) error {
	err := g.Until(e.ctx, ready)
	if err != nil && e.ctx.Err() != nil {
		return errStopped
	}
	return err
}

func (c *upCmd) run(e *env, g *run.Group) (err error) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(c.MemoryLimit)
	}
	// Listeners first: a port in use is known before anything has begun.
	api, err := c.listener()
	if err != nil {
		return err
	}
	sup, err := c.supervise(e, c.Data, c.ClickhouseListen)
	if err != nil {
		return err
	}
	b, err := broker.Start(broker.Options{DataDir: filepath.Join(c.Data, "kafka"), Listen: c.KafkaListen, LockWait: lockWait, Logger: e.log})
	if errors.Is(err, syscall.EADDRINUSE) {
		err = listenError(c.KafkaListen, "--kafka-listen", err)
	}
	if err != nil {
		return err
	}
	// Of a run that was killed: nobody must take its addresses for ours.
	if err := removeEndpoints(c.Data); err != nil {
		return err
	}
	at := endpoints{API: "http://" + dialable(api.Addr()), Kafka: b.Addr(), ClickHouse: sup.URL()}
	g.Start("broker", b.Run)
	g.Start("clickhouse", sup.Run)

	ch, err := clickhouse.New(clickhouse.Options{URLs: []string{at.ClickHouse}})
	if err != nil {
		return err
	}
	defer ch.Close()
	defer func() {
		if errors.Is(err, errStopped) {
			err = nil
		}
		err = errors.Join(err, g.Stop()) // before the client is closed, which the parts use
	}()
	kcfg := kafka.Config{Brokers: []string{at.Kafka}}
	if err := until(e, g, func(ctx context.Context) error { return c.prepare(ctx, e, kcfg, ch, sup) }); err != nil {
		return err
	}
	reg, health := ops.NewRegistry(), new(ops.Health)
	if err := c.services(e, g, api, kcfg, ch, at.ClickHouse, reg, health); err != nil {
		return err
	}
	if err := until(e, g, awaitReady(at.API)); err != nil {
		return err
	}
	if err := at.write(c.Data); err != nil {
		return err
	}
	fmt.Print(c.banner(at))
	return errors.Join(g.Wait(e.ctx), removeEndpoints(c.Data))
}

// prepare makes the topics and the tables.
func (c *upCmd) prepare(ctx context.Context, e *env, kcfg kafka.Config, ch *clickhouse.Client, sup *engine.Supervisor) error {
	cl, err := kafka.NewClient(kcfg, e.log)
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := kafka.EnsureTopics(ctx, cl, kcfg, kafka.Topics(c.Partitions)); err != nil {
		return err
	}
	if err := sup.WaitReady(ctx); err != nil {
		return err
	}
	return ch.Migrate(ctx, tables.Migrations(), e.log)
}

// services starts the consumer, the detector and the API.
func (c *upCmd) services(e *env, g *run.Group, api net.Listener, kcfg kafka.Config, ch *clickhouse.Client, at string, reg *prometheus.Registry, health *ops.Health) error {
	con, err := consumer.New(consumer.Options{
		Kafka: kcfg, ClickHouse: ch, SessionTimeout: upSession, InstanceID: "up", Inserts: 2, MemoryBytes: 256 << 20, Logger: e.log, Registry: reg, Health: health,
	})
	if err != nil {
		return err
	}
	det, err := detector.New(detector.Options{
		Kafka: kcfg, InstanceID: "up", Group: detector.GroupOptions{SessionTimeout: upSession, HeartbeatInterval: time.Second}, Logger: e.log, Registry: reg, Health: health,
	})
	if err != nil {
		return err
	}
	probe, err := probeKafka(kcfg, health, e.log, kafka.TopicEvents, kafka.TopicMatches, kafka.TopicAlerts)
	if err != nil {
		return err
	}
	g.Start("kafka probe", probe.Run)
	g.Start("consumer", con.Run)
	g.Start("detector", det.Run)
	return c.start(e, g, api, ch, at, reg, health)
}

// awaitReady returns a function that waits until the API says that everything is ready.
func awaitReady(api string) func(context.Context) error {
	return func(ctx context.Context) error {
		for {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, api+"/readyz", nil)
			if err != nil {
				return err
			}
			if res, err := http.DefaultClient.Do(req); err == nil {
				res.Body.Close()
				if res.StatusCode == http.StatusOK {
					return nil
				}
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}

// banner says what is where and what to try next.
func (c *upCmd) banner(at endpoints) string {
	data := ""
	if c.Data != defaultData() {
		data = " --data " + quote(c.Data)
	}
	return strings.NewReplacer("{api}", at.API, "{kafka}", at.Kafka, "{clickhouse}", at.ClickHouse, "{program}", quote(os.Args[0]), "{data}", data).Replace(`
audittrail is ready.

  API         {api}/api/logs/
  Kafka       {kafka}        topic audit.events
  ClickHouse  {clickhouse}
  metrics     {api}/metrics

In a second terminal, try:

  {program} generate --count 10000{data}
  {program} import sshd /var/log/auth.log{data}
  curl '{api}/api/logs/?action=FAILED_LOGIN&limit=3'
  curl {api}/api/alerts/

Ctrl-C stops it; the data stays.

`)
}

// quote makes s one word of a shell.
func quote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=@+,") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// dialable is the address under which this machine reaches a listener, which may listen on all of its addresses.
func dialable(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port))
	}
	return addr.String()
}

func defaultData() string {
	abs, err := filepath.Abs("audittrail-data")
	if err != nil {
		return ""
	}
	return abs
}
