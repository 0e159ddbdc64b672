//! How the data path is sized, and who this broker is.

use crate::retention::{KeepEverything, RetentionPolicy};
use frazil_base::{BrokerId, limits};
use std::sync::Arc;
use std::time::Duration;

/// Sizes and ages of the data path. `Default` fits a local directory.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// A segment closes when it holds this much. Larger: fewer PUTs, more memory, a longer wait for the last byte.
    pub segment_bytes: usize,
    /// A segment closes at this age; zero closes it as soon as the engine is free to take it (group commit). Longer:
    /// fewer PUTs, slower acknowledgements.
    pub flush_age: Duration,
    /// Segments being written at once. More: higher throughput on a store with latency, more memory.
    pub uploads_in_flight: usize,
    /// Memory for reading. Larger: fewer reads from the store.
    pub cache_bytes: u64,
    /// Bytes submitted and not yet committed. Larger: absorbs longer stalls of the store, takes more memory.
    pub in_flight_bytes: usize,
    /// How long a dead object is kept for readers that have just planned with it.
    pub delete_grace: Duration,
    /// A snapshot is written when so many bytes of records follow the last one. Larger: longer start, fewer writes.
    pub snapshot_after_bytes: u64,
    /// The same as a number of records.
    pub snapshot_after_records: u64,
    /// On exclusive engines over a bucket, numbers stay this long past their snapshot, so that a writer that slept
    /// meanwhile cannot fill a number that was trimmed.
    pub snapshots_kept_for: Duration,
    /// How often the broker looks for objects to delete. An idle log costs no request all the same.
    pub maintenance_interval: Duration,
    /// How often the eldest broker looks for records that are no longer kept. Shorter: closer to what topics ask for,
    /// more records in the log.
    pub retention_interval: Duration,
    /// What is kept of each topic.
    pub retention: Arc<dyn RetentionPolicy>,
    /// On engines that carry segments, a snapshot is written early when so many bytes of dead segments, and a quarter of
    /// the live ones, wait behind it to be trimmed. Larger: fewer snapshots, more space taken by what nobody reads.
    pub reclaim_after_bytes: u64,
    /// How far a catch-up reader is read ahead of, per fetch. Larger: faster catch-up, more cache taken by it.
    pub read_ahead_bytes: usize,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions {
            segment_bytes: limits::SEGMENT_BYTES,
            flush_age: Duration::ZERO,
            uploads_in_flight: 4,
            cache_bytes: 256 << 20,
            in_flight_bytes: 48 << 20,
            delete_grace: Duration::from_secs(300),
            snapshot_after_bytes: 32 << 20,
            snapshot_after_records: 100_000,
            snapshots_kept_for: Duration::from_secs(24 * 3600),
            maintenance_interval: Duration::from_secs(30),
            retention_interval: Duration::from_secs(300),
            retention: Arc::new(KeepEverything),
            reclaim_after_bytes: 64 << 20,
            read_ahead_bytes: 16 << 20,
        }
    }
}

/// How a broker registers in the metadata log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerIdentity {
    /// Kafka's node id.
    pub id: BrokerId,
    /// Where clients reach it.
    pub host: String,
    /// Where clients reach it.
    pub port: u16,
    /// Zone, Kafka's `rack`.
    pub zone: Option<String>,
}
