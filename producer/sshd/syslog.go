package sshd

import (
	"strings"
	"time"
)

// header is what syslog puts before a message.
type header struct {
	// stamp is the time as written.
	stamp string
	host  string
	// program and pid are the tag; pid is empty when there is none.
	program, pid string
	text         string
}

// cutHeader splits "Mar 27 13:06:56 HOST PROGRAM[PID]: TEXT", or the same with an RFC 3339 time, as newer systems write it.
func cutHeader(line string) (header, bool) {
	var h header
	n := len(time.Stamp)
	if line != "" && line[0] >= '0' && line[0] <= '9' {
		n = max(strings.IndexByte(line, ' '), 0)
	}
	if len(line) <= n || line[n] != ' ' {
		return h, false
	}
	h.stamp = line[:n]
	var tag string
	var ok bool
	if h.host, line, ok = strings.Cut(line[n+1:], " "); !ok || h.host == "" {
		return h, false
	}
	if tag, h.text, ok = strings.Cut(line, ": "); !ok {
		return h, false
	}
	h.program, h.pid, _ = strings.Cut(tag, "[")
	h.pid = strings.TrimSuffix(h.pid, "]")
	return h, true
}

// fromSSHD reports whether the program is the server: sshd, or the parts that it is split into since OpenSSH 9.8.
func (h header) fromSSHD() bool {
	return h.program == "sshd" || h.program == "sshd-session" || h.program == "sshd-auth"
}

// calendar gives the syslog times of one file their year.
type calendar struct {
	// year is that of the line before, or the one to start in. 0 starts in the latest year that does not put the first line more than a day after now.
	year int
	loc  *time.Location
	now  time.Time
	// prev is the time of the line before.
	prev time.Time
}

// journalTime is RFC 3339 with the zone as `journalctl -o short-iso` wrote it before systemd 255.
const journalTime = "2006-01-02T15:04:05.999999999-0700"

const (
	halfYear = 183 * 24 * time.Hour
	// lateLine is how far a line that is older than its predecessor appears to be ahead of it when the new year lies between them.
	lateLine = 330 * 24 * time.Hour
)

// at returns the time of the next line. The year goes up when the lines step back by more than half a year (from December to January, or over quiet
// months), and down again for a late line of December among those of January. A day that the year does not have is not ok.
func (c *calendar) at(stamp string) (time.Time, bool) {
	if len(stamp) != len(time.Stamp) {
		t, err := time.Parse(time.RFC3339Nano, stamp)
		if err != nil {
			t, err = time.Parse(journalTime, stamp)
		}
		return t, err == nil
	}
	// The year of day is 0, a leap year.
	day, err := time.Parse(time.Stamp, stamp)
	if err != nil {
		return day, false
	}
	if c.year == 0 {
		c.year = c.now.In(c.loc).Year()
		for t := c.date(day); t.After(c.now.Add(24*time.Hour)) || t.Day() != day.Day(); t = c.date(day) {
			c.year--
		}
	}
	if !c.prev.IsZero() {
		switch ahead := c.date(day).Sub(c.prev); {
		case ahead < -halfYear:
			c.year++
		case ahead > lateLine && c.prev.Month() == time.January:
			c.year--
		}
	}
	t := c.date(day)
	if t.Day() != day.Day() {
		return t, false
	}
	c.prev = t
	return t, true
}

func (c *calendar) date(day time.Time) time.Time {
	return time.Date(c.year, day.Month(), day.Day(), day.Hour(), day.Minute(), day.Second(), 0, c.loc)
}
