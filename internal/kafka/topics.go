package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The topics of the product, without the prefix.
const (
	// TopicEvents carries audit events: the source of truth.
	TopicEvents = "audit.events"
	// TopicMatches carries one small record per matched event and group key, and the clock records of the match stage.
	TopicMatches = "audit.matches"
	// TopicDetectorState holds episodes and long windows; its partitions are those of TopicMatches.
	TopicDetectorState = "audit.detector-state"
	// TopicAlerts carries every version of every alert.
	TopicAlerts = "audit.alerts"
	// TopicAlertActions carries what people do with alerts.
	TopicAlertActions = "audit.alert-actions"
	// TopicDeliveries is the notifier's log.
	TopicDeliveries = "audit.deliveries"
	// TopicAccounts holds accounts, API keys and session families.
	TopicAccounts = "audit.accounts"
)

// Topic is how one of our topics should be set up.
type Topic struct {
	// Name has no prefix.
	Name       string
	Partitions int32
	// Config are Kafka's topic settings.
	Config map[string]string
}

const (
	day       = "86400000"
	week      = "604800000"
	tenYears  = "315360000000"
	logAppend = "LogAppendTime"
)

// Topics lists all topics. Events, matches and detector state get the given number of partitions; the others are small and get few.
func Topics(partitions int32) []Topic {
	// LogAppendTime: the detector's clock is the record timestamp, which no producer must be able to set.
	del := func(retention string) map[string]string {
		return map[string]string{"cleanup.policy": "delete", "retention.ms": retention, "message.timestamp.type": logAppend}
	}
	compact := func() map[string]string {
		return map[string]string{"cleanup.policy": "compact", "message.timestamp.type": logAppend, "delete.retention.ms": day}
	}
	few := min(partitions, 3)
	return []Topic{
		{TopicEvents, partitions, del(week)},
		{TopicMatches, partitions, del("172800000")},
		{TopicDetectorState, partitions, compact()},
		{TopicAlerts, few, del(tenYears)},
		{TopicAlertActions, few, compact()},
		{TopicDeliveries, few, compact()},
		{TopicAccounts, 1, compact()},
	}
}

// EnsureTopics creates those of the topics that are missing, with the cluster's default replication. One that is there already keeps its settings.
func EnsureTopics(ctx context.Context, cl *kgo.Client, c Config, topics []Topic) error {
	adm := kadm.NewClient(cl)
	for _, t := range topics {
		cfg := make(map[string]*string, len(t.Config))
		for k, v := range t.Config {
			cfg[k] = kadm.StringPtr(v)
		}
		_, err := within(ctx, func(ctx context.Context) (kadm.CreateTopicResponse, error) {
			return adm.CreateTopic(ctx, t.Partitions, -1, cfg, c.Topic(t.Name))
		})
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("kafka: create topic %s: %w", c.Topic(t.Name), err)
		}
	}
	return nil
}

// Metadata is what parts need to know of the cluster before they start.
type Metadata struct {
	// ClusterID names the cluster: part of every insert token.
	ClusterID string
	// Topics are our topics that exist, by full name.
	Topics map[string]TopicMetadata
}

// TopicMetadata is one topic's identity and size.
type TopicMetadata struct {
	// ID changes when a topic is deleted and created again under the same name.
	ID         [16]byte
	Partitions int32
}

// FetchStartOffsets returns the first offset that the log still has, by topic and partition.
func FetchStartOffsets(ctx context.Context, cl *kgo.Client, names ...string) (map[string]map[int32]int64, error) {
	return fetchOffsets(ctx, "start", kadm.NewClient(cl).ListStartOffsets, names)
}

// FetchEndOffsets returns the high watermark, by topic and partition.
func FetchEndOffsets(ctx context.Context, cl *kgo.Client, names ...string) (map[string]map[int32]int64, error) {
	return fetchOffsets(ctx, "end", kadm.NewClient(cl).ListEndOffsets, names)
}

// FetchStableOffsets returns the last stable offset, where the first open transaction begins or else the high watermark, by topic and partition.
func FetchStableOffsets(ctx context.Context, cl *kgo.Client, names ...string) (map[string]map[int32]int64, error) {
	return fetchOffsets(ctx, "stable", kadm.NewClient(cl).ListCommittedOffsets, names)
}

// FetchRetention returns the topics' retention.ms; 0 where records are not deleted by time.
func FetchRetention(ctx context.Context, cl *kgo.Client, names ...string) (map[string]time.Duration, error) {
	configs, err := within(ctx, func(ctx context.Context) (kadm.ResourceConfigs, error) {
		return kadm.NewClient(cl).DescribeTopicConfigs(ctx, names...)
	})
	if err != nil {
		return nil, fmt.Errorf("kafka: describe topics: %w", err)
	}
	out := make(map[string]time.Duration)
	for _, c := range configs {
		if c.Err != nil {
			return nil, fmt.Errorf("kafka: describe topic %s: %w", c.Name, c.Err)
		}
		for _, kv := range c.Configs {
			if ms, err := strconv.ParseInt(kv.MaybeValue(), 10, 64); kv.Key == "retention.ms" && err == nil && ms > 0 {
				out[c.Name] = time.Duration(min(ms, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
			}
		}
	}
	return out, nil
}

func fetchOffsets(ctx context.Context, which string, list func(context.Context, ...string) (kadm.ListedOffsets, error), names []string) (map[string]map[int32]int64, error) {
	listed, err := within(ctx, func(ctx context.Context) (kadm.ListedOffsets, error) { return list(ctx, names...) })
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("kafka: list %s offsets: %w", which, err)
	}
	out := make(map[string]map[int32]int64, len(listed))
	listed.Each(func(o kadm.ListedOffset) {
		if out[o.Topic] == nil {
			out[o.Topic] = make(map[int32]int64)
		}
		out[o.Topic][o.Partition] = o.Offset
	})
	return out, nil
}

// FetchMetadata asks the cluster for its id and for the named topics (full names); one that does not exist is an error that names it.
func FetchMetadata(ctx context.Context, cl *kgo.Client, names ...string) (Metadata, error) {
	m, err := within(ctx, func(ctx context.Context) (kadm.Metadata, error) { return kadm.NewClient(cl).Metadata(ctx, names...) })
	if err != nil {
		return Metadata{}, fmt.Errorf("kafka: fetch metadata: %w", err)
	}
	out := Metadata{ClusterID: m.Cluster, Topics: make(map[string]TopicMetadata, len(names))}
	for _, name := range names {
		t, ok := m.Topics[name]
		switch {
		case !ok:
			return Metadata{}, fmt.Errorf("kafka: topic %s: %w", name, kerr.UnknownTopicOrPartition)
		case t.Err != nil:
			return Metadata{}, fmt.Errorf("kafka: topic %s: %w", name, t.Err)
		}
		out.Topics[name] = TopicMetadata{ID: t.ID, Partitions: int32(len(t.Partitions))}
	}
	return out, nil
}

func topicRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || slices.Contains([]rune("._-"), r)
}
