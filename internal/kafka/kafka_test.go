package kafka

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/audittrail/audittrail/schemas/audit"
)

func cluster(t *testing.T, prefix string) (Config, *kgo.Client) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.ClusterID("the-cluster"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	cfg := Config{Brokers: c.ListenAddrs(), TopicPrefix: prefix}
	cl, err := NewClient(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cfg, cl
}

func TestTopicsAreMadeOnce(t *testing.T) {
	cfg, cl := cluster(t, "eu.")
	ctx := context.Background()
	if err := EnsureTopics(ctx, cl, cfg, Topics(6)); err != nil {
		t.Fatal(err)
	}
	// One that is there keeps its settings.
	if err := EnsureTopics(ctx, cl, cfg, Topics(12)); err != nil {
		t.Fatal(err)
	}
	m, err := FetchMetadata(ctx, cl, "eu.audit.events", "eu.audit.accounts", "eu.audit.detector-state", "eu.audit.matches")
	if err != nil {
		t.Fatal(err)
	}
	if m.ClusterID != "the-cluster" {
		t.Errorf("the cluster is %q", m.ClusterID)
	}
	for topic, want := range map[string]int32{"eu.audit.events": 6, "eu.audit.accounts": 1, "eu.audit.detector-state": 6, "eu.audit.matches": 6} {
		got := m.Topics[topic]
		if got.Partitions != want || got.ID == [16]byte{} {
			t.Errorf("%s has %d partitions and the id %v, want %d", topic, got.Partitions, got.ID, want)
		}
	}
	configs, err := kadm.NewClient(cl).DescribeTopicConfigs(ctx, "eu.audit.events", "eu.audit.accounts")
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, c := range configs {
		for _, kv := range c.Configs {
			got[c.Name+" "+kv.Key] = kv.MaybeValue()
		}
	}
	for key, want := range map[string]string{
		"eu.audit.events cleanup.policy": "delete", "eu.audit.events retention.ms": "604800000", "eu.audit.events message.timestamp.type": "LogAppendTime",
		"eu.audit.accounts cleanup.policy": "compact",
	} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
}

func TestMissingTopicIsNamed(t *testing.T) {
	_, cl := cluster(t, "")
	_, err := FetchMetadata(context.Background(), cl, "audit.events")
	if !errors.Is(err, kerr.UnknownTopicOrPartition) || !strings.Contains(err.Error(), "audit.events") {
		t.Errorf("got %v", err)
	}
}

func TestOffsetsAndRecords(t *testing.T) {
	cfg, cl := cluster(t, "")
	ctx := context.Background()
	if err := EnsureTopics(ctx, cl, cfg, []Topic{{Name: TopicEvents, Partitions: 1}}); err != nil {
		t.Fatal(err)
	}
	e := audit.Event{ID: "e1", Time: time.Now().UTC(), Tenant: "t", Action: "auth.login", Outcome: audit.OutcomeSuccess, Actor: audit.Actor{ID: "u1"}, Service: audit.Service{Name: "shop"}}
	r := EventRecord(cfg.Topic(TopicEvents), &e)
	if err := cl.ProduceSync(ctx, r, EventRecord(cfg.Topic(TopicEvents), &e)).FirstErr(); err != nil {
		t.Fatal(err)
	}
	starts, err := FetchStartOffsets(ctx, cl, "audit.events")
	if err != nil || starts["audit.events"][0] != 0 {
		t.Errorf("start offsets %v, %v", starts, err)
	}
	ends, err := FetchEndOffsets(ctx, cl, "audit.events")
	if err != nil || ends["audit.events"][0] != 2 {
		t.Errorf("end offsets %v, %v", ends, err)
	}
	var (
		rec  audit.Record
		back audit.Event
	)
	FillRecord(&rec, [16]byte{7}, r)
	if err := audit.NewDecoder().Decode(&rec, &back); err != nil || back.ID != "e1" || back.Actor.ID != "u1" {
		t.Errorf("read back %+v, %v", back, err)
	}
	if rec.TopicID != [16]byte{7} || len(rec.Headers) != len(r.Headers) || string(rec.Key) != string(audit.PartitionKey(&e)) {
		t.Errorf("the codec sees %+v", rec)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, c := range []Config{
		{},
		{Brokers: []string{"localhost"}},
		{Brokers: []string{"localhost:9092"}, TopicPrefix: "a b"},
		{Brokers: []string{"localhost:9092"}, TopicPrefix: "a/"},
		{Brokers: []string{"localhost:9092"}, SASL: &SASL{Mechanism: "GSSAPI", Username: "u", Password: "p"}},
		{Brokers: []string{"localhost:9092"}, SASL: &SASL{Mechanism: Plain, Username: "u"}},
		{Brokers: []string{"localhost:9092"}, SASL: &SASL{Mechanism: Plain, Password: "p"}},
	} {
		if _, err := NewClient(c, nil); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
	if err := (Config{Brokers: []string{"[::1]:9092", "k:1"}, TopicPrefix: "eu-1."}).Validate(); err != nil {
		t.Error(err)
	}
}

// TestPasswordIsNotShown: invariant 9.
func TestPasswordIsNotShown(t *testing.T) {
	c := Config{Brokers: []string{"127.0.0.1:1"}, TLS: new(tls.Config), SASL: &SASL{Mechanism: Plain, Username: "shop", Password: "pw-secret"}}
	var out bytes.Buffer
	text, structured := slog.New(slog.NewTextHandler(&out, nil)), slog.New(slog.NewJSONHandler(&out, nil))
	for _, v := range []any{c, &c, c.SASL, *c.SASL} {
		fmt.Fprintf(&out, "%v %+v %#v %s\n", v, v, v, v)
		text.Info("x", "v", v)
		structured.Info("x", "v", v)
	}
	c.TLS = nil
	cl, err := NewClient(c, text)
	if err != nil {
		t.Fatal(err)
	}
	cl.Close()
	c.SASL.Mechanism = "pw"
	fmt.Fprintln(&out, c.Validate())
	if s := out.String(); strings.Contains(s, "pw-secret") || !strings.Contains(s, "PLAIN as shop") || !strings.Contains(s, "unencrypted") || strings.Contains(s, "ERROR") {
		t.Error(s)
	}
}
