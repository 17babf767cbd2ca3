// Command consumer measures what it costs to carry events from Kafka into ClickHouse, layer by layer: decoding, the consumer alone, the consumer into tables
// that keep nothing, into the real tables, and the engine's own limit beside it. The consumer, the broker with its load, and the engine are processes of
// their own, so that their CPU is told apart. See README.md in this folder.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

type options struct {
	binary, failpoints, columns string
	events, partitions, rounds  int
	pairs, backlog              int
	hold                        time.Duration
	tables                      bool
	variants, profile           string
}

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", "bin/audittrail", "the program")
	flag.StringVar(&o.failpoints, "failpoints", "", "the program built with the tag failpoints; without it the price of intents is not measured")
	flag.StringVar(&o.columns, "columns", "", "the compiled tests of ./consumer, whose benchmark fills columns; without it columns are not measured alone")
	flag.IntVar(&o.events, "events", 1_000_000, "how many events")
	flag.IntVar(&o.partitions, "partitions", 4, "partitions of the topic")
	flag.IntVar(&o.rounds, "rounds", 3, "how often each part is measured, in turn; the medians are compared")
	flag.IntVar(&o.pairs, "pairs", 6, "pairs of runs with and without intents")
	flag.IntVar(&o.backlog, "backlog", 0, "instead: publish so many events, stop ClickHouse in mid-load, watch the consumer's memory, start it again, and see everything arrive")
	flag.DurationVar(&o.hold, "hold", 30*time.Second, "how long ClickHouse stays stopped with -backlog")
	flag.BoolVar(&o.tables, "tables", false, "instead: leave out one part of the tables after the other in the straight insert")
	flag.StringVar(&o.variants, "variants", "", "only those variants of -tables whose names match this regular expression")
	flag.StringVar(&o.profile, "profile", "", "instead: write the consumer's CPU profile of one run into the real tables to this file")
	limit := flag.Duration("limit", time.Hour, "give up after")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	if err := run(ctx, o, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "consumer:", err)
		os.Exit(1)
	}
}

// run is the orchestrator, or one of the processes that it starts from the same binary.
func run(ctx context.Context, o options, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case roleBroker:
			return serveLoad(ctx, args[1], o.events, o.partitions)
		case roleDecode:
			return decodeAlone(args[1], o.events)
		case roleConsumer:
			return profiledConsumer(ctx, o.profile, args[1], args[2], args[3])
		}
		return fmt.Errorf("%q is not understood: see -help", args[0])
	}
	dir, err := os.MkdirTemp("", "audittrail-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{options: o, dir: dir}
	defer b.close()
	if o.backlog > 0 {
		b.events = o.backlog
	}
	if err := b.startBroker(ctx); err != nil {
		return err
	}
	fmt.Printf("%d events on %d partitions\n\n", b.events, b.partitions)
	switch {
	case o.backlog > 0:
		return b.holdBacklog(ctx)
	case o.tables:
		return b.costOfTables(ctx)
	case o.profile != "":
		return b.profileConsumer(ctx)
	}
	return b.compare(ctx)
}
