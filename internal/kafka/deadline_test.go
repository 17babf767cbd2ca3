package kafka

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestDeadlinesHoldAgainstASilentBroker: nothing waits longer for an answer than its context allows, and the client can be closed at once.
func TestDeadlinesHoldAgainstASilentBroker(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // the system accepts; nobody reads
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	cfg := Config{Brokers: []string{ln.Addr().String()}}
	for name, ask := range map[string]func(context.Context, *kgo.Client) error{
		"metadata": func(ctx context.Context, cl *kgo.Client) error { _, err := FetchMetadata(ctx, cl, "t"); return err },
		"start":    func(ctx context.Context, cl *kgo.Client) error { _, err := FetchStartOffsets(ctx, cl, "t"); return err },
		"end":      func(ctx context.Context, cl *kgo.Client) error { _, err := FetchEndOffsets(ctx, cl, "t"); return err },
		"stable": func(ctx context.Context, cl *kgo.Client) error {
			_, err := FetchStableOffsets(ctx, cl, "t")
			return err
		},
		"committed": func(ctx context.Context, cl *kgo.Client) error {
			_, err := FetchCommitted(ctx, cl, "g")
			return err
		},
		"retention": func(ctx context.Context, cl *kgo.Client) error { _, err := FetchRetention(ctx, cl, "t"); return err },
		"topics":    func(ctx context.Context, cl *kgo.Client) error { return EnsureTopics(ctx, cl, cfg, Topics(1)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cl, err := NewClient(cfg, nil)
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if err := ask(ctx, cl); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			asked := time.Since(begin)
			cl.Close()
			if closed := time.Since(begin); asked > 2*time.Second || closed > 4*time.Second {
				t.Errorf("the answer took %s, and the close %s", asked, closed-asked)
			}
		})
	}
}
