package consumer

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/schemas/audit"
	tables "github.com/audittrail/audittrail/schemas/clickhouse"
)

// duty is a range that must be cut exactly so, since it may be in ClickHouse already: somebody planned it before.
type duty struct {
	plannedRange
	// check says that its token is not sure to tell a repeat: which offsets ClickHouse has must be asked first.
	check bool
	// checked says that the batch has the answer.
	checked bool
	// safe is when no earlier insert of it can land any more.
	safe time.Time
	// since is when it may have been inserted first.
	since time.Time
}

// safeAfter returns when no insert can land any more whose intent was written at that time: the deadline has passed, and as much time again, since the
// deadline reaches ClickHouse only as what is left of it.
func (c *Consumer) safeAfter(intent time.Time) time.Time { return intent.Add(2 * c.opt.InsertTimeout) }

// adjust runs between the fetch of the group's offsets and the first records of newly assigned partitions: it tells each lane where to begin.
func (c *Consumer) adjust(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	names := make([]string, 0, len(offsets))
	for t := range offsets {
		names = append(names, t)
	}
	meta, err := kafka.FetchMetadata(ctx, c.client, names...)
	if err != nil {
		return nil, err
	}
	starts, err := kafka.FetchStartOffsets(ctx, c.client, names...)
	if err != nil {
		return nil, err
	}
	ends, err := kafka.FetchEndOffsets(ctx, c.client, names...)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for topic, ps := range offsets {
		for p := range ps {
			l := c.lanes[partitionKey{topic, p}]
			if l == nil {
				continue
			}
			from := l.begin(meta.Topics[topic].ID, starts[topic][p], c.endOrRewind(l.key, ends[topic][p]))
			l.watermark.Store(ends[topic][p])
			l.lastStable.Store(ends[topic][p])
			// Without the epoch: our own check for replaced records is by the log's start and the topic's id.
			// What is deleted in front of the log's start the lane passes over by itself; the client would wait before it tries again.
			ps[p] = kgo.NewOffset().At(max(from, starts[topic][p]))
			l.start()
		}
	}
	return offsets, nil
}

// committedState is what the group's offset commit said of a partition.
type committedState struct {
	offset int64
	plan   plan
}

// endOrRewind returns how far the log of a partition can be trusted to hold what was read of it: to its end, or to where the client says that it was
// replaced.
func (c *Consumer) endOrRewind(key partitionKey, end int64) int64 {
	if to, ok := c.rewinding[key]; ok {
		delete(c.rewinding, key)
		return min(to, end)
	}
	return end
}

// begin settles where the lane starts, given the topic's id, the first offset that the log has, and the end of what is as it was; and returns it.
func (l *lane) begin(topicID [16]byte, logStart, logEnd int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.found
	from := logStart
	switch {
	case s == nil: // the group has never committed here
	case s.plan.TopicID != topicID && s.plan.TopicID != [16]byte{}:
		l.c.m.incidents.WithLabelValues("topic_recreated").Inc()
		l.log.Error("the topic was deleted and created again since the last commit, reading the new one from its start",
			"offset", s.offset, "was", uuidText(s.plan.TopicID), "is", uuidText(topicID))
		l.found = nil
	case s.offset > logEnd:
		// Brokers have lost acknowledged records. What was read of them is in ClickHouse, and stays; their offsets will be, or are, given to others, which
		// recover finds out by their hashes.
		l.c.m.incidents.WithLabelValues("log_replaced").Inc()
		l.log.Error("kafka has lost records that were read already, its offsets begin anew", "read_to", s.offset, "from", logEnd)
		from = max(logEnd, logStart)
	default:
		from = s.offset
	}
	l.begun = true
	l.logStart, l.logEnd = logStart, logEnd
	l.batch.src.topicID, l.topicID = topicID, topicID
	l.offset = from
	l.batch.first, l.batch.end = from, from
	return from
}

// recover asks ClickHouse what it may have beyond the committed offset, before anything is planned. It waits for ClickHouse as long as it takes, and
// returns false when the lane must stop.
func (l *lane) recover() bool {
	for attempt := 0; ; attempt++ {
		duties, err := l.findDuties(l.ctx)
		if err == nil {
			l.mu.Lock()
			l.duties, l.recovered = duties, true
			l.mu.Unlock()
			return true
		}
		l.c.clickhouseOK.Set(err)
		if !l.pause("recovery is waiting for clickhouse", err, attempt) {
			return false
		}
	}
}

func (l *lane) findDuties(ctx context.Context) ([]duty, error) {
	now := l.c.opt.Now()
	var p plan
	if l.found != nil {
		p = l.found.plan
	}
	planned := l.batch.first
	l.mu.Lock()
	logStart, logEnd := l.logStart, l.logEnd
	l.mu.Unlock()
	var duties []duty
	if len(p.Ranges) > 0 {
		sure, err := l.c.tokensSure(ctx, p.Since)
		if err != nil {
			return nil, err
		}
		for _, r := range p.Ranges {
			if r.First != planned {
				l.log.Error("a planned range does not begin where the one before ends", "first", r.First, "want", planned)
				break
			}
			d := duty{plannedRange: r, safe: l.c.safeAfter(p.At), since: p.Since}
			// A range that Kafka does not hold whole cannot be cut as it was: some of its records are deleted, or their offsets are given to others.
			whole := r.First >= logStart && r.End <= logEnd
			if r.Replay > 0 || p.Decoder != audit.DecoderVersion || !sure || !whole {
				d.check, d.Replay, d.since = true, max(r.Replay, 1), now
			}
			duties = append(duties, d)
			planned = r.End
		}
	} else if err := l.quiet(); err != nil {
		return nil, err // nobody knows of inserts under way: they must not come behind the question
	}
	if err := l.c.syncReplicas(ctx, l.key.topic); err != nil {
		return nil, err
	}
	stored, err := l.c.storedEnd(ctx, l.topicID, l.key, planned)
	if err != nil {
		return nil, err
	}
	if stored > planned {
		// Intents were lost: the offset was reset, or the group's commits expired. How old the inserts are, nobody knows.
		l.c.m.incidents.WithLabelValues("intents_lost").Inc()
		l.log.Warn("clickhouse has offsets beyond those that the group committed, checking them all", "from", planned, "to", stored)
		replay, err := nextReplay(ctx, l.c.opt.ClickHouse, l.topicID, l.key.partition, planned, stored)
		if err != nil {
			return nil, err
		}
		for first := planned; first < stored; first += int64(l.c.opt.MaxRows) {
			end := min(first+int64(l.c.opt.MaxRows), stored)
			r := plannedRange{First: first, End: end, Day: l.c.today(), Replay: replay}
			duties = append(duties, duty{plannedRange: r, check: true, safe: l.c.safeAfter(now), since: now})
		}
	}
	return duties, nil
}

// tokensSure reports whether tokens of an intent of that time are surely still in every deduplication window: half of a window is the limit, since the
// inserts may have come later than the intent.
func (c *Consumer) tokensSure(ctx context.Context, at time.Time) (bool, error) {
	w := c.windows
	if w.age > 0 && c.opt.Now().Sub(at) > w.age/2 {
		return false, nil
	}
	// Every range makes one row of the ledger, and at most one block in each table.
	var blocks uint64
	err := c.opt.ClickHouse.QueryRow(ctx, "SELECT count() FROM audit."+tables.TableLedger+" WHERE settled_at >= fromUnixTimestamp64Milli({at:Int64})",
		clickhouse.Params{"at": strconv.FormatInt(at.UnixMilli(), 10)}, &blocks)
	if err != nil {
		return false, fmt.Errorf("count the blocks since %s: %w", at, err)
	}
	return blocks <= w.blocks/2, nil
}

// nextReplay returns the number for inserting [first, end) once more: greater than any that the ledger has of those offsets.
func nextReplay(ctx context.Context, ch *clickhouse.Client, topicID [16]byte, partition int32, first, end int64) (uint32, error) {
	var last uint32
	err := ch.QueryRow(ctx, "SELECT max(replay) FROM audit."+tables.TableLedger+
		" WHERE src_topic_id = {topic:UUID} AND src_partition = {partition:UInt32} AND first_offset < {end:Int64} AND end_offset > {first:Int64}",
		rangeParams(topicID, partition, first, end), &last)
	if err != nil {
		return 0, fmt.Errorf("ask the ledger for replays: %w", err)
	}
	return last + 1, nil
}

// storedEnd returns the offset behind the highest one at or above from that any table has; from if there is none.
func (c *Consumer) storedEnd(ctx context.Context, topicID [16]byte, key partitionKey, from int64) (int64, error) {
	table := tableOf(key.topic)
	const by = " WHERE src_topic_id = {topic:UUID} AND src_partition = {partition:UInt32} AND "
	var end int64
	err := c.opt.ClickHouse.QueryRow(ctx,
		// max of nothing is 0, which is an offset: each part is compared with from.
		"SELECT max(e) FROM (SELECT {from:Int64} AS e"+
			" UNION ALL SELECT if(count() = 0, {from:Int64}, max(src_offset) + 1) FROM audit."+table+by+"src_offset >= {from:Int64}"+
			" UNION ALL SELECT if(count() = 0, {from:Int64}, max(src_offset) + 1) FROM audit."+tables.TableQuarantine+by+"src_offset >= {from:Int64}"+
			" UNION ALL SELECT if(count() = 0, {from:Int64}, max(end_offset)) FROM audit."+tables.TableLedger+by+"end_offset > {from:Int64})",
		clickhouse.Params{"topic": uuidText(topicID), "partition": strconv.Itoa(int(key.partition)), "from": strconv.FormatInt(from, 10)}, &end)
	if err != nil {
		return 0, fmt.Errorf("find the highest stored offset: %w", err)
	}
	return end, nil
}

// pause waits before another attempt; false when the lane must stop.
func (l *lane) pause(what string, err error, attempt int) bool {
	if attempt%10 == 0 {
		l.log.Warn(what, "attempt", attempt+1, "error", err)
	}
	select {
	case <-time.After(backoff(attempt)):
		return true
	case <-l.quit:
		return false
	}
}

// check asks which offsets of a range ClickHouse has. Its answer counts only once no earlier insert can land any more, so it waits for that first. It
// returns false when the lane must stop.
func (l *lane) check(d duty) bool {
	if left := d.safe.Sub(l.c.opt.Now()); left > 0 {
		l.log.Info("a range check waits until no earlier insert can land", "first", d.First, "end", d.End, "wait", left.Round(time.Second))
		select {
		case <-time.After(left):
		case <-l.quit:
			return false
		}
	}
	for attempt := 0; ; attempt++ {
		err := l.tryCheck(d)
		if err == nil {
			return true
		}
		if !l.pause("a range check is waiting", err, attempt) {
			return false
		}
	}
}

func (l *lane) tryCheck(d duty) error {
	if err := l.quiet(); err != nil {
		return err
	}
	if err := l.c.syncReplicas(l.ctx, l.key.topic); err != nil {
		return err
	}
	stored, err := storedOffsets(l.ctx, l.c.opt.ClickHouse, tableOf(l.key.topic), l.topicID, l.key.partition, d.First, d.End)
	if err != nil {
		return err
	}
	quarantined, err := storedOffsets(l.ctx, l.c.opt.ClickHouse, tables.TableQuarantine, l.topicID, l.key.partition, d.First, d.End)
	if err != nil {
		return err
	}
	l.batch.stored, l.batch.quarantined = stored, quarantined
	l.c.m.checked(checkResult(stored, quarantined, d.End-d.First))
	if stored.doubled() || quarantined.doubled() {
		l.c.m.incidents.WithLabelValues("doubled").Inc()
		l.log.Error("clickhouse has more rows than offsets in a range; nothing is deleted", "first", d.First, "end", d.End,
			"rows", len(stored.rows), "offsets", stored.offsets, "quarantined", len(quarantined.rows))
	}
	return nil
}

func checkResult(stored, quarantined *offsetSet, offsets int64) string {
	n := stored.offsets + quarantined.offsets
	switch {
	case stored.doubled() || quarantined.doubled():
		return "over"
	case n == 0:
		return "empty"
	case n == offsets:
		return "full"
	default: // holes look the same
		return "partial"
	}
}

// quiet returns an error while ClickHouse is at work on inserts for the partition, of whichever owner.
func (l *lane) quiet() error {
	running, err := insertsRunning(l.ctx, l.c.opt.ClickHouse, l.topicID, l.key.partition)
	if err == nil && running > 0 {
		err = fmt.Errorf("%d earlier inserts still run", running)
	}
	return err
}

// insertsRunning counts the inserts for a partition that ClickHouse is still at work on. A replica that does not answer is passed over, or one that is down
// would stop all recovery: what it may be at work on has its deadline all the same.
func insertsRunning(ctx context.Context, ch *clickhouse.Client, topicID [16]byte, partition int32) (uint64, error) {
	var all uint64
	var failed error
	answers := 0
	_ = ch.Each(func(replica *clickhouse.Client) error {
		var n uint64
		err := replica.QueryRow(ctx, "SELECT count() FROM system.processes WHERE startsWith(query_id, {prefix:String})"+
			// The embedded engine has no query ids of its own and keeps the client's there.
			" OR (query LIKE 'INSERT%' AND position(Settings['log_comment'], {prefix:String}) > 0)",
			clickhouse.Params{"prefix": queryPrefix(topicID, partition)}, &n)
		if err != nil {
			failed = fmt.Errorf("ask for running inserts: %w", err)
			return nil
		}
		answers++
		all += n
		return nil
	})
	if answers == 0 {
		return 0, failed
	}
	return all, nil
}

// queryPrefix begins the query ids of all inserts for a partition.
func queryPrefix(topicID [16]byte, partition int32) string {
	return fmt.Sprintf("audittrail/%s/%d/", uuidText(topicID), partition)
}

const inRange = " WHERE src_topic_id = {topic:UUID} AND src_partition = {partition:UInt32} AND src_offset >= {first:Int64} AND src_offset < {end:Int64}"

func rangeParams(topicID [16]byte, partition int32, first, end int64) clickhouse.Params {
	return clickhouse.Params{
		"topic": uuidText(topicID), "partition": strconv.Itoa(int(partition)), "first": strconv.FormatInt(first, 10), "end": strconv.FormatInt(end, 10),
	}
}
