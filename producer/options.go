package producer

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/audittrail/audittrail/schemas/audit"
)

// Defaults and lower bounds of Options.
const (
	// DefaultTopic is where the consumer and the detector look for events.
	DefaultTopic = "audit.events"

	DefaultMaxBufferedEvents = 100_000
	DefaultMaxBufferedBytes  = 64 << 20
	DefaultLinger            = 5 * time.Millisecond
	// MinBufferedBytes leaves room for the largest event and its headers.
	MinBufferedBytes = 1 << 20
)

// Options configures a Producer. Brokers is required, and Service.Name unless every event names its service; all else has defaults.
type Options struct {
	// Brokers are the host:port addresses of some brokers; the client finds the others through them.
	Brokers []string
	// Topic takes the events; DefaultTopic when empty.
	Topic string
	// ClientID appears in the brokers' logs and quotas; "audittrail" when empty.
	ClientID string
	// TLS encrypts the connections; nil means plain TCP. LoadTLS makes one from files.
	TLS *tls.Config
	// SASL logs in; nil means without.
	SASL *SASL
	// Compression of batches; LZ4 when empty.
	Compression Compression

	// Service is put into events that name no service. An empty Instance becomes one that no other Producer has, and with it events get sequence numbers.
	Service audit.Service
	// Tenant is put into events that name none; audit.DefaultTenant when empty.
	Tenant string

	// MaxBufferedEvents and MaxBufferedBytes bound what waits for Kafka's acknowledgement, of Emit, Log and Stream together; bytes are those of the
	// encoded events. The process needs about three times as much memory. DefaultMaxBufferedEvents and DefaultMaxBufferedBytes when 0.
	MaxBufferedEvents int
	MaxBufferedBytes  int64
	// LogWait is how long Log blocks its caller while the buffer is full, before it gives the event up, tells OnLost and returns ErrFull. 0 means not
	// at all: the application goes first. (Emit waits for room as long as its context allows.)
	LogWait time.Duration
	// Linger is how long an event waits for company before it is sent: it bounds how many requests a busy producer makes. A negative value sends at
	// once. DefaultLinger when 0.
	Linger time.Duration

	// OnLost is told of every event that Log accepted, or was given, and that is not in the trail. It is called from the goroutine that handles
	// Kafka's answers or from that of Log's caller, must not block and must not use the Producer.
	OnLost func(Lost)
	// Logger gets warnings; nil means silence.
	Logger *slog.Logger
	// Registerer takes the metrics; nil means that they are not published.
	Registerer prometheus.Registerer
	// Now and NewID are the clock and the source of event ids; the system's clock and UUIDv7 when nil.
	Now   func() time.Time
	NewID func() string

	// clientOptions lets the tests put faults between client and broker.
	clientOptions []kgo.Opt
}

func (o Options) withDefaults() (Options, error) {
	if o.MaxBufferedEvents == 0 {
		o.MaxBufferedEvents = DefaultMaxBufferedEvents
	}
	if o.MaxBufferedBytes == 0 {
		o.MaxBufferedBytes = DefaultMaxBufferedBytes
	}
	if o.Linger == 0 {
		o.Linger = DefaultLinger
	}
	if o.Topic == "" {
		o.Topic = DefaultTopic
	}
	if o.Compression == "" {
		o.Compression = LZ4
	}
	switch {
	case !validTopic(o.Topic):
		return o, fmt.Errorf("producer: %.60q is no name of a topic: up to %d letters, digits, dots, _ and -", o.Topic, maxTopic)
	case o.MaxBufferedEvents < 1:
		return o, fmt.Errorf("producer: a buffer of %d events holds none", o.MaxBufferedEvents)
	case o.MaxBufferedBytes < MinBufferedBytes:
		return o, fmt.Errorf("producer: a buffer of %d bytes is too small for the largest event; give it %d or more", o.MaxBufferedBytes, MinBufferedBytes)
	case o.LogWait < 0:
		return o, fmt.Errorf("producer: cannot wait %s for room in the buffer", o.LogWait)
	case o.Linger > time.Minute:
		return o, fmt.Errorf("producer: a linger of %s is longer than a minute", o.Linger)
	}
	if o.Tenant == "" {
		o.Tenant = audit.DefaultTenant
	}
	if o.Service.Instance == "" {
		o.Service.Instance = newInstance()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnLost == nil {
		o.OnLost = func(Lost) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewID == nil {
		o.NewID = newID
	}
	return o, nil
}

// newInstance names one Producer: the host, for people, and a random part, since a process may restart under the same name and hold several.
func newInstance() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + "-" + uuid.NewString()[:8]
}

// newID returns a UUIDv7; only a system without randomness makes it fail, and then the broker's coordinates will name the event.
func newID() string {
	id, err := uuid.NewV7()
	if err != nil {
		return ""
	}
	return id.String()
}
