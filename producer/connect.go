package producer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Mechanism is a SASL mechanism.
type Mechanism string

// The mechanisms. Plain sends the password itself: use it with TLS.
const (
	Plain       Mechanism = "PLAIN"
	ScramSHA256 Mechanism = "SCRAM-SHA-256"
	ScramSHA512 Mechanism = "SCRAM-SHA-512"
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

func (s SASL) mechanism() (sasl.Mechanism, error) {
	if s.Username == "" || s.Password == "" {
		return nil, errors.New("producer: SASL needs a username and a password")
	}
	login := scram.Auth{User: s.Username, Pass: s.Password}
	switch s.Mechanism {
	case Plain:
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			return plain.Auth{User: s.Username, Pass: s.Password}, nil
		}), nil
	case ScramSHA256:
		return login.AsSha256Mechanism(), nil
	case ScramSHA512:
		return login.AsSha512Mechanism(), nil
	}
	return nil, fmt.Errorf("producer: SASL mechanism %q is none of %s, %s, %s", s.Mechanism, Plain, ScramSHA256, ScramSHA512)
}

// LoadTLS reads PEM files into what Options.TLS takes: the certificates of the authorities to trust (the system's when caFile is empty) and, for
// brokers that ask for one, a client certificate with its key (both or neither).
func LoadTLS(caFile, certFile, keyFile string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("producer: read the authorities' certificates: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("producer: %s has no certificate in PEM form", caFile)
		}
	}
	switch {
	case (certFile == "") != (keyFile == ""):
		return nil, errors.New("producer: a client certificate and its key are needed both, or neither")
	case certFile != "":
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return nil, fmt.Errorf("producer: load the client certificate %s with the key %s: %w", certFile, keyFile, err)
		}
		c.Certificates = []tls.Certificate{pair}
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

// connection returns the client's options for how to reach the brokers.
func (o Options) connection() ([]kgo.Opt, error) {
	codec, err := o.Compression.codec()
	if err != nil {
		return nil, err
	}
	opts := []kgo.Opt{kgo.ProducerBatchCompression(codec, kgo.NoCompression())}
	if o.TLS != nil {
		opts = append(opts, kgo.DialTLSConfig(o.TLS.Clone()))
	}
	if o.SASL != nil {
		m, err := o.SASL.mechanism()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.SASL(m))
	}
	return opts, nil
}

// maxTopic is how long a topic's name may be, in bytes.
const maxTopic = 249

// validTopic tells whether Kafka allows the name.
func validTopic(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	return name != "" && name != "." && name != ".." && len(name) <= maxTopic && strings.Trim(name, letters) == ""
}
