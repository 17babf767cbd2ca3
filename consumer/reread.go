package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/audittrail/audittrail/internal/kafka"
)

// errCut says that Kafka no longer has all records of a range.
var errCut = errors.New("kafka has deleted records of the range")

// reread reads the records of [first, end) of a partition again, in order, control records included, and calls each with them. It needs no group: repairs
// and divisions of ranges read beside the lane.
func reread(ctx context.Context, cfg kafka.Config, log *slog.Logger, key partitionKey, first, end int64, each func(*kgo.Record)) error {
	cl, err := kafka.NewClient(cfg, log,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{key.topic: {key.partition: kgo.NewOffset().At(first)}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxBytes(16<<20), kgo.MaxConcurrentFetches(1),
	)
	if err != nil {
		return err
	}
	defer cl.Close()
	for next := first; next < end; {
		fetches := cl.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read [%d, %d) of %s/%d again: %w", first, end, key.topic, key.partition, err)
		}
		var ferr error
		fetches.EachError(func(_ string, _ int32, err error) { ferr = err })
		if ferr != nil {
			return fmt.Errorf("read [%d, %d) of %s/%d again: %w", first, end, key.topic, key.partition, ferr)
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if p.LogStartOffset > next {
				ferr = errCut
				return
			}
			for _, r := range p.Records {
				if r.Offset < end {
					each(r)
				}
				next = r.Offset + 1
			}
			// Behind the last record that is delivered there may be aborted ones only: the end is reached all the same.
			if len(p.Records) == 0 && p.LastStableOffset >= end && p.HighWatermark == p.LastStableOffset {
				next = end
			}
		})
		if ferr != nil {
			return fmt.Errorf("read [%d, %d) of %s/%d again: %w", first, end, key.topic, key.partition, ferr)
		}
	}
	return nil
}
