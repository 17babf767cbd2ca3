package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/audittrail/audittrail/internal/embedded/engine"
	"github.com/audittrail/audittrail/internal/run"
)

type clickhouseCmd struct {
	dataFlag
	engineFlags
	ClickhouseListen string `default:"127.0.0.1:8123" placeholder:"HOST:PORT" help:"Address of ClickHouse's HTTP interface; loopback only, it has no users."`
	Child            bool   `hidden:"" env:"-" help:"Serve the listener that the parent process has passed on."`
}

// engineFlags are about the embedded ClickHouse.
type engineFlags struct {
	Libchdb          string `placeholder:"FILE" help:"The ClickHouse library; default: where make build has put it."`
	ClickhouseMemory int64  `min:"67108864" default:"2147483648" help:"Memory limit of the embedded ClickHouse, in bytes."`
}

func (c *clickhouseCmd) options(e *env) (engine.Options, error) {
	lib, err := c.library()
	return engine.Options{DataDir: clickhouseDir(c.Data), Library: lib, MemoryLimit: c.ClickhouseMemory, Logger: e.log}, err
}

func (f engineFlags) library() (string, error) {
	lib, err := engine.FindLibrary(f.Libchdb)
	if err != nil {
		return "", fmt.Errorf("%w (--libchdb or AUDITTRAIL_LIBCHDB names another file)", err)
	}
	return lib, nil
}

func clickhouseDir(data string) string { return filepath.Join(data, "clickhouse") }

// Run runs the embedded ClickHouse: as the supervisor of a child process, or as that child.
func (c *clickhouseCmd) Run(e *env) error {
	opt, err := c.options(e)
	if err != nil {
		return err
	}
	if c.Child {
		return engine.RunChild(e.ctx, opt)
	}
	lock, err := lockData(e, c.Data)
	if err != nil {
		return err
	}
	defer lock.Close()
	g := run.Group{Log: e.log, StopTimeout: stopTimeout}
	sup, err := c.engineFlags.supervise(e, c.Data, c.ClickhouseListen)
	if err != nil {
		return err
	}
	g.Start("clickhouse", sup.Run)
	if err := g.Until(e.ctx, sup.WaitReady); err != nil {
		return stopEarly(e, &g, err)
	}
	fmt.Printf("ClickHouse is ready on %s\n", sup.URL())
	return g.Wait(e.ctx)
}

// supervise returns the supervisor of an embedded ClickHouse in a child process.
func (f engineFlags) supervise(e *env, data, address string) (*engine.Supervisor, error) {
	lib, err := f.library()
	if err != nil {
		return nil, err
	}
	ln, err := engine.Listen(address)
	if err != nil {
		return nil, listenError(address, "--clickhouse-listen", err)
	}
	return engine.NewSupervisor(engine.SupervisorOptions{
		Listener: ln,
		Command:  []string{"clickhouse", "--child", "--data", data, "--libchdb", lib, "--clickhouse-memory", fmt.Sprint(f.ClickhouseMemory)},
		Output:   os.Stderr,
		Logger:   e.log,
	})
}
