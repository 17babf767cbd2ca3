package kafka

import "context"

// within returns what ask returns, or the error of ctx when that ends first. The client looks at a request's context only once its connection is set up:
// a broker that takes connections and says nothing would hold the caller up for ten seconds. What is left behind ends by itself.
func within[T any](ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	got := make(chan result, 1)
	go func() {
		value, err := ask(ctx)
		got <- result{value, err}
	}()
	select {
	case r := <-got:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}
