package filter

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"regexp/syntax"
	"strings"
	"time"
)

// Bounds of one value.
const (
	maxRegexBytes    = 1 << 10
	maxRegexProgram  = 20_000 // instructions and characters in classes; ClickHouse compiles up to 262,144 instructions over bytes
	maxWildcardParts = 64

	maxIntegerDigits  = 40 // these two fit into ClickHouse's Decimal256 with 20 digits after the point
	maxFractionDigits = 20
)

// isDecimal says whether s is a number to order by: -?digits[.digits]. decimalRegex says the same to ClickHouse.
func isDecimal(s string) bool {
	s = strings.TrimPrefix(s, "-")
	integer, fraction, point := strings.Cut(s, ".")
	return areDigits(integer, maxIntegerDigits) && (!point || areDigits(fraction, maxFractionDigits))
}

const decimalRegex = `^-?[0-9]{1,40}([.][0-9]{1,20})?$`

func areDigits(s string, most int) bool {
	if s == "" || len(s) > most {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// compareDecimals compares the numbers a and b, for which isDecimal holds, exactly.
func compareDecimals(a, b string) int {
	aInt, aFrac, aNeg := splitDecimal(a)
	bInt, bFrac, bNeg := splitDecimal(b)
	if aNeg != bNeg {
		if aNeg {
			return -1
		}
		return 1
	}
	order := cmp.Or(cmp.Compare(len(aInt), len(bInt)), strings.Compare(aInt, bInt), strings.Compare(aFrac, bFrac))
	if aNeg {
		return -order
	}
	return order
}

// splitDecimal returns the digits before and after the point without the zeros that mean nothing; zero is not negative.
func splitDecimal(s string) (integer, fraction string, negative bool) {
	s, negative = strings.CutPrefix(s, "-")
	integer, fraction, _ = strings.Cut(s, ".")
	integer, fraction = strings.TrimLeft(integer, "0"), strings.TrimRight(fraction, "0")
	return integer, fraction, negative && integer+fraction != ""
}

// The first and the last instant that can be written in RFC 3339.
var (
	minMicro = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	maxMicro = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC).UnixMicro()
)

// ceilMicro returns the first whole microsecond at or after t. Events have whole microseconds, so both a lower bound and an exclusive upper bound
// mean the same after it.
func ceilMicro(t time.Time) int64 {
	micro := t.UnixMicro()
	if t.Nanosecond()%1000 != 0 {
		micro++
	}
	return micro
}

// timeLayouts are the forms of a time; without a zone it is UTC. unit returns the end of the time's last written unit.
var timeLayouts = []struct {
	layout string
	unit   func(t time.Time) time.Time
}{
	{"2006", func(t time.Time) time.Time { return t.AddDate(1, 0, 0) }},
	{"2006-01", func(t time.Time) time.Time { return t.AddDate(0, 1, 0) }},
	{"2006-01-02", func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }},
	{"2006-01-02T15", func(t time.Time) time.Time { return t.Add(time.Hour) }},
	{"2006-01-02T15:04", func(t time.Time) time.Time { return t.Add(time.Minute) }},
	{"2006-01-02T15:04Z07:00", func(t time.Time) time.Time { return t.Add(time.Minute) }},
	{"2006-01-02T15:04:05", func(t time.Time) time.Time { return t.Add(time.Second) }},
	{"2006-01-02T15:04:05Z07:00", func(t time.Time) time.Time { return t.Add(time.Second) }},
}

// parseTime reads a time as the half-open span of microseconds that it stands for: a day, a minute, a millisecond. A time finer than a microsecond
// lies between two, and its span is empty. A blank may stand for the T.
func parseTime(s string) (start, end int64, ok bool) {
	if len(s) > len("2006-01-02 ") && s[10] == ' ' {
		s = s[:10] + "T" + s[11:]
	}
	for _, form := range timeLayouts {
		t, err := time.Parse(form.layout, s)
		if err != nil {
			continue
		}
		if t.Before(time.UnixMicro(minMicro)) || t.After(time.UnixMicro(maxMicro)) {
			return 0, 0, false
		}
		if digits := fractionDigits(s); digits > 0 {
			unit := time.Second
			for range digits {
				unit /= 10
			}
			return ceilMicro(t), ceilMicro(t.Truncate(time.Microsecond).Add(max(unit, time.Nanosecond))), true
		}
		return ceilMicro(t), form.unit(t).UnixMicro(), true
	}
	return 0, 0, false
}

// fractionDigits counts the digits of the second's fraction (Go accepts a comma as well).
func fractionDigits(s string) int {
	at := strings.IndexAny(s, ".,")
	if at < 0 {
		return 0
	}
	n := 0
	for n < len(s)-at-1 && s[at+1+n] >= '0' && s[at+1+n] <= '9' {
		n++
	}
	return n
}

// parseNetwork reads an address or a network. IPv4 in IPv6 is unmapped, host bits are cleared.
func parseNetwork(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		ip, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, err
		}
		if ip.Zone() != "" {
			return netip.Prefix{}, errors.New("an address of an event has no zone")
		}
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	if ip := p.Addr(); ip.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(ip.Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// canonicalRegex checks a regular expression and returns it in the form that can be printed between quotes.
func canonicalRegex(re string, fold bool) (string, error) {
	if len(re) > maxRegexBytes {
		return "", fmt.Errorf("the regular expression is longer than %d bytes", maxRegexBytes)
	}
	if fold {
		re = "(?i)" + re
	}
	parsed, err := parseRegex(re)
	if err != nil {
		return "", fmt.Errorf("bad regular expression: %w", err)
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return "", fmt.Errorf("bad regular expression: %w", err)
	}
	size := 0
	for i := range prog.Inst {
		size += 1 + len(prog.Inst[i].Rune)
	}
	if size > maxRegexProgram {
		return "", errors.New("the regular expression is too large: it repeats too much")
	}
	if hasEscapedQuote(re) { // it means the same without the backslash, except inside \Q…\E
		re = parsed.String()
	}
	if len(re) > maxRegexBytes {
		return "", fmt.Errorf("the regular expression is longer than %d bytes", maxRegexBytes)
	}
	return re, nil
}

// hasEscapedQuote says whether a backslash takes a quote literally, which query text cannot say.
func hasEscapedQuote(re string) bool {
	for i := 0; i+1 < len(re); i++ {
		if re[i] == '\\' {
			i++
			if re[i] == '"' {
				return true
			}
		}
	}
	return false
}

// parseRegex reads a regular expression as both evaluators do: RE2 syntax in which the dot matches line breaks.
func parseRegex(re string) (*syntax.Regexp, error) {
	return syntax.Parse(re, syntax.Perl|syntax.DotNL)
}
