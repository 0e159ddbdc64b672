//! Settings of groups (KIP-848) and of subscriptions to clients' metrics (KIP-714).

use super::super::Kind::{Int, List, String};
use super::super::Rule::{AtLeast, Between, Clients, OneOf};
use super::super::Setting;
use super::row;

/// Group settings, by name. Where a broker setting is named, it is the default.
pub(crate) const GROUP: &[Setting] = &[
    row("consumer.heartbeat.interval.ms", Int, "5000", "Heartbeat interval of the members of a consumer group.")
        .rule(AtLeast(1))
        .falls_back_to(&[("group.consumer.heartbeat.interval.ms", 1)]),
    row("consumer.session.timeout.ms", Int, "45000", "A member of a consumer group silent for this long is removed.")
        .rule(AtLeast(1))
        .falls_back_to(&[("group.consumer.session.timeout.ms", 1)]),
    row("share.auto.offset.reset", String, "latest", "Where a share group starts; there are none here.")
        .without_effect(),
    row("share.heartbeat.interval.ms", Int, "5000", "Heartbeat interval of a share group; there are none here.")
        .rule(AtLeast(1))
        .without_effect(),
    row("share.isolation.level", String, "read_uncommitted", "Which records a share group sees; there are none here.")
        .rule(OneOf(&["read_committed", "read_uncommitted"]))
        .without_effect(),
    row("share.record.lock.duration.ms", Int, "30000", "How long a share group's member keeps records to itself.")
        .rule(AtLeast(1000))
        .without_effect(),
    row("share.session.timeout.ms", Int, "45000", "Session timeout of a share group; there are none here.")
        .rule(AtLeast(1))
        .without_effect(),
    row("streams.heartbeat.interval.ms", Int, "5000", "Heartbeat interval of a streams group; there are none here.")
        .rule(AtLeast(1))
        .without_effect(),
    row("streams.num.standby.replicas", Int, "0", "Standby replicas of a streams group; there are none here.")
        .rule(AtLeast(0))
        .without_effect(),
    row("streams.session.timeout.ms", Int, "45000", "Session timeout of a streams group; there are none here.")
        .rule(AtLeast(1))
        .without_effect(),
];

/// Settings of subscriptions, by name. Clients are not asked for metrics.
pub(crate) const CLIENT_METRICS: &[Setting] = &[
    row("interval.ms", Int, "300000", "How often clients push their metrics.")
        .rule(Between(100, 3_600_000))
        .without_effect(),
    row("match", List, "", "Which clients push their metrics.").rule(Clients).without_effect(),
    row("metrics", List, "", "Which metrics clients push.").without_effect(),
];

/// Settings of groups, and the broker settings between which their values have to lie.
pub(crate) const GROUP_BOUNDS: &[(&str, &str, &str)] = &[
    (
        "consumer.heartbeat.interval.ms",
        "group.consumer.min.heartbeat.interval.ms",
        "group.consumer.max.heartbeat.interval.ms",
    ),
    ("consumer.session.timeout.ms", "group.consumer.min.session.timeout.ms", "group.consumer.max.session.timeout.ms"),
];
