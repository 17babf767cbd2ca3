//go:build failpoints

package consumer

import (
	"context"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// load publishes 600 events, 4 records that are none, an aborted transaction of 7 events and a committed one of 20, to two partitions.
func (w *world) load() (events, bad, holes uint64) {
	w.t.Helper()
	w.produce(0, 300)
	cl := w.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID("load-"+w.tenant))
	ctx := context.Background()
	for i, n := range []int{7, 20} {
		if err := cl.BeginTransaction(); err != nil {
			w.t.Fatal(err)
		}
		for j := range n {
			r := eventRecordTo(w, 1000+100*i+j, 0)
			if err := cl.ProduceSync(ctx, r).FirstErr(); err != nil {
				w.t.Fatal(err)
			}
		}
		if err := cl.EndTransaction(ctx, kgo.TransactionEndTry(i == 1)); err != nil {
			w.t.Fatal(err)
		}
	}
	plain := w.client()
	for _, v := range []string{"{", "", `{"outcome":"success"}`, "\xff\x00"} {
		if err := plain.ProduceSync(ctx, &kgo.Record{Topic: w.topic(), Value: []byte(v)}).FirstErr(); err != nil {
			w.t.Fatal(err)
		}
	}
	w.produce(300, 600)
	return 620, 4, 7 + 2
}

func TestFaultTable(t *testing.T) {
	slow(t)
	for _, step := range []string{"intent", "rows", "quarantine", "ledger", "settle"} {
		for _, at := range []string{"before", "after"} {
			for _, how := range []string{"kill", "error"} {
				t.Run(step+"/"+at+"/"+how, func(t *testing.T) {
					crash(t, step+"-"+at, how, "").exactlyAfterRecovery()
				})
			}
		}
	}
}

// crashed is a world whose first consumer has died at a step.
type crashed struct {
	*world
	events, bad, holes uint64
	mutation           string
}

// crash runs a consumer into a fault and makes sure that it is dead: by the fault itself (kill -9), or by a kill right behind an error that says that the
// connection broke before the step was done ("before") or that its answer was lost ("after").
func crash(t *testing.T, point, how, mutation string) *crashed {
	w := newWorld(t, 2)
	c := &crashed{world: w, mutation: mutation}
	c.events, c.bad, c.holes = w.load()
	terms := point + `=1*off->return("` + how + `")`
	if strings.HasPrefix(point, "quarantine") {
		terms = point + `=return("` + how + `")` // there may be just one
	}
	first := w.spawn(childOptions{Rows: 50}, join(terms, mutation))
	eventually(t, "the fault to strike", func() bool { return first.said("failpoint fired: "+point) || first.ended() })
	if !first.said("failpoint fired: " + point) {
		t.Fatalf("the fault %s never fired", point)
	}
	if how == "kill" {
		<-first.exited
	} else {
		first.kill()
	}
	return c
}

func join(terms, more string) string {
	if more == "" {
		return terms
	}
	return terms + ";" + more
}

// recovered lets a new owner finish the work.
func (c *crashed) recovered() {
	c.t.Helper()
	next := c.spawn(childOptions{Rows: 70}, c.mutation)
	c.settled(DefaultGroup)
	next.terminate()
}

func (c *crashed) exactlyAfterRecovery() {
	c.t.Helper()
	c.recovered()
	c.exactly(c.events, c.bad, c.holes)
}

// TestProtectionsAreNeeded switches one protection off at a time: some fault must then lose or double something, or the fault table proves nothing.
func TestProtectionsAreNeeded(t *testing.T) {
	slow(t)
	for _, c := range []struct{ mutation, point string }{
		{"token", "rows-after"},
		{"intent", "ledger-after"},
	} {
		t.Run(c.mutation, func(t *testing.T) {
			w := crash(t, c.point, "kill", "mutate-"+c.mutation+`=return("on")`)
			w.recovered()
			got := w.state()
			if got.Events == w.events && got.Offsets == got.Events && got.Minute == w.events && got.Hour == w.events && got.LedgerRows == w.events {
				t.Errorf("without %s the fault %s does no harm: %+v", c.mutation, c.point, got)
			}
		})
	}
}

// said reports whether the child has printed a line with the text.
func (c *child) said(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.lines {
		if strings.Contains(l, text) {
			return true
		}
	}
	return false
}

func (c *child) ended() bool {
	select {
	case <-c.exited:
		return true
	default:
		return false
	}
}
