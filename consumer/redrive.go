package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/internal/kafka"
	"github.com/audittrail/audittrail/schemas/audit"
	tables "github.com/audittrail/audittrail/schemas/clickhouse"
)

// HeaderRedriven is the header of a record that was taken out of the quarantine and published again: it names the place that it was put aside from. The
// decoder keeps it in the event's metadata.
const HeaderRedriven = "ce_redriven_from"

// redrivePage is how many records are read at a time, with their values, and so held in memory.
const redrivePage = 100

// RedriveOptions say which records of the quarantine to publish again. All but Filter and Wait are required.
type RedriveOptions struct {
	Kafka      kafka.Config
	ClickHouse *clickhouse.Client
	Logger     *slog.Logger
	// Filter chooses the records; its Limit counts only what is published.
	Filter QuarantineFilter
	// Wait is how long to wait in the end for the consumer to store what was published; not at all when 0.
	Wait time.Duration
	// Each is told of every record that was looked at.
	Each func(Redriven)
}

// Redriven is what Redrive did with one record.
type Redriven struct {
	Record *Quarantined
	// Err says why it was left where it is: it still cannot be read, it was redriven before, or its bytes are gone. Nil: it was published again.
	Err error
}

// ErrRedriven says that a record was redriven before.
var ErrRedriven = errors.New("was redriven before")

var errNoBytes = errors.New("stands for records that kafka had deleted, there are no bytes to publish")

// Redrive publishes the chosen records again, if they can be read as events by now: in the order of their places, until as many as the filter's limit
// are published. They go the way of every event, at a new offset, with a header that says where they were put aside; the quarantine keeps its row as
// evidence.
//
// What was redriven before, and is stored by now, is left alone. What is still on its way is not known yet, which is what Wait is for. A record that is
// published twice all the same has one id in both places: the detector counts it once, and verification reports it as repeated.
func Redrive(ctx context.Context, o RedriveOptions) error {
	cl, err := kafka.NewClient(o.Kafka, o.Logger, kgo.RequiredAcks(kgo.AllISRAcks()))
	if err != nil {
		return err
	}
	defer cl.Close()
	r := redriver{o: o, cl: cl, dec: audit.NewDecoder()}
	if err := r.all(ctx); err != nil {
		return err
	}
	return r.await(ctx)
}

type redriver struct {
	o         RedriveOptions
	cl        *kgo.Client
	dec       *audit.Decoder
	published []sent
}

// sent names a record that was published again.
type sent struct{ id, place string }

func (r *redriver) all(ctx context.Context) error {
	var after *Quarantined
	for {
		page, err := r.page(ctx, after)
		if err != nil {
			return err
		}
		for _, q := range page {
			err := r.one(ctx, q)
			var reject *audit.Reject
			if err != nil && !errors.Is(err, ErrRedriven) && !errors.Is(err, errNoBytes) && !errors.As(err, &reject) {
				return err
			}
			r.o.Each(Redriven{q, err})
			if len(r.published) == r.o.Filter.limit() {
				return nil
			}
		}
		if len(page) < redrivePage {
			return nil
		}
		after = page[len(page)-1]
	}
}

// page returns the chosen records that follow one, in the order of the table. Each page is a statement of its own: none stays open while records are
// published.
func (r *redriver) page(ctx context.Context, after *Quarantined) (page []*Quarantined, err error) {
	where, params, err := r.o.Filter.where()
	if err != nil {
		return nil, err
	}
	if after != nil {
		where += " AND (src_topic_id, src_partition, src_offset) > ({after_topic:UUID}, {after_partition:UInt32}, {after_offset:Int64})"
		params["after_topic"], params["after_partition"] = after.TopicID.String(), strconv.FormatUint(uint64(after.Partition), 10)
		params["after_offset"] = strconv.FormatInt(after.Offset, 10)
	}
	err = selectQuarantine(ctx, r.o.ClickHouse, "raw", where, "src_topic_id, src_partition, src_offset", redrivePage, params, func(q *Quarantined) error {
		page = append(page, q)
		return nil
	})
	return page, err
}

// one publishes a record again, or says why not.
func (r *redriver) one(ctx context.Context, q *Quarantined) error {
	if q.Stage == stageRetention {
		return errNoBytes
	}
	var (
		e   audit.Event
		rec audit.Record
	)
	kafka.FillRecord(&rec, q.TopicID, q.original())
	if err := r.dec.Decode(&rec, &e); err != nil {
		return err
	}
	s := sent{e.ID, q.Place()}
	switch before, err := r.arrived(ctx, s); {
	case err != nil:
		return err
	case before:
		return ErrRedriven
	}
	if err := r.cl.ProduceSync(ctx, q.again(e.ID)).FirstErr(); err != nil {
		return fmt.Errorf("publish %s again: %w", q.Place(), err)
	}
	r.published = append(r.published, s)
	return nil
}

// arrived says whether a redriven record was consumed: it is an event, or in quarantine once more.
func (r *redriver) arrived(ctx context.Context, s sent) (bool, error) {
	var n uint64
	err := r.o.ClickHouse.QueryRow(ctx, "SELECT (SELECT count() FROM audit."+tables.TableEvents+" WHERE id = {id:String} AND metadata[{header:String}] = {place:String})"+
		" + (SELECT count() FROM audit."+tables.TableQuarantine+" WHERE headers[{header:String}] = {place:String})",
		clickhouse.Params{"header": HeaderRedriven, "id": s.id, "place": s.place}, &n)
	if err != nil {
		return false, fmt.Errorf("look for %s among the events: %w", s.place, err)
	}
	return n > 0, nil
}

// await waits until all that was published is stored.
func (r *redriver) await(ctx context.Context) error {
	if r.o.Wait == 0 {
		return nil
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(r.o.Wait)
	defer late.Stop()
	for _, s := range r.published {
		for {
			stored, err := r.arrived(ctx, s)
			if err != nil {
				return err
			}
			if stored {
				break
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return ctx.Err()
			case <-late.C:
				return fmt.Errorf("%s was published again and is not stored after %s: does the consumer run? A redrive before it is stored publishes it once more, under the same id",
					s.place, r.o.Wait)
			}
		}
	}
	return nil
}

// original is the record as it was put aside.
func (q *Quarantined) original() *kgo.Record {
	r := &kgo.Record{Topic: q.Topic, Partition: int32(q.Partition), Offset: q.Offset, Timestamp: q.Time, Value: q.Value}
	if q.Key != "" {
		r.Key = []byte(q.Key)
	}
	for _, h := range q.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: []byte(h.Value)})
	}
	return r
}

// again is the record to be published. It brings the id that the event has at its first place: without one of its own it would get another one at each
// new place, and nobody could see that it is the same.
func (q *Quarantined) again(id string) *kgo.Record {
	o := q.original()
	r := &kgo.Record{Topic: o.Topic, Key: o.Key, Value: o.Value, Headers: slices.DeleteFunc(o.Headers, func(h kgo.RecordHeader) bool { return h.Key == HeaderRedriven })}
	if !slices.ContainsFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == audit.HeaderID && string(h.Value) == id }) {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: audit.HeaderID, Value: []byte(id)})
	}
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: HeaderRedriven, Value: []byte(q.Place())})
	return r
}
