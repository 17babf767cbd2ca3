package queryapi

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/schemas/audit"
)

var alertParameters = []parameter{{name: "state"}, {name: "rule"}, {name: "level"}, {name: "tenant"}, {name: "source_ip", aliases: []string{"ip"}}, {name: "key"}}

var (
	alertStates = []string{string(audit.AlertOpen), string(audit.AlertAcknowledged), string(audit.AlertResolved)}
	alertLevels = []string{"informational", "low", "medium", "high", "critical"}
)

// alertSearch is a list of alerts.
type alertSearch struct {
	*list
	// versions chooses the versions that are looked at; of those of each alert, the latest one is the alert.
	versions where
	// pin is when the last of the versions that the walk sees was published, in milliseconds since 1970.
	pin int64
	// alerts is what must hold for the latest version.
	alerts where
}

// parseAlertSearch reads a search over alerts. The scope is added after everything else has been parsed.
func parseAlertSearch(scope Scope, values url.Values, now time.Time) (*alertSearch, error) {
	s := &alertSearch{list: parseList("alerts", scope, values, alertParameters, now)}
	s.closed("state", alertStates...)
	s.closed("level", alertLevels...)
	s.in("state", "state")
	s.in("level", "level")
	s.in("tenant", "tenant")
	s.in("rule", "rule_id", "rule_name")
	s.addKey()
	s.addSource()
	s.addTime()
	if err := s.err(); err != nil {
		return nil, err
	}
	scope.addTenants(&s.versions)
	if s.after != nil && len(s.after.tie) != alertTieBytes {
		return nil, invalid(ParameterError{"cursor", "is damaged"})
	}
	return s, nil
}

// in adds that one of the columns has one of the parameter's values.
func (s *alertSearch) in(name string, columns ...string) {
	given := s.values[name]
	if len(given) == 0 {
		return
	}
	list, params := inList(name, given)
	var any []string
	for _, column := range columns {
		any = append(any, column+" IN "+list)
	}
	s.alerts.add(strings.Join(any, " OR "), params...)
}

// inList is a list of {name0:String} parameters for values, and the names and values.
func inList(name string, values []string) (list string, params []string) {
	items := make([]string, len(values))
	for i, value := range values {
		param := name + "_" + strconv.Itoa(i)
		items[i] = "{" + param + ":String}"
		params = append(params, param, stringParam(value))
	}
	return "(" + strings.Join(items, ", ") + ")", params
}

// addKey asks for alerts with one of the values in their group key, under whatever name.
func (s *alertSearch) addKey() {
	if given := s.values["key"]; len(given) > 0 {
		list, params := inList("key", given)
		s.alerts.add("arrayExists(v -> v IN "+list+", mapValues(key))", params...)
	}
}

// addSource asks for alerts about one of the addresses: they are in the group key, as an address or as the prefix that rules group by, or among the
// sources that were seen.
func (s *alertSearch) addSource() {
	var forms []string
	for _, value := range s.values["source_ip"] {
		f, err := addressForms(value)
		if err != nil {
			s.fail("source_ip", err.Error())
			return
		}
		forms = append(forms, f...)
	}
	if len(forms) > 0 {
		list, params := inList("source", forms)
		s.alerts.add("arrayExists(v -> v IN "+list+", arrayConcat(sources, mapValues(key)))", params...)
	}
}

// addressForms are the texts under which alerts hold an address: itself and its source.ip_prefix; for a prefix just itself.
func addressForms(value string) ([]string, error) {
	if prefix, err := netip.ParsePrefix(value); err == nil {
		return []string{prefix.Masked().String()}, nil
	}
	ip, err := netip.ParseAddr(value)
	if err != nil || ip.Zone() != "" {
		return nil, fmt.Errorf("%.60q is neither an IP address nor a prefix such as 2001:db8::/64", value)
	}
	ip = ip.Unmap()
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	prefix, err := ip.Prefix(bits)
	if err != nil {
		return nil, err
	}
	return []string{ip.String(), prefix.String()}, nil
}

// addTime asks for alerts last seen in the time range.
func (s *alertSearch) addTime() {
	if !s.from.IsZero() {
		s.alerts.add("last_seen >= fromUnixTimestamp64Micro({from:Int64}, 'UTC')", "from", ceilMicro(s.from))
	}
	if !s.to.IsZero() {
		s.alerts.add("last_seen < fromUnixTimestamp64Micro({to:Int64}, 'UTC')", "to", ceilMicro(s.to))
	}
}

// ceilMicro is the first whole microsecond at or after t, since 1970.
func ceilMicro(t time.Time) string {
	micros := t.UnixMicro()
	if t.Nanosecond()%1000 != 0 {
		micros++
	}
	return strconv.FormatInt(micros, 10)
}

// addTenants restricts alerts to those of the scope.
func (s Scope) addTenants(w *where) {
	switch {
	case s.AllTenants:
	case len(s.Tenants) == 0:
		w.add("false")
	default:
		list, params := inList("scope", s.Tenants)
		w.add("tenant IN "+list, params...)
	}
}

// params are the values of both conditions, whose names differ.
func (s *alertSearch) params() clickhouse.Params {
	p := clickhouse.Params{}
	for _, w := range []where{s.versions, s.alerts} {
		for name, value := range w.params {
			p[name] = value
		}
	}
	return p
}
