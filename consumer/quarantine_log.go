package consumer

import (
	"sync"
	"time"

	"github.com/audittrail/audittrail/schemas/audit"
)

// quarantineLogEvery bounds how often the log speaks of the quarantine: a broken producer must not fill it.
const quarantineLogEvery = 10 * time.Second

// quarantineLog counts records that were put into the quarantine and not mentioned in the log yet.
type quarantineLog struct {
	mu    sync.Mutex
	last  time.Time
	count int
}

// note counts one more; it returns how many there are to mention, 0 when it is too early.
func (q *quarantineLog) note(now time.Time) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.count++
	if !q.last.IsZero() && now.Sub(q.last) < quarantineLogEvery {
		return 0
	}
	n := q.count
	q.last, q.count = now, 0
	return n
}

// quarantined counts a record that goes to the quarantine, and says so now and then.
func (l *lane) quarantined(rec *audit.Record, why *audit.Reject) {
	l.c.m.quarantine.WithLabelValues(l.key.topic, string(why.Reason)).Inc()
	if n := l.c.quarantineLog.note(l.c.opt.Now()); n > 0 {
		l.log.Warn("a record cannot be read and was put into the quarantine: see audittrail quarantine list",
			"offset", rec.Offset, "reason", why.Reason, "error", why.Detail, "records_since_last_mention", n)
	}
}
