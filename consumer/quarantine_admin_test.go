package consumer

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/schemas/audit"
)

func TestQuarantineListShowRedrive(t *testing.T) {
	w := newWorld(t, 1)
	good := string(audit.Encode(nil, w.event(1)))
	w.produceRaw(`{"action":`, good)
	w.consumed(w.options())
	// The second record is put aside as if a decoder of then could not read it.
	w.exec("INSERT INTO audit.quarantine SELECT ingest_day, src_topic, src_topic_id, src_partition, src_offset, src_time, 'decode', 'bad_json', 'as of then'," +
		" 'k', CAST([('content-type', 'application/json'), ('x', '1'), ('x', '2')], 'Map(String, String)'), raw, raw_hash FROM audit.events WHERE src_topic_id = {topic:UUID}")
	w.exec("ALTER TABLE audit.events DELETE WHERE src_topic_id = {topic:UUID}")

	broken, readable := w.topic()+"/0/0", w.topic()+"/0/1"
	var listed []string
	err := ListQuarantine(context.Background(), w.ch, QuarantineFilter{Reason: "bad_json"}, func(q *Quarantined) error {
		if q.Topic == w.topic() {
			listed = append(listed, q.Place())
		}
		if len(q.Value) > 0 {
			t.Errorf("the list has the value of %s", q.Place())
		}
		return nil
	})
	if err != nil || strings.Join(listed, " ") != readable+" "+broken {
		t.Errorf("listed %q, %v", listed, err)
	}
	err = ShowQuarantine(context.Background(), w.ch, QuarantineFilter{Place: readable}, func(q *Quarantined) error {
		if string(q.Value) != good || !slices.Equal(q.Headers, []QuarantinedHeader{{"content-type", "application/json"}, {"x", "1"}, {"x", "2"}}) || q.Key != "k" {
			t.Errorf("shown is %+v", q)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}

	var reject *audit.Reject
	if got := w.redrive(QuarantineFilter{Place: broken}); !errors.As(got[broken], &reject) {
		t.Errorf("redriving what cannot be read gave %v", got)
	}
	if got := w.redrive(QuarantineFilter{Place: readable}); len(got) != 1 || got[readable] != nil {
		t.Errorf("redriving gave %v", got)
	}
	w.consumed(w.options())
	if n := w.count("SELECT count() FROM audit.events WHERE src_topic_id = {topic:UUID} AND metadata['" + HeaderRedriven + "'] = '" + readable + "'"); n != 1 {
		t.Errorf("%d events say that they came from %s, want 1", n, readable)
	}
	if got := w.redrive(QuarantineFilter{Place: readable}); !errors.Is(got[readable], ErrRedriven) {
		t.Errorf("redriving again gave %v", got)
	}
}

// TestQuarantineKeepsRepeatedHeaders: Kafka allows a name several times, and in any order.
func TestQuarantineKeepsRepeatedHeaders(t *testing.T) {
	w := newWorld(t, 1)
	headers := []kgo.RecordHeader{{Key: "b", Value: []byte("1")}, {Key: "a", Value: []byte("2")}, {Key: "b", Value: []byte("3")}}
	w.produceRecords([]*kgo.Record{{Topic: w.topic(), Value: []byte("{"), Headers: headers}})
	w.consumed(w.options())
	var got []QuarantinedHeader
	err := ShowQuarantine(context.Background(), w.ch, QuarantineFilter{Place: w.topic() + "/0/0"}, func(q *Quarantined) error {
		got = q.Headers
		return nil
	})
	if want := []QuarantinedHeader{{"b", "1"}, {"a", "2"}, {"b", "3"}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("the headers are %v, want %v; %v", got, want, err)
	}
}

func TestQuarantinePlaces(t *testing.T) {
	for _, bad := range []string{"x", "a/b", "a/1", "/1/2", "a/1/x", "a/-1/2", "a/1/2/3"} {
		err := ListQuarantine(context.Background(), new(clickhouse.Client), QuarantineFilter{Place: bad}, nil)
		if err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%q gave %v", bad, err)
		}
	}
}
