package producer

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/audittrail/audittrail/internal/certs"
	"github.com/audittrail/audittrail/internal/kafka"
)

// Mechanism is a SASL mechanism.
type Mechanism string

// The mechanisms. Plain sends the password itself: use it with TLS.
const (
	Plain       Mechanism = kafka.Plain
	ScramSHA256 Mechanism = kafka.ScramSHA256
	ScramSHA512 Mechanism = kafka.ScramSHA512
)

// SASL is how to log in to Kafka. Its text forms, in logs too, leave the password out.
type SASL struct {
	Mechanism Mechanism
	Username  string
	Password  string `json:"-"`
}

func (s SASL) String() string { return fmt.Sprintf("%s as %s", s.Mechanism, s.Username) }

// GoString is String: %#v would show the password.
func (s SASL) GoString() string { return s.String() }

// LoadTLS reads PEM files into what Options.TLS takes: the certificates of the authorities to trust (the system's when caFile is empty) and, for
// brokers that ask for one, a client certificate with its key (both or neither).
func LoadTLS(caFile, certFile, keyFile string) (*tls.Config, error) {
	if (certFile == "") != (keyFile == "") {
		return nil, errors.New("producer: a client certificate and its key are needed both, or neither")
	}
	c, err := certs.Trust(caFile)
	if err == nil && certFile != "" {
		err = certs.Present(c, certFile, keyFile)
	}
	if err != nil {
		return nil, fmt.Errorf("producer: %w", err)
	}
	return c, nil
}

// Compression is how batches of events are compressed on their way and in Kafka.
type Compression string

// The compressions. LZ4 costs the least time, zstd makes the smallest batches.
const (
	LZ4    Compression = "lz4"
	Zstd   Compression = "zstd"
	Snappy Compression = "snappy"
	Gzip   Compression = "gzip"
	// Uncompressed is for brokers or networks that compress themselves.
	Uncompressed Compression = "none"
)

func (c Compression) codec() (kgo.CompressionCodec, error) {
	switch c {
	case LZ4:
		return kgo.Lz4Compression(), nil
	case Zstd:
		return kgo.ZstdCompression(), nil
	case Snappy:
		return kgo.SnappyCompression(), nil
	case Gzip:
		return kgo.GzipCompression(), nil
	case Uncompressed:
		return kgo.NoCompression(), nil
	}
	return kgo.NoCompression(), fmt.Errorf("producer: compression %q is none of %s, %s, %s, %s, %s", string(c), LZ4, Zstd, Snappy, Gzip, Uncompressed)
}

// connection is how to reach the brokers.
func (o Options) connection() kafka.Config {
	c := kafka.Config{Brokers: o.Brokers, ClientID: o.ClientID, TLS: o.TLS}
	if o.SASL != nil {
		c.SASL = &kafka.SASL{Mechanism: string(o.SASL.Mechanism), Username: o.SASL.Username, Password: o.SASL.Password}
	}
	return c
}

// maxTopic is how long a topic's name may be, in bytes.
const maxTopic = 249

// validTopic tells whether Kafka allows the name.
func validTopic(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	return name != "" && name != "." && name != ".." && len(name) <= maxTopic && strings.Trim(name, letters) == ""
}
