package consumer

import (
	"bytes"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/internal/kafka"
)

// TestLedgerBlocksAreIndependent: a block is in use until its insert is answered, while other lanes make theirs.
func TestLedgerBlocksAreIndependent(t *testing.T) {
	cfg := kafka.Config{Brokers: []string{"127.0.0.1:1"}}
	ch, err := clickhouse.New(clickhouse.Options{URLs: []string{"http://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Options{Kafka: cfg, ClickHouse: ch})
	if err != nil {
		t.Fatal(err)
	}
	if c.client, err = kafka.NewClient(cfg, nil); err != nil {
		t.Fatal(err)
	}
	defer c.client.Close()
	block := func(first int64) tokenBlock {
		s := &span{encoded: &encoded{plannedRange: plannedRange{First: first, End: first + 10, Day: time.Unix(0, 0)}, src: source{topic: "t"}, buf: new(proto.Buffer)}}
		b, err := c.ledgerBlock(s, "token")
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	one := block(1)
	before := bytes.Clone(one.Body)
	for i := range int64(10) {
		block(1000 + i)
	}
	if !bytes.Equal(one.Body, before) {
		t.Error("a ledger block changes when others are made")
	}
}

func TestBudget(t *testing.T) {
	b := newBudget(100)
	b.take(150) // what is read is read: only reading on waits
	b.give(40)
	ok, freed := b.room()
	if ok {
		t.Fatal("there is room with 110 of 100 in use")
	}
	b.give(20)
	<-freed
	if ok, _ = b.room(); !ok || b.inUse() != 90 {
		t.Errorf("room is %v with %d in use", ok, b.inUse())
	}
}

// TestRangeStaysPlannedWhileItsIntentIsWrittenAnew: some of such a range may be in ClickHouse, so a drain must leave it to the next owner.
func TestRangeStaysPlannedWhileItsIntentIsWrittenAnew(t *testing.T) {
	l := &lane{recovered: true, state: laneDraining, c: new(Consumer)}
	longAgo := time.Now().Add(-time.Hour).Truncate(time.Second)
	for i := range int64(3) {
		r := plannedRange{First: 10 * i, End: 10*i + 10, Day: time.Unix(0, 0)}
		s := &span{encoded: &encoded{plannedRange: r}}
		if i < 2 {
			s.since = longAgo.Add(time.Duration(i) * time.Minute)
		}
		l.spans = append(l.spans, s)
	}
	l.spans[0].intentAt = time.Now()
	s, ok := l.snapshot(time.Now())
	p, err := parsePlan(s.metadata)
	if !ok || err != nil || len(p.Ranges) != 2 || p.Ranges[1].End != 20 || !p.Since.Equal(longAgo) {
		t.Errorf("the last commit plans %+v, %v, want the two ranges that were ever intended, since %s", p, err, longAgo)
	}
}
