package consumer

import "sync"

// maxIdle bounds how many things of a kind wait to be used again.
const maxIdle = 16

// pool keeps things to be used again. The one that came back last goes out first: what has grown large stays in use, and no more of them grow than are in
// use at once.
type pool[T any] struct {
	make func() T

	mu   sync.Mutex
	idle []T
}

func (p *pool[T]) take() T {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return p.make()
	}
	t := p.idle[n-1]
	clear(p.idle[n-1:])
	p.idle = p.idle[:n-1]
	return t
}

func (p *pool[T]) give(t T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) < maxIdle {
		p.idle = append(p.idle, t)
	}
}
