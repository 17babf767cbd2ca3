package producer_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/netip"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/producer"
	"github.com/audittrail/audittrail/schemas/audit"
)

// broker starts a broker for an example, which has the topic of events.
func broker() (addresses []string, stop func()) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, kafka.TopicEvents))
	if err != nil {
		log.Fatal(err)
	}
	return c.ListenAddrs(), c.Close
}

// Publish one event and go on only when it is safe.
func ExampleProducer_Emit() {
	brokers, stop := broker()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	p, err := producer.New(producer.Options{
		Kafka:   kafka.Config{Brokers: brokers},
		Service: audit.Service{Name: "billing", Version: "4.12.0"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close(ctx)

	err = p.Emit(ctx, audit.Event{
		Action:  "record.update",
		Outcome: audit.OutcomeSuccess,
		Actor:   audit.Actor{Type: audit.ActorUser, ID: "u-10482", Name: "alice.martin"},
		Source:  audit.Source{IP: netip.MustParseAddr("203.0.113.42")},
		Targets: []audit.Target{{Type: "invoice", ID: "inv-004711"}},
		Changes: []audit.Change{{Field: "status", Old: `"open"`, New: `"paid"`}},
		Message: "Invoice inv-004711 marked as paid",
	})
	fmt.Println("acknowledged:", err == nil)

	err = p.Emit(ctx, audit.Event{Outcome: audit.OutcomeSuccess})
	var reject *audit.Reject
	if errors.As(err, &reject) {
		fmt.Println("refused:", reject.Field, "is", reject.Reason)
	}
	// Output:
	// acknowledged: true
	// refused: action is missing
}

// Publish without waiting, and hear of what could not be published.
func ExampleProducer_Log() {
	brokers, stop := broker()
	defer stop()

	p, err := producer.New(producer.Options{
		Kafka:   kafka.Config{Brokers: brokers},
		Service: audit.Service{Name: "crm"},
		LogWait: 50 * time.Millisecond,
		OnLost:  func(l producer.Lost) { log.Printf("audit event %s is lost: %v: %s", l.ID, l.Err, l.JSON) },
	})
	if err != nil {
		log.Fatal(err)
	}
	for range 3 {
		if err := p.Log(audit.Event{Action: "record.read", Outcome: audit.OutcomeSuccess}); err != nil {
			log.Print(err)
		}
	}

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println("all acknowledged:", p.Close(ctx) == nil)
	// Output:
	// all acknowledged: true
}
