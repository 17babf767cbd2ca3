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

	// Progress and NotUnderstood are optional: NotUnderstood is called with each line of KindNotUnderstood, whose text it must not keep.
	Progress      func(producer.Progress)
	NotUnderstood func(line uint64, text []byte)
	// Now is the clock; the system's when nil.
	Now func() time.Time
}

// Result says what an import found and published.
type Result struct {
	// Lines counts the lines of each kind; a line that says "repeated 5 times" counts once here.
	Lines map[Kind]uint64
	// Failures, Logins and Logouts count the events that were published.
	Failures, Logins, Logouts uint64
	// Acknowledged is how many of them all in-sync replicas have.
	Acknowledged uint64
}

// Import is one import of one file.
type Import struct{ opts Options }

// New returns an import that has not begun.
func New(opts Options) (*Import, error) {
	switch {
	case opts.Producer == nil:
		return nil, errors.New("sshd: no producer given")
	case opts.Path == "":
		return nil, errors.New("sshd: no file given")
	case opts.Year != 0 && (opts.Year < 1900 || opts.Year > 2298):
		return nil, fmt.Errorf("sshd: the year %d is not between 1900 and 2298", opts.Year)
	}
	if opts.Location == nil {
		opts.Location = time.UTC
	}
	if opts.Tenant == "" {
		opts.Tenant = audit.DefaultTenant
	}
	if opts.NotUnderstood == nil {
		opts.NotUnderstood = func(uint64, []byte) {}
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Import{opts: opts}, nil
}

// Run publishes the file's events and waits until they are acknowledged. After an error the result says how far it came; a second run publishes the
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
	return res, err
}

func (i *Import) publish(ctx context.Context, file *lines.File, res *Result, send func(*audit.Event) error, read func(int64)) error {
	p := &parser{
		file: strings.ToValidUTF8(file.Name(), "\uFFFD"), tenant: i.opts.Tenant, id: file.EventID,
		calendar: calendar{year: i.opts.Year, loc: i.opts.Location, now: i.opts.Now()},
		sessions: newSessions(),
	}
	count := func(e *audit.Event) error {
		if err := send(e); err != nil {
			return err
		}
		switch {
		case e.Action == "auth.logout":
			res.Logouts++
		case e.Outcome == audit.OutcomeSuccess:
			res.Logins++
		default:
			res.Failures++
		}
		return nil
	}
	for line, err := range file.All(maxLine) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		kind, err := p.parse(line.Number, strings.ToValidUTF8(string(line.Text), "\uFFFD"), count)
		if invalid := (*producer.InvalidError)(nil); errors.As(err, &invalid) {
			kind = KindNotUnderstood
		} else if err != nil {
			return err
		}
		res.Lines[kind]++
		if kind == KindNotUnderstood {
			i.opts.NotUnderstood(line.Number, line.Text)
		}
		read(line.End)
	}
	return nil
}
