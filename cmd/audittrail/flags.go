package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/audittrail/audittrail/internal/certs"
	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/internal/kafka"
)

// clickhouseFlags say how to reach ClickHouse.
type clickhouseFlags struct {
	Clickhouse         []string `placeholder:"URL" help:"ClickHouse replicas of one shard, as http:// or https:// URLs."`
	ClickhouseUser     string   `default:"default" help:"ClickHouse user."`
	ClickhouseCA       string   `name:"clickhouse-ca" placeholder:"FILE" help:"Certificates, in PEM form, of the authorities to trust for https:// URLs; default: the system's."`
	ClickhousePassword string   `secret:"" help:"ClickHouse password; better given in the environment, or as AUDITTRAIL_CLICKHOUSE_PASSWORD_FILE."`
}

// client returns a client for a command that is soon done: ClickHouse answers and has the database.
func (f clickhouseFlags) client() (*clickhouse.Client, error) {
	ch, err := f.patientClient()
	if err != nil {
		return nil, err
	}
	if err := checkClickHouse(ch, f.Clickhouse, clickhouseHint, true); err != nil {
		return nil, errors.Join(err, ch.Close())
	}
	return ch, nil
}

// patientClient returns a client for a service, which waits for ClickHouse as long as it takes.
func (f clickhouseFlags) patientClient() (*clickhouse.Client, error) {
	if len(f.Clickhouse) == 0 {
		return nil, usagef("no ClickHouse given: use --clickhouse URL, or AUDITTRAIL_CLICKHOUSE")
	}
	password, err := secret(f.ClickhousePassword, "AUDITTRAIL_CLICKHOUSE_PASSWORD_FILE")
	if err != nil {
		return nil, err
	}
	if f.ClickhouseCA != "" && !strings.HasPrefix(f.Clickhouse[0], "https://") {
		return nil, usagef("--clickhouse-ca is for https:// URLs, which --clickhouse %s is not", f.Clickhouse[0])
	}
	trust, err := certs.Trust(f.ClickhouseCA)
	if err != nil {
		return nil, usagef("--clickhouse-ca: %w", err)
	}
	ch, err := clickhouse.New(clickhouse.Options{URLs: f.Clickhouse, Username: f.ClickhouseUser, Password: password, TLS: trust})
	if err != nil {
		return nil, usagef("--clickhouse: %s", strings.TrimPrefix(err.Error(), "clickhouse: "))
	}
	return ch, nil
}

// secret returns value, or else what the file holds that the variable names.
func secret(value, fileVariable string) (string, error) {
	path := os.Getenv(fileVariable)
	switch {
	case path == "":
		return value, nil
	case value != "":
		return "", usagef("%s and its value are both given: give one", fileVariable)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the secret that %s names: %w", fileVariable, err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

// dataFlag names the folder of `audittrail up`.
type dataFlag struct {
	Data string `default:"./audittrail-data" type:"path" help:"Folder with the data of the embedded broker and ClickHouse."`
}

// target is a client's way to a running pipeline: given addresses, or else those that `audittrail up` left in its data folder.
type target struct {
	dataFlag
	kafkaFlags
}

// config returns the way to Kafka for a command that is soon done: Kafka answers and has the topic of events.
func (t target) config() (kafka.Config, error) {
	hint := kafkaHint
	if len(t.Kafka) == 0 {
		if flag := t.givenSecurity(); flag != "" {
			return kafka.Config{}, usagef("--%s needs --kafka HOST:PORT: the broker of `audittrail up` has no TLS and no users", flag)
		}
		e, err := readEndpoints(t.Data)
		if err != nil {
			return kafka.Config{}, err
		}
		t.Kafka, hint = []string{e.Kafka}, staleHint(t.Data)
	}
	cfg, err := t.kafkaFlags.config()
	if err != nil {
		return cfg, err
	}
	return cfg, checkKafka(cfg, hint, cfg.Topic(kafka.TopicEvents))
}

// staleHint is for an address that a pipeline has left in its folder.
func staleHint(data string) string {
	return fmt.Sprintf("does `audittrail up` still run? (The address is from %s.)", endpointsPath(data))
}
