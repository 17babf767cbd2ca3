package clickhouse

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"
)

// Migrate creates the database if need be and applies the migrations that it has not seen, in order, recording each. Two processes may run it at once:
// every statement is of the IF NOT EXISTS kind.
func (c *Client) Migrate(ctx context.Context, migrations fs.FS, log *slog.Logger) error {
	// The database of the usual connection does not exist yet, and each request names it.
	root := c.openDB("default")
	_, err := root.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS "+Database)
	if cerr := root.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("clickhouse: create database %s: %w", Database, wrap(err))
	}
	db := c.openDB(Database)
	defer db.Close()
	p, err := goose.NewProvider(goose.DialectClickHouse, db, migrations, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("clickhouse: read migrations: %w", err)
	}
	done, err := p.Up(ctx)
	if err != nil {
		return fmt.Errorf("clickhouse: migrate: %w", wrap(err))
	}
	for _, m := range done {
		log.Info("migration applied", "file", m.Source.Path, "took", m.Duration)
	}
	return nil
}
