-- +goose NO TRANSACTION
-- +goose Up
-- Statistics by minute and by hour, filled by views in the same insert. Each target has its own deduplication window: without it a retry would double it.
CREATE TABLE IF NOT EXISTS audit.rollup_1m
(
    ingest_day Date,                                        -- partition: one insert touches one part of one partition
    tenant LowCardinality(String), category LowCardinality(String), action LowCardinality(String),
    outcome Enum8('unknown' = 0, 'success' = 1, 'failure' = 2, 'denied' = 3, 'error' = 4), service_name LowCardinality(String),
    bucket DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    events UInt64, bytes UInt64
)
ENGINE = SummingMergeTree((events, bytes))
PARTITION BY ingest_day
ORDER BY (tenant, category, action, outcome, service_name, bucket)
TTL ingest_day + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 100000, ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS audit.rollup_1h
(
    ingest_day Date,
    tenant LowCardinality(String), category LowCardinality(String), action LowCardinality(String),
    outcome Enum8('unknown' = 0, 'success' = 1, 'failure' = 2, 'denied' = 3, 'error' = 4), service_name LowCardinality(String),
    bucket DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    events     SimpleAggregateFunction(sum, UInt64),
    bytes      SimpleAggregateFunction(sum, UInt64),
    first_seen SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
    last_seen  SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    actors     AggregateFunction(uniq, UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY ingest_day
ORDER BY (tenant, category, action, outcome, service_name, bucket)
TTL ingest_day + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 100000, ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS audit.mv_rollup_1m TO audit.rollup_1m AS
SELECT ingest_day, tenant, category, action, outcome, service_name, toStartOfMinute(least(greatest(time, toDateTime64(0, 6, 'UTC')), toDateTime64(4294967295, 6, 'UTC'))) AS bucket,
       count() AS events, sum(length(raw)) AS bytes
FROM audit.events
GROUP BY ingest_day, tenant, category, action, outcome, service_name, bucket;

CREATE MATERIALIZED VIEW IF NOT EXISTS audit.mv_rollup_1h TO audit.rollup_1h AS
SELECT ingest_day, tenant, category, action, outcome, service_name, toStartOfHour(least(greatest(time, toDateTime64(0, 6, 'UTC')), toDateTime64(4294967295, 6, 'UTC'))) AS bucket,
       count() AS events, sum(length(raw)) AS bytes,
       min(time) AS first_seen, max(time) AS last_seen,
       uniqState(sipHash64(actor_id)) AS actors
FROM audit.events
GROUP BY ingest_day, tenant, category, action, outcome, service_name, bucket;
