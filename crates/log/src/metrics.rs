//! What the data path counts. Names as in `docs/operations`: `frazil_*`, base units.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    source: &'static str,
}

type Stages = Family<StageLabels, Histogram, fn() -> Histogram>;

/// All of them, looked up once.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// From `submit` to a place in a segment: back-pressure.
    pub(crate) queue_seconds: Histogram,
    /// From a segment's first batch to its closing.
    pub(crate) batch_wait_seconds: Histogram,
    /// The upload of a segment that is an object of its own.
    pub(crate) put_seconds: Histogram,
    /// From the proposal of a commit to its application.
    pub(crate) commit_seconds: Histogram,
    /// From application to the answers.
    pub(crate) ack_seconds: Histogram,
    pub(crate) produced_batches: Counter,
    pub(crate) segments: Counter,
    pub(crate) segment_bytes: Counter,
    pub(crate) in_flight_bytes: Gauge,
    pub(crate) append_calls: Counter,
    pub(crate) applied_seq: Gauge,
    pub(crate) fetched_from_tail: Counter,
    pub(crate) fetched_from_cache: Counter,
    pub(crate) fetched_from_store: Counter,
    pub(crate) loads: Counter,
    pub(crate) loaded_bytes: Counter,
    pub(crate) cache_bytes: Gauge,
    pub(crate) cache_hits: Counter,
    pub(crate) cache_misses: Counter,
    pub(crate) long_polls: Gauge,
    pub(crate) snapshots: Counter,
    pub(crate) objects_deleted: Counter,
    pub(crate) expired_records: Counter,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Metrics {
        let stages = Stages::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_1, 2.0, 18)));
        registry.register("frazil_produce_stage_seconds", "Where a produced batch spends its time", stages.clone());
        let sources = Family::<SourceLabels, Counter>::default();
        registry.register("frazil_fetch_bytes", "Bytes served to fetches, by where they were", sources.clone());
        let stage = |stage| stages.get_or_create_owned(&StageLabels { stage });
        let source = |source| sources.get_or_create_owned(&SourceLabels { source });
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(format!("frazil_{name}"), help, counter.clone());
            counter
        };
        let mut metrics = Metrics {
            queue_seconds: stage("queue"),
            batch_wait_seconds: stage("batch_wait"),
            put_seconds: stage("put"),
            commit_seconds: stage("commit"),
            ack_seconds: stage("ack"),
            produced_batches: counter("produced_batches", "Batches accepted into the log"),
            segments: counter("segments", "Segments committed"),
            segment_bytes: counter("segment_bytes", "Bytes of committed segments"),
            append_calls: counter("log_append_calls", "Append calls to the metadata engine"),
            fetched_from_tail: source("tail"),
            fetched_from_cache: source("cache"),
            fetched_from_store: source("store"),
            loads: counter("loads", "Reads of segment ranges from the store or the journal"),
            loaded_bytes: counter("loaded_bytes", "Bytes of those reads"),
            cache_hits: counter("cache_hits", "Extents found in memory"),
            cache_misses: counter("cache_misses", "Extents not found in memory"),
            snapshots: counter("snapshots", "Snapshots of the metadata state written"),
            objects_deleted: counter("objects_deleted", "Dead or orphaned segments deleted"),
            expired_records: counter("expired_records", "Records that retention made unreadable"),
            in_flight_bytes: Gauge::default(),
            applied_seq: Gauge::default(),
            cache_bytes: Gauge::default(),
            long_polls: Gauge::default(),
        };
        metrics.register_gauges(registry);
        metrics
    }

    fn register_gauges(&mut self, registry: &mut Registry) {
        let gauges = [
            ("frazil_in_flight_bytes", "Bytes submitted and not yet committed", &self.in_flight_bytes),
            ("frazil_applied_seq", "Last metadata record applied", &self.applied_seq),
            ("frazil_cache_bytes", "Memory that the cache takes", &self.cache_bytes),
            ("frazil_long_polls", "Fetches waiting for data", &self.long_polls),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
    }
}

/// Observes the time between two readings of a clock.
pub(crate) fn observe(histogram: &Histogram, from: Duration, to: Duration) {
    histogram.observe(to.saturating_sub(from).as_secs_f64());
}
