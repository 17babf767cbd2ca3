package filter

import (
	"math/big"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// The forms below are chosen so that the table's indexes answer where they can: equality and IN for the bloom filters (also through metadata[key]),
// mapContains for the other questions about metadata, the hour of the sorting key beside each bound of time. Values that are absent are ”, 0 and ::.

func (b *sqlBuilder) comparison(c Comparison) string {
	f, err := Lookup(c.Field)
	if err != nil {
		return b.fail(err.(*Error))
	}
	switch {
	case len(c.Values) == 0 && c.Op != OpExists:
		return "0"
	case c.Op == OpFieldRef:
		return b.fieldRef(f, c)
	case f.key != "":
		return b.metadata(f, c)
	}
	column := b.column(f)
	switch f.Kind {
	case KindTime:
		return b.each(c.Values, func(value string) string { return b.time(f, c.Op, value) })
	case KindIP:
		return b.ip(column, f, c)
	case KindNumber:
		return b.number(column, f, c)
	case KindList:
		return b.list(column, c)
	case KindEnum:
		if c.Op != OpEqual {
			column = "toString(" + column + ")"
		}
	}
	return b.text(column, c)
}

// column returns the expression of a field's value.
func (b *sqlBuilder) column(f Field) string {
	switch {
	case f.key != "":
		return "metadata[" + b.param("String", f.key) + "]"
	case f.Column == "":
		return b.fail(fieldError(f.Name, "cannot be searched: the table of events has no column for it; rules can use it"))
	}
	return f.Column
}

func (b *sqlBuilder) metadata(f Field, c Comparison) string {
	column := b.column(f)
	condition := b.text(column, c)
	if c.Op == OpEqual && !c.Fold {
		return condition
	}
	key := strings.TrimSuffix(strings.TrimPrefix(column, "metadata["), "]")
	return "(mapContains(metadata, " + key + ") AND " + condition + ")"
}

// each joins the conditions for each value.
func (b *sqlBuilder) each(values []string, condition func(value string) string) string {
	conditions := make([]string, len(values))
	for i, value := range values {
		conditions[i] = condition(value)
	}
	return joinConditions(conditions, " OR ")
}

// equals compares x with parameters of one type.
func (b *sqlBuilder) equals(x, kind string, values []string) string {
	params := make([]string, len(values))
	for i, value := range values {
		params[i] = b.param(kind, value)
	}
	if len(params) == 1 {
		return x + " = " + params[0]
	}
	return x + " IN (" + strings.Join(params, ", ") + ")"
}

func (b *sqlBuilder) text(x string, c Comparison) string {
	values, valid := c.Values, "toValidUTF8("+x+")"
	if c.Fold {
		x = foldSQL(x)
		valid = x
		if c.Op != OpWildcard { // its letters are folded below: its backslashes and wildcards mean something
			values = make([]string, len(c.Values))
			for i, v := range c.Values {
				values[i] = foldCase(v)
			}
		}
	}
	function := func(before, after string) string {
		return b.each(values, func(v string) string { return before + x + ", " + b.param("String", v) + after })
	}
	switch c.Op {
	case OpExists:
		return x + " != ''"
	case OpEqual:
		return b.equals(x, "String", values)
	case OpPrefix:
		return function("startsWith(", ")")
	case OpSuffix:
		return function("endsWith(", ")")
	case OpContains:
		return function("position(", ") > 0")
	case OpWildcard:
		return b.each(values, func(v string) string { return b.match(valid, parsePattern(v).regex(c.Fold)) })
	case OpRegex:
		return "(" + x + " != '' AND " + b.each(values, func(v string) string { return b.match(valid, v) }) + ")"
	case OpLess, OpLessEqual, OpGreater, OpGreaterEqual:
		return b.each(values, func(v string) string { return b.decimal(x, c.Op, v) })
	}
	return b.fail(fieldError(c.Field, "cannot be compared in this way"))
}

// match finds a regular expression in valid UTF-8. It is sent as Go prints it, so that the two parsers cannot read it differently; flags are written out.
func (b *sqlBuilder) match(x, re string) string {
	parsed, err := parseRegex(re)
	if err != nil {
		return b.fail(&Error{Msg: "bad regular expression: " + err.Error()})
	}
	return "match(" + x + ", " + b.param("String", parsed.String()) + ")"
}

var sqlOrder = map[Op]string{OpEqual: " = ", OpLess: " < ", OpLessEqual: " <= ", OpGreater: " > ", OpGreaterEqual: " >= "}

// decimal compares a text that is a number, exactly. A text that is none gives 0 in the second part, which the first one has ruled out.
func (b *sqlBuilder) decimal(x string, op Op, bound string) string {
	if !isDecimal(bound) {
		return b.fail(&Error{Msg: short(bound) + " is no number to order by"})
	}
	return "(match(" + x + ", '" + decimalRegex + "') AND toDecimal256OrZero(" + x + ", 20)" + sqlOrder[op] +
		"toDecimal256(" + b.param("String", bound) + ", 20))"
}

func (b *sqlBuilder) number(column string, f Field, c Comparison) string {
	switch {
	case c.Op == OpExists:
		return column + " != 0"
	case c.Op == OpEqual:
		return b.equals(column, "UInt64", c.Values)
	case c.Op.isOrder():
		return "(" + column + " != 0 AND " + b.each(c.Values, func(v string) string { return column + sqlOrder[c.Op] + b.param("UInt64", v) }) + ")"
	}
	return b.fail(fieldError(f.Name, "cannot be compared in this way"))
}

// time names the hour as well, which comes first in the sorting key after the tenant.
func (b *sqlBuilder) time(f Field, op Op, value string) string {
	micro, _, ok := parseTime(value)
	if !ok || op != OpLess && op != OpGreaterEqual {
		return b.fail(fieldError(f.Name, "cannot be compared in this way"))
	}
	at := func() string {
		return "fromUnixTimestamp64Micro(" + b.param("Int64", strconv.FormatInt(micro, 10)) + ", 'UTC')"
	}
	if op == OpLess {
		return "(time < " + at() + " AND hour <= " + b.param("Int32", hourOf(micro-1)) + ")"
	}
	return "(time >= " + at() + " AND hour >= " + b.param("Int32", hourOf(micro)) + ")"
}

// hourOf counts whole hours since 1970, downwards before it.
func hourOf(micro int64) string {
	const hour = int64(time.Hour / time.Microsecond)
	hours := micro / hour
	if micro%hour < 0 {
		hours--
	}
	return strconv.FormatInt(hours, 10)
}

func (b *sqlBuilder) ip(column string, f Field, c Comparison) string {
	switch c.Op {
	case OpExists:
		return column + " != toIPv6('::')"
	case OpEqual:
		if _, err := c.networks(); err != nil {
			return b.fail(err)
		}
		return b.equals(column, "IPv6", c.Values)
	case OpCIDR:
		return b.each(c.Values, func(value string) string { return b.network(column, f, value) })
	}
	return b.fail(fieldError(f.Name, "cannot be compared in this way"))
}

// network compares with the first and the last address. An IPv6 network that surrounds the mapped IPv4 addresses holds neither these nor the absent ::.
func (b *sqlBuilder) network(column string, f Field, value string) string {
	network, err := parseNetwork(value)
	if err != nil {
		return b.fail(fieldError(f.Name, "%s is neither an IP address nor a network", short(value)))
	}
	first, last := networkBounds(network)
	condition := column + " BETWEEN " + b.param("IPv6", first.String()) + " AND " + b.param("IPv6", last.String())
	if network.Addr().Is4() {
		return "(" + condition + ")"
	}
	if network.Contains(netip.IPv6Unspecified()) {
		condition += " AND " + column + " != toIPv6('::')"
	}
	if ip4 := netip.MustParseAddr("::ffff:0:0"); !first.Is4In6() && first.Compare(ip4) <= 0 && ip4.Compare(last) <= 0 {
		condition += " AND NOT (" + column + " BETWEEN toIPv6('::ffff:0.0.0.0') AND toIPv6('::ffff:255.255.255.255'))"
	}
	return "(" + condition + ")"
}

// networkBounds returns the first and the last address as IPv6.
func networkBounds(network netip.Prefix) (first, last netip.Addr) {
	bits := network.Bits()
	if network.Addr().Is4() {
		bits += 96
	}
	low := network.Addr().As16()
	size := new(big.Int).Lsh(big.NewInt(1), uint(128-bits))
	end := new(big.Int).Add(new(big.Int).SetBytes(low[:]), size.Sub(size, big.NewInt(1)))
	var high [16]byte
	end.FillBytes(high[:])
	return netip.AddrFrom16(low), netip.AddrFrom16(high)
}

func (b *sqlBuilder) list(column string, c Comparison) string {
	if c.Op == OpEqual && !c.Fold {
		return b.each(c.Values, func(v string) string { return "has(" + column + ", " + b.param("String", v) + ")" })
	}
	return "arrayExists(x -> " + b.text("x", c) + ", " + column + ")"
}

func (b *sqlBuilder) fieldRef(f Field, c Comparison) string {
	return b.each(c.Values, func(name string) string {
		g, err := Lookup(name)
		if err != nil {
			return b.fail(err.(*Error))
		}
		if f.number != nil && g.number != nil {
			left, right := b.column(f), b.column(g)
			return "(" + left + " != 0 AND " + left + " = " + right + ")"
		}
		if f.text == nil || g.text == nil {
			return b.fail(fieldError(f.Name, "cannot be compared with %s", g.Name))
		}
		left, right := b.textColumn(f), b.textColumn(g)
		present := left + " != ''"
		if c.Fold {
			left, right = foldSQL(left), foldSQL(right)
		}
		return "(" + present + " AND " + left + " = " + right + ")"
	})
}

func (b *sqlBuilder) textColumn(f Field) string {
	if f.Kind == KindEnum {
		return "toString(" + b.column(f) + ")"
	}
	return b.column(f)
}
