package consumer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/audittrail/audittrail/internal/kafka"
)

// slow skips a test that takes longer than a few seconds unless it is asked for.
func slow(t *testing.T) {
	t.Helper()
	if os.Getenv("AUDITTRAIL_SLOW") == "" {
		t.Skip("slow: set AUDITTRAIL_SLOW=1")
	}
}

// TestFrozenOwnerChangesNothingWhenItWakes stops a consumer in mid-work for longer than its session, lets another one take over, and wakes the first.
func TestFrozenOwnerChangesNothingWhenItWakes(t *testing.T) {
	slow(t)
	w := newWorld(t, 2)
	w.produce(0, 2000)
	first := w.spawn(childOptions{Rows: 100}, "")
	eventually(t, "the first to be at work", func() bool { return w.events() > 0 })
	_ = first.cmd.Process.Signal(syscall.SIGSTOP)
	second := w.spawn(childOptions{Rows: 130}, "")
	w.settled(DefaultGroup)
	_ = first.cmd.Process.Signal(syscall.SIGCONT)
	w.produce(2000, 2500)
	w.settled(DefaultGroup)
	first.terminate()
	second.terminate()
	w.exactly(2500, 0, 0)
}

// TestSoak kills, freezes, stops and starts three consumers over 12 partitions at random under load, for SOAK (a duration; 20 s by default).
func TestSoak(t *testing.T) {
	slow(t)
	length := 20 * time.Second
	if s := os.Getenv("SOAK"); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t, 12)
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	published := make(chan uint64, 1)
	go func() { published <- w.publishUntil(ctx) }()

	children := make([]*child, 3)
	dead := make(map[string]time.Time)
	start := func(i int) { children[i] = w.spawn(childOptions{Rows: 500 + 100*i}, "") }
	for i := range children {
		start(i)
	}
	var kills, freezes, stops int
	for ctx.Err() == nil {
		i := r.IntN(len(children))
		switch r.IntN(4) {
		case 0, 1:
			kills++
			children[i].kill()
			dead[children[i].clientID] = time.Now()
			start(i)
		case 2:
			freezes++
			_ = children[i].cmd.Process.Signal(syscall.SIGSTOP)
			pause(ctx, time.Duration(500+r.IntN(1500))*time.Millisecond)
			_ = children[i].cmd.Process.Signal(syscall.SIGCONT)
		default:
			stops++
			children[i].terminate()
			start(i)
		}
		pause(ctx, time.Duration(200+r.IntN(1500))*time.Millisecond)
		w.bury(dead)
	}
	n := <-published
	eventually(t, "all offsets to be settled", func() bool { w.bury(dead); return w.allSettled(DefaultGroup) })
	for _, c := range children {
		c.terminate()
	}
	s := w.state()
	t.Logf("%d events, %d kills, %d freezes, %d stops: %+v", n, kills, freezes, stops, s)
	w.exactlyRows(n)
	if rep := w.verify(VerifyOptions{}); !rep.OK() {
		t.Errorf("verification finds %+v", rep.Findings)
	}
}

// bury takes killed members out of the group. Kafka does that when their session times out, and so does the broker of these tests, but for those whose
// connection ended while they waited to join: they would keep their partitions for ever.
func (w *world) bury(dead map[string]time.Time) {
	w.t.Helper()
	info := w.broker.GroupInfo(DefaultGroup)
	if info == nil {
		return
	}
	for _, m := range info.Members {
		since, ok := dead[m.ClientID]
		if !ok || time.Since(since) < 3*time.Second {
			continue
		}
		w.t.Logf("member %s was killed %s ago and is still there", m.ClientID, time.Since(since).Round(time.Millisecond))
		req := kmsg.NewPtrLeaveGroupRequest()
		req.Group = info.Group
		member := kmsg.NewLeaveGroupRequestMember()
		member.MemberID = m.MemberID
		req.Members = append(req.Members, member)
		cl := w.client()
		if _, err := req.RequestWith(context.Background(), cl); err != nil {
			w.t.Error(err)
		}
		cl.Close()
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// publishUntil publishes events until ctx ends and returns how many were acknowledged.
func (w *world) publishUntil(ctx context.Context) uint64 {
	cl := w.client(kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	defer cl.Close()
	var n uint64
	for i := 0; ctx.Err() == nil; i += 100 {
		var records []*kgo.Record
		for j := range 100 {
			records = append(records, kafka.EventRecord(w.topic(), w.event(i+j)))
		}
		if err := cl.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
			fmt.Fprintln(os.Stderr, "publish:", err)
			return n
		}
		n += 100
		pause(ctx, 20*time.Millisecond)
	}
	return n
}
