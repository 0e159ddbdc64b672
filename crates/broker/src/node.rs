//! What all connections of a broker share.

use crate::budget::Budget;
use crate::config::{Layers, TopicRules, Values};
use crate::group::{ConsumerSettings, GroupCoordinator, GroupSettings};
use crate::metrics::Metrics;
use crate::settings::BrokerSettings;
use crate::transaction::succession::Succession;
use frazil_base::BrokerId;
use frazil_log::Log;
use frazil_meta::record::ConfigResource;
use frazil_meta::state::{Broker as Registration, State, Topic};
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;

/// One broker's shared parts.
pub(crate) struct Node {
    pub log: Log,
    pub id: BrokerId,
    pub settings: BrokerSettings,
    /// Broker settings that the operator fixed, under Kafka's names.
    pub fixed: Values,
    /// What topics ask of batches for which nothing was set while brokers run.
    default_rules: TopicRules,
    pub metrics: Metrics,
    /// Bytes of requests.
    pub requests: Budget,
    /// Bytes of records on their way to consumers.
    pub fetched: Budget,
    /// The groups that this broker coordinates.
    pub groups: GroupCoordinator,
    /// Which connections speak for transactional producers.
    pub succession: Succession,
    /// Counts the connections.
    pub connections_begun: AtomicU64,
}

impl Node {
    pub fn new(
        log: Log,
        own: Option<Registration>,
        listening: Option<SocketAddr>,
        settings: BrokerSettings,
        metrics: Metrics,
    ) -> Node {
        let id = own.as_ref().map_or(BrokerId(-1), |own| own.id);
        let mut fixed = fixed_values(id, &settings);
        if let Some(own) = own {
            fixed.insert("advertised.listeners".to_owned(), format!("PLAINTEXT://{}:{}", own.host, own.port));
            fixed.extend(own.zone.map(|zone| ("broker.rack".to_owned(), zone)));
        }
        fixed.extend(listening.map(|address| ("listeners".to_owned(), format!("PLAINTEXT://{address}"))));
        let operators = Layers { own: None, broker: None, cluster: None, fixed: &fixed };
        let default_rules = TopicRules::of(operators);
        let groups = GroupCoordinator::new(log.clone(), GroupSettings::of(operators), ConsumerSettings::of(operators));
        let waits = &metrics.back_pressure_waits;
        let in_flight = metrics.request_bytes_in_flight.clone();
        let requests = Budget::new(settings.request_bytes_in_flight, in_flight, waits.clone());
        let in_flight = metrics.fetched_bytes_in_flight.clone();
        let fetched = Budget::new(settings.fetched_bytes_in_flight, in_flight, waits.clone());
        Node {
            log,
            id,
            settings,
            fixed,
            default_rules,
            metrics,
            requests,
            fetched,
            groups,
            succession: Succession::default(),
            connections_begun: AtomicU64::new(0),
        }
    }

    /// Where the values of broker settings come from.
    pub fn broker_layers<'a>(&'a self, state: &'a State) -> Layers<'a> {
        Layers {
            own: None,
            broker: Some(state.configs(&ConfigResource::Broker(self.id))),
            cluster: Some(state.configs(&ConfigResource::Cluster)),
            fixed: &self.fixed,
        }
    }

    /// Where the values of a topic's settings come from.
    pub fn topic_layers<'a>(&'a self, state: &'a State, topic: &'a Topic) -> Layers<'a> {
        Layers { own: Some(&topic.configs), ..self.broker_layers(state) }
    }

    /// Where the values of the settings of `resource` come from.
    pub fn layers_of<'a>(&'a self, state: &'a State, resource: &ConfigResource) -> Layers<'a> {
        let layers = self.broker_layers(state);
        match resource {
            ConfigResource::Broker(_) => layers,
            ConfigResource::Cluster => Layers { broker: None, ..layers },
            ConfigResource::Topic(_) | ConfigResource::Group(_) | ConfigResource::ClientMetrics(_) => {
                Layers { own: Some(state.configs(resource)), ..layers }
            }
        }
    }

    /// What a topic asks of batches.
    pub fn topic_rules(&self, state: &State, topic: &Topic) -> TopicRules {
        TopicRules::of_or(self.topic_layers(state, topic), &self.default_rules)
    }
}

/// The operator's settings under Kafka's names: those that were written, and those that differ from Kafka's defaults.
pub(crate) fn fixed_values(id: BrokerId, settings: &BrokerSettings) -> Values {
    let mut values = settings.kafka.clone();
    let defaults = BrokerSettings::default();
    let mut derive = |name: &str, value: String, default: String| {
        if value != default {
            values.entry(name.to_owned()).or_insert(value);
        }
    };
    let (own, kafka) = (settings, &defaults);
    let text = |value: usize| value.to_string();
    derive("auto.create.topics.enable", own.auto_create_topics.to_string(), kafka.auto_create_topics.to_string());
    derive("num.partitions", own.num_partitions.to_string(), kafka.num_partitions.to_string());
    derive(
        "default.replication.factor",
        own.default_replication_factor.to_string(),
        kafka.default_replication_factor.to_string(),
    );
    derive("message.max.bytes", text(own.message_max_bytes), text(kafka.message_max_bytes));
    derive("socket.request.max.bytes", text(own.frame_bytes_max), text(kafka.frame_bytes_max));
    derive("fetch.max.bytes", text(own.fetch_bytes_max), text(kafka.fetch_bytes_max));
    derive("max.connections", text(own.connections_max), text(i32::MAX as usize));
    derive(
        "connections.max.idle.ms",
        own.idle_timeout.as_millis().to_string(),
        kafka.idle_timeout.as_millis().to_string(),
    );
    derive("log.dirs", own.storage.clone(), String::new());
    derive("queued.max.request.bytes", text(own.request_bytes_in_flight), String::new());
    derive("broker.id", id.to_string(), String::new());
    derive("node.id", id.to_string(), String::new());
    values
}
