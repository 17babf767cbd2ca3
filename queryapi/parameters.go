package queryapi

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/audittrail/audittrail/internal/suggest"
)

// Limits of requests.
const (
	// DefaultLimit and MaxLimit are how many items a page has.
	DefaultLimit = 50
	MaxLimit     = 1000

	maxValues     = 100
	maxValueBytes = 8 << 10
)

// parameter is one that an endpoint knows.
type parameter struct {
	name string
	// aliases are other names of the same parameter.
	aliases []string
	// single forbids several values.
	single bool
}

// The parameters of every list.
var listParameters = []parameter{
	{name: "from", single: true},
	{name: "to", single: true},
	{name: "limit", single: true},
	{name: "order", single: true},
	{name: "total", single: true},
	{name: "cursor", single: true},
}

// list is what the parameters of a list say, apart from its conditions.
type list struct {
	// values are the other parameters under their proper names, no value empty.
	values map[string][]string
	// from and to are the time range [from, to); zero is open.
	from, to  time.Time
	limit     int
	ascending bool
	total     bool
	// after is where the page before this one ended, nil for the first page.
	after *cursor
	// now is when the first page was asked for.
	now time.Time
	// bound is what cursors of this list are bound to.
	bound string

	errs []ParameterError
}

// parseList reads the parameters of the list of this kind. Errors are collected in errs, so that a caller hears of all at once.
func parseList(kind string, scope Scope, values url.Values, known []parameter, now time.Time) *list {
	l := &list{values: make(map[string][]string), now: now}
	l.collect(values, slices.Concat(known, listParameters))
	l.limit = l.parseLimit()
	l.ascending = l.oneOf("order", "desc", "asc") == "asc"
	l.total = l.oneOf("total", "false", "true") == "true"
	text := l.take("cursor")
	l.bound = l.binding(kind, scope)
	if text != "" {
		c, ok := parseCursor(text, l.bound)
		if !ok {
			l.fail("cursor", "does not belong to this search: use next_cursor with the same parameters, or start again without it")
		}
		l.after, l.now = &c, time.UnixMicro(c.now).UTC()
	}
	l.from, l.to = l.parseTime("from"), l.parseTime("to")
	if !l.from.IsZero() && !l.to.IsZero() && !l.from.Before(l.to) {
		l.fail("to", "must be later than from")
	}
	return l
}

// collect sorts the values under the proper names of their parameters.
func (l *list) collect(values url.Values, known []parameter) {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names) // errors in a fixed order
	for _, name := range names {
		i := slices.IndexFunc(known, func(p parameter) bool { return p.name == name || slices.Contains(p.aliases, name) })
		if i < 0 {
			l.fail(name, unknownParameter(name, known))
			continue
		}
		for _, value := range values[name] {
			l.addValue(name, known[i], value)
		}
	}
}

func (l *list) addValue(name string, p parameter, value string) {
	have := l.values[p.name]
	switch {
	case value == "":
		l.fail(name, "is empty: give a value, or leave it out")
	case len(value) > maxValueBytes:
		l.fail(name, fmt.Sprintf("is longer than %d bytes", maxValueBytes))
	case p.single && len(have) == 1:
		l.fail(name, fmt.Sprintf("is given more than once, as %.40q and %.40q: give one value", have[0], value))
	case len(have) == maxValues:
		l.fail(name, fmt.Sprintf("is given more than %d times", maxValues))
	case !slices.Contains(have, value):
		l.values[p.name] = append(have, value)
	}
}

func unknownParameter(name string, known []parameter) string {
	var names, all []string
	for _, p := range known {
		names = append(names, p.name)
		all = append(append(all, p.name), p.aliases...)
	}
	if near := suggest.Nearest(name, all); near != "" {
		return fmt.Sprintf("there is no such parameter; did you mean %s?", near)
	}
	return "there is no such parameter; there are " + strings.Join(names, ", ")
}

// fail notes an error. Of each parameter the first one is enough.
func (l *list) fail(name, detail string) {
	if slices.ContainsFunc(l.errs, func(e ParameterError) bool { return e.Parameter == name }) {
		return
	}
	l.errs = append(l.errs, ParameterError{Parameter: name, Detail: detail})
}

// err returns what is wrong, nil if nothing is.
func (l *list) err() error {
	if len(l.errs) == 0 {
		return nil
	}
	return invalid(l.errs...)
}

// take removes a single parameter and returns its value, "" when it is not there.
func (l *list) take(name string) string {
	v := l.values[name]
	delete(l.values, name)
	if len(v) == 0 {
		return ""
	}
	return v[0]
}

func (l *list) parseLimit() int {
	text := l.take("limit")
	if text == "" {
		return DefaultLimit
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > MaxLimit {
		l.fail("limit", fmt.Sprintf("%.20q is no number from 1 to %d", text, MaxLimit))
	}
	return n
}

// oneOf takes a parameter of two values, the first of which is the default.
func (l *list) oneOf(name, standard, other string) string {
	switch text := l.take(name); text {
	case "":
		return standard
	case standard, other:
		return text
	default:
		l.fail(name, fmt.Sprintf("%.20q is neither %s nor %s", text, standard, other))
		return standard
	}
}

// binding names everything that decides which rows are in the list and in which order: all that is left of the parameters, but not how many a page has.
func (l *list) binding(kind string, scope Scope) string {
	canonical := url.Values{}
	for name, values := range l.values {
		canonical[name] = slices.Sorted(slices.Values(values))
	}
	return fmt.Sprintf("%s\n%q\n%v\n%s", kind, scope.Caller, l.ascending, canonical.Encode())
}

func (l *list) parseTime(name string) time.Time {
	text := l.take(name)
	if text == "" {
		return time.Time{}
	}
	t, err := parseTime(text, l.now)
	if err != nil {
		l.fail(name, err.Error())
	}
	return t
}

// next returns the cursor of the page that follows one that ended at c.
func (l *list) next(c cursor) string {
	c.now = l.now.UnixMicro()
	return c.text(l.bound)
}

// closed checks values against the names that exist.
func (l *list) closed(name string, names ...string) {
	for _, value := range l.values[name] {
		if slices.Contains(names, value) {
			continue
		}
		detail := fmt.Sprintf("%.40q is none of %s", value, strings.Join(names, ", "))
		if near := suggest.Nearest(value, names); near != "" {
			detail += fmt.Sprintf("; did you mean %s?", near)
		}
		l.fail(name, detail)
	}
}
