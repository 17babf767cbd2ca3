// Package clickhouse holds the tables of the product as ordered migrations. It runs nothing: internal/clickhouse applies them.
package clickhouse

import (
	"embed"
	"io/fs"
)

//go:embed migrations/*.sql
var files embed.FS

// Migrations are the migration files, in the order of their numbers.
func Migrations() fs.FS {
	sub, err := fs.Sub(files, "migrations")
	if err != nil {
		panic(err) // cannot happen: the folder is embedded above
	}
	return sub
}

// The tables, without the database.
const (
	TableEvents        = "events"
	TableQuarantine    = "quarantine"
	TableLedger        = "ledger"
	TableRollupMinute  = "rollup_1m"
	TableRollupHour    = "rollup_1h"
	TableAlertVersions = "alert_versions"
	ViewAlerts         = "alerts"
)
