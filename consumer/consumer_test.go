package consumer

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestEventsArriveExactlyOnce(t *testing.T) {
	w := newWorld(t, 3)
	w.produce(0, 1000)
	c := w.start(w.options())
	w.settled(DefaultGroup)
	w.exactly(1000, 0, 0)
	w.produce(1000, 1500)
	w.settled(DefaultGroup)
	c.stop(t)
	w.exactly(1500, 0, 0)

	// A restart has nothing to do.
	c = w.start(w.options())
	w.produce(1500, 1501)
	w.settled(DefaultGroup)
	c.stop(t)
	w.exactly(1501, 0, 0)
}

func TestUnreadableRecordsAreQuarantinedAndCounted(t *testing.T) {
	w := newWorld(t, 1)
	cl := w.client()
	big := make([]byte, 300<<10)
	for _, v := range [][]byte{[]byte("{"), []byte(`{"outcome":"success"}`), big, nil, {0xff, 0x00}} {
		if err := cl.ProduceSync(context.Background(), &kgo.Record{Topic: w.topic(), Value: v, Key: []byte("k"), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("v")}}}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	w.produce(0, 10)
	c := w.start(w.options())
	w.settled(DefaultGroup)
	c.stop(t)
	w.exactly(10, 5, 0)
	var bytes, reasons uint64
	w.one("SELECT sum(length(raw)), uniqExact(reason) FROM audit.quarantine WHERE src_topic_id = {topic:UUID} AND key = 'k' AND headers['h'] = 'v'", &bytes, &reasons)
	if want := uint64(1 + 21 + len(big) + 2); bytes != want || reasons < 4 {
		t.Errorf("the quarantine has %d bytes and %d reasons, want %d bytes and at least 4 reasons", bytes, reasons, want)
	}
}
