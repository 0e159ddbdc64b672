//! What topics keep, by their settings: the log's question, answered with Kafka's names.

use crate::config::{Layers, Scope, Values, list_items, table};
use crate::node::fixed_values;
use crate::settings::BrokerSettings;
use frazil_base::BrokerId;
use frazil_log::{Retention, RetentionPolicy};
use frazil_meta::record::ConfigResource;
use frazil_meta::state::{State, Topic};
use std::sync::Arc;

/// Asks the topic's settings, then the brokers', then the operator's.
#[derive(Debug)]
struct BySettings {
    id: BrokerId,
    fixed: Values,
}

impl BrokerSettings {
    /// What broker `id` is to keep of each topic: `retention.ms` and `retention.bytes` (and the broker settings that
    /// they fall back to) where `cleanup.policy` deletes, everything where it only compacts.
    pub fn retention_policy(&self, id: BrokerId) -> Arc<dyn RetentionPolicy> {
        Arc::new(BySettings { id, fixed: fixed_values(id, self) })
    }
}

impl RetentionPolicy for BySettings {
    fn of(&self, state: &State, topic: &Topic) -> Retention {
        let layers = Layers {
            own: Some(&topic.configs),
            broker: Some(state.configs(&ConfigResource::Broker(self.id))),
            cluster: Some(state.configs(&ConfigResource::Cluster)),
            fixed: &self.fixed,
        };
        of(layers)
    }
}

fn of(layers: Layers<'_>) -> Retention {
    let value = |name: &str| {
        let setting = table::topic(name).expect("the settings of retention stand in the table");
        layers.effective(setting, Scope::Topic).0.unwrap_or_default()
    };
    if !list_items(&value("cleanup.policy")).contains(&"delete") {
        return Retention::default();
    }
    let limit = |name: &str| value(name).trim().parse::<i64>().ok().filter(|limit| *limit >= 0);
    Retention { age_ms: limit("retention.ms"), bytes: limit("retention.bytes").and_then(|bytes| bytes.try_into().ok()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_keeps_what_its_settings_and_the_brokers_say() {
        let week = Retention { age_ms: Some(604_800_000), bytes: None };
        let all = Retention::default();
        type Settings<'a> = &'a [(&'a str, &'a str)];
        let cases: &[(Settings<'_>, Settings<'_>, Retention)] = &[
            (&[], &[], week),
            (&[("retention.ms", "-1")], &[], all),
            (&[("retention.ms", "0")], &[], Retention { age_ms: Some(0), bytes: None }),
            (&[("retention.bytes", "7")], &[], Retention { bytes: Some(7), ..week }),
            (&[("cleanup.policy", "compact"), ("retention.ms", "5"), ("retention.bytes", "7")], &[], all),
            (&[("cleanup.policy", "compact,delete"), ("retention.ms", "5")], &[], Retention { age_ms: Some(5), ..all }),
            (&[], &[("log.retention.hours", "1")], Retention { age_ms: Some(3_600_000), ..all }),
            (
                &[],
                &[("log.retention.hours", "1"), ("log.retention.minutes", "1")],
                Retention { age_ms: Some(60_000), ..all },
            ),
            (&[], &[("log.retention.minutes", "-1")], all),
            (
                &[],
                &[("log.retention.ms", "3"), ("log.retention.bytes", "4")],
                Retention { age_ms: Some(3), bytes: Some(4) },
            ),
            (&[("retention.ms", "9")], &[("log.retention.ms", "3")], Retention { age_ms: Some(9), ..all }),
            (&[], &[("log.cleanup.policy", "compact")], all),
        ];
        for (topic, fixed, expected) in cases {
            let values = |pairs: &[(&str, &str)]| -> Values {
                pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
            };
            let (topic, fixed) = (values(topic), values(fixed));
            let layers = Layers { own: Some(&topic), broker: None, cluster: None, fixed: &fixed };
            assert_eq!(of(layers), *expected, "{topic:?} {fixed:?}");
        }
    }
}
