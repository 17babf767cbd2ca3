package sshd_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/audittrail/audittrail/producer"
	"github.com/audittrail/audittrail/producer/sshd"
)

// Import the log of an SSH server that was written in 2017 in Lisbon.
func Example() {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, producer.DefaultTopic))
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	p, err := producer.New(producer.Options{Brokers: broker.ListenAddrs()})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close(ctx)
	i, err := sshd.New(sshd.Options{Producer: p, Path: "testdata/auth.log", Year: 2017, Location: time.FixedZone("WEST", 3600)})
	if err != nil {
		log.Fatal(err)
	}
	res, err := i.Run(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(res.Failures, "refused logins,", res.Logins, "logins,", res.Logouts, "logouts")
	for _, kind := range sshd.Kinds() {
		fmt.Println(kind, res.Lines[kind])
	}
	// Output:
	// 1042 refused logins, 226 logins, 225 logouts
	// failed 717
	// accepted 226
	// closed 225
	// no_event 2927
	// not_understood 0
	// unreadable 0
	// not_sshd 3026
	// not_syslog 0
}
