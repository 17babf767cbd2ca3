package detector

import (
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/zeebo/xxh3"
)

// partitioner sends records with a key to the partition of the key, and those without one to the partition that they name.
func partitioner() kgo.Partitioner {
	return kgo.BasicConsistentPartitioner(func(string) func(*kgo.Record, int) int {
		return func(r *kgo.Record, n int) int {
			if r.Key == nil {
				return int(r.Partition)
			}
			return int(xxh3.Hash(r.Key) % uint64(n))
		}
	})
}
