//! The table of settings: Kafka 4.1's topic settings, and the broker settings that clients and tools look at.

use super::Kind::{Boolean, Class, Double, Int, List, Long, Short, String};
use super::Rule::{Any, AtLeast, Between, Fraction, OneOf, OrBetween, Replicas};
use super::Update::{ClusterWide, PerBroker, ReadOnly};
use super::{Kind, Rule, Setting, Update};

mod group;
mod security;
mod throttles;

pub(crate) use group::{CLIENT_METRICS, GROUP, GROUP_BOUNDS};
use security::SECURITY;
pub(crate) use throttles::THROTTLES;

/// The topic setting of this name.
pub(crate) fn topic(name: &str) -> Option<&'static Setting> {
    find(TOPIC, name)
}

/// The broker setting of this name.
pub(crate) fn broker(name: &str) -> Option<&'static Setting> {
    find(BROKER, name).or_else(|| find(SECURITY, name)).or_else(|| find(THROTTLES, name))
}

/// Every broker setting that is listed always.
pub(crate) fn brokers() -> impl Iterator<Item = &'static Setting> {
    BROKER.iter().chain(SECURITY)
}

/// The names of a broker setting in other units, most specific first, with itself: milliseconds, minutes, hours.
pub(crate) fn family(name: &'static str) -> Vec<&'static str> {
    let families = TOPIC.iter().map(|row| row.synonyms).filter(|synonyms| synonyms.len() > 1);
    let names = |synonyms: &[(&'static str, i64)]| synonyms.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    families.map(names).find(|family| family.contains(&name)).unwrap_or_else(|| vec![name])
}

/// The group setting of this name.
pub(crate) fn group(name: &str) -> Option<&'static Setting> {
    find(GROUP, name)
}

/// The setting of this name of a subscription to clients' metrics.
pub(crate) fn client_metrics(name: &str) -> Option<&'static Setting> {
    find(CLIENT_METRICS, name)
}

fn find(rows: &'static [Setting], name: &str) -> Option<&'static Setting> {
    rows.binary_search_by(|row| row.name.cmp(name)).ok().map(|position| &rows[position])
}

const fn row(name: &'static str, kind: Kind, default: &'static str, documentation: &'static str) -> Setting {
    Setting {
        name,
        kind,
        default: Some(default),
        rule: Any,
        update: ClusterWide,
        synonyms: &[],
        has_effect: true,
        documentation,
    }
}

impl Setting {
    const fn rule(mut self, rule: Rule) -> Setting {
        self.rule = rule;
        self
    }

    const fn update(mut self, update: Update) -> Setting {
        self.update = update;
        self
    }

    const fn falls_back_to(mut self, synonyms: &'static [(&'static str, i64)]) -> Setting {
        self.synonyms = synonyms;
        self
    }

    const fn without_default(mut self) -> Setting {
        self.default = None;
        self
    }

    const fn without_effect(mut self) -> Setting {
        self.has_effect = false;
        self
    }
}

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const FOREVER: &str = "9223372036854775807";
const CODECS: Rule = OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]);
const POLICIES: Rule = OneOf(&["compact", "delete"]);
const TIMESTAMP_TYPES: Rule = OneOf(&["CreateTime", "LogAppendTime"]);

/// Topic settings, by name.
pub(crate) const TOPIC: &[Setting] = &[
    row("cleanup.policy", List, "delete", "What happens to old records: delete them, compact them by key, or both.")
        .rule(POLICIES)
        .falls_back_to(&[("log.cleanup.policy", 1)]),
    row("compression.gzip.level", Int, "-1", "Level for gzip where the broker compresses.")
        .rule(OrBetween(-1, 1, 9))
        .falls_back_to(&[("compression.gzip.level", 1)])
        .without_effect(),
    row("compression.lz4.level", Int, "9", "Level for lz4 where the broker compresses.")
        .rule(Between(1, 17))
        .falls_back_to(&[("compression.lz4.level", 1)])
        .without_effect(),
    row("compression.type", String, "producer", "Codec in which batches are kept, whatever the producer chose.")
        .rule(CODECS)
        .falls_back_to(&[("compression.type", 1)]),
    row("compression.zstd.level", Int, "3", "Level for zstd where the broker compresses.")
        .rule(Between(-131_072, 22))
        .falls_back_to(&[("compression.zstd.level", 1)])
        .without_effect(),
    row("delete.retention.ms", Long, "86400000", "How long delete markers of compacted topics are kept.")
        .rule(AtLeast(0))
        .falls_back_to(&[("log.cleaner.delete.retention.ms", 1)])
        .without_effect(),
    row("file.delete.delay.ms", Long, "60000", "Wait before a file is deleted; objects have a grace of their own.")
        .rule(AtLeast(0))
        .falls_back_to(&[("log.segment.delete.delay.ms", 1)])
        .without_effect(),
    row("flush.messages", Long, FOREVER, "Records between syncs; every acknowledged record is durable here.")
        .rule(AtLeast(1))
        .falls_back_to(&[("log.flush.interval.messages", 1)])
        .without_effect(),
    row("flush.ms", Long, FOREVER, "Time between syncs; every acknowledged record is durable here.")
        .rule(AtLeast(0))
        .falls_back_to(&[("log.flush.interval.ms", 1), ("log.flush.scheduler.interval.ms", 1)])
        .without_effect(),
    row("follower.replication.throttled.replicas", List, "", "Replicas with throttled followers; there are none here.")
        .rule(Replicas)
        .without_effect(),
    row("index.interval.bytes", Int, "4096", "Bytes between index entries of a log file.")
        .rule(AtLeast(0))
        .falls_back_to(&[("log.index.interval.bytes", 1)])
        .without_effect(),
    row("leader.replication.throttled.replicas", List, "", "Replicas with throttled leaders; there are none here.")
        .rule(Replicas)
        .without_effect(),
    row("local.retention.bytes", Long, "-2", "Bytes kept on local disks with tiered storage.")
        .rule(AtLeast(-2))
        .falls_back_to(&[("log.local.retention.bytes", 1)])
        .without_effect(),
    row("local.retention.ms", Long, "-2", "Time that local disks keep records with tiered storage.")
        .rule(AtLeast(-2))
        .falls_back_to(&[("log.local.retention.ms", 1)])
        .without_effect(),
    row("max.compaction.lag.ms", Long, FOREVER, "Longest time a record stays out of reach of compaction.")
        .rule(AtLeast(1))
        .falls_back_to(&[("log.cleaner.max.compaction.lag.ms", 1)])
        .without_effect(),
    row("max.message.bytes", Int, "1048588", "Largest record batch, in bytes, as sent (compressed).")
        .rule(AtLeast(0))
        .falls_back_to(&[("message.max.bytes", 1)]),
    row("message.timestamp.after.max.ms", Long, "3600000", "How far a record's timestamp may lie in the future.")
        .rule(AtLeast(0))
        .falls_back_to(&[("log.message.timestamp.after.max.ms", 1)]),
    row("message.timestamp.before.max.ms", Long, FOREVER, "How far a record's timestamp may lie in the past.")
        .rule(AtLeast(0))
        .falls_back_to(&[("log.message.timestamp.before.max.ms", 1)]),
    row("message.timestamp.type", String, "CreateTime", "Whether records carry the producer's or the broker's time.")
        .rule(TIMESTAMP_TYPES)
        .falls_back_to(&[("log.message.timestamp.type", 1)]),
    row("min.cleanable.dirty.ratio", Double, "0.5", "Share of a log that must be dirty before it is compacted.")
        .rule(Fraction)
        .falls_back_to(&[("log.cleaner.min.cleanable.ratio", 1)])
        .without_effect(),
    row("min.compaction.lag.ms", Long, "0", "Time a record stays out of reach of compaction.")
        .rule(AtLeast(0))
        .falls_back_to(&[("log.cleaner.min.compaction.lag.ms", 1)])
        .without_effect(),
    row(
        "min.insync.replicas",
        Int,
        "1",
        "Replicas that must have a record before acks=all is answered; the store decides here.",
    )
    .rule(AtLeast(1))
    .falls_back_to(&[("min.insync.replicas", 1)])
    .without_effect(),
    row("preallocate", Boolean, "false", "Whether log files are allocated in advance.")
        .falls_back_to(&[("log.preallocate", 1)])
        .without_effect(),
    row("remote.log.copy.disable", Boolean, "false", "Stops copying to tiered storage.").without_effect(),
    row("remote.log.delete.on.disable", Boolean, "false", "Deletes tiered data when tiering is switched off.")
        .without_effect(),
    row("remote.storage.enable", Boolean, "false", "Tiered storage; everything is in the object store here.")
        .without_effect(),
    row("retention.bytes", Long, "-1", "Bytes kept per partition; -1 keeps all.")
        .falls_back_to(&[("log.retention.bytes", 1)]),
    row("retention.ms", Long, "604800000", "How long records are kept; -1 keeps them for ever.")
        .rule(AtLeast(-1))
        .falls_back_to(&[
            ("log.retention.ms", 1),
            ("log.retention.minutes", MINUTE_MS),
            ("log.retention.hours", HOUR_MS),
        ]),
    row("segment.bytes", Int, "1073741824", "Size of log files; segments here mix all partitions.")
        .rule(AtLeast(1 << 20))
        .falls_back_to(&[("log.segment.bytes", 1)])
        .without_effect(),
    row("segment.index.bytes", Int, "10485760", "Size of index files.")
        .rule(AtLeast(4))
        .falls_back_to(&[("log.index.size.max.bytes", 1)])
        .without_effect(),
    row("segment.jitter.ms", Long, "0", "Random part of the time after which a log file is rolled.")
        .rule(AtLeast(0))
        .falls_back_to(&[("log.roll.jitter.ms", 1), ("log.roll.jitter.hours", HOUR_MS)])
        .without_effect(),
    row("segment.ms", Long, "604800000", "Time after which a log file is rolled.")
        .rule(AtLeast(1))
        .falls_back_to(&[("log.roll.ms", 1), ("log.roll.hours", HOUR_MS)])
        .without_effect(),
    row(
        "unclean.leader.election.enable",
        Boolean,
        "false",
        "Whether a replica that lags may lead; there are none here.",
    )
    .falls_back_to(&[("unclean.leader.election.enable", 1)])
    .without_effect(),
];

/// Broker settings, by name; those of authentication and encryption stand in a table of their own.
const BROKER: &[Setting] = &[
    row(
        "add.partitions.to.txn.retry.backoff.max.ms",
        Int,
        "100",
        "Longest pause between attempts to add partitions to a transaction.",
    )
    .update(ReadOnly)
    .without_effect(),
    row(
        "add.partitions.to.txn.retry.backoff.ms",
        Int,
        "20",
        "First pause between attempts to add partitions to a transaction.",
    )
    .update(ReadOnly)
    .without_effect(),
    row("advertised.listeners", String, "", "Addresses that clients are told to use.")
        .without_default()
        .update(ReadOnly),
    row("alter.config.policy.class.name", Class, "", "Java class that judges changes of settings; there is none here.")
        .without_default()
        .update(ReadOnly)
        .without_effect(),
    row(
        "alter.log.dirs.replication.quota.window.num",
        Int,
        "11",
        "Samples kept to measure the rate of moves between directories.",
    )
    .rule(AtLeast(1))
    .update(ReadOnly)
    .without_effect(),
    row(
        "alter.log.dirs.replication.quota.window.size.seconds",
        Int,
        "1",
        "Length of a sample of the rate of moves between directories.",
    )
    .rule(AtLeast(1))
    .update(ReadOnly)
    .without_effect(),
    row(
        "authorizer.class.name",
        String,
        "",
        "Java class that decides who may do what; empty means that everybody may.",
    )
    .update(ReadOnly),
    row("auto.create.topics.enable", Boolean, "true", "Whether asking for an unknown topic creates it.")
        .update(ReadOnly),
    row(
        "auto.leader.rebalance.enable",
        Boolean,
        "true",
        "Whether leaders are moved back to their preferred replicas; they always are here.",
    )
    .update(ReadOnly)
    .without_effect(),
    row("background.threads", Int, "10", "Threads for background work.").rule(AtLeast(1)).without_effect(),
    row("broker.heartbeat.interval.ms", Int, "2000", "Time between heartbeats to the controller.")
        .update(ReadOnly)
        .without_effect(),
    row("broker.id", Int, "-1", "This broker's number.").update(ReadOnly),
    row("broker.rack", String, "", "This broker's zone.").without_default().update(ReadOnly),
    row("broker.session.timeout.ms", Int, "9000", "A broker silent for this long counts as gone.")
        .update(ReadOnly)
        .without_effect(),
    row("client.quota.callback.class", Class, "", "Java class that works out quotas; there is none here.")
        .without_default()
        .update(ReadOnly)
        .without_effect(),
    row("compression.gzip.level", Int, "-1", "Default of the topic setting.")
        .rule(OrBetween(-1, 1, 9))
        .without_effect(),
    row("compression.lz4.level", Int, "9", "Default of the topic setting.").rule(Between(1, 17)).without_effect(),
    row("compression.type", String, "producer", "Default of the topic setting.").rule(CODECS),
    row("compression.zstd.level", Int, "3", "Default of the topic setting.")
        .rule(Between(-131_072, 22))
        .without_effect(),
    row(
        "connection.failed.authentication.delay.ms",
        Int,
        "100",
        "Delay before a connection that failed to authenticate is closed.",
    )
    .update(ReadOnly)
    .without_effect(),
    row("connections.max.idle.ms", Long, "600000", "Idle connections are closed after this time.").update(ReadOnly),
    row("connections.max.reauth.ms", Long, "0", "Connections have to authenticate again after this time; 0 for never.")
        .update(ReadOnly)
        .without_effect(),
    row("controlled.shutdown.enable", Boolean, "true", "Brokers always drain before they stop.")
        .update(ReadOnly)
        .without_effect(),
    row("controller.quota.window.num", Int, "11", "Samples kept to measure the rate of changes.")
        .update(ReadOnly)
        .without_effect(),
    row("controller.quota.window.size.seconds", Int, "1", "Length of a sample of the rate of changes.")
        .update(ReadOnly)
        .without_effect(),
    row("create.topic.policy.class.name", Class, "", "Java class that judges new topics; there is none here.")
        .without_default()
        .update(ReadOnly)
        .without_effect(),
    row("default.replication.factor", Int, "1", "Replication factor shown for topics whose creator names none.")
        .rule(AtLeast(1))
        .update(ReadOnly),
    row(
        "delete.records.purgatory.purge.interval.requests",
        Int,
        "1",
        "Requests after which waiting deletions are swept.",
    )
    .update(ReadOnly)
    .without_effect(),
    row("delete.topic.enable", Boolean, "true", "Whether topics can be deleted.").update(ReadOnly),
    row("early.start.listeners", String, "", "Listeners that open before the broker has started.")
        .without_default()
        .update(ReadOnly)
        .without_effect(),
    row("fetch.max.bytes", Int, "57671680", "Largest answer to a fetch, apart from one batch that may exceed it.")
        .rule(AtLeast(1024))
        .update(ReadOnly),
    row("fetch.purgatory.purge.interval.requests", Int, "1000", "Requests after which waiting fetches are swept.")
        .update(ReadOnly)
        .without_effect(),
    row("group.consumer.assignors", List, "uniform,range", "Assignors of the consumer protocol, the default first.")
        .update(ReadOnly),
    row(
        "group.consumer.heartbeat.interval.ms",
        Int,
        "5000",
        "How often members of the consumer protocol are heard of.",
    )
    .rule(AtLeast(1))
    .update(ReadOnly),
    row("group.consumer.max.heartbeat.interval.ms", Int, "15000", "Longest heartbeat interval that a group may set.")
        .rule(AtLeast(1))
        .update(ReadOnly),
    row("group.consumer.max.session.timeout.ms", Int, "60000", "Longest session timeout that a group may set.")
        .rule(AtLeast(1))
        .update(ReadOnly),
    row("group.consumer.max.size", Int, "2147483647", "Members of a group of the consumer protocol.")
        .rule(AtLeast(1))
        .update(ReadOnly),
    row(
        "group.consumer.migration.policy",
        String,
        "bidirectional",
        "Whether classic groups may become groups of the consumer protocol while they run, and back.",
    )
    .rule(OneOf(&["bidirectional", "upgrade", "downgrade", "disabled"]))
    .update(ReadOnly),
    row("group.consumer.min.heartbeat.interval.ms", Int, "5000", "Shortest heartbeat interval that a group may set.")
        .rule(AtLeast(1))
        .update(ReadOnly),
    row("group.consumer.min.session.timeout.ms", Int, "45000", "Shortest session timeout that a group may set.")
        .rule(AtLeast(1))
        .update(ReadOnly),
    row("group.consumer.session.timeout.ms", Int, "45000", "How long a member of the consumer protocol may be silent.")
        .rule(AtLeast(1))
        .update(ReadOnly),
    row(
        "group.coordinator.append.linger.ms",
        Int,
        "5",
        "How long a coordinator gathers records before it writes them.",
    )
    .update(ReadOnly)
    .without_effect(),
    row("group.coordinator.rebalance.protocols", List, "classic,consumer,streams", "Group protocols that are served.")
        .update(ReadOnly)
        .without_effect(),
    row("group.coordinator.threads", Int, "4", "Threads of the coordinator; tasks do here.")
        .update(ReadOnly)
        .without_effect(),
    row("group.initial.rebalance.delay.ms", Int, "3000", "Wait for more members before a new group's first rebalance.")
        .rule(AtLeast(0))
        .update(ReadOnly),
    row("group.max.session.timeout.ms", Int, "1800000", "Longest session timeout of a group member.").update(ReadOnly),
    row("group.max.size", Int, "2147483647", "Members of a group.").rule(AtLeast(1)).update(ReadOnly),
    row("group.min.session.timeout.ms", Int, "6000", "Shortest session timeout of a group member.").update(ReadOnly),
    row("initial.broker.registration.timeout.ms", Int, "60000", "How long a starting broker waits for the controller.")
        .update(ReadOnly)
        .without_effect(),
    row("inter.broker.listener.name", String, "", "Listener that brokers use among each other; they do not here.")
        .without_default()
        .update(ReadOnly)
        .without_effect(),
    row("kafka.metrics.polling.interval.secs", Int, "10", "How often metrics reporters are asked.")
        .update(ReadOnly)
        .without_effect(),
    row("kafka.metrics.reporters", List, "", "Java classes that report metrics; see /metrics.")
        .update(ReadOnly)
        .without_effect(),
    row("leader.imbalance.check.interval.seconds", Long, "300", "How often the balance of leaders is looked at.")
        .update(ReadOnly)
        .without_effect(),
    row(
        "listener.security.protocol.map",
        String,
        "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
        "Security protocol of each listener.",
    )
    .without_effect(),
    row("listeners", String, "PLAINTEXT://:9092", "Addresses this broker listens on.").update(ReadOnly),
    row("log.cleaner.backoff.ms", Long, "15000", "Pause of a compactor without work.").without_effect(),
    row("log.cleaner.dedupe.buffer.size", Long, "134217728", "Memory of compactors for keys.").without_effect(),
    row("log.cleaner.delete.retention.ms", Long, "86400000", "Default of delete.retention.ms.")
        .rule(AtLeast(0))
        .without_effect(),
    row("log.cleaner.enable", Boolean, "true", "Whether compaction runs.").update(ReadOnly).without_effect(),
    row("log.cleaner.io.buffer.load.factor", Double, "0.9", "How full that memory may become.").without_effect(),
    row("log.cleaner.io.buffer.size", Int, "524288", "Buffers of compactors.").without_effect(),
    row(
        "log.cleaner.io.max.bytes.per.second",
        Double,
        "1.7976931348623157E308",
        "Bytes that compactors read and write per second.",
    )
    .without_effect(),
    row("log.cleaner.max.compaction.lag.ms", Long, FOREVER, "Default of max.compaction.lag.ms.")
        .rule(AtLeast(1))
        .without_effect(),
    row("log.cleaner.min.cleanable.ratio", Double, "0.5", "Default of min.cleanable.dirty.ratio.")
        .rule(Fraction)
        .without_effect(),
    row("log.cleaner.min.compaction.lag.ms", Long, "0", "Default of min.compaction.lag.ms.")
        .rule(AtLeast(0))
        .without_effect(),
    row("log.cleaner.threads", Int, "1", "Threads that compact.").rule(AtLeast(0)).without_effect(),
    row("log.cleanup.policy", List, "delete", "Default of cleanup.policy.").rule(POLICIES),
    row("log.dir", String, "/tmp/kafka-logs", "Directory of log files; the store is shown by log.dirs.")
        .update(ReadOnly)
        .without_effect(),
    row("log.dir.failure.timeout.ms", Long, "30000", "How long a broker with a failed directory goes on.")
        .update(ReadOnly)
        .without_effect(),
    row("log.dirs", String, "", "Where records lie: the name of the store.").without_default().update(ReadOnly),
    row("log.flush.interval.messages", Long, FOREVER, "Default of flush.messages.").rule(AtLeast(1)).without_effect(),
    row("log.flush.interval.ms", Long, "", "Default of flush.ms.").without_default().without_effect(),
    row("log.flush.offset.checkpoint.interval.ms", Int, "60000", "How often recovery points are written.")
        .update(ReadOnly)
        .without_effect(),
    row("log.flush.scheduler.interval.ms", Long, FOREVER, "How often the need to flush is looked at.")
        .update(ReadOnly)
        .without_effect(),
    row(
        "log.flush.start.offset.checkpoint.interval.ms",
        Int,
        "60000",
        "How often log starts are written; they are records of the metadata log here.",
    )
    .update(ReadOnly)
    .without_effect(),
    row("log.index.interval.bytes", Int, "4096", "Default of index.interval.bytes.").rule(AtLeast(0)).without_effect(),
    row("log.index.size.max.bytes", Int, "10485760", "Default of segment.index.bytes.")
        .rule(AtLeast(4))
        .without_effect(),
    row("log.local.retention.bytes", Long, "-2", "Default of local.retention.bytes.")
        .rule(AtLeast(-2))
        .without_effect(),
    row("log.local.retention.ms", Long, "-2", "Default of local.retention.ms.").rule(AtLeast(-2)).without_effect(),
    row("log.message.timestamp.after.max.ms", Long, "3600000", "Default of message.timestamp.after.max.ms.")
        .rule(AtLeast(0)),
    row("log.message.timestamp.before.max.ms", Long, FOREVER, "Default of message.timestamp.before.max.ms.")
        .rule(AtLeast(0)),
    row("log.message.timestamp.type", String, "CreateTime", "Default of message.timestamp.type.").rule(TIMESTAMP_TYPES),
    row("log.preallocate", Boolean, "false", "Default of preallocate.").without_effect(),
    row("log.retention.bytes", Long, "-1", "Default of retention.bytes."),
    row("log.retention.check.interval.ms", Long, "300000", "How often retention is looked at.")
        .rule(AtLeast(1))
        .update(ReadOnly),
    row("log.retention.hours", Int, "168", "Default of retention.ms, in hours.").update(ReadOnly),
    row("log.retention.minutes", Int, "", "Default of retention.ms, in minutes.").without_default().update(ReadOnly),
    row("log.retention.ms", Long, "", "Default of retention.ms.").without_default().rule(AtLeast(-1)),
    row("log.roll.hours", Int, "168", "Default of segment.ms, in hours.")
        .rule(AtLeast(1))
        .update(ReadOnly)
        .without_effect(),
    row("log.roll.jitter.hours", Int, "0", "Default of segment.jitter.ms, in hours.")
        .rule(AtLeast(0))
        .update(ReadOnly)
        .without_effect(),
    row("log.roll.jitter.ms", Long, "", "Default of segment.jitter.ms.").without_default().without_effect(),
    row("log.roll.ms", Long, "", "Default of segment.ms.").without_default().without_effect(),
    row("log.segment.bytes", Int, "1073741824", "Default of segment.bytes.").rule(AtLeast(1 << 20)).without_effect(),
    row("log.segment.delete.delay.ms", Long, "60000", "Default of file.delete.delay.ms.")
        .rule(AtLeast(0))
        .without_effect(),
    row("max.connection.creation.rate", Int, "2147483647", "New connections per second.").without_effect(),
    row("max.connections", Int, "2147483647", "Connections at a time; more are closed.")
        .rule(AtLeast(0))
        .update(ReadOnly),
    row("max.connections.per.ip", Int, "2147483647", "Connections of one address at a time.")
        .rule(AtLeast(0))
        .without_effect(),
    row("max.connections.per.ip.overrides", String, "", "Connections at a time of particular addresses.")
        .without_effect(),
    row("max.incremental.fetch.session.cache.slots", Int, "1000", "Fetch sessions kept; fetches are complete here.")
        .update(ReadOnly)
        .without_effect(),
    row("max.request.partition.size.limit", Int, "2000", "Partitions in one answer to DescribeTopicPartitions.")
        .update(ReadOnly),
    row("message.max.bytes", Int, "1048588", "Default of max.message.bytes.").rule(AtLeast(0)),
    row(
        "metric.reporters",
        List,
        "org.apache.kafka.common.metrics.JmxReporter",
        "Java classes that report metrics; see /metrics.",
    )
    .without_effect(),
    row("metrics.num.samples", Int, "2", "Samples kept for metrics.").update(ReadOnly).without_effect(),
    row("metrics.recording.level", String, "INFO", "Which metrics are recorded.").update(ReadOnly).without_effect(),
    row("metrics.sample.window.ms", Long, "30000", "Length of a sample of metrics.").update(ReadOnly).without_effect(),
    row("min.insync.replicas", Int, "1", "Default of the topic setting.").rule(AtLeast(1)).without_effect(),
    row("node.id", Int, "0", "This broker's number.").update(ReadOnly),
    row("num.io.threads", Int, "8", "Threads that serve requests; tasks do here.").rule(AtLeast(1)).without_effect(),
    row("num.network.threads", Int, "3", "Threads that serve sockets; tasks do here.")
        .rule(AtLeast(1))
        .without_effect(),
    row("num.partitions", Int, "1", "Partitions of a topic whose creator names none.")
        .rule(AtLeast(1))
        .update(ReadOnly),
    row("num.recovery.threads.per.data.dir", Int, "2", "Threads that recover log files at the start.").without_effect(),
    row("num.replica.alter.log.dirs.threads", Int, "", "Threads that move replicas between directories.")
        .without_default()
        .update(ReadOnly)
        .without_effect(),
    row("num.replica.fetchers", Int, "1", "Threads that replicate; the store does here.").without_effect(),
    row("offset.metadata.max.bytes", Int, "4096", "Largest text beside a committed offset.").update(ReadOnly),
    row("offsets.commit.timeout.ms", Int, "5000", "How long an offset commit may take.")
        .update(ReadOnly)
        .without_effect(),
    row("offsets.load.buffer.size", Int, "5242880", "Bytes read at once when offsets are loaded.")
        .update(ReadOnly)
        .without_effect(),
    row(
        "offsets.retention.check.interval.ms",
        Long,
        "600000",
        "How often offsets that are no longer kept are looked for.",
    )
    .rule(AtLeast(1))
    .update(ReadOnly),
    row("offsets.retention.minutes", Int, "10080", "How long offsets of an empty group are kept.")
        .rule(AtLeast(1))
        .update(ReadOnly),
    row("offsets.topic.compression.codec", Int, "0", "Codec of the offsets topic; there is none here.")
        .update(ReadOnly)
        .without_effect(),
    row(
        "offsets.topic.num.partitions",
        Int,
        "50",
        "Partitions of the offsets topic; the metadata log holds offsets here.",
    )
    .rule(AtLeast(1))
    .update(ReadOnly)
    .without_effect(),
    row("offsets.topic.replication.factor", Short, "3", "Replicas of the offsets topic; there is none here.")
        .rule(AtLeast(1))
        .update(ReadOnly)
        .without_effect(),
    row("offsets.topic.segment.bytes", Int, "104857600", "Size of log files of the offsets topic; there is none here.")
        .update(ReadOnly)
        .without_effect(),
    row(
        "principal.builder.class",
        Class,
        "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder",
        "Java class that tells who a client is.",
    )
    .without_effect(),
    row("process.roles", List, "broker,controller", "Roles of this process.").update(ReadOnly).without_effect(),
    row("producer.id.expiration.ms", Int, "86400000", "How long an idle producer id is remembered.")
        .rule(AtLeast(1))
        .without_effect(),
    row(
        "producer.purgatory.purge.interval.requests",
        Int,
        "1000",
        "Requests after which waiting produce requests are swept.",
    )
    .update(ReadOnly)
    .without_effect(),
    row("queued.max.request.bytes", Long, "-1", "Bytes of requests held in memory over all connections.")
        .update(ReadOnly),
    row("queued.max.requests", Int, "500", "Requests waiting for a thread; connections wait by bytes here.")
        .rule(AtLeast(1))
        .update(ReadOnly)
        .without_effect(),
    row("quota.window.num", Int, "11", "Samples kept to measure the rates of clients.")
        .update(ReadOnly)
        .without_effect(),
    row("quota.window.size.seconds", Int, "1", "Length of a sample of the rates of clients.")
        .update(ReadOnly)
        .without_effect(),
    row(
        "remote.log.storage.system.enable",
        Boolean,
        "false",
        "Tiered storage; everything is in the object store here.",
    )
    .update(ReadOnly)
    .without_effect(),
    row("replica.fetch.backoff.ms", Int, "1000", "Pause of followers after an error; there are none here.")
        .update(ReadOnly)
        .without_effect(),
    row("replica.fetch.max.bytes", Int, "1048576", "Bytes a follower fetches per partition; there are none here.")
        .rule(AtLeast(0))
        .update(ReadOnly)
        .without_effect(),
    row("replica.fetch.min.bytes", Int, "1", "Bytes followers wait for; there are none here.")
        .update(ReadOnly)
        .without_effect(),
    row("replica.fetch.response.max.bytes", Int, "10485760", "Bytes followers fetch at once; there are none here.")
        .update(ReadOnly)
        .without_effect(),
    row("replica.fetch.wait.max.ms", Int, "500", "How long followers wait; there are none here.")
        .update(ReadOnly)
        .without_effect(),
    row("replica.high.watermark.checkpoint.interval.ms", Long, "5000", "How often high watermarks are written.")
        .update(ReadOnly)
        .without_effect(),
    row(
        "replica.lag.time.max.ms",
        Long,
        "30000",
        "A follower behind for this long leaves the in-sync replicas; there are none here.",
    )
    .update(ReadOnly)
    .without_effect(),
    row("replica.selector.class", String, "", "Java class that picks a replica for a consumer; the zone does here.")
        .without_default()
        .update(ReadOnly)
        .without_effect(),
    row("replica.socket.receive.buffer.bytes", Int, "65536", "Receive buffer of followers; there are none here.")
        .update(ReadOnly)
        .without_effect(),
    row("replica.socket.timeout.ms", Int, "30000", "Socket timeout of followers; there are none here.")
        .update(ReadOnly)
        .without_effect(),
    row("replication.quota.window.num", Int, "11", "Samples kept to measure the rate of replication.")
        .update(ReadOnly)
        .without_effect(),
    row("replication.quota.window.size.seconds", Int, "1", "Length of a sample of the rate of replication.")
        .update(ReadOnly)
        .without_effect(),
    row("request.timeout.ms", Int, "30000", "How long a broker waits for another.").update(ReadOnly).without_effect(),
    row("sasl.enabled.mechanisms", List, "GSSAPI", "SASL mechanisms.").update(PerBroker).without_effect(),
    row("security.inter.broker.protocol", String, "PLAINTEXT", "How brokers talk to each other; they do not here.")
        .update(ReadOnly)
        .without_effect(),
    row("security.providers", String, "", "Java classes of security algorithms.")
        .without_default()
        .update(ReadOnly)
        .without_effect(),
    row(
        "socket.connection.setup.timeout.max.ms",
        Long,
        "30000",
        "Longest time a connection among brokers may take to be made.",
    )
    .update(ReadOnly)
    .without_effect(),
    row(
        "socket.connection.setup.timeout.ms",
        Long,
        "10000",
        "First limit of the time a connection among brokers may take to be made.",
    )
    .update(ReadOnly)
    .without_effect(),
    row("socket.listen.backlog.size", Int, "50", "Connections waiting to be accepted.")
        .update(ReadOnly)
        .without_effect(),
    row("socket.receive.buffer.bytes", Int, "102400", "Receive buffer of a socket; the system chooses here.")
        .update(ReadOnly)
        .without_effect(),
    row("socket.request.max.bytes", Int, "104857600", "Largest request, in bytes.").rule(AtLeast(1)).update(ReadOnly),
    row("socket.send.buffer.bytes", Int, "102400", "Send buffer of a socket; the system chooses here.")
        .update(ReadOnly)
        .without_effect(),
    row("telemetry.max.bytes", Int, "1048576", "Bytes of one report of a client's metrics.")
        .update(ReadOnly)
        .without_effect(),
    row(
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        Int,
        "10000",
        "How often transactions that timed out are looked for.",
    )
    .update(ReadOnly)
    .without_effect(),
    row("transaction.max.timeout.ms", Int, "900000", "Longest timeout of a transaction.")
        .rule(AtLeast(1))
        .update(ReadOnly),
    row(
        "transaction.partition.verification.enable",
        Boolean,
        "true",
        "Whether a partition must belong to the transaction whose records it takes; always so here.",
    )
    .without_effect(),
    row(
        "transaction.remove.expired.transaction.cleanup.interval.ms",
        Int,
        "3600000",
        "How often expired transactional ids are looked for.",
    )
    .update(ReadOnly)
    .without_effect(),
    row("transaction.state.log.load.buffer.size", Int, "5242880", "Bytes read at once when transactions are loaded.")
        .update(ReadOnly)
        .without_effect(),
    row("transaction.state.log.min.isr", Int, "2", "In-sync replicas of the transaction topic; there is none here.")
        .rule(AtLeast(1))
        .update(ReadOnly)
        .without_effect(),
    row("transaction.state.log.num.partitions", Int, "50", "Partitions of the transaction topic; there is none here.")
        .update(ReadOnly)
        .without_effect(),
    row(
        "transaction.state.log.replication.factor",
        Short,
        "3",
        "Replicas of the transaction topic; there is none here.",
    )
    .rule(AtLeast(1))
    .update(ReadOnly)
    .without_effect(),
    row(
        "transaction.state.log.segment.bytes",
        Int,
        "104857600",
        "Size of log files of the transaction topic; there is none here.",
    )
    .update(ReadOnly)
    .without_effect(),
    row(
        "transaction.two.phase.commit.enable",
        Boolean,
        "false",
        "Whether transactions may last until an outside coordinator ends them.",
    )
    .update(ReadOnly)
    .without_effect(),
    row("transactional.id.expiration.ms", Int, "604800000", "How long an idle transactional id is remembered.")
        .rule(AtLeast(1))
        .update(ReadOnly)
        .without_effect(),
    row("unclean.leader.election.enable", Boolean, "false", "Default of the topic setting.").without_effect(),
];
