//! The settings of groups, as the operator wrote them under Kafka's names.

use super::membership::Rules;
use crate::config::{Layers, Scope, table};
use std::time::Duration;

/// Settings that all groups of a broker share; read once, because Kafka does not let them change while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupSettings {
    pub rules: Rules,
    /// Shortest and longest session timeout of a member, milliseconds.
    pub session_timeout_ms: (i32, i32),
    /// Longest text beside a committed offset, bytes.
    pub offset_metadata_bytes_max: usize,
    /// How long offsets outlive the last member or the last commit.
    pub offsets_retention: Duration,
    /// How often expired offsets are looked for.
    pub retention_check_interval: Duration,
}

impl GroupSettings {
    /// The values in force.
    pub fn of(layers: Layers<'_>) -> GroupSettings {
        let number = |name: &str| {
            let setting = table::broker(name).expect("the settings of groups stand in the table");
            let value = layers.effective(setting, Scope::Broker).0.unwrap_or_default();
            value.trim().parse::<i64>().unwrap_or_default().max(0)
        };
        let int = |name: &str| i32::try_from(number(name)).unwrap_or(i32::MAX);
        let minutes = number("offsets.retention.minutes") as u64;
        GroupSettings {
            rules: Rules {
                initial_delay_ms: number("group.initial.rebalance.delay.ms") as u64,
                members_max: usize::try_from(number("group.max.size")).unwrap_or(usize::MAX),
            },
            session_timeout_ms: (int("group.min.session.timeout.ms"), int("group.max.session.timeout.ms")),
            offset_metadata_bytes_max: number("offset.metadata.max.bytes") as usize,
            offsets_retention: Duration::from_secs(minutes.saturating_mul(60)),
            retention_check_interval: Duration::from_millis(number("offsets.retention.check.interval.ms") as u64),
        }
    }
}
