package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/audittrail/audittrail/bench/internal/proc"
	"github.com/audittrail/audittrail/producer/generate"
	"github.com/audittrail/audittrail/schemas/audit"
)

const (
	roleDecode = "decode"
	decodeJSON = "encoding/json"
	decodeOurs = "event"
	// sample is how many different events are decoded over and over; the consumer's own benchmark takes as many.
	sample = 20_000
)

// plain is the Event as encoding/json reads it.
type plain struct {
	ID       string    `json:"id"`
	Time     time.Time `json:"time"`
	Tenant   string    `json:"tenant"`
	Action   string    `json:"action"`
	Category string    `json:"category"`
	Outcome  string    `json:"outcome"`
	Reason   string    `json:"reason"`
	Severity string    `json:"severity"`
	Actor    struct {
		Type string `json:"type"`
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"actor"`
	Source struct {
		IP           netip.Addr `json:"ip"`
		ForwardedFor []string   `json:"forwarded_for"`
		UserAgent    string     `json:"user_agent"`
	} `json:"source"`
	SessionID string `json:"session_id"`
	Targets   []struct {
		Type string `json:"type"`
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"targets"`
	Changes []struct {
		Field    string          `json:"field"`
		Old      json.RawMessage `json:"old"`
		New      json.RawMessage `json:"new"`
		Redacted bool            `json:"redacted"`
	} `json:"changes"`
	Data struct {
		Records uint64 `json:"records"`
		Bytes   uint64 `json:"bytes"`
		Filter  string `json:"filter"`
	} `json:"data"`
	Service struct {
		Name     string `json:"name"`
		Version  string `json:"version"`
		Instance string `json:"instance"`
	} `json:"service"`
	Request struct {
		ID     string `json:"id"`
		Method string `json:"method"`
		Route  string `json:"route"`
		Status uint16 `json:"status"`
	} `json:"request"`
	TraceID       string            `json:"trace_id"`
	SpanID        string            `json:"span_id"`
	CorrelationID string            `json:"correlation_id"`
	Sequence      uint64            `json:"sequence"`
	Message       string            `json:"message"`
	Metadata      map[string]string `json:"metadata"`
}

// decodeAlone is a process that decodes the sample until it has decoded n events, one after the other, and prints the CPU time and the peak memory that it took.
func decodeAlone(how string, n int) error {
	records := sampleRecords()
	runtime.GC()
	start, began := proc.CPU(os.Getpid()), time.Now()
	dec, e := audit.NewDecoder(), audit.Event{}
	for i := range n {
		rec := &records[i%len(records)]
		var err error
		if how == decodeJSON {
			var p plain
			err = json.Unmarshal(rec.Value, &p)
		} else {
			err = dec.Decode(rec, &e)
		}
		if err != nil {
			return fmt.Errorf("decode %s: %w", rec.Value, err)
		}
	}
	fmt.Println(int64(proc.CPU(os.Getpid())-start), int64(time.Since(began)), proc.PeakMiB(os.Getpid()))
	return nil
}

// sampleRecords are the records that the consumer's own benchmark has: see usualRecords in its tests.
func sampleRecords() []audit.Record {
	src := generate.NewSource(seed)
	at := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	out := make([]audit.Record, sample)
	var e audit.Event
	for i := range out {
		src.Next(&e, at.Add(time.Duration(i)*time.Millisecond))
		key, value, headers := audit.EncodeRecord(&e)
		out[i] = audit.Record{Offset: int64(i), Time: at, Key: key, Value: value, Headers: headers}
	}
	return out
}

// decode runs decodeAlone in a process.
func (b *bench) decode(ctx context.Context, how string) (usage, error) {
	u := usage{events: b.events}
	self, err := os.Executable()
	if err != nil {
		return u, err
	}
	cmd := exec.CommandContext(ctx, self, "-events", strconv.Itoa(b.events), roleDecode, how)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return u, fmt.Errorf("decode as %s: %w", how, err)
	}
	_, err = fmt.Sscan(string(out), (*int64)(&u.consumer), (*int64)(&u.wall), &u.consumerMiB)
	return u, err
}

var benchLine = regexp.MustCompile(`(?m)^BenchmarkColumns/append\S*\s+\d+\s+([\d.]+) ns/op.*?(\d+) allocs/op`)

// fillColumns runs the consumer's benchmark of decoding into columns, and again for a single event: the difference is what the events took.
func (b *bench) fillColumns(ctx context.Context) (u usage, allocs int, err error) {
	u.events = b.events
	var cpu [2]time.Duration
	for i, n := range []int{1, b.events} {
		cmd := exec.CommandContext(ctx, b.columns, "-test.run", "^$", "-test.bench", "BenchmarkColumns/append$", "-test.benchmem", "-test.benchtime", strconv.Itoa(n)+"x")
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, os.Stderr
		if err := cmd.Run(); err != nil {
			return u, 0, fmt.Errorf("fill columns: %w", err)
		}
		m := benchLine.FindStringSubmatch(out.String())
		if m == nil {
			return u, 0, fmt.Errorf("fill columns: the benchmark printed no result: %s", out.String())
		}
		state := cmd.ProcessState
		cpu[i] = state.UserTime() + state.SystemTime()
		ns, _ := strconv.ParseFloat(m[1], 64)
		u.wall = time.Duration(ns * float64(n))
		allocs, _ = strconv.Atoi(m[2])
		u.consumerMiB = peakOf(state)
	}
	u.consumer = cpu[1] - cpu[0]
	return u, allocs, nil
}
