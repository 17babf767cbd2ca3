package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// What is measured, in the order of the table.
const (
	layerJSON     = "encoding/json alone"
	layerEvent    = "decode to Event"
	layerColumns  = "decode to columns"
	layerDiscard  = "kafka → columns → discard"
	layerNull     = "consumer → Null tables"
	layerTables   = "consumer → tables, no merges meanwhile"
	layerMerging  = "consumer → tables, as it runs"
	layerStraight = "INSERT … SELECT from Memory, no merges"
)

// compare measures every layer in turn, so many rounds, and prints the medians and the bars.
func (b *bench) compare(ctx context.Context) error {
	r := newReport()
	for i := range b.rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", i+1, b.rounds)
		if err := errors.Join(b.decoding(ctx, r), b.consuming(ctx, r)); err != nil {
			return err
		}
	}
	if b.failpoints != "" {
		if err := b.comparePairs(ctx, r); err != nil {
			return err
		}
	}
	r.print(os.Stdout)
	return nil
}

func (b *bench) decoding(ctx context.Context, r *report) error {
	for layer, how := range map[string]string{layerJSON: decodeJSON, layerEvent: decodeOurs} {
		u, err := b.decode(ctx, how)
		if err != nil {
			return err
		}
		r.add(layer, u)
	}
	if b.columns == "" {
		return nil
	}
	u, allocs, err := b.fillColumns(ctx)
	if err != nil {
		return err
	}
	r.allocs = max(r.allocs, allocs)
	r.add(layerColumns, u)
	return nil
}

func (b *bench) consuming(ctx context.Context, r *report) error {
	if err := b.aside(ctx, r); err != nil {
		return err
	}
	if err := b.intoTables(ctx, r); err != nil {
		return err
	}
	e, _, err := b.freshEngine(ctx, usualMemory)
	if err != nil {
		return err
	}
	defer e.stop()
	if err := e.exec(ctx, "SYSTEM START MERGES"); err != nil {
		return err
	}
	u, err := b.consume(ctx, b.binary, e.url, e)
	if err != nil {
		return err
	}
	if u.merges, err = e.awaitQuiet(ctx, e.cpu()); err != nil {
		return err
	}
	r.add(layerMerging, u)
	return e.check(ctx, b.events)
}

// aside runs the consumer with its inserts discarded, and then with tables that keep nothing.
func (b *bench) aside(ctx context.Context, r *report) error {
	e, _, err := b.freshEngine(ctx, usualMemory)
	if err != nil {
		return err
	}
	defer e.stop()
	if err := e.makeNull(ctx); err != nil {
		return err
	}
	for _, run := range []struct {
		layer  string
		insert insertHandler
	}{{layerDiscard, discard}, {layerNull, intoNull}} {
		p, err := startProxy(e.url, run.insert)
		if err != nil {
			return err
		}
		u, err := b.consume(ctx, b.binary, p.addr, e)
		p.close()
		if err != nil {
			return err
		}
		r.add(run.layer, u)
	}
	return nil
}

// intoTables runs the consumer into the real tables, and then inserts the same events from memory.
func (b *bench) intoTables(ctx context.Context, r *report) error {
	e, dir, err := b.freshEngine(ctx, usualMemory)
	if err != nil {
		return err
	}
	// Once unmeasured: the engine of the straight insert has its memory by then as well, and the first touch of memory is dear.
	_, err = b.consume(ctx, b.binary, e.url, e)
	if err == nil {
		err = e.reset(ctx)
	}
	var u usage
	if err == nil {
		u, err = b.consume(ctx, b.binary, e.url, e)
	}
	if err == nil {
		u.merges, err = e.merge(ctx)
	}
	if err == nil {
		err = e.check(ctx, b.events)
	}
	e.stop()
	if err != nil {
		return err
	}
	r.add(layerTables, u)
	// The Memory table needs more memory than the engine has usually.
	if e, err = b.startEngine(ctx, dir, "127.0.0.1:0", ampleMemory); err != nil {
		return err
	}
	defer e.stop()
	n, err := e.keep(ctx, b.partitions)
	if err != nil {
		return err
	}
	if err := e.reset(ctx); err != nil {
		return err
	}
	if _, err := e.awaitQuiet(ctx, 0); err != nil {
		return err
	}
	if u, err = e.straight(ctx, n); err != nil {
		return err
	}
	if u.merges, err = e.merge(ctx); err != nil {
		return err
	}
	r.add(layerStraight, u)
	return e.check(ctx, b.events)
}

// comparePairs runs the consumer with and without intents, in turn, the one and the other first.
func (b *bench) comparePairs(ctx context.Context, r *report) error {
	e, _, err := b.freshEngine(ctx, usualMemory)
	if err != nil {
		return err
	}
	defer e.stop()
	const off = "GOFAIL_FAILPOINTS=mutate-intent=return(true)"
	for i := range 2 * b.pairs {
		with := (i+i/2)%2 == 0 // with, without, without, with, …
		env := off
		if with {
			env = "GOFAIL_FAILPOINTS="
		}
		if err := e.reset(ctx); err != nil {
			return err
		}
		u, err := b.consume(ctx, b.failpoints, e.url, e, env)
		if err != nil {
			return err
		}
		if err := e.check(ctx, b.events); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "intents %t: %s, %.2f µs\n", with, u.wall.Round(time.Millisecond), u.perEvent(u.consumer+u.engine))
		if with {
			r.with = append(r.with, u)
		} else {
			r.without = append(r.without, u)
		}
	}
	return nil
}
