package consumer

import "sync"

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

// room reports whether the use is under the limit; if not, freed is closed when something is given back.
func (b *budget) room() (ok bool, freed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used < b.limit, b.freed
}

func (b *budget) inUse() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}
