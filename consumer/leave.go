package consumer

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/audittrail/audittrail/internal/kafka"
)

// Leave takes a static member that has stopped for good out of the group, so that its partitions move at once instead of when its session times out. It is
// an error if the group has no such member.
func Leave(ctx context.Context, cfg kafka.Config, group, instanceID string) error {
	cl, err := kafka.NewClient(cfg, nil)
	if err != nil {
		return err
	}
	defer cl.Close()
	res, err := kadm.NewClient(cl).LeaveGroup(ctx, kadm.LeaveGroup(group).InstanceIDs(instanceID).Reason("stopped for good"))
	if err == nil {
		err = res.Error()
	}
	if err != nil {
		return fmt.Errorf("consumer: take %s out of the group %s: %w", instanceID, group, err)
	}
	return nil
}
