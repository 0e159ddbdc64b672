//! What the Kafka side counts.

use kafka_protocol::error::ResponseError;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiLabel {
    api: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    api: &'static str,
    error: &'static str,
}

/// Handles of the broker's metrics; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    request_seconds: Family<ApiLabel, Histogram>,
    requests: Family<ResultLabel, Counter>,
    pub connections: Gauge,
    pub connections_accepted: Counter,
    pub connections_rejected: Counter,
    pub connections_failed: Counter,
    pub panics: Counter,
    pub request_bytes_in_flight: Gauge,
    pub fetched_bytes_in_flight: Gauge,
    pub back_pressure_waits: Counter,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            request_seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_25, 2.0, 18))),
            requests: Family::default(),
            connections: Gauge::default(),
            connections_accepted: Counter::default(),
            connections_rejected: Counter::default(),
            connections_failed: Counter::default(),
            panics: Counter::default(),
            request_bytes_in_flight: Gauge::default(),
            fetched_bytes_in_flight: Gauge::default(),
            back_pressure_waits: Counter::default(),
        }
    }
}

impl Metrics {
    /// Makes the metrics and registers them.
    pub fn register(registry: &mut Registry) -> Metrics {
        let metrics = Metrics::default();
        registry.register(
            "frazil_request_seconds",
            "From the last byte of a request to its answer, by API",
            metrics.request_seconds.clone(),
        );
        registry.register(
            "frazil_requests",
            "Requests answered, by API and first error in the answer",
            metrics.requests.clone(),
        );
        registry.register("frazil_connections", "Open Kafka connections", metrics.connections.clone());
        registry.register(
            "frazil_connections_accepted",
            "Kafka connections accepted",
            metrics.connections_accepted.clone(),
        );
        registry.register(
            "frazil_connections_rejected",
            "Kafka connections closed at once because there were too many",
            metrics.connections_rejected.clone(),
        );
        registry.register(
            "frazil_connections_failed",
            "Kafka connections closed because of what the peer sent",
            metrics.connections_failed.clone(),
        );
        registry.register(
            "frazil_connection_panics",
            "Kafka connections closed because their handler panicked, which is a bug",
            metrics.panics.clone(),
        );
        registry.register(
            "frazil_request_bytes_in_flight",
            "Bytes of requests in memory",
            metrics.request_bytes_in_flight.clone(),
        );
        registry.register(
            "frazil_fetched_bytes_in_flight",
            "Bytes of records in memory that consumers have not read yet",
            metrics.fetched_bytes_in_flight.clone(),
        );
        registry.register(
            "frazil_back_pressure_waits",
            "Times a connection waited because too many bytes of requests or of fetched records were in memory",
            metrics.back_pressure_waits.clone(),
        );
        metrics
    }

    /// Counts an answered request.
    pub fn answered(&self, api: &'static str, error: Option<ResponseError>, duration: Duration) {
        self.request_seconds.get_or_create(&ApiLabel { api }).observe(duration.as_secs_f64());
        self.requests.get_or_create(&ResultLabel { api, error: error.map_or("none", error_name) }).inc();
    }
}

/// Kafka's name of an error, from a closed set so that labels stay few.
fn error_name(error: ResponseError) -> &'static str {
    use ResponseError::*;
    match error {
        OffsetOutOfRange => "OFFSET_OUT_OF_RANGE",
        CorruptMessage => "CORRUPT_MESSAGE",
        UnknownTopicOrPartition => "UNKNOWN_TOPIC_OR_PARTITION",
        NotLeaderOrFollower => "NOT_LEADER_OR_FOLLOWER",
        RequestTimedOut => "REQUEST_TIMED_OUT",
        MessageTooLarge => "MESSAGE_TOO_LARGE",
        InvalidTopicException => "INVALID_TOPIC_EXCEPTION",
        NotEnoughReplicasAfterAppend => "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
        InvalidTimestamp => "INVALID_TIMESTAMP",
        UnsupportedVersion => "UNSUPPORTED_VERSION",
        TopicAlreadyExists => "TOPIC_ALREADY_EXISTS",
        InvalidPartitions => "INVALID_PARTITIONS",
        InvalidConfig => "INVALID_CONFIG",
        InvalidRequest => "INVALID_REQUEST",
        OutOfOrderSequenceNumber => "OUT_OF_ORDER_SEQUENCE_NUMBER",
        DuplicateSequenceNumber => "DUPLICATE_SEQUENCE_NUMBER",
        InvalidProducerEpoch => "INVALID_PRODUCER_EPOCH",
        KafkaStorageError => "KAFKA_STORAGE_ERROR",
        FetchSessionIdNotFound => "FETCH_SESSION_ID_NOT_FOUND",
        InvalidRecord => "INVALID_RECORD",
        UnknownTopicId => "UNKNOWN_TOPIC_ID",
        _ => "OTHER",
    }
}
