// Package sshd imports the log of an OpenSSH server (auth.log): logins that were accepted and refused, and the ends of sessions, each as an audit event
// with an id that is the same at every import of the same file. It reads finished files; it does not follow a log that grows.
package sshd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/audittrail/audittrail/producer"
	"github.com/audittrail/audittrail/producer/lines"
	"github.com/audittrail/audittrail/schemas/audit"
)

// maxLine bounds a line, in bytes. Syslog's own limit is 8 KiB as a rule.
const maxLine = 32 << 10

// minYear is the first year: syslog is not older.
const minYear = 1980

// Options says what to import.
type Options struct {
	// Producer takes the events; required.
	Producer *producer.Producer
	// Path is the file, or "-" for Stdin; required.
	Path  string
	Stdin io.Reader
	// Year is that of the first line, since syslog does not say. 0 means the latest one that does not put the first line into the future. From
	// December to January it goes up by itself.
	Year int
	// Location is the time zone of the host that wrote the log; UTC when nil. Lines with RFC 3339 times need neither.
	Location *time.Location
	// Tenant of the events; audit.DefaultTenant when empty.
	Tenant string

	// Progress and OnUnclear are optional.
	Progress  func(producer.Progress)
	OnUnclear func(Unclear)
	// Now is the clock; the system's when nil.
	Now func() time.Time
}

// Unclear is a line of sshd that may tell of something that is not in the trail.
type Unclear struct {
	Line uint64
	// Kind is KindNotUnderstood or KindUnreadable, and Detail says why.
	Kind   Kind
	Detail string
	// Text is the line, cut to 32 KiB; it is valid during the call only.
	Text []byte
}

// Result says what an import found and published.
type Result struct {
	// Lines counts the lines of each kind; a line that says "repeated 5 times" counts once here.
	Lines map[Kind]uint64
	// Failures, Logins and Logouts count the events that were published.
	Failures, Logins, Logouts uint64
	// Acknowledged is how many of them all in-sync replicas have.
	Acknowledged uint64
	// First and Last are the earliest and the latest time of the events; zero without events.
	First, Last time.Time
}

func (r *Result) count(e *audit.Event) {
	switch {
	case e.Action == "auth.logout":
		r.Logouts++
	case e.Outcome == audit.OutcomeSuccess:
		r.Logins++
	default:
		r.Failures++
	}
	if r.First.IsZero() || e.Time.Before(r.First) {
		r.First = e.Time
	}
	if e.Time.After(r.Last) {
		r.Last = e.Time
	}
}

// Import is one import of one file.
type Import struct{ opts Options }

// New returns an import that has not begun.
func New(opts Options) (*Import, error) {
	if opts.Location == nil {
		opts.Location = time.UTC
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	thisYear := opts.Now().In(opts.Location).Year()
	switch {
	case opts.Producer == nil:
		return nil, errors.New("sshd: no producer given")
	case opts.Path == "":
		return nil, errors.New("sshd: no file given")
	case opts.Year != 0 && (opts.Year < minYear || opts.Year > thisYear):
		return nil, fmt.Errorf("sshd: the year %d is not between %d and %d, this year", opts.Year, minYear, thisYear)
	}
	if opts.Tenant == "" {
		opts.Tenant = audit.DefaultTenant
	}
	if opts.OnUnclear == nil {
		opts.OnUnclear = func(Unclear) {}
	}
	return &Import{opts: opts}, nil
}

// Run publishes the file's events and waits until they are acknowledged. A file without any line of syslog is an error. After an error the result says how far it came; a second run publishes the
// same events under the same ids.
func (i *Import) Run(ctx context.Context) (Result, error) {
	res := Result{Lines: make(map[Kind]uint64)}
	if err := i.opts.Producer.Check(ctx); err != nil {
		return res, err
	}
	file, err := lines.Open(ctx, i.opts.Path, i.opts.Stdin)
	if err != nil {
		return res, err
	}
	defer file.Close()
	stream := i.opts.Producer.Stream(producer.StreamOptions{Progress: i.opts.Progress, TotalBytes: file.Size()})
	err = i.publish(ctx, file, &res, func(e *audit.Event) error { return stream.Send(ctx, e) }, stream.Read)
	err = errors.Join(err, stream.Close(ctx))
	res.Acknowledged = stream.Progress().Acknowledged
	if foreign := res.Lines[KindNotSyslog]; err == nil && foreign > 0 && len(res.Lines) == 1 {
		err = fmt.Errorf("sshd: none of the %d lines of %s begins as those of syslog do: it should be auth.log, secure, or what journalctl prints", foreign, file.Name())
	}
	return res, err
}

func (i *Import) publish(ctx context.Context, file *lines.File, res *Result, send func(*audit.Event) error, read func(int64)) error {
	p := &parser{
		file: strings.ToValidUTF8(file.Name(), "\uFFFD"), tenant: i.opts.Tenant, id: file.EventID,
		calendar: calendar{year: i.opts.Year, loc: i.opts.Location, now: i.opts.Now()},
		sessions: newSessions(),
	}
	publish := func(e *audit.Event) error {
		if err := send(e); err != nil {
			return err
		}
		res.count(e)
		return nil
	}
	for line, err := range file.All(maxLine) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		p.cut = line.TooLong
		kind, err := p.parse(line.Number, strings.ToValidUTF8(string(line.Text), "\uFFFD"), publish)
		if invalid := (*producer.InvalidError)(nil); errors.As(err, &invalid) {
			kind, p.trouble = KindUnreadable, invalid.Reject.Error()
		} else if err != nil {
			return err
		}
		res.Lines[kind]++
		if kind == KindNotUnderstood || kind == KindUnreadable {
			i.opts.OnUnclear(Unclear{Line: line.Number, Kind: kind, Detail: p.trouble, Text: line.Text})
		}
		read(line.End)
	}
	return nil
}
