-- +goose NO TRANSACTION
-- +goose Up
-- One row an event. Column names are the event's JSON paths with _ for the dot.
CREATE TABLE IF NOT EXISTS audit.events
(
    -- provenance: a pure function of the Kafka record and of the intent, never of the wall clock
    ingest_day      Date,                                            -- chosen when the intent is written; replays reuse it
    src_topic       LowCardinality(String),
    src_topic_id    UUID                 CODEC(ZSTD(1)),             -- a re-created topic starts again at offset 0 under another id
    src_partition   UInt32,
    src_offset      Int64                CODEC(Delta(8), ZSTD(1)),
    src_time        DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),   -- Kafka record timestamp
    -- the event; column names are the event's JSON paths with _ for .
    time            DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    hour            Int32                CODEC(Delta(4), ZSTD(1)),   -- hours since 1970 of time (floor): keeps merges cheap, see ORDER BY
    id              String               CODEC(ZSTD(1)),
    tenant          LowCardinality(String),
    action          LowCardinality(String),
    category        LowCardinality(String),
    outcome         Enum8('unknown' = 0, 'success' = 1, 'failure' = 2, 'denied' = 3, 'error' = 4),
    reason          LowCardinality(String),
    severity        Enum8('info' = 0, 'low' = 1, 'medium' = 2, 'high' = 3, 'critical' = 4),
    actor_type      LowCardinality(String),
    actor_id        String               CODEC(ZSTD(1)),
    actor_name      String               CODEC(ZSTD(1)),
    source_ip       IPv6                 CODEC(ZSTD(1)),             -- IPv4 as ::ffff:a.b.c.d; :: when absent
    source_user_agent String             CODEC(ZSTD(1)),
    session_id      String               CODEC(ZSTD(1)),
    target_type     LowCardinality(String),                          -- the first target
    target_id       String               CODEC(ZSTD(1)),
    target_name     String               CODEC(ZSTD(1)),
    more_targets    Array(String)        CODEC(ZSTD(1)),             -- the others, as type/id
    changed_fields  Array(LowCardinality(String)) CODEC(ZSTD(1)),    -- names only; old and new values are read from raw
    service_name    LowCardinality(String),
    service_version LowCardinality(String),
    service_instance LowCardinality(String),
    sequence        UInt64               CODEC(Delta(8), ZSTD(1)),   -- 0: not numbered
    request_id      String               CODEC(ZSTD(1)),
    request_method  LowCardinality(String),
    request_route   LowCardinality(String),
    request_status  UInt16               CODEC(ZSTD(1)),
    trace_id        String               CODEC(ZSTD(1)),
    correlation_id  String               CODEC(ZSTD(1)),
    message         String               CODEC(ZSTD(1)),
    metadata        Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    raw             String               CODEC(ZSTD(1)),             -- verbatim record value: the evidence
    raw_hash        UInt64               CODEC(NONE),                -- xxh3_64(value), computed by the consumer

    INDEX ix_time     time        TYPE minmax GRANULARITY 1,
    INDEX ix_offset   (src_partition, src_offset) TYPE minmax GRANULARITY 1,   -- look-ups by Kafka coordinates
    INDEX ix_id       id          TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_actor    actor_id    TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_name     actor_name  TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_ip       source_ip   TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_target   target_id   TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_more     more_targets TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_session  session_id  TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_trace    trace_id    TYPE bloom_filter(0.01) GRANULARITY 1,
    -- bloom, not text: half of the values are unique; text indexes of them cost 0.5 us a row at the insert, more at every merge, and 13 B a row
    INDEX ix_meta_k   mapKeys(metadata)   TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_meta_v   mapValues(metadata) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_message  message     TYPE text(tokenizer = 'splitByNonAlpha', preprocessor = lower(message)),

    -- proof of completeness; lives in the same part as the rows, so it cannot disagree with them
    PROJECTION p_proof
    (
        SELECT src_topic_id, src_partition, ingest_day,
               count(), min(src_offset), max(src_offset), sum(src_offset), groupBitXor(raw_hash)
        GROUP BY src_topic_id, src_partition, ingest_day
    )
)
ENGINE = MergeTree
PARTITION BY ingest_day
-- A block is one partition's run of offsets. Ordered by (tenant, time) the parts of different partitions interleave row by row and every merge level costs
-- twice an insert; inside an hour they stay runs (merge -37 %, insert -18 %, measured), and a time range still prunes by hour.
ORDER BY (tenant, hour, src_topic_id, src_partition, src_offset)
TTL ingest_day + INTERVAL 400 DAY
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, min_bytes_for_wide_part = 268435456,
         non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1,
         auto_statistics_types = '';   -- each merge would count 40 columns' distinct values, for a planner that reads the same rows without (merge -9 %, measured)
