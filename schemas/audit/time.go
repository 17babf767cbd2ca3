package audit

import "time"

// The times that ClickHouse keeps as DateTime64(6): seconds since 1970 of 1900-01-01 and of 2300-01-01, which is past the end.
const (
	minUnix = -2208988800
	endUnix = 10413792000
)

func inRange(t time.Time) bool {
	s := t.Unix()
	return s >= minUnix && s < endUnix
}

// recordTime returns a broker's timestamp as an event's time. Producers may set it, so it is held within the range.
func recordTime(t time.Time) time.Time {
	switch s := t.Unix(); {
	case s < minUnix:
		return time.Unix(minUnix, 0).UTC()
	case s >= endUnix:
		return time.Unix(endUnix, 0).Add(-time.Microsecond).UTC()
	}
	return t.UTC().Truncate(time.Microsecond)
}

// timeLayout is RFC 3339 with at most microseconds.
const timeLayout = "2006-01-02T15:04:05.999999Z07:00"

func appendTime(dst []byte, t time.Time) []byte {
	return t.UTC().Truncate(time.Microsecond).AppendFormat(dst, timeLayout)
}

// parseTime reads RFC 3339, with any number of digits after the second and with T, t or a space before the hour, as UTC cut to microseconds. False
// is what has another form or lies outside the years 1900 to 2299.
func parseTime(s string) (time.Time, bool) {
	t, ok := parseUsualTime(s)
	if !ok {
		var err error
		if t, err = time.Parse(time.RFC3339Nano, s); err != nil {
			return time.Time{}, false
		}
		t = t.UTC().Truncate(time.Microsecond)
	}
	if !inRange(t) {
		return time.Time{}, false
	}
	return t, true
}

// parseUsualTime reads the forms that nearly all events have, ten times as fast as time.Parse. False says only that it has another form.
func parseUsualTime(s string) (time.Time, bool) {
	const seconds = len("2006-01-02T15:04:05")
	if len(s) <= seconds || s[4] != '-' || s[7] != '-' || s[13] != ':' || s[16] != ':' || (s[10] != 'T' && s[10] != 't' && s[10] != ' ') {
		return time.Time{}, false
	}
	century, year, month, day := twoDigits(s, 0), twoDigits(s, 2), twoDigits(s, 5), twoDigits(s, 8)
	hour, minute, second := twoDigits(s, 11), twoDigits(s, 14), twoDigits(s, 17)
	year += century * 100
	if century > 99 || year > 9999 || month-1 > 11 || day-1 >= daysIn(year, month) || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	micros, rest := fraction(s[seconds:])
	offset, ok := zone(rest)
	if !ok {
		return time.Time{}, false
	}
	unix := daysSince1970(year, month, day)*86400 + int64(hour*3600+minute*60+second) - offset
	return time.Unix(unix, int64(micros)*1000).UTC(), true
}

// invalidDigits is larger than all that two digits can say, in whatever sum.
const invalidDigits = 1 << 20

func twoDigits(s string, i int) uint {
	tens, ones := uint(s[i])-'0', uint(s[i+1])-'0'
	if tens > 9 || ones > 9 {
		return invalidDigits
	}
	return tens*10 + ones
}

// fraction reads a point and digits, if there are any, and returns whole microseconds and what follows.
func fraction(s string) (micros uint, rest string) {
	if len(s) < 2 || s[0] != '.' {
		return 0, s
	}
	i := 1
	scale := uint(100_000)
	for ; i < len(s) && s[i]-'0' <= 9; i++ {
		micros += uint(s[i]-'0') * scale
		scale /= 10
	}
	if i == 1 {
		return 0, s
	}
	return micros, s[i:]
}

// zone reads Z or a numeric offset, in seconds east of UTC.
func zone(s string) (offset int64, ok bool) {
	if s == "Z" || s == "z" {
		return 0, true
	}
	if len(s) != len("+00:00") || s[3] != ':' || (s[0] != '+' && s[0] != '-') {
		return 0, false
	}
	hours, minutes := twoDigits(s, 1), twoDigits(s, 4)
	if hours > 23 || minutes > 59 {
		return 0, false
	}
	offset = int64(hours*3600 + minutes*60)
	if s[0] == '-' {
		offset = -offset
	}
	return offset, true
}

func daysIn(year, month uint) uint {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// daysSince1970 counts the days of the Gregorian calendar (H. Hinnant, "chrono-compatible low-level date algorithms": years begin in March, so that
// the leap day is the last).
func daysSince1970(year, month, day uint) int64 {
	y, m := int64(year), int64(month)
	if m <= 2 {
		y--
		m += 12
	}
	era := y / 400
	if y < 0 {
		era = -1
	}
	yearOfEra := y - era*400
	dayOfYear := (153*(m-3)+2)/5 + int64(day) - 1
	return era*146097 + yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear - 719468
}
