package producer_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/netip"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/audittrail/audittrail/producer"
	"github.com/audittrail/audittrail/schemas/audit"
)

// broker starts a broker for an example, which has the topic of events.
func broker() (addresses []string, stop func()) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, producer.DefaultTopic))
	if err != nil {
		log.Fatal(err)
	}
	return c.ListenAddrs(), c.Close
}

// Connect to a cluster that asks for TLS and a login. No internal package is needed, from whatever module.
func ExampleNew() {
	tls, err := producer.LoadTLS("/etc/shop/ca.pem", "/etc/shop/client.crt", "/etc/shop/client.key")
	if err != nil {
		log.Fatal(err)
	}
	p, err := producer.New(producer.Options{
		Brokers:     []string{"kafka-1:9093", "kafka-2:9093"},
		Topic:       "eu.audit.events",
		ClientID:    "shop",
		TLS:         tls,
		SASL:        &producer.SASL{Mechanism: producer.ScramSHA512, Username: "shop", Password: os.Getenv("KAFKA_PASSWORD")},
		Compression: producer.Zstd,
		Linger:      20 * time.Millisecond,
		Service:     audit.Service{Name: "shop", Version: "1.4.0"},

		// While Kafka is away, Log keeps 10,000 events or 16 MiB. Beyond that it waits 100 ms, and then gives the event to OnLost.
		MaxBufferedEvents: 10_000,
		MaxBufferedBytes:  16 << 20,
		LogWait:           100 * time.Millisecond,
		OnLost:            func(l producer.Lost) { log.Printf("audit event %s is lost: %v: %s", l.ID, l.Err, l.JSON) },
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	defer p.Close(ctx)
	// Say now, not at the first event, that an address, the login or the topic is wrong.
	if err := p.Check(ctx); err != nil {
		log.Print(err)
	}
}

// Send again what was not acknowledged, under the ids that it had.
func ExampleEmitError() {
	brokers, stop := broker()
	defer stop()
	p, err := producer.New(producer.Options{Brokers: brokers, Service: audit.Service{Name: "billing"}})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close(context.Background())

	events := []audit.Event{
		{Action: "record.read", Outcome: audit.OutcomeSuccess},
		{Action: "data.export", Outcome: audit.OutcomeSuccess},
	}
	late, cancel := context.WithCancel(context.Background())
	cancel()
	err = p.Emit(late, events...)

	var failed *producer.EmitError
	if errors.As(err, &failed) {
		var again []audit.Event
		for _, f := range failed.Failed {
			e := events[f.Index]
			e.ID = f.ID
			again = append(again, e)
		}
		fmt.Println("failed:", len(again), "again:", p.Emit(context.Background(), again...))
	}
	// Output:
	// failed: 2 again: <nil>
}

// Publish one event and go on only when it is safe.
func ExampleProducer_Emit() {
	brokers, stop := broker()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	p, err := producer.New(producer.Options{
		Brokers: brokers,
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
		Brokers: brokers,
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
