package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/audittrail/audittrail/consumer"
	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/internal/kafka"
)

// storeTarget is a client's way to both Kafka and ClickHouse: given addresses, or else those of a running `audittrail up`.
type storeTarget struct {
	target
	clickhouseFlags
}

func (t storeTarget) open() (kafka.Config, *clickhouse.Client, error) {
	cfg, err := t.target.config()
	if err != nil {
		return cfg, nil, err
	}
	ch, err := tableTarget{t.dataFlag, t.clickhouseFlags}.open()
	return cfg, ch, err
}

type verifyCmd struct {
	storeTarget
	Group     string `default:"audittrail-consumer" help:"Consumer group: what it has not settled yet is its own business."`
	From      string `placeholder:"DAY" help:"First day of storing to look at, such as 2026-11-25."`
	To        string `placeholder:"DAY" help:"Last day of storing to look at."`
	SkipKafka bool   `help:"Do not ask Kafka: compare ledger, rows and statistics only."`
	Repair    bool   `help:"Read what is missing from Kafka again and store it; make wrong statistics of days that are over anew."`
	JSON      bool   `name:"json" help:"Print the report as JSON."`
}

// errNotComplete makes the exit status tell a script.
var errNotComplete = errors.New("the trail is not as the ledger says it should be")

// Run verifies that the trail is complete.
func (c *verifyCmd) Run(e *env) error {
	opt, err := c.options()
	if err != nil {
		return err
	}
	if c.SkipKafka {
		opt.ClickHouse, err = tableTarget{c.dataFlag, c.clickhouseFlags}.open()
	} else {
		opt.Kafka, opt.ClickHouse, err = c.open()
	}
	if err != nil {
		return err
	}
	defer opt.ClickHouse.Close()
	bar := newProgress("verify")
	opt.Logger, opt.Progress = e.log, func(done, all int) { bar.set(int64(done), int64(all)) }
	report, err := consumer.Verify(e.ctx, opt)
	bar.done()
	if err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(report); err != nil {
			return err
		}
	} else {
		printReport(report)
	}
	if !report.OK() {
		return errNotComplete
	}
	return nil
}

// options checks what the flags say.
func (c *verifyCmd) options() (opt consumer.VerifyOptions, err error) {
	opt = consumer.VerifyOptions{Group: c.Group, SkipKafka: c.SkipKafka, Repair: c.Repair}
	if c.Repair && c.SkipKafka {
		return opt, usagef("--repair reads from Kafka what is missing: it does not go with --skip-kafka")
	}
	if opt.From, err = parseDay("--from", c.From); err != nil {
		return opt, err
	}
	if opt.To, err = parseDay("--to", c.To); err != nil {
		return opt, err
	}
	if !opt.To.IsZero() && opt.To.Before(opt.From) {
		return opt, usagef("--to %s is before --from %s", c.To, c.From)
	}
	return opt, nil
}

func printReport(r *consumer.Report) {
	repaired := 0
	for _, f := range r.Findings {
		fmt.Println(f)
		if f.Repaired {
			repaired++
		}
	}
	for _, id := range r.Repeated {
		fmt.Printf("repeated: the event id %q is on %d records\n", id.ID, id.Records)
	}
	if r.Ranges == 0 {
		fmt.Println("nothing to verify: the ledger has no range of these days")
	}
	fmt.Printf("%d ranges: %d events, %d versions of alerts, %d quarantined; %d ranges compared with Kafka; %d findings, %d of them repaired; %d repeated ids\n",
		r.Ranges, r.Events, r.AlertVersions, r.Quarantined, r.FromKafka, len(r.Findings), repaired, len(r.Repeated))
}

func parseDay(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return t, usagef("%s %s is not a day like 2026-11-25", flag, s)
	}
	return t, nil
}
