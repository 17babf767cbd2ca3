package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// The SASL mechanisms. Plain sends the password itself: it wants TLS around it.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
)

// Mechanisms are the SASL mechanisms.
func Mechanisms() []string { return []string{Plain, ScramSHA256, ScramSHA512} }

// SASL is how to log in. Its text forms, in logs too, leave the password out.
type SASL struct {
	// Mechanism is one of Mechanisms.
	Mechanism string
	Username  string
	Password  string `json:"-"`
}

func (s SASL) String() string { return fmt.Sprintf("%s as %s", s.Mechanism, s.Username) }

// GoString is String: %#v would show the password.
func (s SASL) GoString() string { return s.String() }

// Validate reports what is missing or unknown.
func (s SASL) Validate() error {
	switch {
	case !slices.Contains(Mechanisms(), s.Mechanism):
		return fmt.Errorf("SASL mechanism %q is none of %s", s.Mechanism, strings.Join(Mechanisms(), ", "))
	case s.Username == "" || s.Password == "":
		return errors.New("SASL needs a username and a password")
	}
	return nil
}

func (s SASL) mechanism() sasl.Mechanism {
	login := scram.Auth{User: s.Username, Pass: s.Password}
	switch s.Mechanism {
	case ScramSHA256:
		return login.AsSha256Mechanism()
	case ScramSHA512:
		return login.AsSha512Mechanism()
	default:
		return plain.Plain(func(context.Context) (plain.Auth, error) { return plain.Auth{User: s.Username, Pass: s.Password}, nil })
	}
}

// security returns the options for TLS and SASL.
func (c Config) security() (opts []kgo.Opt) {
	if c.TLS != nil {
		opts = append(opts, kgo.DialTLSConfig(c.TLS.Clone()))
	}
	if c.SASL != nil {
		opts = append(opts, kgo.SASL(c.SASL.mechanism()))
	}
	return opts
}

// Unencrypted says whether the password would be sent as it is.
func (c Config) Unencrypted() bool { return c.TLS == nil && c.SASL != nil && c.SASL.Mechanism == Plain }

// Explain adds to the error of a first request what its text does not say: some brokers just hang up on a wrong login. Nil stays nil.
func (c Config) Explain(err error) error {
	if c.SASL != nil && errors.Is(err, io.EOF) && !errors.As(err, new(*kgo.ErrFirstReadEOF)) { // which speaks for itself
		return fmt.Errorf("%w (the broker closed the connection: is the login right?)", err)
	}
	return err
}

// TurnedAway says whether the error is that of a broker that was reached and did not let the client in, or that the client did not trust.
func TurnedAway(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, kerr.SaslAuthenticationFailed) || errors.Is(err, kerr.UnsupportedSaslMechanism) ||
		errors.As(err, new(*tls.CertificateVerificationError)) || errors.As(err, new(tls.AlertError)) || errors.As(err, new(tls.RecordHeaderError)) || isRemoteAlert(err)
}

// isRemoteAlert says whether the other side ended the TLS handshake; its error is of a type of crypto/tls's own inside a *net.OpError.
func isRemoteAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}
