package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/internal/kafka"
)

// kafkaFlags say how to reach Kafka.
type kafkaFlags struct {
	Kafka       []string `placeholder:"HOST:PORT" help:"Kafka brokers."`
	TopicPrefix string   `help:"Put before each topic name."`
}

func (f kafkaFlags) config() (kafka.Config, error) {
	c := kafka.Config{Brokers: f.Kafka, TopicPrefix: f.TopicPrefix}
	if len(f.Kafka) == 0 {
		return c, fmt.Errorf("no Kafka broker given: use --kafka HOST:PORT")
	}
	return c, c.Validate()
}

// clickhouseFlags say how to reach ClickHouse.
type clickhouseFlags struct {
	Clickhouse         []string `placeholder:"URL" help:"ClickHouse replicas of one shard, as http:// or https:// URLs."`
	ClickhouseUser     string   `default:"default" help:"ClickHouse user."`
	ClickhousePassword string   `secret:"" help:"ClickHouse password; better given in the environment, or as AUDITTRAIL_CLICKHOUSE_PASSWORD_FILE."`
}

func (f clickhouseFlags) client() (*clickhouse.Client, error) {
	if len(f.Clickhouse) == 0 {
		return nil, fmt.Errorf("no ClickHouse given: use --clickhouse URL")
	}
	password, err := secret(f.ClickhousePassword, "AUDITTRAIL_CLICKHOUSE_PASSWORD_FILE")
	if err != nil {
		return nil, err
	}
	return clickhouse.New(clickhouse.Options{URLs: f.Clickhouse, Username: f.ClickhouseUser, Password: password})
}

// secret returns value, or else what the file holds that the variable names.
func secret(value, fileVariable string) (string, error) {
	path := os.Getenv(fileVariable)
	switch {
	case path == "":
		return value, nil
	case value != "":
		return "", fmt.Errorf("%s and its value are both given: give one", fileVariable)
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

func (t target) config() (kafka.Config, error) {
	if len(t.Kafka) == 0 {
		e, err := readEndpoints(t.Data)
		if err != nil {
			return kafka.Config{}, err
		}
		t.Kafka = []string{e.Kafka}
	}
	return t.kafkaFlags.config()
}
