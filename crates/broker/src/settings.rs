//! What an operator may set about the Kafka side of a broker. The address that clients are told stands in the broker's
//! registration (`frazil_log::BrokerIdentity`), which every broker of the cluster sees.

use frazil_base::limits::{BATCH_BYTES_DEFAULT, FRAME_BYTES_MAX};
use std::collections::BTreeMap;
use std::time::Duration;

/// Settings of one broker. `Default` holds Kafka's defaults where Kafka has the setting.
#[derive(Clone, Debug)]
pub struct BrokerSettings {
    /// Shown to clients; never empty.
    pub cluster_id: String,
    /// Whether a metadata request for an unknown topic creates it (`auto.create.topics.enable`).
    pub auto_create_topics: bool,
    /// Partitions of a topic whose creator names none (`num.partitions`).
    pub num_partitions: i32,
    /// Replication factor shown for a topic whose creator names none (`default.replication.factor`).
    pub default_replication_factor: i16,
    /// Largest record batch, in bytes, of topics without a setting of their own (`message.max.bytes`).
    pub message_max_bytes: usize,
    /// Largest frame, in bytes (`socket.request.max.bytes`).
    pub frame_bytes_max: usize,
    /// Largest fetch answer, in bytes, apart from one batch that may exceed it (`fetch.max.bytes`).
    pub fetch_bytes_max: usize,
    /// Connections at a time; more are closed at once (`max.connections`). Larger: more memory.
    pub connections_max: usize,
    /// Bytes of requests held in memory over all connections (`queued.max.request.bytes`). Larger: more memory;
    /// smaller: connections wait for each other sooner.
    pub request_bytes_in_flight: usize,
    /// Bytes of fetched records held for consumers that have not read them yet, over all connections. Larger: more memory;
    /// smaller: fetches wait for slow consumers sooner.
    pub fetched_bytes_in_flight: usize,
    /// Produce requests of one connection on their way at a time. Larger: more memory per connection.
    pub pipeline_depth: usize,
    /// A connection without any request for this long is closed (`connections.max.idle.ms`), and one whose peer takes
    /// nothing of its answer for this long.
    pub idle_timeout: Duration,
    /// A peer that stops in the middle of its request for this long is dropped, and one that takes nothing of its answer
    /// while others wait for the memory.
    pub stall_timeout: Duration,
    /// What the store is called where Kafka names a directory (`log.dirs`, DescribeLogDirs). No secrets.
    pub storage: String,
    /// Broker settings under their Kafka names as the operator wrote them: shown by DescribeConfigs as static, and the
    /// default of topic settings that have none of their own. Names without meaning here are shown too.
    pub kafka: BTreeMap<String, String>,
}

impl Default for BrokerSettings {
    fn default() -> BrokerSettings {
        BrokerSettings {
            cluster_id: "frazil".to_owned(),
            auto_create_topics: true,
            num_partitions: 1,
            default_replication_factor: 1,
            message_max_bytes: BATCH_BYTES_DEFAULT,
            frame_bytes_max: FRAME_BYTES_MAX,
            fetch_bytes_max: 55 << 20,
            connections_max: 10_000,
            request_bytes_in_flight: 128 << 20,
            fetched_bytes_in_flight: 128 << 20,
            pipeline_depth: 64,
            idle_timeout: Duration::from_secs(600),
            stall_timeout: Duration::from_secs(30),
            storage: "memory://".to_owned(),
            kafka: BTreeMap::new(),
        }
    }
}
