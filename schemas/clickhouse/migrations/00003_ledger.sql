-- +goose NO TRANSACTION
-- +goose Up
-- One row a range of offsets that the consumer has settled: rows + quarantined + holes = end - first.
CREATE TABLE IF NOT EXISTS audit.ledger
(
    src_topic LowCardinality(String), src_topic_id UUID, src_partition UInt32, first_offset Int64, end_offset Int64,   -- [first, end)
    rows UInt64, quarantined UInt64, holes UInt64,            -- holes = control/compacted offsets inside the range
    offset_sum Int128, hash_xor UInt64, token String, ingest_day Date, replay UInt32, generation Int32, member LowCardinality(String),
    settled_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(settled_at)
PARTITION BY toYYYYMM(ingest_day)
ORDER BY (src_topic_id, src_partition, first_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;
