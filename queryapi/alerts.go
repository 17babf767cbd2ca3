package queryapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/audittrail/audittrail/internal/clickhouse"
	"github.com/audittrail/audittrail/schemas/audit"
)

// MaxVersions is how many versions of one alert are shown.
const MaxVersions = 1000

// alertTieBytes is the size of alertTie.
const alertTieBytes = 32

// alertTie orders alerts of one time: of a fixed size, whatever their ids are.
const alertTie = "hex(sipHash128(tenant, id))"

// alertColumns are those that an alert is shown from.
const alertColumns = `id, version, state, rule_id, rule_name, level, tenant, key, first_seen, last_seen, window, count,
	users, users_total, sources, sources_total, samples, actions, tags, approximate, src_time`

const alertValues = `id, version, state, rule_id, rule_name, level, tenant, mapKeys(key), mapValues(key),
	toUnixTimestamp64Micro(first_seen), toUnixTimestamp64Micro(last_seen), window, count,
	users, users_total, sources, sources_total, samples, actions, tags, approximate, toUnixTimestamp64Milli(src_time)`

// alertRow is one version of an alert.
type alertRow struct {
	// Alert has the alert's members.
	audit.Alert
	// Updated is when the version was published.
	Updated time.Time `json:"updated"`
}

func scanAlert(rows clickhouse.Rows, front ...any) (*alertRow, error) {
	var (
		a                       alertRow
		state                   string
		keys, values            []string
		first, last, publishedM int64
	)
	err := rows.Scan(append(front, &a.ID, &a.Version, &state, &a.RuleID, &a.RuleName, &a.Level, &a.Tenant, &keys, &values, &first, &last, &a.Window,
		&a.Count, &a.Users.Values, &a.Users.Total, &a.Sources.Values, &a.Sources.Total, &a.Samples, &a.Actions, &a.Tags, &a.Approximate, &publishedM)...)
	if err != nil {
		return nil, fmt.Errorf("read alert row: %w", err)
	}
	a.State = audit.AlertState(state)
	a.Key = make(map[string]string, len(keys))
	for i, k := range keys {
		a.Key[k] = values[i]
	}
	a.FirstSeen, a.LastSeen, a.Updated = time.UnixMicro(first).UTC(), time.UnixMicro(last).UTC(), time.UnixMilli(publishedM).UTC()
	return &a, nil
}

// Alerts answers one page of the alerts that the parameters ask for, each as its latest version, those last seen latest first unless order=asc. A walk
// from page to page sees the versions that had been published when it began, so an alert that changes meanwhile is neither skipped nor repeated.
// The error is an *Error.
func (s *Service) Alerts(ctx context.Context, scope Scope, parameters url.Values) (*Page, error) {
	search, err := parseAlertSearch(scope, parameters, s.opt.Now())
	if err != nil {
		return nil, err
	}
	ctx, done, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := s.pin(ctx, search); err != nil {
		return nil, err
	}
	page, err := s.alertPage(ctx, search)
	if err == nil && search.total {
		page.Total, err = s.alertCount(ctx, search)
	}
	return page, err
}

// pin restricts the search to the versions that have been published when its walk begins.
func (s *Service) pin(ctx context.Context, search *alertSearch) error {
	if search.after != nil {
		search.pin = search.after.pin
	} else {
		sql := "SELECT toUnixTimestamp64Milli(max(src_time)) FROM audit.alert_versions"
		err := s.query(ctx, stmtAlertPin, sql, nil, func(rows clickhouse.Rows) error { return rows.Scan(&search.pin) })
		if err != nil {
			return err
		}
	}
	search.versions.add("src_time <= fromUnixTimestamp64Milli({pin:Int64}, 'UTC')", "pin", strconv.FormatInt(search.pin, 10))
	return nil
}

// latest selects the latest version of each alert of the search.
func (s *alertSearch) latest(columns string) string {
	return "SELECT " + columns + " FROM (SELECT " + alertColumns + " FROM audit.alert_versions WHERE " + s.versions.String() +
		" ORDER BY tenant, id, version DESC, src_offset DESC LIMIT 1 BY tenant, id) WHERE " + s.alerts.String()
}

func (s *Service) alertPage(ctx context.Context, search *alertSearch) (*Page, error) {
	sign, direction := "<", " DESC"
	if search.ascending {
		sign, direction = ">", ""
	}
	params := search.params()
	beyond := "true"
	if search.after != nil {
		beyond = "(last_seen, " + alertTie + ") " + sign + " (fromUnixTimestamp64Micro({after:Int64}, 'UTC'), {after_tie:String})"
		params["after"], params["after_tie"] = strconv.FormatInt(search.after.at, 10), stringParam(search.after.tie)
	}
	sql := fmt.Sprintf("SELECT %s, %s FROM (%s) WHERE %s ORDER BY last_seen%s, %s%s LIMIT %d",
		alertTie, alertValues, search.latest(alertColumns), beyond, direction, alertTie, direction, search.limit+1)
	page := &Page{Items: []json.RawMessage{}}
	var end cursor
	err := s.query(ctx, stmtAlertPage, sql, params, func(rows clickhouse.Rows) error {
		var tie string
		a, err := scanAlert(rows, &tie)
		if err != nil {
			return err
		}
		if len(page.Items) == search.limit {
			page.Next = search.next(end)
			return nil
		}
		end = cursor{pin: search.pin, at: a.LastSeen.UnixMicro(), tie: tie}
		item, err := json.Marshal(a)
		page.Items = append(page.Items, item)
		return err
	})
	return page, err
}

func (s *Service) alertCount(ctx context.Context, search *alertSearch) (*uint64, error) {
	var n uint64
	err := s.query(ctx, stmtAlertCount, search.latest("count()"), search.params(), func(rows clickhouse.Rows) error { return rows.Scan(&n) })
	return &n, err
}

// AlertVersions are what is known of one alert.
type AlertVersions struct {
	// Alert is the latest version.
	Alert json.RawMessage `json:"alert"`
	// Versions are all versions, latest first, MaxVersions at most.
	Versions []json.RawMessage `json:"versions"`
	// Truncated says that there are more than MaxVersions.
	Truncated bool `json:"truncated"`
}

// Alert answers the alert of that id with its versions. An id that the scope does not let the caller see is CodeNotFound.
func (s *Service) Alert(ctx context.Context, scope Scope, id string) (*AlertVersions, error) {
	ctx, done, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	var w where
	w.add("id = {id:String}", "id", stringParam(id))
	scope.addTenants(&w)
	sql := fmt.Sprintf("SELECT %s FROM (SELECT %s FROM audit.alert_versions WHERE %s) ORDER BY version DESC, tenant, src_time DESC LIMIT 1 BY tenant, version LIMIT %d",
		alertValues, alertColumns, w.String(), MaxVersions+1)
	v := &AlertVersions{}
	err = s.query(ctx, stmtAlertVersions, sql, w.params, func(rows clickhouse.Rows) error {
		a, err := scanAlert(rows)
		if err != nil {
			return err
		}
		item, err := json.Marshal(a)
		v.Versions = append(v.Versions, item)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(v.Versions) == 0 {
		return nil, &Error{Code: CodeNotFound, Detail: "there is no alert with this id"}
	}
	if v.Truncated = len(v.Versions) > MaxVersions; v.Truncated {
		v.Versions = v.Versions[:MaxVersions]
	}
	v.Alert = v.Versions[0]
	return v, nil
}
