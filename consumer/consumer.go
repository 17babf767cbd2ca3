package consumer

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/internal/ops"
	tables "github.com/audittrail/audittrail/schemas/clickhouse"
)

// Consumer carries the events and the alerts of the partitions that its group gives it into ClickHouse.
type Consumer struct {
	opt Options
	log *slog.Logger
	m   *metrics
	// proof shows what the reconciliation finds.
	proof *proof

	kafkaOK, clickhouseOK ops.Check

	// These are set by each session; ready is closed when they are.
	ready   chan struct{}
	client  *kgo.Client
	cluster string
	windows windows
	// rewind is where the client says that the log of a partition was replaced, for the next session.
	rewind, rewinding map[partitionKey]int64
	commits           *committer
	// abort ends Run with an error.
	abort context.CancelCauseFunc

	quarantineLog quarantineLog
	budget        *budget
	// inserts bound the blocks on their way to ClickHouse.
	inserts chan struct{}
	// buffers and columns are there to be used again.
	buffers pool[*proto.Buffer]
	columns map[string]*pool[rows]

	mu    sync.Mutex
	lanes map[partitionKey]*lane
	// retention is how long Kafka keeps the records of each topic; 0 for ever.
	retention map[string]time.Duration
}

// New checks the options and returns a consumer that does nothing yet.
func New(opt Options) (*Consumer, error) {
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, err
	}
	b := newBudget(opt.MemoryBytes)
	c := &Consumer{
		opt: opt, log: opt.Logger, m: newMetrics(opt.Registry, b), proof: newProof(opt.Registry), budget: b,
		kafkaOK: opt.Health.Check("kafka"), clickhouseOK: opt.Health.Check("clickhouse"),
		rewind:  make(map[partitionKey]int64),
		inserts: make(chan struct{}, opt.Inserts),
		buffers: pool[*proto.Buffer]{make: func() *proto.Buffer { return new(proto.Buffer) }},
		columns: map[string]*pool[rows]{
			tables.TableEvents:        {make: newEventRows},
			tables.TableAlertVersions: {make: newAlertRows},
		},
		lanes: make(map[partitionKey]*lane),
	}
	if opt.Registry != nil {
		opt.Registry.MustRegister(newLaneCollector(c))
	}
	return c, nil
}

// errStartOver ends a session that can go no further, because what it knows is no longer so: a topic was deleted, its log was replaced, or ClickHouse may
// have forgotten tokens. The next one looks afresh.
var errStartOver = errors.New("what the consumer knew is no longer so")

// Run consumes until ctx ends, then finishes what is under way and leaves. It returns nil after a clean stop, and an error only if this program's own state
// is in doubt: bad records are quarantined, and Kafka and ClickHouse are waited for.
func (c *Consumer) Run(ctx context.Context) error {
	for {
		err := c.awaitCluster(ctx)
		if err == nil {
			err = c.awaitTables(ctx)
		}
		if err == nil {
			err = c.session(ctx)
		}
		switch {
		case ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)):
			return nil
		case !errors.Is(err, errStartOver):
			return err
		}
		c.log.Warn("starting over", "reason", err)
		select {
		case <-ctx.Done():
		case <-time.After(minBackoff):
		}
	}
}

func (c *Consumer) topics() []string {
	return []string{c.opt.Kafka.Topic(kafka.TopicEvents), c.opt.Kafka.Topic(kafka.TopicAlerts)}
}

// session is one membership in the group.
func (c *Consumer) session(ctx context.Context) error {
	c.ready = make(chan struct{})
	c.commits = newCommitter(c)
	client, err := kafka.NewClient(c.opt.Kafka, c.log, c.clientOptions()...)
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	c.client = client
	working, stop := context.WithCancel(context.Background())
	defer stop()
	polling, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	c.abort = abort
	// What the client said of a session before is for the partitions of this one.
	c.rewinding, c.rewind = c.rewind, make(map[partitionKey]int64)
	var helpers sync.WaitGroup
	helpers.Go(func() { c.commits.run(working) })
	helpers.Go(func() { c.watch(working, c.watchClickHouse) })
	helpers.Go(func() { c.watch(working, c.watchKafka) })
	helpers.Go(func() { c.reconcile(working) })
	close(c.ready)
	c.poll(polling)
	c.stop()
	stop()
	helpers.Wait()
	if ctx.Err() == nil {
		return context.Cause(polling)
	}
	return nil
}

func (c *Consumer) clientOptions() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.ConsumerGroup(c.opt.Group),
		kgo.ConsumeTopics(c.topics()...),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(c.opt.SessionTimeout),
		kgo.HeartbeatInterval(c.opt.SessionTimeout / 15),
		kgo.RebalanceTimeout(max(c.opt.DrainTimeout*3, 30*time.Second)),
		kgo.DisableAutoCommit(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// A range can then end on a transaction's marker, and an idle topic has no lag that never settles.
		kgo.KeepControlRecords(),
		// Never the client's own default, which looks back a minute: the log is read from its start.
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxBytes(16 << 20),
		kgo.FetchMaxPartitionBytes(4 << 20),
		kgo.BrokerMaxReadBytes(64 << 20),
		kgo.MaxConcurrentFetches(2),
		// Records go to a lane of the assignment that they were fetched in, never to a later one of the same partition.
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(c.assigned),
		kgo.OnOffsetsFetched(c.offsetsFetched),
		kgo.AdjustFetchOffsetsFn(c.adjust),
		kgo.OnPartitionsRevoked(c.revoked),
		kgo.OnPartitionsLost(c.lost),
	}
	if c.opt.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(c.opt.InstanceID))
	}
	return opts
}

// awaitCluster learns the cluster's id and waits for the topics. It gives up only when ctx ends.
func (c *Consumer) awaitCluster(ctx context.Context) error {
	client, err := kafka.NewClient(c.opt.Kafka, c.log)
	if err != nil {
		return err
	}
	defer client.Close()
	for tries := 0; ; tries++ {
		m, err := kafka.FetchMetadata(ctx, client, c.topics()...)
		c.kafkaOK.Set(err)
		if err == nil {
			c.cluster = m.ClusterID
			retention, err := kafka.FetchRetention(ctx, client, c.topics()...)
			if err != nil {
				c.log.Warn("how long kafka keeps the topics is not known", "error", err)
			}
			c.mu.Lock()
			c.retention = retention
			c.mu.Unlock()
			return nil
		}
		if tries == 0 {
			c.log.Warn("waiting for kafka", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(minBackoff<<min(tries, 6), 5*time.Second)):
		}
	}
}

// awaitTables waits for ClickHouse and refuses tables that would double rows.
func (c *Consumer) awaitTables(ctx context.Context) error {
	for tries := 0; ; tries++ {
		w, err := c.readWindows(ctx)
		c.clickhouseOK.Set(err)
		var unsafe *unsafeTable
		switch {
		case err == nil:
			c.windows = w
			return nil
		case errors.As(err, &unsafe):
			return err
		case tries == 0:
			c.log.Warn("waiting for clickhouse and its tables", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(backoff(tries), 5*time.Second)):
		}
	}
}

// stop drains all lanes and leaves the group; a static member stays in it, so that a restart moves nothing.
func (c *Consumer) stop() {
	all := make(map[string][]int32)
	c.mu.Lock()
	for key := range c.lanes {
		all[key.topic] = append(all[key.topic], key.partition)
	}
	c.mu.Unlock()
	c.giveUp(all, false)
}

// newRows returns columns for the table.
func newRows(table string) rows {
	if table == tables.TableAlertVersions {
		return newAlertRows()
	}
	return newEventRows()
}

// today is the ingest day of a range that is planned now.
func (c *Consumer) today() time.Time { return c.opt.Now().UTC().Truncate(24 * time.Hour) }

func uuidText(id [16]byte) string { return uuid.UUID(id).String() }
