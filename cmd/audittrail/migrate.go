package main

import (
	"fmt"

	"github.com/audittrail/audittrail/internal/clickhouse"
	tables "github.com/audittrail/audittrail/schemas/clickhouse"
)

type migrateCmd struct{ clickhouseFlags }

// Run creates or updates the tables.
func (c *migrateCmd) Run(e *env) error {
	ch, err := c.patientClient()
	if err != nil {
		return err
	}
	defer ch.Close()
	if err := checkClickHouse(ch, c.Clickhouse, clickhouseHint, false); err != nil {
		return err
	}
	if err := ch.Migrate(e.ctx, tables.Migrations(), e.log); err != nil {
		return err
	}
	fmt.Printf("The tables of the database %s are up to date.\n", clickhouse.Database)
	return nil
}
