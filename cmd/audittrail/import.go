package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/producer"
	"github.com/audittrail/audittrail/producer/ndjson"
	"github.com/audittrail/audittrail/producer/sshd"
)

type importCmd struct {
	Sshd   importSshdCmd   `cmd:"" help:"Publish the logins of an sshd log (auth.log)."`
	Ndjson importNdjsonCmd `cmd:"" help:"Publish events from a file with one JSON event a line."`
}

type importSshdCmd struct {
	target
	File   string `arg:"" help:"The log, or - for standard input."`
	Year   int    `help:"Year of the first line, which syslog does not say; default: the latest that is not in the future."`
	Zone   string `default:"UTC" help:"Time zone of the host that wrote the log, such as Europe/Berlin."`
	Tenant string `default:"default" help:"Tenant of the events."`
}

// Run imports an sshd log.
func (c *importSshdCmd) Run(e *env) error {
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		return fmt.Errorf("--zone %s is not a time zone: %w", c.Zone, err)
	}
	return publish(e, c.target, "import", func(ctx context.Context, p *producer.Producer, bar *progress) error {
		imp, err := sshd.New(sshd.Options{
			Producer: p, Path: c.File, Stdin: os.Stdin, Year: c.Year, Location: zone, Tenant: c.Tenant, Progress: bar.update,
			NotUnderstood: func(line uint64, text []byte) {
				e.log.Debug("sshd line not understood", "line", line, "text", string(text))
			},
		})
		if err != nil {
			return err
		}
		res, err := imp.Run(ctx)
		bar.done()
		fmt.Printf("%d failed and %d accepted logins, %d logouts published (%d acknowledged)\n", res.Failures, res.Logins, res.Logouts, res.Acknowledged)
		for _, k := range sshd.Kinds() {
			if n := res.Lines[k]; n > 0 {
				fmt.Printf("  %7d lines: %s\n", n, k)
			}
		}
		return err
	})
}

type importNdjsonCmd struct {
	target
	File    string `arg:"" help:"The file, or - for standard input."`
	Tenant  string `default:"default" help:"Tenant of events that name none."`
	Service string `default:"import" help:"Service of events that name none."`
	Raw     bool   `help:"Publish the bytes of broken lines as they are: they end in the quarantine table with the reason."`
}

// errBrokenLines makes the exit status tell a script that not all lines were events.
var errBrokenLines = errors.New("some lines are not events")

// Run imports a file of JSON lines.
func (c *importNdjsonCmd) Run(e *env) error {
	return publish(e, c.target, "import", func(ctx context.Context, p *producer.Producer, bar *progress) error {
		opt := ndjson.Options{Producer: p, Path: c.File, Stdin: os.Stdin, Tenant: c.Tenant, Raw: c.Raw, Progress: bar.update}
		opt.Service.Name = c.Service
		opt.OnBroken = func(b ndjson.Broken) { fmt.Fprintf(os.Stderr, "%s:%d: %v\n", c.File, b.Line, b.Reject) }
		imp, err := ndjson.New(opt)
		if err != nil {
			return err
		}
		res, err := imp.Run(ctx)
		bar.done()
		fmt.Printf("%d events published (%d acknowledged); %d of %d lines broken, %d of them published raw, %d blank\n",
			res.Events, res.Acknowledged, res.Broken, res.Lines, res.Raw, res.Blank)
		if err == nil && res.Broken > res.Raw {
			err = errBrokenLines
		}
		return err
	})
}

// publish runs fn with a producer for the target and a progress bar.
func publish(e *env, t target, what string, fn func(context.Context, *producer.Producer, *progress) error) error {
	cfg, err := t.config()
	if err != nil {
		return err
	}
	p, err := producer.New(producer.Options{Brokers: cfg.Brokers, Topic: cfg.Topic(kafka.TopicEvents), ClientID: cfg.ClientID, Logger: e.log})
	if err != nil {
		return err
	}
	err = fn(e.ctx, p, newProgress(what))
	// Everything is acknowledged or reported by now: a stop must not wait for more.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), 5*time.Second)
	defer cancel()
	return errors.Join(err, p.Close(ctx))
}
