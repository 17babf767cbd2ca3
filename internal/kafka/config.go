package kafka

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Config says how to reach a Kafka cluster, how to log in there, and what our topics are called on it.
type Config struct {
	// Brokers are host:port seeds; at least one.
	Brokers []string
	// TopicPrefix is put before each of our topic names.
	TopicPrefix string
	// ClientID appears in the brokers' logs and quotas; "audittrail" when empty.
	ClientID string
	// TLS encrypts the connections; nil means plain TCP. It is cloned.
	TLS *tls.Config `json:"-"`
	// SASL logs in; nil means without.
	SASL *SASL
}

// Validate reports the first setting that cannot work.
func (c Config) Validate() error {
	if len(c.Brokers) == 0 {
		return fmt.Errorf("kafka: no broker address given")
	}
	for _, b := range c.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			return fmt.Errorf("kafka: broker address %q is not host:port: %w", b, err)
		}
	}
	if strings.ContainsFunc(c.TopicPrefix, func(r rune) bool { return !topicRune(r) }) {
		return fmt.Errorf("kafka: topic prefix %q has a character that Kafka does not allow in topic names", c.TopicPrefix)
	}
	if c.SASL != nil {
		if err := c.SASL.Validate(); err != nil {
			return fmt.Errorf("kafka: %w", err)
		}
	}
	return nil
}

// Topic returns the full name of one of our topics.
func (c Config) Topic(name string) string { return c.TopicPrefix + name }

// NewClient returns a client with the defaults that every part shares, and then opts. It does not connect yet.
func NewClient(c Config, log *slog.Logger, opts ...kgo.Opt) (*kgo.Client, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	all := append(c.options(log), opts...)
	cl, err := kgo.NewClient(all...)
	if err != nil {
		return nil, fmt.Errorf("kafka: set up client: %w", err)
	}
	return cl, nil
}

// Options returns the shared options and then opts, for constructors that make the client themselves (kgo.NewGroupTransactSession).
func Options(c Config, log *slog.Logger, opts ...kgo.Opt) ([]kgo.Opt, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return append(c.options(log), opts...), nil
}

func (c Config) options(log *slog.Logger) []kgo.Opt {
	id := c.ClientID
	if id == "" {
		id = "audittrail"
	}
	if log != nil && c.Unencrypted() {
		log.Warn("the Kafka password is sent unencrypted: SASL PLAIN without TLS")
	}
	return append([]kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.ClientID(id),
		kgo.WithLogger(logger{log}),
		// After a commit Kafka answers CONCURRENT_TRANSACTIONS for a moment and the client waits for a metadata refresh: with the default of
		// 5 s each transaction would stall that long.
		kgo.MetadataMinAge(100 * time.Millisecond),
		// A batch that inflates beyond this is an attack or a fault, not a batch of events.
		kgo.MaxDecompressBatchBytes(64 << 20),
		kgo.RetryBackoffFn(backoff),
	}, c.security()...)
}

// backoff grows from 50 ms to 5 s, so that a broker's restart is noticed soon and a long outage is not hammered.
func backoff(tries int) time.Duration {
	d := 50 * time.Millisecond << min(tries, 7)
	return min(d, 5*time.Second)
}

// logger passes franz-go's log lines on. Its info lines are about its own connections, which nobody asked for: they go to debug.
type logger struct{ log *slog.Logger }

func (l logger) Level() kgo.LogLevel {
	switch ctx := context.Background(); {
	case l.log == nil:
		return kgo.LogLevelNone
	case l.log.Enabled(ctx, slog.LevelDebug):
		return kgo.LogLevelInfo
	default:
		return kgo.LogLevelWarn
	}
}

func (l logger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	to := slog.LevelDebug
	switch level {
	case kgo.LogLevelError:
		to = slog.LevelError
	case kgo.LogLevelWarn:
		to = slog.LevelWarn
	}
	l.log.Log(context.Background(), to, "kafka client: "+msg, keyvals...)
}
