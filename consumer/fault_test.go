//go:build failpoints

package consumer

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	gofail "go.etcd.io/gofail/runtime"
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

// TestRangeCheckIsNeeded: offsets are reset to zero, and the check that protects from storing everything twice is switched off.
func TestRangeCheckIsNeeded(t *testing.T) {
	slow(t)
	w := newWorld(t, 1)
	w.produce(0, 100)
	w.consumed(w.options())
	w.commit(0, "")
	enable(t, "mutate-check")
	w.consumed(w.shortIntents())
	if n := w.events(); n == 100 {
		t.Errorf("without the range check there are %d events all the same", n)
	}
}

// TestLaneLockIsNeeded: a partition was lost, and its next owner has settled more. A commit of the one before must not take that back.
func TestLaneLockIsNeeded(t *testing.T) {
	slow(t)
	for name, mutate := range map[string]bool{"on": false, "off": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1)
			w.produce(0, 100)
			c := w.start(w.options())
			w.settled(DefaultGroup)
			c.mu.Lock()
			l := c.lanes[partitionKey{w.topic(), 0}]
			c.mu.Unlock()
			if mutate {
				enable(t, "mutate-lock")
			}
			l.mu.Lock()
			l.offset = 40 // as far as the first owner had come
			l.mu.Unlock()
			l.lose()
			c.commits.commit(t.Context(), []*lane{l})
			at := w.broker.GroupInfo(DefaultGroup).Commits[w.topic()][0].Offset
			if held := at == 100; held == mutate {
				t.Errorf("the group's offset is %d", at)
			}
			c.cancel()
			<-c.done
		})
	}
}

// TestCommitUnderWayIsStoppedByTheLoss: the partition is lost between the making of the commit and its request, which carries the generation of the member
// as it is by then.
func TestCommitUnderWayIsStoppedByTheLoss(t *testing.T) {
	slow(t)
	w := newWorld(t, 1)
	w.produce(0, 100)
	c := w.start(w.options())
	w.settled(DefaultGroup)
	c.mu.Lock()
	l := c.lanes[partitionKey{w.topic(), 0}]
	c.mu.Unlock()
	l.mu.Lock()
	l.offset = 40
	l.mu.Unlock()
	s, ok := l.snapshot(time.Now())
	if !ok {
		t.Fatal("a lane at work cannot be committed")
	}
	l.lose()
	if again := c.commits.send(t.Context(), map[partitionKey]snapshot{l.key: s}); len(again) != 1 {
		t.Error("the commit went through")
	}
	if at := w.broker.GroupInfo(DefaultGroup).Commits[w.topic()][0].Offset; at != 100 {
		t.Errorf("the group's offset is %d", at)
	}
	c.cancel()
	<-c.done
}

// enable switches a protection off until the test ends.
func enable(t *testing.T, name string) {
	t.Helper()
	_, _ = evaluate(name) // it must be known
	if err := gofail.Enable(name, `return("on")`); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := gofail.Disable(name); err != nil {
			t.Error(err)
		}
	})
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
