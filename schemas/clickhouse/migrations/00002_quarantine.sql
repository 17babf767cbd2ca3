-- +goose NO TRANSACTION
-- +goose Up
-- Records that cannot be read as events, with their bytes and the reason.
CREATE TABLE IF NOT EXISTS audit.quarantine
(
    ingest_day Date, src_topic LowCardinality(String), src_topic_id UUID, src_partition UInt32, src_offset Int64, src_time DateTime64(3, 'UTC'),
    stage LowCardinality(String), reason LowCardinality(String), error String,
    key String, headers Map(String, String), raw String CODEC(ZSTD(3)), raw_hash UInt64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ingest_day)
ORDER BY (src_topic_id, src_partition, src_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;
