package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Committed is what a group has committed of one partition.
type Committed struct {
	Offset   int64
	Metadata string
}

// FetchCommitted returns what the group has committed, by topic and partition; nothing for partitions that it never committed.
func FetchCommitted(ctx context.Context, cl *kgo.Client, group string) (map[string]map[int32]Committed, error) {
	res, err := within(ctx, func(ctx context.Context) (kadm.OffsetResponses, error) {
		return kadm.NewClient(cl).FetchOffsets(ctx, group)
	})
	if err == nil {
		err = res.Error()
	}
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil, nil // nobody has joined it yet
	}
	if err != nil {
		return nil, fmt.Errorf("kafka: fetch the committed offsets of group %s: %w", group, err)
	}
	out := make(map[string]map[int32]Committed)
	res.Each(func(o kadm.OffsetResponse) {
		if o.At < 0 {
			return
		}
		if out[o.Topic] == nil {
			out[o.Topic] = make(map[int32]Committed)
		}
		out[o.Topic][o.Partition] = Committed{o.At, o.Metadata}
	})
	return out, nil
}

// LeaveGroup takes a static member out of the group; an error if the group has no such member.
func LeaveGroup(ctx context.Context, cl *kgo.Client, group, instanceID string) error {
	res, err := within(ctx, func(ctx context.Context) (kadm.LeaveGroupResponses, error) {
		return kadm.NewClient(cl).LeaveGroup(ctx, kadm.LeaveGroup(group).InstanceIDs(instanceID).Reason("stopped for good"))
	})
	if err == nil {
		err = res.Error()
	}
	if err != nil {
		return fmt.Errorf("kafka: take %s out of the group %s: %w", instanceID, group, err)
	}
	return nil
}
