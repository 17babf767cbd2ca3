package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	_ "time/tzdata" // --zone works where the system has no time zones, as in a small container

	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/producer"
	"github.com/audittrail/audittrail/producer/lines"
	"github.com/audittrail/audittrail/producer/ndjson"
	"github.com/audittrail/audittrail/producer/sshd"
	"github.com/audittrail/audittrail/schemas/audit"
)

type importCmd struct {
	Sshd   importSshdCmd   `cmd:"" help:"Publish the logins of an sshd log: auth.log, secure, or what journalctl prints."`
	Ndjson importNdjsonCmd `cmd:"" help:"Publish events from a file with one JSON event a line."`
}

type importSshdCmd struct {
	target
	File   string `arg:"" help:"The log, also packed by gzip, or - for standard input. A second import of it gives the same event ids."`
	Year   int    `help:"Year of the first line, which syslog does not say; default: the latest that is not in the future. It goes up at New Year by itself."`
	Zone   string `default:"UTC" help:"Time zone of the host that wrote the log, such as Europe/Berlin."`
	Tenant string `default:"default" help:"Tenant of the events."`
}

// Run imports an sshd log.
func (c *importSshdCmd) Run(e *env) error {
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		return usagef("--zone %s: %w; name one of the IANA time zones, such as Europe/Berlin", c.Zone, err)
	}
	name := inputName(c.File)
	return publish(e, c.target, "import", func(ctx context.Context, p *producer.Producer, bar *progress) error {
		unclear := 0
		imp, err := sshd.New(sshd.Options{
			Producer: p, Path: c.File, Stdin: os.Stdin, Year: c.Year, Location: zone, Tenant: c.Tenant, Progress: bar.update,
			OnUnclear: func(u sshd.Unclear) {
				// A damaged line was a login, perhaps: all are shown. Of messages that are merely new, a few.
				if unclear++; unclear <= maxShown || u.Kind == sshd.KindUnreadable {
					fmt.Fprintf(os.Stderr, "%s:%d: %s: %s: %.200q\n", name, u.Line, u.Kind, u.Detail, u.Text)
				} else {
					e.log.Debug("line of sshd not understood", "file", name, "line", u.Line, "text", string(u.Text))
				}
			},
		})
		if err != nil {
			return err
		}
		res, err := imp.Run(ctx)
		bar.done()
		printSshd(os.Stdout, name, res, zone)
		if res.Last.After(time.Now().Add(24 * time.Hour)) {
			fmt.Fprintln(os.Stderr, "The last event is in the future: is --year right?")
		}
		if n := res.Lines[sshd.KindUnreadable]; err == nil && n > 0 {
			err = fmt.Errorf("%d damaged lines of %s (shown above) are not in the trail; the others are", n, name)
		}
		return err
	})
}

// maxShown is how many lines of a kind are shown before only their number is.
const maxShown = 10

// kindTexts say what the kinds of lines are.
var kindTexts = map[sshd.Kind]string{
	sshd.KindFailed:        "refused logins (one line may stand for several)",
	sshd.KindAccepted:      "accepted logins",
	sshd.KindClosed:        "ends of sessions",
	sshd.KindNoEvent:       "skipped, of sshd: about no login, or another line tells the same",
	sshd.KindNotUnderstood: "skipped, of sshd: messages that this program does not know (--log-level debug shows all)",
	sshd.KindUnreadable:    "skipped, of sshd: damaged",
	sshd.KindNotSSHD:       "skipped, of other programs",
	sshd.KindNotSyslog:     "skipped, none of syslog",
}

// printSshd says what became of every line.
func printSshd(w io.Writer, name string, res sshd.Result, zone *time.Location) {
	total := uint64(0)
	for _, n := range res.Lines {
		total += n
	}
	if total == 0 {
		return
	}
	fmt.Fprintf(w, "%s: %d lines: %d failed and %d accepted logins, %d logouts published (%d acknowledged)\n",
		name, total, res.Failures, res.Logins, res.Logouts, res.Acknowledged)
	if !res.First.IsZero() {
		fmt.Fprintf(w, "  from %s to %s\n", res.First.In(zone).Format(time.RFC3339), res.Last.In(zone).Format(time.RFC3339))
	}
	for _, k := range sshd.Kinds() {
		if n := res.Lines[k]; n > 0 {
			fmt.Fprintf(w, "  %7d lines: %s\n", n, kindTexts[k])
		}
	}
}

type importNdjsonCmd struct {
	target
	File    string `arg:"" help:"The file, also packed by gzip, or - for standard input. A second import of it gives the same event ids."`
	Tenant  string `default:"default" help:"Tenant of events that name none."`
	Service string `default:"import" help:"Service of events that name none."`
	Raw     bool   `help:"Publish refused lines as they are: what the consumer cannot read either ends in quarantine, with the reason."`
}

// Run imports a file of JSON lines.
func (c *importNdjsonCmd) Run(e *env) error {
	name := inputName(c.File)
	return publish(e, c.target, "import", func(ctx context.Context, p *producer.Producer, bar *progress) error {
		opt := ndjson.Options{Producer: p, Path: c.File, Stdin: os.Stdin, Tenant: c.Tenant, Raw: c.Raw, Progress: bar.update}
		opt.Service.Name = c.Service
		opt.OnBroken = func(b ndjson.Broken) {
			fate := "not published"
			if b.Published {
				fate = "published as it is"
			}
			fmt.Fprintf(os.Stderr, "%s:%d: %s: %v\n", name, b.Line, fate, b.Reject)
		}
		imp, err := ndjson.New(opt)
		if err != nil {
			return err
		}
		res, err := imp.Run(ctx)
		bar.done()
		printNdjson(os.Stdout, name, res)
		switch missing := res.Broken - res.Raw; {
		case err != nil || missing == 0:
		case res.Events == 0:
			err = fmt.Errorf("no line of %s is an event; the reasons are shown above", name)
		default:
			// In the mended file itself every id that is made from content and line would be another one.
			err = fmt.Errorf("%d lines of %s (shown above) are not in the trail; the others are: mend them in a file of their own and import that", missing, name)
		}
		return err
	})
}

// printNdjson says what became of every line.
func printNdjson(w io.Writer, name string, res ndjson.Result) {
	if res.Lines == 0 {
		return
	}
	raw := ""
	if res.Raw > 0 {
		raw = fmt.Sprintf(" and %d refused lines as they are", res.Raw)
	}
	fmt.Fprintf(w, "%s: %d lines: %d events%s published (%d acknowledged), %d refused, %d blank\n",
		name, res.Lines, res.Events, raw, res.Acknowledged, res.Broken, res.Blank)
	if res.Undated > 0 {
		fmt.Fprintf(w, "  %7d events without a readable time got that of the import; metadata %s says what they had\n", res.Undated, audit.MetaTime)
	}
	if res.Repaired > 0 {
		fmt.Fprintf(w, "  %7d events lack an outcome or have values that cannot be used; metadata %s lists the fields\n", res.Repaired, audit.MetaWarn)
	}
}

// inputName is what messages about lines call the input.
func inputName(path string) string {
	if path == lines.Stdin {
		return "stdin"
	}
	return path
}

// publish runs fn with a producer for the target and a progress bar.
func publish(e *env, t target, what string, fn func(context.Context, *producer.Producer, *progress) error) error {
	cfg, err := t.config()
	if err != nil {
		return err
	}
	opt := producer.Options{Brokers: cfg.Brokers, Topic: cfg.Topic(kafka.TopicEvents), ClientID: cfg.ClientID, TLS: cfg.TLS, Logger: e.log}
	if s := cfg.SASL; s != nil {
		opt.SASL = &producer.SASL{Mechanism: producer.Mechanism(s.Mechanism), Username: s.Username, Password: s.Password}
	}
	p, err := producer.New(opt)
	if err != nil {
		return err
	}
	err = fn(e.ctx, p, newProgress(what))
	// Everything is acknowledged or reported by now: a stop must not wait for more.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), 5*time.Second)
	defer cancel()
	return errors.Join(err, p.Close(ctx))
}
