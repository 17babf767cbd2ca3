package filter

import (
	"math/rand/v2"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/audittrail/audittrail/schemas/audit"
)

// generator makes random events and filters out of the same small pools, so that they meet.
type generator struct {
	*rand.Rand
	events []*audit.Event
}

// newGenerator returns a generator that has made n events. The same seed gives the same ones.
func newGenerator(seed uint64, n int) generator {
	g := generator{Rand: rand.New(rand.NewPCG(seed, 7))}
	for range n {
		g.events = append(g.events, g.event())
	}
	return g
}

// texts are values in which the evaluators could differ.
var texts = []string{
	"", "a", "A", "ana", "Ana", "ANA", "ana maria", "Ana-Maria", "b", "ab", "aab", "x1y2", "LOGIN", "login", "OR", "NOT", "-x", "*", "?", `\`, `\*`, `a\b`, `C:\temp`,
	"a%b", "a_b", "%", "_", "a%", "a.b", "a+b", ".*", "[a]", "(a", "^a$", "a|b", "{p0:String}", "'", "' OR 1=1 --", `"`, `"a"`, "`", "a,b", "a:b", "$1",
	"é", "É", "e\u0301", "Ärger", "ÄRGER", "ärger", "ß", "SS", "ss", "ẞ", "ſ", "s", "\u212a", "k", "K", "İ", "i\u0307", "i", "I", "ı", "Σ", "σ", "ς", "ΑΣ", "ας",
	"ꭰ", "Ꭰ", "ᏸ", "Ᏸ", "ŉ", "ﬀ", "ff", "日本", "日", "🙂", "🙂🙃", "Приве́т", "привет", "ПРИВЕТ", "\ufffd", "\u00a0", "\u2028", "a\u00a0b",
	"\xff", "\xc3", "a\xc3", "\xf0ab", "ab\xf0ab", "\xed\xa0\x80", "a\xffb", "A\xffB", "\xe2\x82A", "\x80\x80", "\xff\xfe",
	"\x00", "a\x00b", "\t", "a\tb", "\n", "a\nb", "\r\n", "\x7f", "\u0085", "\x1b[0m",
	"0", "-0", "1", "01", "1.0", "1.00", "100", "99", "-5", "-5.5", "+5", " 5", "5 ", "5.", ".5", "1e3", "NaN", "inf", "0x10", "1_000", "12345678901234567890", "12345678901234567891",
	"18446744073709551615", "18446744073709551616", "-9223372036854775808", "0.1", "0.10", "0.30000000000000000000", "0.3", "0.299999999999999988897769753748",
	"0.29999999999999998889", strings.Repeat("9", 40), strings.Repeat("9", 41), "1" + strings.Repeat("0", 39), "-" + strings.Repeat("9", 40) + "." + strings.Repeat("9", 20),
	"0." + strings.Repeat("0", 19) + "1", "0." + strings.Repeat("0", 20) + "1", "１", "٣", "10.0.0.1", "success", "failure", "FAILURE",
	"failed login for ana", "Failed LOGIN, for Ana!", "the quick brown fox", "wrong_password", "wrong-password", "größe GRÖSSE", "Kelvin \u212aelvin", "foo  bar", "a1 b2 c3",
}

func pick[T any](g generator, of []T) T { return of[g.IntN(len(of))] }

// text is one of the pool, sometimes changed.
func (g generator) text() string { return g.mutate(pick(g, texts)) }

// near is a value of the field in one of the events, sometimes changed, or any text.
func (g generator) near(field string) string {
	f, err := Lookup(field)
	if err != nil || len(g.events) == 0 || g.IntN(4) == 0 {
		return g.text()
	}
	return g.mutate(f.Text(pick(g, g.events)))
}

// mutate returns s, or s with something behind it, in another case, or a piece of it.
func (g generator) mutate(s string) string {
	switch g.IntN(8) {
	case 0:
		s += pick(g, texts)
	case 1:
		s = strings.ToUpper(s)
	case 2:
		s = strings.ToLower(s)
	case 3:
		if s != "" {
			from := g.IntN(len(s))
			s = s[from : from+1+g.IntN(len(s)-from)]
		}
	}
	return s
}

var addresses = []string{
	"", "::", "0.0.0.0", "10.0.0.1", "10.0.0.2", "10.255.0.1", "192.168.1.1", "::ffff:10.0.0.1", "::10.0.0.1", "::1", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1",
	"2001:db8:0:0:ffff::", "fe80::1", "255.255.255.255", "::ffff:0:0:1", "ffff::", "64:ff9b::a00:1", "::fffe:ffff:ffff", "::1:0:0:0",
}

var networks = []string{
	"10.0.0.0/8", "10.0.0.0/31", "0.0.0.0/0", "::/0", "::/1", "::/64", "::/80", "::/81", "::/95", "::/96", "::/127", "::ffff:0:0/96", "::ffff:10.0.0.0/104", "2001:db8::/32",
	"2001:db8::/64", "2001:db8::1/128", "10.0.0.1/32", "fe80::/10", "8000::/1", "0.0.0.0/32", "::fffe:0:0/95", "255.255.255.255/1",
}

var moments = []int64{
	0, 1, -1, 999_999, 3_600_000_000, 3_599_999_999, -3_600_000_000, -3_600_000_001, 1_740_787_200_000_000, 1_740_787_200_000_001, 1_740_823_200_123_456,
	-2_208_988_800_000_000, -2_208_988_800_000_001, -5_000_000_000_000_000, 10_413_792_000_000_000, 20_000_000_000_000_000,
}

func (g generator) moment() int64 { return pick(g, moments) + int64(g.IntN(3)-1)*int64(g.IntN(2)) }

var numbers = []uint64{0, 1, 2, 99, 200, 403, 404, 500, 65535, 1 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 1}

func (g generator) event() *audit.Event {
	e := &audit.Event{
		ID: g.text(), Time: time.UnixMicro(g.moment()).UTC(), Tenant: pick(g, []string{"default", "acme", g.text()}),
		Action:  pick(g, []string{"auth.login", "auth.logout", "record.read", "data.export", g.text()}),
		Outcome: audit.Outcome(g.IntN(5)), Severity: audit.Severity(g.IntN(5)), Reason: g.text(), Category: audit.Category(g.text()),
		Actor:  audit.Actor{Type: audit.ActorType(g.text()), ID: g.text(), Name: g.text()},
		Source: audit.Source{UserAgent: g.text()}, SessionID: g.text(),
		Service: audit.Service{Name: g.text(), Version: g.text(), Instance: g.text()},
		Request: audit.Request{ID: g.text(), Method: g.text(), Route: g.text(), Status: uint16(pick(g, numbers[:9]))},
		TraceID: g.text(), SpanID: g.text(), CorrelationID: g.text(), Sequence: pick(g, numbers),
		Message: g.text() + pick(g, []string{"", " ", "-", "é"}) + g.text(),
		Data:    audit.Data{Records: pick(g, numbers), Bytes: pick(g, numbers)},
	}
	if a := pick(g, addresses); a != "" {
		e.Source.IP = netip.MustParseAddr(a)
	}
	for range g.IntN(3) {
		e.Targets = append(e.Targets, audit.Target{Type: g.text(), ID: g.text(), Name: g.text()})
		e.Changes = append(e.Changes, audit.Change{Field: g.text()})
	}
	for _, key := range metadataKeys {
		if g.IntN(2) == 0 {
			e.Metadata = append(e.Metadata, audit.MetadataEntry{Key: key, Value: g.text()})
		}
	}
	return e
}

var metadataKeys = []string{"team", "amount", "a b", "ключ", "k\xff", `q"'\`, "x:y"}

var textFields = []string{
	"id", "tenant", "action", "category", "outcome", "severity", "reason", "actor.type", "actor.id", "user.name", "source.user_agent", "session_id", "target.type", "target.id",
	"target.name", "changes.field", "service.name", "service.version", "service.instance", "request.id", "request.method", "request.route", "trace_id", "correlation_id", "message",
}

var numberFields = []string{"sequence", "request.status"}

var regexes = []string{
	"a", "^a", "a$", "^$", ".", "^.$", "^..$", "(?i)ana", "(?i)ärger", "(?i)k", "(?i)ß", "(?i)σ", "[^a]", `\d+`, `\bana\b`, `\w+\s\w+`, "a|b", "(a|é)+", "a{2}", "a.b", "(?-s)a.b",
	"(?m)^b$", `\x00`, `\.`, `\\`, `"`, `\"x`, `[\x{80}-\x{10ffff}]`, `\pL+`, `\p{Greek}`, `[[:upper:]]`, "^[0-9]+$", "x*", `\A\z`, "日.", "(?i:a)b", "(?i)(login|logout)", `\Qa.b\E`, "é", "\ufffd",
	"(?i)failed|wrong", "(failed|wrong)[_-]?password", "(?U)a+", "[^\\n]", "(a)(b)?", "login.*ana|ana.*login", "(?i)[k]", "(?i)[a-z]", "a?b?c?", "(?:foo)+",
}

// expr makes a filter of bounded depth. searchable leaves out what SQL cannot do.
func (g generator) expr(depth int, searchable bool) Expr {
	if depth > 0 {
		switch g.IntN(4) {
		case 0:
			return And(g.expr(depth-1, searchable), g.expr(depth-1, searchable))
		case 1:
			return Or(g.expr(depth-1, searchable), g.expr(depth-1, searchable), g.expr(depth-1, searchable))
		case 2:
			return Not(g.expr(depth-1, searchable))
		}
	}
	for {
		if x, err := g.leaf(searchable); err == nil {
			return x
		}
	}
}

func (g generator) leaf(searchable bool) (Expr, error) {
	orders := []Op{OpLess, OpLessEqual, OpGreater, OpGreaterEqual}
	switch g.IntN(16) {
	case 0:
		return pick(g, []Constant{All, None}), nil
	case 1, 2:
		return Words(g.near("message")), nil
	case 3:
		return phrase(g.near("message")), nil
	case 4:
		return TimeRange(time.UnixMicro(g.moment()), time.UnixMicro(g.moment())), nil
	case 5:
		return Compare("time", pick(g, append(orders, OpEqual)), false, formatMicro(g.moment()))
	case 6:
		return Equal(pick(g, []string{"source.ip", "source.ip_prefix"}), pick(g, addresses), pick(g, addresses))
	case 7:
		return CIDR(pick(g, []string{"source.ip", "source.ip_prefix"}), pick(g, networks), pick(g, networks))
	case 8:
		field := pick(g, numberFields)
		if !searchable {
			field = pick(g, []string{"data.records", "data.bytes", field})
		}
		return Compare(field, pick(g, append(orders, OpEqual)), false, strconv.FormatUint(pick(g, numbers), 10))
	case 9:
		field := g.textField()
		return Compare(field, pick(g, orders), false, g.near(field))
	case 10:
		return Exists(pick(g, append([]string{"source.ip", "sequence", "time"}, g.textField())))
	case 11:
		return Compare(g.textField(), OpFieldRef, g.IntN(2) == 0, g.textField())
	case 12:
		field := g.textField()
		return Compare(field, OpRegex, g.IntN(2) == 0, pick(g, append(regexes, regexp.QuoteMeta(strings.ToValidUTF8(g.near(field), ".")))))
	}
	field := g.textField()
	values := make([]string, 1+g.IntN(3)*g.IntN(5))
	for i := range values {
		values[i] = g.near(field)
	}
	op := pick(g, []Op{OpEqual, OpEqual, OpPrefix, OpSuffix, OpContains, OpWildcard, OpWildcard})
	if op == OpWildcard {
		for i, value := range values {
			values[i] = g.punch(value)
		}
	}
	return Compare(field, op, g.IntN(2) == 0, values...)
}

// punch makes a pattern of s: some characters become wildcards.
func (g generator) punch(s string) string {
	var p pattern
	for _, c := range []byte(s) {
		switch g.IntN(6) {
		case 0:
			p = p.add(part{wild: '?'})
		case 1:
			p = p.add(part{wild: '*'})
		default:
			p = p.add(part{lit: string([]byte{c})})
		}
	}
	return p.String()
}

func (g generator) textField() string {
	if g.IntN(4) == 0 {
		return metadataPrefix + pick(g, metadataKeys)
	}
	return pick(g, textFields)
}
