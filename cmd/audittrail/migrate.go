package main

import tables "github.com/audittrail/audittrail/schemas/clickhouse"

type migrateCmd struct{ clickhouseFlags }

// Run creates or updates the tables.
func (c *migrateCmd) Run(e *env) error {
	ch, err := c.client()
	if err != nil {
		return err
	}
	defer ch.Close()
	return ch.Migrate(e.ctx, tables.Migrations(), e.log)
}
