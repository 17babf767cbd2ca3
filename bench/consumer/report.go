package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// report collects what was measured.
type report struct {
	layers        map[string][]usage
	order         []string
	with, without []usage
	// allocs are the allocations an event into columns.
	allocs int
}

func newReport() *report {
	return &report{
		layers: make(map[string][]usage),
		order:  []string{layerJSON, layerEvent, layerColumns, layerDiscard, layerNull, layerTables, layerMerging, layerStraight},
	}
}

func (r *report) add(layer string, u usage) { r.layers[layer] = append(r.layers[layer], u) }

// median returns the median of a quantity over the runs.
func median(runs []usage, of func(usage) float64) float64 {
	if len(runs) == 0 {
		return 0
	}
	v := make([]float64, len(runs))
	for i, u := range runs {
		v[i] = of(u)
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

func cpuOf(d func(usage) time.Duration) func(usage) float64 {
	return func(u usage) float64 { return u.perEvent(d(u)) }
}

var (
	consumerCPU = cpuOf(func(u usage) time.Duration { return u.consumer })
	engineCPU   = cpuOf(func(u usage) time.Duration { return u.engine })
	mergesCPU   = cpuOf(func(u usage) time.Duration { return u.merges })
	totalCPU    = cpuOf(func(u usage) time.Duration { return u.consumer + u.engine })
	seconds     = func(u usage) float64 { return u.wall.Seconds() }
)

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "%-40s %12s %30s %24s\n", "", "events/s", "CPU, µs an event", "peak memory, MiB")
	fmt.Fprintf(w, "%-40s %12s %10s %9s %9s %12s %11s\n", "", "", "process", "engine", "merges", "process", "engine")
	for _, layer := range r.order {
		runs := r.layers[layer]
		if len(runs) == 0 {
			continue
		}
		fmt.Fprintf(w, "%s %12.0f %10s %9s %9s %12s %11s\n", pad(layer, 40), median(runs, usage.rate),
			cell("%.2f", median(runs, consumerCPU)), cell("%.2f", median(runs, engineCPU)), cell("%.2f", median(runs, mergesCPU)),
			cell("%.0f", median(runs, func(u usage) float64 { return float64(u.consumerMiB) })),
			cell("%.0f", median(runs, func(u usage) float64 { return float64(u.engineMiB) })))
	}
	fmt.Fprintln(w)
	for _, b := range r.bars() {
		fmt.Fprintln(w, b)
	}
}

func cell(format string, v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf(format, v)
}

// pad fills to a width in characters, which the verbs of fmt count in bytes for some of ours.
func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

// bars compares the medians with what was asked for.
func (r *report) bars() (out []string) {
	bar := func(met bool, format string, args ...any) {
		verdict := "MISSED"
		if met {
			verdict = "met"
		}
		out = append(out, fmt.Sprintf("%-7s "+format, append([]any{verdict}, args...)...))
	}
	of := func(layer string, q func(usage) float64) float64 { return median(r.layers[layer], q) }
	plain := of(layerJSON, consumerCPU)
	event := plain / of(layerEvent, consumerCPU)
	bar(event >= 4, "decode to Event: %.1f × as fast as encoding/json (at least 4)", event)
	if len(r.layers[layerColumns]) > 0 {
		columns := plain / of(layerColumns, consumerCPU)
		bar(columns >= 7, "decode to columns: %.1f × as fast as encoding/json (at least 7)", columns)
		bar(r.allocs == 0, "decode to columns: %d allocations an event (0)", r.allocs)
	}
	side := of(layerTables, consumerCPU)
	bar(side <= 2, "consumer's side: %.2f µs CPU an event (at most 2)", side)
	straight := of(layerStraight, engineCPU)
	total := of(layerTables, totalCPU) / straight
	bar(total <= 1.3, "consumer and engine: %.2f × the CPU of the straight insert (at most 1.3)", total)
	engine := of(layerTables, engineCPU) / straight
	bar(engine <= 1.1, "engine: %.2f × the CPU of the straight insert (at most 1.1)", engine)
	if len(r.with) > 0 && len(r.without) > 0 {
		cost := 100 * (median(r.with, totalCPU)/median(r.without, totalCPU) - 1)
		doubt := 100 * pairError(r.with, r.without, totalCPU)
		slower := 100 * (median(r.with, seconds)/median(r.without, seconds) - 1)
		text := fmt.Sprintf("intents: %+.1f ± %.1f %% CPU (at most 2), %+.1f %% time, over %d pairs", cost, doubt, slower, len(r.with))
		if math.Abs(cost-2) <= doubt {
			out = append(out, "UNSURE  "+text) // the pairs differ too much to tell: a quieter machine, or more of them
		} else {
			bar(cost <= 2, "%s", text)
		}
	}
	memory := of(layerMerging, func(u usage) float64 { return float64(u.consumerMiB + u.engineMiB) })
	bar(memory <= 2048, "consumer and engine together: %.0f MiB at their peaks (at most 2,048)", memory)
	return out
}

// pairError is twice the standard error of the mean ratio of the pairs; infinite for a single pair, which tells nothing of it.
func pairError(a, b []usage, of func(usage) float64) float64 {
	n := float64(min(len(a), len(b)))
	var sum, squares float64
	for i := range int(n) {
		ratio := of(a[i]) / of(b[i])
		sum += ratio
		squares += ratio * ratio
	}
	if n < 2 {
		return math.Inf(1)
	}
	return 2 * math.Sqrt(max(0, squares-sum*sum/n)/(n-1)/n)
}
