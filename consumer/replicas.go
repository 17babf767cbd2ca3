package consumer

import (
	"context"
	"fmt"

	"github.com/audittrail/audittrail/internal/clickhouse"
	tables "github.com/audittrail/audittrail/schemas/clickhouse"
)

// syncReplicas waits until the replica that answers questions has what the others have acknowledged of the tables.
func syncReplicas(ctx context.Context, ch *clickhouse.Client, names ...string) error {
	for _, table := range names {
		if err := ch.Exec(ctx, "SYSTEM SYNC REPLICA audit."+table+" LIGHTWEIGHT", nil); err != nil {
			return fmt.Errorf("wait for the replicas of %s: %w", table, err)
		}
	}
	return nil
}

// syncReplicas does so for the tables that a topic's records go to.
func (c *Consumer) syncReplicas(ctx context.Context, topic string) error {
	if !c.windows.replicated {
		return nil
	}
	return syncReplicas(ctx, c.opt.ClickHouse, tableOf(topic), tables.TableQuarantine, tables.TableLedger)
}

// syncReplicas does so for all tables that are verified.
func (v *verifier) syncReplicas(ctx context.Context) error {
	names := []string{tables.TableEvents, tables.TableAlertVersions, tables.TableQuarantine, tables.TableLedger}
	if v.replicated == nil {
		var engine string
		err := v.ch.QueryRow(ctx, "SELECT engine FROM system.tables WHERE database = 'audit' AND name = {table:String}",
			clickhouse.Params{"table": tables.TableEvents}, &engine)
		if err != nil {
			return fmt.Errorf("read the engine of the table audit.%s: %w", tables.TableEvents, err)
		}
		replicated := isReplicated(engine)
		v.replicated = &replicated
	}
	if !*v.replicated {
		return nil
	}
	return syncReplicas(ctx, v.ch, names...)
}
