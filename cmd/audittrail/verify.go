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
	if len(t.Clickhouse) == 0 {
		e, err := readEndpoints(t.Data)
		if err != nil {
			return cfg, nil, err
		}
		t.Clickhouse = []string{e.ClickHouse}
	}
	ch, err := t.client()
	return cfg, ch, err
}

type verifyCmd struct {
	storeTarget
	From      string `placeholder:"DAY" help:"First day of storing to look at, such as 2026-11-25."`
	To        string `placeholder:"DAY" help:"Last day of storing to look at."`
	SkipKafka bool   `help:"Do not read the records in Kafka again for comparison."`
	Repair    bool   `help:"Read what is missing from Kafka again and store it."`
	JSON      bool   `name:"json" help:"Print the report as JSON."`
}

// errNotComplete makes the exit status tell a script.
var errNotComplete = errors.New("the trail is not as the ledger says it should be")

// Run verifies that the trail is complete.
func (c *verifyCmd) Run(e *env) error {
	from, err := parseDay("--from", c.From)
	if err != nil {
		return err
	}
	to, err := parseDay("--to", c.To)
	if err != nil {
		return err
	}
	cfg, ch, err := c.open()
	if err != nil {
		return err
	}
	defer ch.Close()
	bar := newProgress("verify")
	report, err := consumer.Verify(e.ctx, consumer.VerifyOptions{
		Kafka: cfg, ClickHouse: ch, From: from, To: to, SkipKafka: c.SkipKafka, Repair: c.Repair, Logger: e.log,
		Progress: func(done, all int) { bar.set(int64(done), int64(all)) },
	})
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

func printReport(r *consumer.Report) {
	for _, f := range r.Findings {
		fmt.Println(f)
	}
	for _, id := range r.Repeated {
		fmt.Printf("repeated: the event id %q is on %d records\n", id.ID, id.Records)
	}
	fmt.Printf("%d ranges, %d rows, %d quarantined; %d ranges compared with Kafka; %d findings, %d repeated ids\n",
		r.Ranges, r.Events, r.Quarantined, r.FromKafka, len(r.Findings), len(r.Repeated))
}

func parseDay(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return t, fmt.Errorf("%s %s is not a day like 2026-11-25", flag, s)
	}
	return t, nil
}
