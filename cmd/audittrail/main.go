// Command audittrail is the whole product in one binary: each service is a subcommand, and `audittrail up` runs them all on an embedded broker and an
// embedded ClickHouse. The files of this package only wire: flags and environment in, services out.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/audittrail/audittrail/internal/ops"
)

// cli is the command line. Each flag can also be given as AUDITTRAIL_NAME in the environment.
type cli struct {
	Up         upCmd         `cmd:"" help:"Run the whole pipeline on this machine, with an embedded broker and an embedded ClickHouse."`
	Consumer   consumerCmd   `cmd:"" help:"Run the consumer: Kafka to ClickHouse, exactly once."`
	Detector   detectorCmd   `cmd:"" help:"Run the detector: raise alerts from the stream."`
	Queryapi   queryapiCmd   `cmd:"" help:"Run the HTTP API: search and alerts."`
	Clickhouse clickhouseCmd `cmd:"" help:"Run the embedded ClickHouse alone."`
	Import     importCmd     `cmd:"" help:"Publish events from a file."`
	Generate   generateCmd   `cmd:"" help:"Publish a realistic made-up load."`
	Verify     verifyCmd     `cmd:"" help:"Prove that the trail is complete: ledger against rows, statistics and Kafka."`
	Quarantine quarantineCmd `cmd:"" help:"Records that could not be read."`
	Topics     topicsCmd     `cmd:"" help:"Create the Kafka topics that are missing."`
	Migrate    migrateCmd    `cmd:"" help:"Create or update the ClickHouse tables."`
	Version    versionCmd    `cmd:"" help:"Print the version."`

	LogLevel  string `default:"info" enum:"debug,info,warn,error" help:"Log lines from this level on (${enum})."`
	LogFormat string `default:"text" enum:"text,json" help:"Form of the log lines (${enum})."`
}

// env is what every command gets.
type env struct {
	// ctx ends when the process is told to stop.
	ctx context.Context
	log *slog.Logger
}

const description = "An audit trail on Kafka and ClickHouse: publish, search, alert. Start with `audittrail up`."

func main() {
	os.Exit(execute(os.Args[1:]))
}

// execute parses, runs the command and returns the exit status: 0, 1 when it failed, 2 when it was called wrongly.
func execute(args []string) int {
	var c cli
	parser := newParser(&c)
	kctx, err := parse(parser, args)
	if err != nil {
		return report(err)
	}
	if err := checkVariables(parser.Model, os.Environ()); err != nil {
		return report(err)
	}
	log, err := ops.NewLogger(os.Stderr, c.LogFormat, c.LogLevel)
	if err != nil {
		return report(usageError{err})
	}
	ctx, stop := untilSignal()
	defer stop()
	if err := kctx.Run(&env{ctx: ctx, log: log}); err != nil {
		return report(err)
	}
	return 0
}

// untilSignal returns a context that ends when the process is told to stop. A second signal ends the process at once: whoever sends it does not want to wait.
func untilSignal() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		again := <-signals
		fmt.Fprintln(os.Stderr, "audittrail: ended at once, on the second signal")
		// Not left to the signal's own effect: a shell starts background jobs with SIGINT ignored.
		code := 1
		if number, ok := again.(syscall.Signal); ok {
			code = 128 + int(number)
		}
		os.Exit(code)
	}()
	return ctx, cancel
}

// report says what went wrong and returns the exit status.
func report(err error) int {
	fmt.Fprintf(os.Stderr, "audittrail: %v\n", err)
	if usage := (usageError{}); errors.As(err, &usage) {
		return 2
	}
	return 1
}

func newParser(c *cli) *kong.Kong {
	k := kong.Must(c,
		kong.Name("audittrail"),
		kong.Description(description),
		kong.DefaultEnvars(envPrefix),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
		kong.ValueFormatter(flagHelp),
	)
	addExamples(k.Model.Node, "")
	return k
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run() error {
	fmt.Println(ops.Version())
	return nil
}
