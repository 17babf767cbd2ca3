package consumer

import (
	"context"

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
	return kafka.LeaveGroup(ctx, cl, group, instanceID)
}
