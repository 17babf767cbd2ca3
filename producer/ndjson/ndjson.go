// Package ndjson imports files of events in JSON, one a line, in any form that the trail's own decoder reads: bare events, CloudEvents, other people's
// objects with at least an action. It fills what is missing and keeps what it does not know; a line that is no event stops nothing and is told of.
package ndjson

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/audittrail/audittrail/producer"
	"github.com/audittrail/audittrail/producer/lines"
	"github.com/audittrail/audittrail/schemas/audit"
)

// MaxLineBytes bounds a line: a longer one fits into no Kafka record with usual settings, and is broken.
const MaxLineBytes = 900 << 10

// Options says what to import.
type Options struct {
	// Producer takes the events; required.
	Producer *producer.Producer
	// Path is the file, or "-" for Stdin; required.
	Path  string
	Stdin io.Reader
	// Tenant and Service are put into events that name none; audit.DefaultTenant and a service named "import" when empty.
	Tenant  string
	Service audit.Service
	// Raw publishes the bytes of broken lines as they are, instead of only telling of them here. The consumer keeps what it can read (it is more
	// lenient, about the form of an action for example) and puts the rest into the quarantine table with the reason.
	Raw bool

	// Progress and OnBroken are optional.
	Progress func(producer.Progress)
	OnBroken func(Broken)
	// Now is the clock, for events without a time; the system's when nil.
	Now func() time.Time
}

// Broken is a line that is no event.
type Broken struct {
	Line   uint64
	Reject *audit.Reject
	// Text is the line, cut to MaxLineBytes; it is valid during the call only.
	Text []byte
	// Published says that the bytes were published as they are.
	Published bool
}

// Result says what an import found and published. Events + Broken + Blank = Lines.
type Result struct {
	Lines, Events, Broken, Blank uint64
	// Raw is how many of the broken lines were published as they are.
	Raw uint64
	// Undated is how many events had no readable time and got that of the import; the metadata key audit.MetaTime marks them.
	Undated uint64
	// Repaired is how many events lack an outcome or have values that could not be used; the metadata key audit.MetaWarn lists these fields.
	Repaired uint64
	// Acknowledged is how many events and raw lines all in-sync replicas have.
	Acknowledged uint64
}

func (r *Result) count(e *audit.Event, undated bool) {
	r.Events++
	if undated {
		r.Undated++
	}
	if _, told := e.Metadata.Get(audit.MetaWarn); told {
		r.Repaired++
	}
}

// Import is one import of one file.
type Import struct {
	opts    Options
	decoder *audit.Decoder
	event   audit.Event
	// undated says that the event has the time of the import.
	undated bool
}

// New returns an import that has not begun.
func New(opts Options) (*Import, error) {
	switch {
	case opts.Producer == nil:
		return nil, errors.New("ndjson: no producer given")
	case opts.Path == "":
		return nil, errors.New("ndjson: no file given")
	}
	if opts.Tenant == "" {
		opts.Tenant = audit.DefaultTenant
	}
	if opts.Service.Name == "" {
		opts.Service.Name = "import"
	}
	if opts.OnBroken == nil {
		opts.OnBroken = func(Broken) {}
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Import{opts: opts, decoder: audit.NewDecoder()}, nil
}

// Run publishes the file's events and waits until they are acknowledged. Broken lines are no error: look at the result. After an error the result says
// how far it came; a second run publishes the same events under the same ids.
func (i *Import) Run(ctx context.Context) (Result, error) {
	var res Result
	if err := i.opts.Producer.Check(ctx); err != nil {
		return res, err
	}
	file, err := lines.Open(ctx, i.opts.Path, i.opts.Stdin)
	if err != nil {
		return res, err
	}
	defer file.Close()
	stream := i.opts.Producer.Stream(producer.StreamOptions{Progress: i.opts.Progress, TotalBytes: file.Size()})
	err = i.publish(ctx, file, stream, &res)
	err = errors.Join(err, stream.Close(ctx))
	res.Acknowledged = stream.Progress().Acknowledged
	return res, err
}

func (i *Import) publish(ctx context.Context, file *lines.File, stream *producer.Stream, res *Result) error {
	for line, err := range file.All(MaxLineBytes) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if line.Number == 1 {
			line.Text = bytes.TrimPrefix(line.Text, []byte("\uFEFF"))
		}
		res.Lines++
		if err := i.line(ctx, file, line, stream, res); err != nil {
			return err
		}
		stream.Read(line.End)
	}
	return nil
}

func (i *Import) line(ctx context.Context, file *lines.File, line lines.Line, stream *producer.Stream, res *Result) error {
	if len(bytes.TrimSpace(line.Text)) == 0 {
		res.Blank++
		return nil
	}
	err := i.read(file, line)
	if err == nil {
		if err = stream.Send(ctx, &i.event); err == nil {
			res.count(&i.event, i.undated)
			return nil
		}
	}
	broken := Broken{Line: line.Number, Text: line.Text}
	if !errors.As(err, &broken.Reject) {
		return err
	}
	res.Broken++
	if i.opts.Raw && !line.TooLong {
		if err := stream.SendRaw(ctx, bytes.Clone(line.Text)); err != nil {
			return err
		}
		res.Raw++
		broken.Published = true
	}
	i.opts.OnBroken(broken)
	return nil
}

// read decodes a line and fills what is missing. The event's texts are bytes of the line: it must be sent before the next one is read.
func (i *Import) read(file *lines.File, line lines.Line) error {
	if line.TooLong {
		return &audit.Reject{Reason: audit.ReasonTooLarge, Detail: fmt.Sprintf("the line has more than %d bytes", MaxLineBytes)}
	}
	e := &i.event
	if err := i.decoder.Read(line.Text, nil, e); err != nil {
		return err
	}
	if e.ID == "" {
		e.ID = file.EventID(line.Number, 1)
	}
	if i.undated = e.Time.IsZero(); i.undated {
		e.Time = i.opts.Now()
		if _, told := e.Metadata.Get(audit.MetaTime); !told {
			e.Metadata = append(e.Metadata, audit.MetadataEntry{Key: audit.MetaTime, Value: missing})
		}
	}
	if !i.decoder.SaidOutcome() {
		warnOutcome(e)
	}
	if e.Tenant == "" {
		e.Tenant = i.opts.Tenant
	}
	if e.Service.Name == "" {
		// What the event does say of its service, an instance perhaps, stays.
		e.Service.Name = i.opts.Service.Name
		if e.Service.Version == "" && e.Service.Instance == "" {
			e.Service = i.opts.Service
		}
	}
	return nil
}

// missing is what the decoder, too, writes for a field that is not there.
const missing = "missing"

// warnOutcome marks an event without an outcome as the decoder does: it is about to get the outcome unknown, which would look as if it had been meant.
func warnOutcome(e *audit.Event) {
	const field = "outcome"
	if _, told := e.Metadata.Get(audit.MetaWarn + "." + field); told {
		return
	}
	e.Metadata = append(e.Metadata, audit.MetadataEntry{Key: audit.MetaWarn + "." + field, Value: missing})
	for i := range e.Metadata {
		if m := &e.Metadata[i]; m.Key == audit.MetaWarn {
			m.Value += "," + field
			return
		}
	}
	e.Metadata = append(e.Metadata, audit.MetadataEntry{Key: audit.MetaWarn, Value: field})
}
