package consumer

import (
	"context"
	"sync"
)

// budget bounds the memory of what is read and not yet settled. Whoever has read something takes, whether it fits or not; reading on waits until it does.
type budget struct {
	limit int64

	mu   sync.Mutex
	used int64
	// freed is closed when something is given back, and replaced.
	freed chan struct{}
}

func newBudget(limit int64) *budget { return &budget{limit: limit, freed: make(chan struct{})} }

func (b *budget) take(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used += n
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	close(b.freed)
	b.freed = make(chan struct{})
}

// wait blocks until the use is under the limit, or ctx ends.
func (b *budget) wait(ctx context.Context) error {
	for {
		b.mu.Lock()
		ok, freed := b.used < b.limit, b.freed
		b.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (b *budget) inUse() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}
