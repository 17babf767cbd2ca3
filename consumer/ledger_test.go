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
	before := bytes.Join(one.Body, nil)
	for i := range int64(10) {
		block(1000 + i)
	}
	if !bytes.Equal(bytes.Join(one.Body, nil), before) {
		t.Error("a ledger block changes when others are made")
	}
}
