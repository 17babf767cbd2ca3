package queryapi

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/audittrail/audittrail/internal/filter"
	"github.com/audittrail/audittrail/queryapi/internal/testtrail"
	"github.com/audittrail/audittrail/schemas/audit"
)

// trail makes random events with few different values and times, at fresh coordinates of two topics with three partitions each.
type trail struct {
	rng  *rand.Rand
	next map[[2]int]int64
	n    int
}

func newTrail(seed uint64) *trail {
	return &trail{rng: rand.New(rand.NewPCG(seed, 1)), next: map[[2]int]int64{}}
}

// The second id comes before the first one in one byte order and after it in the other.
var topics = []uuid.UUID{testtrail.Topic, uuid.MustParse("f192f0c1-0000-7000-0000-000000000001")}

func (tr *trail) rows(n, times int) []testtrail.Row {
	rows := make([]testtrail.Row, n)
	for i := range rows {
		topic, partition := tr.rng.IntN(len(topics)), tr.rng.IntN(3)
		at := [2]int{topic, partition}
		tr.next[at]++
		tr.n++
		// Times lie around an hour's border, as hours prune.
		when := time.Date(2026, 2, 1, 10, 59, 58, 0, time.UTC).Add(time.Duration(tr.rng.IntN(times)) * 700 * time.Millisecond)
		rows[i] = testtrail.Row{Topic: topics[topic], Partition: int32(partition), Offset: tr.next[at], Event: audit.Event{
			ID: fmt.Sprintf("e%d", tr.n), Time: when, Tenant: pick(tr.rng, "default", "acme"), Action: pick(tr.rng, "auth.login", "record.read", "record.update"),
			Category: audit.CategoryData, Outcome: audit.Outcome(tr.rng.IntN(5)), Actor: audit.Actor{ID: pick(tr.rng, "u1", "u2", "u3")},
			Service: audit.Service{Name: "test"}, Message: pick(tr.rng, "red fish", "blue fish", "red bird"),
		}}
	}
	return rows
}

func pick[T any](rng *rand.Rand, from ...T) T { return from[rng.IntN(len(from))] }

func randomSearch(rng *rand.Rand) url.Values {
	v := url.Values{}
	for name, values := range map[string][]string{
		"action": {"auth.login", "record.*", "FAILED_LOGIN"}, "outcome": {"success", "failure"}, "tenant": {"acme"}, "actor": {"u1", "u2"},
		"search": {"red", "fish"}, "q": {"-actor.id:u3", "outcome:success OR tenant:default"},
		"from": {"2026-02-01T10:59:59Z"}, "to": {"2026-02-01T11:00:01.5Z"},
	} {
		if rng.IntN(5) == 0 {
			v.Set(name, pick(rng, values...))
		}
	}
	v.Set("order", pick(rng, "asc", "desc"))
	return v
}

// expected is the oracle: the matcher in memory decides which of the rows are in the list.
func expected(t *testing.T, s *Service, v url.Values, rows []testtrail.Row) []string {
	t.Helper()
	search, err := parseEventSearch(Everything("test"), v, s.opt.Now())
	if err != nil {
		t.Fatal(err)
	}
	matcher, err := filter.Compile(search.where)
	if err != nil {
		t.Fatal(err)
	}
	found := []string{}
	for i := range rows {
		if matcher.Match(&rows[i].Event) {
			found = append(found, rows[i].Event.ID)
		}
	}
	slices.Sort(found)
	return found
}

// TestPagesShowEachEventOnce walks random searches in pages of random sizes and compares with the list read at once, and that with the oracle.
func TestPagesShowEachEventOnce(t *testing.T) {
	for seed, shape := range []struct{ rows, times, pageBytes int }{
		{120, 6, maxPageBytes},    // large groups of one time
		{120, 1000, maxPageBytes}, // hardly any
		{120, 1, maxPageBytes},    // one group
		{60, 6, 1500},             // pages are cut by their bytes, after a few events
		{20, 10, 1},               // after each event
		{0, 1, maxPageBytes},
	} {
		t.Run(fmt.Sprint(shape), func(t *testing.T) {
			client := testtrail.Open(t)
			s := newService(t, Options{ClickHouse: client, Now: clock})
			tr := newTrail(uint64(seed))
			rows := tr.rows(shape.rows, shape.times)
			for part := range slices.Chunk(rows, 50) {
				testtrail.InsertEvents(t, client, part...)
			}
			for range rounds(3, 30) {
				v := randomSearch(tr.rng)
				want := expected(t, s, v, rows)
				s.maxPageBytes = maxPageBytes
				v.Set("limit", "1000")
				whole := walk(t, s.Events, Everything("test"), v, nil)
				if got := slices.Sorted(slices.Values(whole)); !slices.Equal(got, want) {
					t.Fatalf("%s: found %v, want %v", v.Encode(), got, want)
				}
				s.maxPageBytes = shape.pageBytes
				v.Set("limit", strconv.Itoa(4+tr.rng.IntN(40)))
				if got := walk(t, s.Events, Everything("test"), v, nil); !slices.Equal(got, whole) {
					t.Fatalf("%s: in pages %v, at once %v", v.Encode(), got, whole)
				}
			}
		})
	}
}

// TestPagesWhileEventsArrive walks while events of the same times are stored: those that were there are shown once each, in order; others at most once.
func TestPagesWhileEventsArrive(t *testing.T) {
	for seed := range rounds(2, 20) {
		client := testtrail.Open(t)
		s := newService(t, Options{ClickHouse: client, Now: clock})
		tr := newTrail(uint64(seed) + 100)
		testtrail.InsertEvents(t, client, tr.rows(60, 5)...)
		v := randomSearch(tr.rng)
		v.Set("limit", "1000")
		before := walk(t, s.Events, Everything("test"), v, nil)
		v.Set("limit", strconv.Itoa(2+tr.rng.IntN(7)))
		arrivals := 0
		got := walk(t, s.Events, Everything("test"), v, func() {
			if arrivals++; arrivals <= 8 {
				testtrail.InsertEvents(t, client, tr.rows(10, 5)...)
			}
		})
		seen := map[string]bool{}
		for _, id := range got {
			if seen[id] {
				t.Errorf("%s: %s is shown twice", v.Encode(), id)
			}
			seen[id] = true
		}
		old := slices.DeleteFunc(slices.Clone(got), func(id string) bool { return !slices.Contains(before, id) })
		if !slices.Equal(old, before) {
			t.Errorf("%s: of the events that were there, shown %v, want %v", v.Encode(), old, before)
		}
	}
}
