package engine

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// BenchmarkWindowInsert is the pure cost of one more event in a full window of the default rule.
func BenchmarkWindowInsert(b *testing.B) {
	r := testRule()
	c := compile(&r)
	g := &group{rule: c}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		t := int64(i) * 20_000_000 // three a minute: nothing holds
		j := g.win.insert(entry{time: t, published: t / 1000, offset: int64(i), id: uint64(i)})
		g.examine(j, t/1000)
		if len(g.win.entries) > 20 {
			g.win.dropFirst()
		}
	}
}

// BenchmarkApply is one match record from its bytes on, with many groups, below the threshold.
func BenchmarkApply(b *testing.B) {
	for _, groups := range []int{1000, 100_000} {
		b.Run(fmt.Sprint(groups), func(b *testing.B) {
			r := testRule()
			records := make([]record, 4*groups)
			for i := range records {
				at := epoch.Add(time.Duration(i) * time.Minute / time.Duration(groups) * 1)
				records[i] = matchOf(&r, event{
					id: fmt.Sprintf("0190a1b2-c3d4-7e5f-8a9b-%012x", i), source: fmt.Sprintf("10.%d.%d.%d", i%groups>>16, i%groups>>8&255, i%groups&255),
					user: "root", at: at, published: at,
				})
			}
			b.ReportAllocs()
			p, next := New(Options{Rules: ruleSet(r)}, Start(0)), 0
			for b.Loop() {
				if next == len(records) {
					b.StopTimer()
					p, next = New(Options{Rules: ruleSet(r)}, Start(0)), 0
					b.StartTimer()
				}
				if _, err := p.Apply(int64(next), records[next].key, records[next].value); err != nil {
					b.Fatal(err)
				}
				next++
			}
		})
	}
}

// BenchmarkMemory is what a group of one event costs.
func BenchmarkMemory(b *testing.B) {
	const groups = 100_000
	r := testRule()
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		p := New(Options{Rules: ruleSet(r)}, Start(0))
		for i := range groups {
			rec := matchOf(&r, event{
				id: fmt.Sprintf("0190a1b2-c3d4-7e5f-8a9b-%012x", i), source: fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255),
				user: "root", at: epoch, published: epoch,
			})
			if _, err := p.Apply(int64(i), rec.key, rec.value); err != nil {
				b.Fatal(err)
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/groups, "B/group")
		runtime.KeepAlive(p)
	}
}
