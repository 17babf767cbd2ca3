package main

import (
	"os"

	"github.com/mattn/go-isatty"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/audittrail/audittrail/producer"
)

// progress is a bar on standard error while something long is under way; nothing when that is not a terminal.
type progress struct {
	what string
	pool *mpb.Progress
	bar  *mpb.Bar
}

func newProgress(what string) *progress {
	p := &progress{what: what}
	if isatty.IsTerminal(os.Stderr.Fd()) {
		p.pool = mpb.New(mpb.WithOutput(os.Stderr), mpb.WithAutoRefresh())
	}
	return p
}

// update shows how far a stream of events has come: by its events when their number is known, else by the bytes of its input.
func (p *progress) update(at producer.Progress) {
	total, now := int64(at.TotalEvents), int64(at.Acknowledged)
	if total == 0 {
		total, now = at.TotalBytes, at.Bytes
	}
	p.set(now, total)
}

func (p *progress) set(now, total int64) {
	if p.pool == nil {
		return
	}
	if p.bar == nil {
		p.bar = p.pool.AddBar(total,
			mpb.PrependDecorators(decor.Name(p.what+" ")),
			mpb.AppendDecorators(decor.Percentage(), decor.OnComplete(decor.Name("  "), ""), decor.AverageETA(decor.ET_STYLE_GO)),
		)
	}
	p.bar.SetTotal(total, false)
	p.bar.SetCurrent(now)
}

// done takes the bar away; later lines are printed below it.
func (p *progress) done() {
	if p.bar == nil {
		return
	}
	p.bar.Abort(false)
	p.pool.Wait()
	p.bar = nil
}
