package engine

import (
	"slices"
	"sort"

	"github.com/audittrail/audittrail/detector/wire"
)

// entry is one event in a window. Entries are ordered by time, and those of equal time by offset.
type entry struct {
	// time is when the event happened, in microseconds.
	time int64
	// published is its Kafka time or, where that is later, the clock when it arrived, in milliseconds. It decides how long the entry lives.
	published int64
	// offset is where its match record stands.
	offset int64
	// id is a hash of the event's id.
	id uint64
	// held says that the condition held at this event: with it, the window that ends here has reached the threshold.
	held bool
	// member says that the event belongs to an episode. Its detail is gone then.
	member bool
	detail wire.Detail
}

// window keeps the events of one group, by time.
type window struct {
	entries []entry
	// oldest is at most the smallest published time of the entries: before that has lived long enough, nothing has to be looked at.
	oldest int64
}

// expire removes the entries that were published at least life before now. None of them can meet an event that is not late any more.
func (w *window) expire(now, life int64) {
	if len(w.entries) == 0 || w.oldest+life > now {
		return
	}
	w.entries = slices.DeleteFunc(w.entries, func(e entry) bool { return e.published+life <= now })
	w.oldest = 0
	for i, e := range w.entries {
		if i == 0 || e.published < w.oldest {
			w.oldest = e.published
		}
	}
}

// newest returns the greatest event time.
func (w *window) newest() (int64, bool) {
	if len(w.entries) == 0 {
		return 0, false
	}
	return w.entries[len(w.entries)-1].time, true
}

// find returns the index of the entry with this id, or -1.
func (w *window) find(id uint64) int {
	for i := range w.entries {
		if w.entries[i].id == id {
			return i
		}
	}
	return -1
}

// insert puts the entry in its place and returns its index.
func (w *window) insert(e entry) int {
	i := len(w.entries)
	if i > 0 && w.entries[i-1].time > e.time {
		i = sort.Search(i, func(i int) bool { return w.entries[i].time > e.time })
	}
	if len(w.entries) == 0 || e.published < w.oldest {
		w.oldest = e.published
	}
	w.entries = slices.Insert(w.entries, i, e)
	return i
}

// dropFirst removes the entry of the smallest time.
func (w *window) dropFirst() { w.entries = slices.Delete(w.entries, 0, 1) }

// reaches says whether the window of this length that ends at entry i holds at least threshold entries up to it.
func (w *window) reaches(i, threshold int, length int64) bool {
	first := i - threshold + 1
	return first >= 0 && w.entries[first].time > w.entries[i].time-length
}

// firstOffset returns the smallest offset of the entries, or limit when there are none.
func (w *window) firstOffset(limit int64) int64 {
	for i := range w.entries {
		limit = min(limit, w.entries[i].offset)
	}
	return limit
}
