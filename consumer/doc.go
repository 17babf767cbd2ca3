// Package consumer persists audit.events and audit.alerts in ClickHouse.
//
//	           ┌───────────── lane, one a partition ─────────────┐
//	poll ──►   │ decode straight into columns ─► cut ─► range ──►│ intent ─► insert ─► settle
//	(1 client) │ (bytes are counted; a full lane is paused)      │ (offset   (Native    (offset moves past
//	           └─────────────────────────────────────────────────┘  commit)   block)     the finished prefix)
//
// A range is [first, end) of one partition, cut by rows, bytes or age. It never changes its shape once it is planned: what goes into ClickHouse under its
// token is the same block however often it is sent, so that ClickHouse can tell a repeat. rows + quarantined + holes = end - first, always (invariants 1,
// 2 and 4 in docs/invariants.md).
//
// The package does not decide what an event is (schemas/audit does) nor what the tables look like (schemas/clickhouse does).
package consumer
