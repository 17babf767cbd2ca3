package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"text/tabwriter"
	"time"

	"github.com/audittrail/audittrail/consumer"
	"github.com/audittrail/audittrail/internal/clickhouse"
)

type quarantineCmd struct {
	List    quarantineListCmd    `cmd:"" help:"List the records that could not be read, latest first."`
	Show    quarantineShowCmd    `cmd:"" help:"Show one record: why it was put aside, and what is in it."`
	Redrive quarantineRedriveCmd `cmd:"" help:"Publish records again that can be read by now."`
}

// tableTarget is a way to ClickHouse alone: a given address, or else that of a running `audittrail up`.
type tableTarget struct {
	dataFlag
	clickhouseFlags
}

func (t tableTarget) open() (*clickhouse.Client, error) {
	if len(t.Clickhouse) > 0 {
		return t.client()
	}
	e, err := readEndpoints(t.Data)
	if err != nil {
		return nil, err
	}
	t.Clickhouse = []string{e.ClickHouse}
	ch, err := t.patientClient()
	if err != nil {
		return nil, err
	}
	if err := checkClickHouse(ch, t.Clickhouse, staleHint(t.Data), true); err != nil {
		return nil, errors.Join(err, ch.Close())
	}
	return ch, nil
}

type quarantineFilter struct {
	Reason string        `help:"Only those with this reason, such as bad_json."`
	Since  time.Duration `min:"0" help:"Only those of the last such time, such as 24h."`
}

func (f quarantineFilter) filter(limit int) consumer.QuarantineFilter {
	out := consumer.QuarantineFilter{Reason: f.Reason, Limit: limit}
	if f.Since > 0 {
		out.From = time.Now().Add(-f.Since)
	}
	return out
}

// given says whether anything was asked for.
func (f quarantineFilter) given() bool { return f.Reason != "" || f.Since > 0 }

var placeForm = regexp.MustCompile(`^[A-Za-z0-9._-]+/[0-9]{1,10}/[0-9]{1,18}$`)

// checkPlace refuses a place that is none before anybody is asked for it.
func checkPlace(s string) error {
	if !placeForm.MatchString(s) {
		return usagef("%q is not a place: expected TOPIC/PARTITION/OFFSET as `audittrail quarantine list` prints it, such as audit.events/0/42", s)
	}
	return nil
}

type quarantineListCmd struct {
	tableTarget
	quarantineFilter
	Limit int `min:"1" default:"100" help:"At most so many, the latest."`
}

// Run lists the quarantine.
func (c *quarantineListCmd) Run(e *env) error {
	ch, err := c.open()
	if err != nil {
		return err
	}
	defer ch.Close()
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	n := 0
	err = consumer.ListQuarantine(e.ctx, ch, c.filter(c.Limit), func(q *consumer.Quarantined) error {
		if n++; n == 1 {
			fmt.Fprintln(w, "TIME\tPLACE\tBYTES\tSTAGE\tREASON\tERROR")
		}
		_, err := fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n", q.Time.UTC().Format(time.RFC3339), q.Place(), q.Size, q.Stage, q.Reason, readableLine(q.Error))
		return err
	})
	if ferr := w.Flush(); err == nil {
		err = ferr
	}
	switch {
	case err != nil:
		return err
	case n == 0 && c.given():
		fmt.Println("No record in quarantine is of this kind.")
	case n == 0:
		fmt.Println("The quarantine is empty.")
	case n == c.Limit:
		fmt.Fprintf(os.Stderr, "These are the latest %d; there may be more: see --limit.\n", n)
	}
	return nil
}

type quarantineShowCmd struct {
	tableTarget
	Place string `arg:"" help:"TOPIC/PARTITION/OFFSET, as list prints it."`
	Raw   bool   `xor:"form" help:"Print the record's bytes alone."`
	JSON  bool   `name:"json" xor:"form" help:"Print JSON, with the record's bytes in base64."`
}

// Run shows one record.
func (c *quarantineShowCmd) Run(e *env) error {
	if err := checkPlace(c.Place); err != nil {
		return err
	}
	ch, err := c.open()
	if err != nil {
		return err
	}
	defer ch.Close()
	found := false
	err = consumer.ShowQuarantine(e.ctx, ch, consumer.QuarantineFilter{Place: c.Place}, func(q *consumer.Quarantined) error {
		found = true
		switch {
		case c.Raw:
			_, err := os.Stdout.Write(q.Value)
			return err
		case c.JSON:
			enc := json.NewEncoder(os.Stdout)
			enc.SetIndent("", "  ")
			return enc.Encode(q)
		}
		return writeQuarantined(os.Stdout, q)
	})
	if err == nil && !found {
		err = fmt.Errorf("%s is not in quarantine: `audittrail quarantine list` shows what is", c.Place)
	}
	return err
}

type quarantineRedriveCmd struct {
	storeTarget
	quarantineFilter
	Limit int    `min:"1" default:"100" help:"Publish at most so many; the next call goes on with the rest."`
	Place string `help:"Only this one: TOPIC/PARTITION/OFFSET."`
}

// redriveWait is how long to wait for the consumer to store what was published: a call that comes before would publish it again.
const redriveWait = 30 * time.Second

// Run publishes records again.
func (c *quarantineRedriveCmd) Run(e *env) error {
	if c.Place != "" {
		if err := checkPlace(c.Place); err != nil {
			return err
		}
	}
	cfg, ch, err := c.open()
	if err != nil {
		return err
	}
	defer ch.Close()
	f := c.filter(c.Limit)
	f.Place = c.Place
	again, left, before := 0, 0, 0
	err = consumer.Redrive(e.ctx, consumer.RedriveOptions{Kafka: cfg, ClickHouse: ch, Logger: e.log, Filter: f, Wait: redriveWait, Each: func(r consumer.Redriven) {
		switch {
		case errors.Is(r.Err, consumer.ErrRedriven):
			before++ // they become ever more: only their number is shown
		case r.Err != nil:
			left++
			fmt.Printf("%s: left where it is: %s\n", r.Record.Place(), readableLine(r.Err.Error()))
		default:
			again++
			fmt.Printf("%s: published again to %s\n", r.Record.Place(), r.Record.Topic)
		}
	}})
	switch all := again + left + before; {
	case all == 0 && err != nil:
		return err // nothing was done
	case all == 0 && c.Place != "":
		return fmt.Errorf("%s is not in quarantine: `audittrail quarantine list` shows what is", c.Place)
	case all == 0 && c.given():
		fmt.Println("No record in quarantine is of this kind.")
	case all == 0:
		fmt.Println("The quarantine is empty.")
	default:
		fmt.Printf("%d published again, %d left, %d were redriven before\n", again, left, before)
		if again == c.Limit && c.Place == "" {
			fmt.Fprintf(os.Stderr, "The limit of %d is reached; there may be more: call it again, or see --limit.\n", again)
		}
	}
	return err
}
