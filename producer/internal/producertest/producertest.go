// Package producertest reads back what was published, for the tests of the producer and of its importers. It starts no broker.
package producertest

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/schemas/audit"
)

// Published is one record of the topic of events.
type Published struct {
	// Event is what the codec makes of the record; Reject why it makes nothing of it.
	Event  audit.Event
	Reject error
	Record *kgo.Record
}

// Read returns all records that are in the topic now, partition by partition.
func Read(t testing.TB, brokers []string, topic string) []Published {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c := kafka.Config{Brokers: brokers}
	cl, err := kafka.NewClient(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	left := int64(0)
	from := map[int32]kgo.Offset{}
	ends.Each(func(o kadm.ListedOffset) {
		left += o.Offset
		from[o.Partition] = kgo.NewOffset().AtStart()
	})
	reader, err := kafka.NewClient(c, nil, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	perPartition := make(map[int32][]Published, len(from))
	for left > 0 {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("%d records are missing: %v", left, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			perPartition[r.Partition] = append(perPartition[r.Partition], decode(r))
			left--
		})
	}
	var all []Published
	for p := range int32(len(from)) {
		all = append(all, perPartition[p]...)
	}
	return all
}

func decode(r *kgo.Record) Published {
	var rec audit.Record
	kafka.FillRecord(&rec, [16]byte{}, r)
	p := Published{Record: r}
	var e audit.Event
	if p.Reject = audit.NewDecoder().Decode(&rec, &e); p.Reject == nil {
		p.Event = *e.Clone()
	}
	return p
}

// IDs counts the records of each event id.
func IDs(all []Published) map[string]int {
	ids := make(map[string]int, len(all))
	for _, p := range all {
		ids[p.Event.ID]++
	}
	return ids
}
