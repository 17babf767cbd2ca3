package generate_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/audittrail/audittrail/producer"
	"github.com/audittrail/audittrail/producer/generate"
	"github.com/audittrail/audittrail/producer/internal/producertest"
)

func start(t testing.TB) (*producer.Producer, []string) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, producer.DefaultTopic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	brokers := c.ListenAddrs()
	p, err := producer.New(producer.Options{Brokers: brokers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(context.Background()) })
	return p, brokers
}

func generator(t testing.TB, opts generate.Options) *generate.Generator {
	t.Helper()
	g, err := generate.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestCountAndSpan(t *testing.T) {
	p, brokers := start(t)
	var last producer.Progress
	g := generator(t, generate.Options{
		Producer: p, Seed: 5, Count: 2000, Span: 24 * time.Hour, Now: func() time.Time { return noon },
		Progress: func(p producer.Progress) { last = p },
	})
	res, err := g.Run(t.Context())
	if want := (generate.Result{Seed: 5, Sent: 2000, Acknowledged: 2000}); err != nil || res != want {
		t.Errorf("got %+v, %v", res, err)
	}
	if want := (producer.Progress{Sent: 2000, Acknowledged: 2000, TotalEvents: 2000}); last != want {
		t.Errorf("progress ends with %+v", last)
	}
	all := producertest.Read(t, brokers, producer.DefaultTopic)
	hours := map[int]int{}
	for _, r := range all {
		if age := noon.Sub(r.Event.Time); age <= 0 || age > 24*time.Hour {
			t.Fatalf("an event of %s", r.Event.Time)
		}
		hours[r.Event.Time.Hour()]++
	}
	if len(all) != 2000 || len(producertest.IDs(all)) != 2000 || len(hours) != 24 || hours[3] < 60 || hours[3] > 110 {
		t.Errorf("%d records, %d ids, by hour %v", len(all), len(producertest.IDs(all)), hours)
	}
}

func TestSameSeedSameEvents(t *testing.T) {
	p, brokers := start(t)
	for range 2 {
		g := generator(t, generate.Options{Producer: p, Seed: 5, Count: 300, Now: func() time.Time { return noon }})
		if _, err := g.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if ids := producertest.IDs(producertest.Read(t, brokers, producer.DefaultTopic)); len(ids) != 300 {
		t.Errorf("%d ids in two runs of 300 events", len(ids))
	}
}

func TestRateAndDuration(t *testing.T) {
	p, _ := start(t)
	began := time.Now()
	res, err := generator(t, generate.Options{Producer: p, Rate: 1000, Duration: 300 * time.Millisecond}).Run(t.Context())
	took := time.Since(began)
	if err != nil || res.Sent != res.Acknowledged || res.Seed == 0 || took < 300*time.Millisecond {
		t.Errorf("%+v after %s, %v", res, took, err)
	}
	// The first hundredth of a second is free; a busy machine makes fewer.
	if res.Sent == 0 || res.Sent > 320 {
		t.Errorf("%d events in 300 ms at 1,000 a second", res.Sent)
	}
	// One event a minute: the duration ends the wait.
	if res, err = generator(t, generate.Options{Producer: p, Rate: 1.0 / 60, Duration: 300 * time.Millisecond}).Run(t.Context()); err != nil || res.Sent != 1 {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestInterrupted(t *testing.T) {
	p, _ := start(t)
	for _, count := range []uint64{0, 1 << 40} {
		ctx, cancel := context.WithCancel(t.Context())
		g := generator(t, generate.Options{Producer: p, Count: count, Progress: func(p producer.Progress) {
			if p.Acknowledged > 0 {
				cancel()
			}
		}})
		res, err := g.Run(ctx)
		if res.Sent == 0 || res.Sent != res.Acknowledged {
			t.Errorf("count %d: %+v", count, res)
		}
		// Only who asked for a number did not get what was asked for.
		if errors.Is(err, context.Canceled) != (count > 0) {
			t.Errorf("count %d: error %v", count, err)
		}
		cancel()
	}
}

func TestOptions(t *testing.T) {
	p, _ := start(t)
	for name, opts := range map[string]generate.Options{
		"no producer":          {},
		"negative rate":        {Producer: p, Rate: -1},
		"negative duration":    {Producer: p, Duration: -1},
		"negative span":        {Producer: p, Span: -1},
		"a span without count": {Producer: p, Span: time.Hour},
	} {
		if _, err := generate.New(opts); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	other, err := producer.New(producer.Options{Brokers: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(t.Context())
	if _, err := generator(t, generate.Options{Producer: other}).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("Kafka is away: %v", err)
	}
}

// BenchmarkRun publishes to a broker in the same process, which takes its share of the cores.
func BenchmarkRun(b *testing.B) {
	p, _ := start(b)
	b.ResetTimer()
	res, err := generator(b, generate.Options{Producer: p, Seed: 1, Count: uint64(b.N)}).Run(b.Context())
	if err != nil || res.Acknowledged != uint64(b.N) {
		b.Fatalf("%+v, %v", res, err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
