package detector

import (
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/audittrail/audittrail/internal/ops"
)

// TestStopWithoutKafka: a detector that is told to stop does not wait for brokers that are gone, or that hold their connections and answer nothing.
func TestStopWithoutKafka(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*testing.T, *world){
		"gone": func(_ *testing.T, w *world) { w.broker.Close() },
		"frozen": func(t *testing.T, w *world) {
			thaw, frozen := make(chan struct{}), make(chan struct{}, 1)
			t.Cleanup(func() { close(thaw) })
			w.broker.Control(func(kmsg.Request) (kmsg.Response, error, bool) {
				w.broker.KeepControl()
				select {
				case frozen <- struct{}{}:
				default:
				}
				<-thaw
				return nil, nil, false
			})
			<-frozen
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 2)
			d := w.start("a", func(o *Options) { o.TransactionTimeout, o.Group = 0, GroupOptions{} }) // those of a real one
			w.eventually("ready", func() bool { return len(d.health.NotReady()) == 0 })
			fail(t, w)
			begin := time.Now()
			d.stop(t)
			if took := time.Since(begin); took > stopGrace+2*time.Second {
				t.Errorf("the stop took %s", took)
			}
		})
	}
}

// TestNotReadyBeforeItRuns: whoever asks between New and Run hears that the workers are not ready.
func TestNotReadyBeforeItRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	health := new(ops.Health)
	if _, err := New(Options{Kafka: w.cfg, Health: health}); err != nil {
		t.Fatal(err)
	}
	want := []string{"detector correlate 0: starting", "detector match 0: starting"}
	if got := health.NotReady(); !slices.Equal(got, want) {
		t.Errorf("not ready: %q, want %q", got, want)
	}
}
