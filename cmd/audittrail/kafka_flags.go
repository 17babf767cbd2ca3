package main

import (
	"crypto/tls"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/audittrail/audittrail/internal/certs"
	"github.com/audittrail/audittrail/internal/kafka"
)

// kafkaFlags say how to reach Kafka.
type kafkaFlags struct {
	Kafka       []string `placeholder:"HOST:PORT" help:"Kafka brokers."`
	TopicPrefix string   `help:"Put before each topic name."`

	KafkaTLS      bool   `name:"kafka-tls" help:"Connect to Kafka with TLS."`
	KafkaCA       string `name:"kafka-ca" placeholder:"FILE" help:"Certificates, in PEM form, of the authorities to trust for --kafka-tls; default: the system's."`
	KafkaCert     string `placeholder:"FILE" help:"Certificate, in PEM form, to show to brokers that ask for one."`
	KafkaKey      string `placeholder:"FILE" help:"Private key of --kafka-cert, in PEM form."`
	KafkaSASL     string `name:"kafka-sasl" placeholder:"MECHANISM" help:"Log in to Kafka by PLAIN (which wants --kafka-tls), SCRAM-SHA-256 or SCRAM-SHA-512."`
	KafkaUser     string `help:"Kafka user."`
	KafkaPassword string `secret:"" help:"Kafka password; better given in the environment, or as AUDITTRAIL_KAFKA_PASSWORD_FILE."`
}

const kafkaPasswordFile = "AUDITTRAIL_KAFKA_PASSWORD_FILE"

func (f kafkaFlags) config() (kafka.Config, error) {
	c := kafka.Config{Brokers: f.Kafka, TopicPrefix: f.TopicPrefix}
	if len(f.Kafka) == 0 {
		return c, usagef("no Kafka broker given: use --kafka HOST:PORT, or AUDITTRAIL_KAFKA")
	}
	for _, b := range f.Kafka {
		if host, port, err := net.SplitHostPort(b); err != nil || host == "" || port == "" {
			return c, usagef("--kafka %s: expected HOST:PORT, such as localhost:9092", b)
		}
	}
	var err error
	if c.TLS, err = f.tls(); err != nil {
		return c, err
	}
	if c.SASL, err = f.sasl(); err != nil {
		return c, err
	}
	if err := c.Validate(); err != nil {
		return c, usageError{err}
	}
	return c, nil
}

// tls returns nil when the connections are plain.
func (f kafkaFlags) tls() (*tls.Config, error) {
	switch {
	case !f.KafkaTLS:
		for _, file := range []struct{ flag, name string }{{"--kafka-ca", f.KafkaCA}, {"--kafka-cert", f.KafkaCert}, {"--kafka-key", f.KafkaKey}} {
			if file.name != "" {
				return nil, usagef("%s needs --kafka-tls (AUDITTRAIL_KAFKA_TLS)", file.flag)
			}
		}
		return nil, nil
	case f.KafkaCert != "" && f.KafkaKey == "":
		return nil, usagef("--kafka-cert needs --kafka-key (AUDITTRAIL_KAFKA_KEY), its private key")
	case f.KafkaKey != "" && f.KafkaCert == "":
		return nil, usagef("--kafka-key needs --kafka-cert (AUDITTRAIL_KAFKA_CERT), its certificate")
	}
	c, err := certs.Trust(f.KafkaCA)
	if err != nil {
		return nil, usagef("--kafka-ca: %w", err)
	}
	if f.KafkaCert != "" {
		if err := certs.Present(c, f.KafkaCert, f.KafkaKey); err != nil {
			return nil, usagef("--kafka-cert, --kafka-key: %w", err)
		}
	}
	return c, nil
}

// sasl returns nil when nobody logs in.
func (f kafkaFlags) sasl() (*kafka.SASL, error) {
	password, err := secret(f.KafkaPassword, kafkaPasswordFile)
	if err != nil {
		return nil, err
	}
	const choice = "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
	switch {
	case f.KafkaSASL == "" && f.KafkaUser != "":
		return nil, usagef("--kafka-user needs --kafka-sasl (AUDITTRAIL_KAFKA_SASL): " + choice)
	case f.KafkaSASL == "" && password != "":
		return nil, usagef("--kafka-password needs --kafka-sasl (AUDITTRAIL_KAFKA_SASL): " + choice)
	case f.KafkaSASL == "":
		return nil, nil
	case !slices.Contains(kafka.Mechanisms(), strings.ToUpper(f.KafkaSASL)):
		return nil, usagef("--kafka-sasl %s: expected %s", f.KafkaSASL, choice)
	case f.KafkaUser == "":
		return nil, usagef("--kafka-sasl needs --kafka-user (AUDITTRAIL_KAFKA_USER)")
	case password == "":
		return nil, usagef("--kafka-sasl needs --kafka-password (AUDITTRAIL_KAFKA_PASSWORD, or a file that %s names)", kafkaPasswordFile)
	}
	return &kafka.SASL{Mechanism: strings.ToUpper(f.KafkaSASL), Username: f.KafkaUser, Password: password}, nil
}

// givenSecurity is the first flag about TLS or login that is given, empty when none is.
func (f kafkaFlags) givenSecurity() string {
	given := []struct {
		flag  string
		value string
	}{
		{"kafka-ca", f.KafkaCA},
		{"kafka-cert", f.KafkaCert},
		{"kafka-key", f.KafkaKey},
		{"kafka-sasl", f.KafkaSASL},
		{"kafka-user", f.KafkaUser},
		{"kafka-password", f.KafkaPassword + os.Getenv(kafkaPasswordFile)},
	}
	if f.KafkaTLS {
		return "kafka-tls"
	}
	for _, g := range given {
		if g.value != "" {
			return g.flag
		}
	}
	return ""
}
