//! Every setting, declared once: its name, its kind, its default, and what it does.
//!
//! A setting `section.key` is `[section] key` in the file, `FRAZIL__SECTION__KEY` in the environment and
//! `--section-key` among the flags.

/// How a setting's text is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// `host:port`.
    Address,
    /// A URL, or a path; what may be a secret in it is never shown.
    Url,
    /// `true` or `false`.
    Flag,
    /// A whole number, perhaps negative.
    Integer,
    /// A size such as `64MiB`.
    Bytes,
    /// A duration such as `250ms`.
    Duration,
    /// One of Kafka's settings in milliseconds: a whole number of them (perhaps -1), or a duration such as `7d`.
    KafkaMilliseconds,
    /// One of Kafka's settings in bytes: a whole number of them (perhaps -1), or a size such as `1MiB`.
    KafkaBytes,
}

/// One setting.
#[derive(Debug)]
pub struct Key {
    /// `section.key`.
    pub path: &'static str,
    /// How its text is read.
    pub kind: Kind,
    /// Its default for `frazil server`.
    pub default: &'static str,
    /// Its default for `frazil dev`, when different.
    pub dev_default: Option<&'static str>,
    /// What it does; for sizes and times, what larger and smaller mean.
    pub help: &'static str,
}

impl Key {
    const fn new(path: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Key {
        Key { path, kind, default, dev_default: None, help }
    }

    const fn in_dev(mut self, default: &'static str) -> Key {
        self.dev_default = Some(default);
        self
    }

    /// The section before the dot.
    pub fn section(&self) -> &'static str {
        self.path.split_once('.').map_or(self.path, |(section, _)| section)
    }

    /// `FRAZIL__SECTION__KEY`.
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.path.replace('.', "__").to_ascii_uppercase())
    }

    /// `section-key`, without the leading dashes.
    pub fn flag(&self) -> String {
        self.path.replace(['.', '_'], "-")
    }

    /// Kafka's own name of a setting under `[kafka]`; `None` for Frazil's own.
    pub fn kafka_name(&self) -> Option<String> {
        let name = self.path.strip_prefix("kafka.")?;
        (!["listen", "advertise"].contains(&name)).then(|| name.replace('_', "."))
    }
}

/// What the names of all environment variables for settings begin with.
pub const VARIABLE_PREFIX: &str = "FRAZIL__";

use Kind::{Address, Bytes, Duration, Flag, Integer, KafkaBytes, KafkaMilliseconds, Text, Url};

/// All settings, by section.
pub static KEYS: &[Key] = &[
    Key::new(
        "store.url",
        Url,
        "",
        "Where data lives: file:///path, s3://bucket/prefix?endpoint=..&region=.., gs://, az://, memory://",
    ),
    Key::new("metadata.url", Url, "embedded", "Metadata engine; `embedded` keeps it with the data, for one broker"),
    Key::new("broker.id", Integer, "0", "Kafka's node id"),
    Key::new("broker.zone", Text, "", "Zone of this broker; clients of the same zone are sent to it"),
    Key::new("kafka.listen", Address, "0.0.0.0:9092", "Where Kafka clients connect").in_dev("127.0.0.1:9092"),
    Key::new("kafka.advertise", Address, "auto", "Address told to Kafka clients; default: the listen address"),
    Key::new("http.listen", Address, "0.0.0.0:8080", "Where health and metrics are served").in_dev("127.0.0.1:8080"),
    Key::new(
        "log.flush_age",
        Duration,
        "auto",
        "Age at which a segment closes: larger means fewer writes, smaller \
        means less latency; default: 0 on a directory (as soon as the disk is free), 250ms on a bucket",
    ),
    Key::new("log.segment_bytes", Bytes, "8MiB", "Size at which a segment closes: larger means fewer, larger writes"),
    Key::new("log.uploads_in_flight", Integer, "4", "Segments under way at once: more means throughput and memory"),
    Key::new("log.cache_bytes", Bytes, "256MiB", "Memory for recent and fetched data"),
    Key::new("log.in_flight_bytes", Bytes, "48MiB", "Produced bytes not yet durable before producers have to wait"),
    Key::new("log.read_ahead_bytes", Bytes, "16MiB", "How much a reader that catches up fetches at once"),
    Key::new("log.delete_grace", Duration, "5m", "How long dead objects stay readable for requests under way"),
    Key::new("log.maintenance_interval", Duration, "30s", "How often garbage is looked for"),
    Key::new("log.snapshot_after_bytes", Bytes, "32MiB", "Metadata written before a snapshot is taken"),
    Key::new(
        "log.snapshot_after_records",
        Integer,
        "auto",
        "Metadata records before a snapshot is taken: fewer means \
        a faster start; default: 100000 on a directory, 1000 on a bucket, where a start reads each by a request",
    ),
    Key::new(
        "log.snapshots_kept_for",
        Duration,
        "auto",
        "How long the log behind an older snapshot is kept; default: 0 on \
        a directory, 24h on a bucket, so that no writer that slept fills a number that is gone",
    ),
    Key::new(
        "log.reclaim_after_bytes",
        Bytes,
        "64MiB",
        "Dead bytes, beside a quarter of the live ones, for which snapshots are written early: larger means fewer \
        snapshots, smaller means space comes back sooner",
    ),
    Key::new("kafka.auto_create_topics_enable", Flag, "true", "Create topics that clients ask for"),
    Key::new("kafka.num_partitions", Integer, "1", "Partitions of a topic that asks for the default"),
    Key::new("kafka.default_replication_factor", Integer, "1", "Shown to tools; the store replicates"),
    Key::new("kafka.delete_topic_enable", Flag, "true", "Whether topics can be deleted"),
    Key::new("kafka.message_max_bytes", KafkaBytes, "1048588", "Largest record batch"),
    Key::new("kafka.socket_request_max_bytes", KafkaBytes, "104857600", "Largest request"),
    Key::new("kafka.fetch_max_bytes", KafkaBytes, "57671680", "Most bytes in one fetch response"),
    Key::new("kafka.queued_max_request_bytes", KafkaBytes, "-1", "Request bytes in memory before reading stops"),
    Key::new("kafka.max_connections", Integer, "10000", "Client connections at once"),
    Key::new("kafka.connections_max_idle_ms", KafkaMilliseconds, "600000", "Idle connections are closed after this"),
    Key::new("kafka.compression_type", Text, "producer", "Compression of stored batches"),
    Key::new("kafka.log_cleanup_policy", Text, "delete", "What happens to old records"),
    Key::new("kafka.log_message_timestamp_type", Text, "CreateTime", "CreateTime or LogAppendTime"),
    Key::new(
        "kafka.log_message_timestamp_before_max_ms",
        KafkaMilliseconds,
        "9223372036854775807",
        "How old a \
        record's timestamp may be",
    ),
    Key::new(
        "kafka.log_message_timestamp_after_max_ms",
        KafkaMilliseconds,
        "3600000",
        "How far ahead a record's \
        timestamp may be",
    ),
    Key::new("kafka.log_retention_ms", KafkaMilliseconds, "604800000", "How long records are kept; -1: for ever"),
    Key::new("kafka.log_retention_minutes", Integer, "auto", "The same in minutes, unless milliseconds are given"),
    Key::new(
        "kafka.log_retention_hours",
        Integer,
        "168",
        "The same in hours, unless milliseconds or minutes are given",
    ),
    Key::new(
        "kafka.log_retention_check_interval_ms",
        KafkaMilliseconds,
        "300000",
        "How often expired records are looked for",
    ),
    Key::new("kafka.log_retention_bytes", KafkaBytes, "-1", "How much of a partition is kept; -1: all"),
    Key::new(
        "kafka.producer_id_expiration_ms",
        KafkaMilliseconds,
        "86400000",
        "Shown only: idle producer ids are forgotten after a day",
    ),
    Key::new("kafka.transaction_max_timeout_ms", KafkaMilliseconds, "900000", "Longest transaction timeout"),
    Key::new(
        "kafka.transactional_id_expiration_ms",
        KafkaMilliseconds,
        "604800000",
        "Shown only: idle transactional ids are forgotten after a week",
    ),
    Key::new("kafka.offsets_retention_minutes", Integer, "10080", "Offsets of empty groups are forgotten after"),
    Key::new("kafka.offset_metadata_max_bytes", KafkaBytes, "4096", "Largest metadata of an offset commit"),
    Key::new(
        "kafka.group_initial_rebalance_delay_ms",
        KafkaMilliseconds,
        "3000",
        "Wait for more members of a new \
        group",
    )
    .in_dev("0"),
    Key::new("kafka.group_min_session_timeout_ms", KafkaMilliseconds, "6000", "Shortest session timeout of a member"),
    Key::new("kafka.group_max_session_timeout_ms", KafkaMilliseconds, "1800000", "Longest session timeout of a member"),
    Key::new("kafka.group_max_size", Integer, "2147483647", "Most members of a group"),
    Key::new(
        "kafka.group_consumer_assignors",
        Text,
        "uniform,range",
        "Assignors of the new protocol, the default first",
    ),
    Key::new(
        "kafka.group_consumer_session_timeout_ms",
        KafkaMilliseconds,
        "45000",
        "A silent consumer is removed after",
    ),
    Key::new("kafka.group_consumer_min_session_timeout_ms", KafkaMilliseconds, "45000", "The least a group may set"),
    Key::new("kafka.group_consumer_max_session_timeout_ms", KafkaMilliseconds, "60000", "The most a group may set"),
    Key::new(
        "kafka.group_consumer_heartbeat_interval_ms",
        KafkaMilliseconds,
        "5000",
        "How often consumers are heard of",
    ),
    Key::new("kafka.group_consumer_min_heartbeat_interval_ms", KafkaMilliseconds, "5000", "The least a group may set"),
    Key::new("kafka.group_consumer_max_heartbeat_interval_ms", KafkaMilliseconds, "15000", "The most a group may set"),
    Key::new("kafka.group_consumer_max_size", Integer, "2147483647", "Most consumers of a group"),
    Key::new(
        "kafka.group_consumer_migration_policy",
        Text,
        "bidirectional",
        "Whether running groups may change to the new protocol and back: bidirectional, upgrade, downgrade, disabled",
    ),
];

/// The setting of that name.
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The name in `candidates` that `name` was probably meant to be.
pub fn suggestion<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.len() / 3).clamp(1, 4);
    let distances = candidates.into_iter().map(|candidate| (edit_distance(name, candidate), candidate));
    distances.filter(|(distance, _)| *distance <= limit).min().map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one text into the other.
fn edit_distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows = vec![(0..=right.len()).collect::<Vec<usize>>()];
    for i in 1..=left.len() {
        let mut row = vec![i];
        for j in 1..=right.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(left[i - 1] != right[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_as_settings_variables_and_flags() {
        let paths: BTreeSet<_> = KEYS.iter().map(|key| key.path).collect();
        let variables: BTreeSet<_> = KEYS.iter().map(Key::variable).collect();
        let flags: BTreeSet<_> = KEYS.iter().map(Key::flag).collect();
        assert_eq!((paths.len(), variables.len(), flags.len()), (KEYS.len(), KEYS.len(), KEYS.len()));
    }

    #[test]
    fn the_names_that_are_relied_upon_exist() {
        for name in [
            "FRAZIL__STORE__URL",
            "FRAZIL__METADATA__URL",
            "FRAZIL__KAFKA__LISTEN",
            "FRAZIL__KAFKA__ADVERTISE",
            "FRAZIL__HTTP__LISTEN",
            "FRAZIL__BROKER__ID",
            "FRAZIL__BROKER__ZONE",
            "FRAZIL__KAFKA__NUM_PARTITIONS",
            "FRAZIL__KAFKA__AUTO_CREATE_TOPICS_ENABLE",
            "FRAZIL__KAFKA__GROUP_INITIAL_REBALANCE_DELAY_MS",
            "FRAZIL__KAFKA__GROUP_MIN_SESSION_TIMEOUT_MS",
            "FRAZIL__KAFKA__LOG_RETENTION_MS",
            "FRAZIL__KAFKA__MESSAGE_MAX_BYTES",
        ] {
            assert!(KEYS.iter().any(|key| key.variable() == name), "{name}");
        }
    }

    #[test]
    fn a_slip_of_the_pen_finds_what_was_meant() {
        let names = || KEYS.iter().map(|key| key.path);
        assert_eq!(suggestion("store.ulr", names()), Some("store.url"));
        assert_eq!(suggestion("log.flush_aeg", names()), Some("log.flush_age"));
        assert_eq!(suggestion("kafka.num_partition", names()), Some("kafka.num_partitions"));
        assert_eq!(suggestion("lake.catalogue", names()), None);
    }

    #[test]
    fn kafka_settings_know_their_own_names() {
        assert_eq!(find("kafka.log_retention_ms").unwrap().kafka_name().as_deref(), Some("log.retention.ms"));
        assert_eq!(find("kafka.listen").unwrap().kafka_name(), None);
        assert_eq!(find("log.cache_bytes").unwrap().kafka_name(), None);
    }
}
