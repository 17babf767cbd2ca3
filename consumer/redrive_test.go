package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/audittrail/audittrail/schemas/audit"
)

// tryRedrive returns what became of each record, by place.
func (w *world) tryRedrive(f QuarantineFilter, wait time.Duration) (map[string]error, error) {
	w.t.Helper()
	out := make(map[string]error)
	err := Redrive(context.Background(), RedriveOptions{
		Kafka: w.cfg, ClickHouse: w.ch, Logger: testLogger(w.t), Filter: f, Wait: wait, Each: func(r Redriven) { out[r.Record.Place()] = r.Err },
	})
	return out, err
}

func (w *world) redrive(f QuarantineFilter) map[string]error {
	w.t.Helper()
	out, err := w.tryRedrive(f, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// putAside writes n records into the quarantine, as if they had been at offset from and after it, in a partition of which the consumer knows nothing.
func (w *world) putAside(from, n int, raw, headers string) {
	w.t.Helper()
	w.exec(fmt.Sprintf("INSERT INTO audit.quarantine SELECT today(), '%s', {topic:UUID}, 7, %d + number, now64(3), 'decode', '%s', 'as of then', '', %s, '%s', 0 FROM numbers(%d)",
		w.topic(), from, w.topic(), headers, raw, n))
}

// TestRedriveGoesOnWhereItStopped: the limit counts what is published, so that each call does the next part, whatever stands in the way.
func TestRedriveGoesOnWhereItStopped(t *testing.T) {
	w := newWorld(t, 1)
	const unreadable, readable, limit = redrivePage + 20, 50, 30
	w.putAside(1000, unreadable, "{", "map()")
	w.putAside(2000, readable, `{"action":"a.b"}`, "map()")
	mine := QuarantineFilter{Reason: w.topic(), Limit: limit}
	for call, want := range []int{limit, readable - limit, 0} {
		published := 0
		for place, err := range w.redrive(mine) {
			if err == nil {
				published++
			}
			if err == nil && !strings.HasPrefix(place, w.topic()+"/7/20") {
				t.Errorf("%s was published", place)
			}
		}
		if published != want {
			t.Errorf("call %d published %d, want %d", call, published, want)
		}
		w.consumed(w.options())
	}
	var events, ids, places uint64
	w.one("SELECT count(), uniqExact(id), uniqExact(metadata['"+HeaderRedriven+"']) FROM audit.events WHERE src_topic_id = {topic:UUID}", &events, &ids, &places)
	if events != readable || ids != readable || places != readable {
		t.Errorf("%d events with %d ids from %d places, want %d each", events, ids, places, readable)
	}
}

// TestRedrivenTwiceIsRecognised: a call that comes before the consumer publishes a record once more, under the id that it has at its first place, and the
// call that waits in vain says so.
func TestRedrivenTwiceIsRecognised(t *testing.T) {
	w := newWorld(t, 1)
	w.putAside(7, 1, `{"action":"a.b"}`, "map()")
	mine := QuarantineFilter{Reason: w.topic()}
	w.redrive(mine)
	if _, err := w.tryRedrive(mine, 10*time.Millisecond); err == nil || !strings.Contains(err.Error(), w.topic()+"/7/7 was published again and is not stored") {
		t.Errorf("without a consumer: %v", err)
	}
	w.consumed(w.options())
	var e audit.Event
	rec := audit.Record{TopicID: w.topicID(), Partition: 7, Offset: 7, Value: []byte(`{"action":"a.b"}`)}
	if err := audit.NewDecoder().Decode(&rec, &e); err != nil {
		t.Fatal(err)
	}
	if n := w.count("SELECT count() FROM audit.events WHERE src_topic_id = {topic:UUID} AND id = '" + e.ID + "'"); n != 2 {
		t.Errorf("%d events have the id of the first place, want 2", n)
	}
	if got := w.redrive(mine); !errors.Is(got[w.topic()+"/7/7"], ErrRedriven) {
		t.Errorf("the third call gave %v", got)
	}
	r := w.start(w.options())
	defer r.stop(t)
	w.putAside(8, 1, `{"action":"a.b"}`, "map()")
	if got, err := w.tryRedrive(mine, time.Minute); err != nil || got[w.topic()+"/7/8"] != nil || len(got) != 2 {
		t.Errorf("with a consumer: %v, %v", got, err)
	}
}

// TestRedrivenIntoQuarantine: what was put aside once more is not published from its first place as well.
func TestRedrivenIntoQuarantine(t *testing.T) {
	w := newWorld(t, 1)
	first, second := w.topic()+"/7/1", w.topic()+"/7/2"
	w.putAside(1, 1, `{"action":"a.b"}`, "map()")
	w.putAside(2, 1, `{"action":"a.b"}`, "map('"+HeaderRedriven+"', '"+first+"')")
	if got := w.redrive(QuarantineFilter{Reason: w.topic()}); !errors.Is(got[first], ErrRedriven) || got[second] != nil || len(got) != 2 {
		t.Errorf("got %v", got)
	}
}

func TestRedrivenRecord(t *testing.T) {
	q := Quarantined{
		Topic: "audit.events", TopicID: uuid.New(), Partition: 3, Offset: 9, Value: []byte("v"),
		Headers: []QuarantinedHeader{{"b", "1"}, {HeaderRedriven, "audit.events/0/1"}, {audit.HeaderID, "own"}, {"b", "2"}},
	}
	for id, want := range map[string][]kgo.RecordHeader{
		"own":   {{Key: "b", Value: []byte("1")}, {Key: audit.HeaderID, Value: []byte("own")}, {Key: "b", Value: []byte("2")}, {Key: HeaderRedriven, Value: []byte("audit.events/3/9")}},
		"other": {{Key: "b", Value: []byte("1")}, {Key: audit.HeaderID, Value: []byte("own")}, {Key: "b", Value: []byte("2")}, {Key: audit.HeaderID, Value: []byte("other")}, {Key: HeaderRedriven, Value: []byte("audit.events/3/9")}},
	} {
		r := q.again(id)
		same := slices.EqualFunc(r.Headers, want, func(a, b kgo.RecordHeader) bool { return a.Key == b.Key && string(a.Value) == string(b.Value) })
		if !same || r.Topic != q.Topic || string(r.Value) != "v" || r.Key != nil || r.Partition != 0 || !r.Timestamp.IsZero() {
			t.Errorf("with the id %s: %+v", id, r)
		}
	}
}
