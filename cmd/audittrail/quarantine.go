package main

import (
	"encoding/json"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/audittrail/audittrail/consumer"
)

type quarantineCmd struct {
	List    quarantineListCmd    `cmd:"" help:"List the records that could not be read, latest first."`
	Show    quarantineShowCmd    `cmd:"" help:"Show one record whole, as JSON with its value in base64, or its bytes alone."`
	Redrive quarantineRedriveCmd `cmd:"" help:"Publish records again that can be read by now."`
}

type quarantineFilter struct {
	Reason string        `help:"Only those with this reason."`
	Since  time.Duration `help:"Only those of the last such time, such as 24h."`
	Limit  int           `default:"100" help:"At most so many."`
}

func (f quarantineFilter) filter() consumer.QuarantineFilter {
	out := consumer.QuarantineFilter{Reason: f.Reason, Limit: f.Limit}
	if f.Since > 0 {
		out.From = time.Now().Add(-f.Since)
	}
	return out
}

type quarantineListCmd struct {
	storeTarget
	quarantineFilter
}

// Run lists the quarantine.
func (c *quarantineListCmd) Run(e *env) error {
	_, ch, err := c.open()
	if err != nil {
		return err
	}
	defer ch.Close()
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "TIME\tPLACE\tBYTES\tSTAGE\tREASON\tERROR")
	err = consumer.ListQuarantine(e.ctx, ch, c.filter(), func(q *consumer.Quarantined) error {
		_, err := fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%q\n", q.Time.UTC().Format(time.RFC3339), q.Place(), q.Size, q.Stage, q.Reason, q.Error)
		return err
	})
	if ferr := w.Flush(); err == nil {
		err = ferr
	}
	return err
}

type quarantineShowCmd struct {
	storeTarget
	Place string `arg:"" help:"TOPIC/PARTITION/OFFSET, as list prints it."`
	Raw   bool   `help:"Print the record's bytes alone."`
}

// Run shows one record.
func (c *quarantineShowCmd) Run(e *env) error {
	_, ch, err := c.open()
	if err != nil {
		return err
	}
	defer ch.Close()
	found := false
	err = consumer.ShowQuarantine(e.ctx, ch, consumer.QuarantineFilter{Place: c.Place}, func(q *consumer.Quarantined) error {
		found = true
		if c.Raw {
			_, err := os.Stdout.Write(q.Value)
			return err
		}
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(q)
	})
	if err == nil && !found {
		err = fmt.Errorf("%s is not in quarantine", c.Place)
	}
	return err
}

type quarantineRedriveCmd struct {
	storeTarget
	quarantineFilter
	Place string `help:"Only this one: TOPIC/PARTITION/OFFSET."`
}

// Run publishes records again.
func (c *quarantineRedriveCmd) Run(e *env) error {
	cfg, ch, err := c.open()
	if err != nil {
		return err
	}
	defer ch.Close()
	f := c.filter()
	f.Place = c.Place
	again, left := 0, 0
	err = consumer.Redrive(e.ctx, cfg, ch, e.log, f, func(r consumer.Redriven) {
		if r.Err != nil {
			left++
			fmt.Printf("%s: left: %v\n", r.Record.Place(), r.Err)
			return
		}
		again++
		fmt.Printf("%s: published again\n", r.Record.Place())
	})
	fmt.Printf("%d published again, %d left\n", again, left)
	return err
}
