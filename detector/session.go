package detector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/audittrail/audittrail/internal/kafka"
)

// session is one member of a consumer group whose offsets and output go out in one transaction. It is used by one goroutine; rebalances happen only
// between allow and the return of the next poll.
type session struct {
	gts   *kgo.GroupTransactSession
	adm   *kadm.Client
	group string
	topic string
	// life is the context of the client and of all that must not be cut off by a stop: it ends stopGrace after the worker's.
	life context.Context
	end  context.CancelFunc
	// timeout bounds the end of a transaction.
	timeout time.Duration
	log     *slog.Logger
	// gaps is told of each partition whose committed offset is not in its log.
	gaps func(partition int32)

	mu sync.Mutex
	// changes are the assignments that the worker has not taken in yet.
	changes []change
	// disturbed says that partitions were taken away since the last transaction ended: the present one cannot commit.
	disturbed bool
	metadata  map[int32]string
	member    bool
	// failed is the first record of this transaction that could not be produced.
	failed error
}

// change is one partition that was assigned or taken away.
type change struct {
	partition int32
	// taken says that the partition was taken away.
	taken bool
	// offset is where it begins: what was committed or, without that, the start of the log.
	offset int64
	// metadata is that of the commit, empty when there was none.
	metadata string
}

// newSession joins the group of a stage as its worker number n. It must be closed.
func (o *Options) newSession(ctx context.Context, stage Stage, n int, topic string, gaps func(int32)) (*session, error) {
	s := &session{
		group: o.group(stage), topic: topic, timeout: 2 * o.TransactionTimeout, gaps: gaps, metadata: make(map[int32]string),
		log: o.Logger.With("stage", stage, "worker", n),
	}
	s.life, s.end = outlive(ctx, stopGrace)
	opts, err := kafka.Options(
		o.Kafka, s.log,
		kgo.WithContext(s.life),
		kgo.ConsumerGroup(s.group),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// With control records a position can end on a marker: else it would stand before the end of a log that ends with one.
		kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(16<<20), // what is fetched ahead is held in memory
		kgo.DisableAutoCommit(),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(o.Group.SessionTimeout),
		kgo.HeartbeatInterval(o.Group.HeartbeatInterval),
		kgo.RebalanceTimeout(o.Group.RebalanceTimeout),
		// Stable: the next owner's first transaction fences this one's last.
		kgo.TransactionalID(fmt.Sprintf("%s-%s-%s-%d", o.Name, o.InstanceID, stage, n)),
		kgo.TransactionTimeout(o.TransactionTimeout),
		kgo.RecordPartitioner(partitioner()),
		kgo.ProducerLinger(0),
		kgo.OnPartitionsAssigned(s.assigned),
		kgo.OnOffsetsFetched(s.fetched),
		kgo.AdjustFetchOffsetsFn(s.assign),
		kgo.OnPartitionsRevoked(s.revoked),
		kgo.OnPartitionsLost(s.lost),
	)
	if err != nil {
		s.end()
		return nil, err
	}
	s.gts, err = kgo.NewGroupTransactSession(append(opts, o.clientOpts...)...)
	if err != nil {
		s.end()
		return nil, fmt.Errorf("set up the %s worker's client: %w", stage, err)
	}
	s.adm = kadm.NewClient(s.gts.Client())
	return s, nil
}

// close leaves the group. A transaction that was not ended is aborted by the next one with the same id, or by its timeout.
func (s *session) close() {
	s.gts.CloseAllowingRebalance()
	s.end()
}

// outlive returns a context that ends some time after ctx does, or when it is cancelled.
func outlive(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	forget := context.AfterFunc(ctx, func() { time.AfterFunc(grace, end) })
	return life, func() { forget(); end() }
}

// assigned notes that the group has dealt out its partitions, be it none to this member.
func (s *session) assigned(context.Context, *kgo.Client, map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.member = true
}

func (s *session) left() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.member = false
}

var errNoMember = errors.New("not a member of its consumer group")

// membership says why this is no member of the group, nil when it is one.
func (s *session) membership() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.member {
		return errNoMember
	}
	return nil
}

// fetched keeps the metadata of the commits of newly assigned partitions.
func (s *session) fetched(_ context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range resp.Groups {
		for _, t := range g.Topics { // there is only one
			for _, p := range t.Partitions {
				s.metadata[p.Partition] = ""
				if p.Metadata != nil {
					s.metadata[p.Partition] = *p.Metadata
				}
			}
		}
	}
	return nil
}

// assign decides where newly assigned partitions begin. An offset that is not in the log any more, or not yet, is a gap: it begins at the start.
func (s *session) assign(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	starts, err := s.adm.ListStartOffsets(ctx, s.topic)
	if err != nil {
		return nil, fmt.Errorf("list the start offsets of %s: %w", s.topic, err)
	}
	ends, err := s.adm.ListEndOffsets(ctx, s.topic)
	if err != nil {
		return nil, fmt.Errorf("list the end offsets of %s: %w", s.topic, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, o := range offsets[s.topic] {
		start, okStart := starts.Lookup(s.topic, p)
		end, okEnd := ends.Lookup(s.topic, p)
		if err := errors.Join(start.Err, end.Err); err != nil || !okStart || !okEnd {
			return nil, fmt.Errorf("list the offsets of %s/%d: %w", s.topic, p, err)
		}
		c := change{partition: p, offset: o.EpochOffset().Offset, metadata: s.metadata[p]}
		switch {
		case c.offset < 0: // none was committed
			c.offset, c.metadata = start.Offset, ""
		case c.offset < start.Offset || c.offset > end.Offset:
			s.log.Error("committed offset is not in the log: records are missing", "topic", s.topic, "partition", p, "committed", c.offset, "start", start.Offset, "end", end.Offset)
			s.gaps(p)
			c.offset, c.metadata = start.Offset, ""
		}
		offsets[s.topic][p] = kgo.NewOffset().At(c.offset)
		s.changes = append(s.changes, c)
	}
	return offsets, nil
}

func (s *session) revoked(_ context.Context, _ *kgo.Client, taken map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range taken[s.topic] {
		s.disturbed = true
		s.changes = append(s.changes, change{partition: p, taken: true})
	}
}

func (s *session) lost(ctx context.Context, cl *kgo.Client, taken map[string][]int32) {
	s.revoked(ctx, cl, taken)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disturbed, s.member = true, false
}

// take returns the changes of assignment since the last call, in order, and whether the present transaction cannot commit.
func (s *session) take() ([]change, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.changes
	s.changes = nil
	return c, s.disturbed
}

// poll lets a rebalance happen, if one is due, and returns the next records, none when the deadline comes first.
func (s *session) poll(ctx context.Context, deadline time.Time, limit int) (kgo.Fetches, error) {
	s.gts.AllowRebalance()
	until, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	fetches := s.gts.PollRecords(until, limit)
	var failed error
	fetches.EachError(func(topic string, partition int32, err error) {
		var lost *kgo.ErrDataLoss
		var session *kgo.ErrGroupSession
		switch {
		case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		case errors.As(err, &lost):
			s.log.Error("records were lost", "topic", topic, "partition", partition, "error", err)
			s.gaps(partition)
		case errors.As(err, &session):
			// The client says so itself and tries again; meanwhile this is no member.
			s.left()
		default:
			failed = errors.Join(failed, fmt.Errorf("read %s/%d: %w", topic, partition, err))
		}
	})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return fetches, failed
}

// begin starts a transaction.
func (s *session) begin() error {
	s.failed = nil
	if err := s.gts.Begin(); err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	return nil
}

// produce adds a record to the transaction.
func (s *session) produce(r *kgo.Record) {
	s.gts.Produce(s.life, r, func(_ *kgo.Record, err error) {
		if err == nil {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.failed == nil {
			s.failed = err
		}
	})
}

// commit ends the transaction, with the offsets of what was polled as change completes them. It returns false when a rebalance or a broker
// prevented it: then the position is what was committed before, and memory must go back to that too. After an error nobody knows what was committed:
// the session must be given up.
//
// The end is cut off by no stop, only by the time limit and the end of the session's life: an outcome that is not waited for is unknown.
func (s *session) commit(change func(*kmsg.TxnOffsetCommitRequest) error) (bool, error) {
	ctx, cancel := context.WithTimeout(s.life, s.timeout)
	defer cancel()
	// A record that cannot be produced shows here; End would commit without it.
	if err := s.gts.Client().Flush(ctx); err != nil {
		return false, fmt.Errorf("produce: %w", err)
	}
	s.mu.Lock()
	failed, disturbed := s.failed, s.disturbed
	s.mu.Unlock()
	if failed != nil {
		s.log.Warn("cannot produce: the transaction is aborted", "error", failed)
	}
	ok, err := s.gts.End(kgo.PreTxnCommitFnContext(ctx, change), kgo.TransactionEndTry(failed == nil))
	s.settle()
	if err != nil {
		return false, fmt.Errorf("end a transaction: %w", err)
	}
	if !ok && failed == nil && !disturbed {
		// A broker that answers with an unknown error may have committed all the same.
		return false, s.verify(ctx)
	}
	return ok, nil
}

// abort goes back to what was committed, whether or not a transaction has begun.
func (s *session) abort() error {
	ctx, cancel := context.WithTimeout(s.life, s.timeout)
	defer cancel()
	_, err := s.gts.End(ctx, kgo.TryAbort)
	s.settle()
	if err != nil {
		return fmt.Errorf("abort a transaction: %w", err)
	}
	return nil
}

func (s *session) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disturbed = false
}

// verify asks the brokers whether the offsets that this member takes for committed are.
func (s *session) verify(ctx context.Context) error {
	for {
		fetched, err := s.adm.FetchOffsets(kadm.RequireStable(ctx), s.group)
		if err != nil {
			return fmt.Errorf("fetch the committed offsets of %s: %w", s.group, err)
		}
		stable := true
		for p, want := range s.gts.Client().CommittedOffsets()[s.topic] {
			got, ok := fetched.Lookup(s.topic, p)
			switch {
			case errors.Is(got.Err, kerr.UnstableOffsetCommit):
				stable = false
			case got.Err != nil:
				return fmt.Errorf("fetch the committed offset of %s/%d: %w", s.topic, p, got.Err)
			case ok && got.At >= 0 && got.At != want.Offset:
				return fmt.Errorf("%s/%d: offset %d is committed, not %d as it seemed", s.topic, p, got.At, want.Offset)
			}
		}
		if stable {
			return nil
		}
		select { // the end of the transaction is not through yet
		case <-ctx.Done():
			return fmt.Errorf("wait for the committed offsets of %s: %w", s.group, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
