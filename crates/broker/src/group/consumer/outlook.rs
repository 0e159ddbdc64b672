//! What a group's coordinator looks at outside of the group: topics and settings.

use super::assignor::Assignor;
use super::members::Rules;
use super::subscription::{TopicMap, TopicShape};
use crate::config::{Layers, Scope, list_items, table};
use frazil_log::Log;
use frazil_meta::record::ConfigResource;
use parking_lot::Mutex;
use std::fmt::Debug;
use std::sync::Arc;

/// The view of a coordinator.
pub(crate) trait Outlook: Debug + Send + Sync {
    /// The topics as they are.
    fn topics(&self) -> Arc<TopicMap>;

    /// How often the members of a group have to show signs of life.
    fn timeouts(&self, group: &str) -> Timeouts;

    /// What holds for all groups.
    fn rules(&self) -> &Rules;
}

/// A group's settings of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeouts {
    /// `consumer.session.timeout.ms` of the group, else `group.consumer.session.timeout.ms`.
    pub session_ms: i32,
    /// `consumer.heartbeat.interval.ms` of the group, else `group.consumer.heartbeat.interval.ms`.
    pub heartbeat_interval_ms: i32,
}

/// A setting with a default for all groups, and the limits for a group's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limited {
    default: i32,
    least: i32,
    most: i32,
}

/// The operator's settings about groups of the consumer protocol; read once, as Kafka does.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerSettings {
    rules: Rules,
    session_ms: Limited,
    heartbeat_interval_ms: Limited,
}

impl ConsumerSettings {
    /// The values in force.
    pub fn of(layers: Layers<'_>) -> ConsumerSettings {
        let text = |name: &str| {
            let setting = table::broker(name).expect("the settings of groups stand in the table");
            layers.effective(setting, Scope::Broker).0.unwrap_or_default()
        };
        let int = |name: &str| text(name).trim().parse::<i32>().unwrap_or(i32::MAX);
        let count = |name: &str| usize::try_from(int(name)).unwrap_or(usize::MAX);
        let limited = |what: &str| Limited {
            default: int(&format!("group.consumer.{what}")),
            least: int(&format!("group.consumer.min.{what}")),
            most: int(&format!("group.consumer.max.{what}")),
        };
        let policy = text("group.consumer.migration.policy").trim().to_lowercase();
        ConsumerSettings {
            rules: Rules {
                members_max: count("group.consumer.max.size"),
                assignors: assignors(&text("group.consumer.assignors")),
                allows_upgrade: matches!(policy.as_str(), "upgrade" | "bidirectional"),
                allows_downgrade: matches!(policy.as_str(), "downgrade" | "bidirectional"),
                classic_members_max: count("group.max.size"),
            },
            session_ms: limited("session.timeout.ms"),
            heartbeat_interval_ms: limited("heartbeat.interval.ms"),
        }
    }
}

impl Limited {
    /// A group's own value within the limits, or the default.
    fn value(self, own: Option<&String>) -> i32 {
        let own = own.and_then(|value| value.trim().parse::<i32>().ok());
        own.map_or(self.default, |own| own.max(self.least).min(self.most))
    }
}

/// The assignors of the setting: names, or the names of Kafka's classes.
fn assignors(setting: &str) -> Vec<Assignor> {
    let by_class = |item: &str| match item.rsplit('.').next() {
        Some("UniformAssignor") => Some(Assignor::Uniform),
        Some("RangeAssignor") => Some(Assignor::Range),
        _ => None,
    };
    let named: Vec<_> =
        list_items(setting).iter().filter_map(|item| Assignor::named(item).or(by_class(item))).collect();
    if named.is_empty() { Assignor::ALL.to_vec() } else { named }
}

/// A coordinator's view by way of its broker's log.
pub(crate) struct LogOutlook {
    log: Log,
    settings: ConsumerSettings,
    /// Made anew when topics have changed; all groups share it.
    topics: Mutex<Arc<TopicMap>>,
}

impl LogOutlook {
    pub fn new(log: Log, settings: ConsumerSettings) -> LogOutlook {
        LogOutlook { log, settings, topics: Mutex::default() }
    }
}

impl Debug for LogOutlook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogOutlook").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Outlook for LogOutlook {
    fn topics(&self) -> Arc<TopicMap> {
        let mut topics = self.topics.lock();
        let state = self.log.state();
        if topics.version != state.topics_changed() {
            let shapes = state.topics().map(|topic| {
                let partitions = i32::try_from(topic.partitions.len()).expect("partitions are numbered by i32");
                (topic.name.clone(), TopicShape { id: topic.id, partitions })
            });
            *topics = Arc::new(TopicMap::new(state.topics_changed(), shapes));
        }
        topics.clone()
    }

    fn timeouts(&self, group: &str) -> Timeouts {
        let state = self.log.state();
        let own = state.configs(&ConfigResource::Group(group.to_owned()));
        Timeouts {
            session_ms: self.settings.session_ms.value(own.get("consumer.session.timeout.ms")),
            heartbeat_interval_ms: self.settings.heartbeat_interval_ms.value(own.get("consumer.heartbeat.interval.ms")),
        }
    }

    fn rules(&self) -> &Rules {
        &self.settings.rules
    }
}
