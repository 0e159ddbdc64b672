//! Broker settings by which tools limit the moving of replicas: kafka-reassign-partitions clears them when it is done.

use super::Kind::Long;
use super::Rule::AtLeast;
use super::{FOREVER, Setting, row};

/// The settings, by name; as in Kafka, they are listed only where they are set.
pub(crate) const THROTTLES: &[Setting] = &[
    row(
        "follower.replication.throttled.rate",
        Long,
        FOREVER,
        "Bytes per second of throttled followers; there are none.",
    )
    .rule(AtLeast(0))
    .without_effect(),
    row("leader.replication.throttled.rate", Long, FOREVER, "Bytes per second of throttled leaders; there are none.")
        .rule(AtLeast(0))
        .without_effect(),
    row(
        "replica.alter.log.dirs.io.max.bytes.per.second",
        Long,
        FOREVER,
        "Bytes per second of moves between directories; there are none.",
    )
    .rule(AtLeast(0))
    .without_effect(),
];
