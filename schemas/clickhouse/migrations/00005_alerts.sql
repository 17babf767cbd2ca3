-- +goose NO TRANSACTION
-- +goose Up
-- Every version of every alert; the view shows the latest one of each.
CREATE TABLE IF NOT EXISTS audit.alert_versions
(
    ingest_day Date, src_topic LowCardinality(String), src_topic_id UUID, src_partition UInt32, src_offset Int64, src_time DateTime64(3, 'UTC'),
    id          String,
    version     UInt64,
    state       LowCardinality(String),
    rule_id     LowCardinality(String),
    rule_name   LowCardinality(String),
    level       LowCardinality(String),
    tenant      LowCardinality(String),
    key         Map(LowCardinality(String), String),
    first_seen  DateTime64(6, 'UTC'),
    last_seen   DateTime64(6, 'UTC'),
    window      LowCardinality(String),
    count       UInt64,
    users       Array(String),
    users_total UInt64,
    sources     Array(String),
    sources_total UInt64,
    samples     Array(String),
    actions     Array(String),
    tags        Array(LowCardinality(String)),
    approximate Bool,
    raw         String CODEC(ZSTD(1)),             -- verbatim record value
    raw_hash    UInt64 CODEC(NONE),                -- xxh3_64(value)

    PROJECTION p_proof
    (
        SELECT src_topic_id, src_partition, ingest_day,
               count(), min(src_offset), max(src_offset), sum(src_offset), groupBitXor(raw_hash)
        GROUP BY src_topic_id, src_partition, ingest_day
    )
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ingest_day)
ORDER BY (tenant, id, version, src_topic_id, src_partition, src_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE VIEW IF NOT EXISTS audit.alerts AS
SELECT id, version, state, rule_id, rule_name, level, tenant, key, first_seen, last_seen, window, count,
       users, users_total, sources, sources_total, samples, actions, tags, approximate, src_time AS updated
FROM audit.alert_versions
ORDER BY tenant, id, version DESC, src_offset DESC
LIMIT 1 BY tenant, id;
