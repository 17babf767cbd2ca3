package queryapi

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

var relativeTime = regexp.MustCompile(`^(?:now)?-([0-9]{1,9})([smhdw])$`)

var units = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour}

// earliest is how far back a relative time may go.
var earliest = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)

// parseTime reads an absolute time (RFC 3339, or a date, which is its first moment in UTC) or one relative to now: now, -24h, now-15m.
func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "now" {
		return now, nil
	}
	if m := relativeTime.FindStringSubmatch(text); m != nil {
		n, _ := strconv.ParseInt(m[1], 10, 64) // at most nine digits
		unit := units[m[2]]
		if n > int64(now.Sub(earliest)/unit) {
			return time.Time{}, fmt.Errorf("%q is before 1900", text)
		}
		return now.Add(-time.Duration(n) * unit), nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%.40q is neither a time such as 2025-03-01T10:00:00Z (a + in a URL is written %%2B), "+
		"nor a date, nor relative such as -24h or now-15m (units s m h d w)", text)
}
