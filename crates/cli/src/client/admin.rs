//! Topics and their settings.

use super::{Client, ClientError, check, text, topic_name};
use frazil_broker::WITHOUT_EFFECT;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest,
    IncrementalAlterConfigsRequest,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;

const TOPIC_RESOURCE: i8 = 2;
const TOPIC_SOURCE: i8 = 1;
const DEFAULT_SOURCE: i8 = 5;
const SET: i8 = 0;
const DELETE: i8 = 1;

/// A topic as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// Its id, in hexadecimal; all zeros on brokers that know none.
    pub id: String,
    /// Leader by partition; -1 if none.
    pub leaders: BTreeMap<i32, i32>,
    /// Replicas that the broker shows.
    pub replicas: usize,
    /// Whether it belongs to the system.
    pub internal: bool,
}

/// One setting of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Kafka's name.
    pub name: String,
    /// Its value; `None` when hidden or unset.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: &'static str,
    /// Whether it was set on the topic itself.
    pub is_own: bool,
    /// What the value is when nobody sets it.
    pub default: Option<String>,
    /// Whether it changes anything; Frazil takes some of Kafka's settings that mean nothing here.
    pub has_effect: bool,
    /// What it does, in the broker's words.
    pub documentation: String,
}

impl Client {
    /// All topics, or those named, by name.
    pub async fn topics(&self, names: Option<&[String]>) -> Result<Vec<TopicDescription>, ClientError> {
        let metadata = self.retrying(|| self.metadata(names, false)).await?;
        let mut topics = Vec::new();
        for topic in &metadata.topics {
            let name = topic.name.as_ref().map(|name| name.to_string()).unwrap_or_default();
            check(topic.error_code, || format!("topic {name}"), None)?;
            let partitions = topic.partitions.iter();
            let leaders = partitions.map(|partition| (partition.partition_index, partition.leader_id.0)).collect();
            let replicas = topic.partitions.first().map_or(0, |partition| partition.replica_nodes.len());
            let id = topic.topic_id.simple().to_string();
            topics.push(TopicDescription { name, id, leaders, replicas, internal: topic.is_internal });
        }
        topics.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(topics)
    }

    /// Creates a topic; `None` asks for the broker's default. With `dry_run` it is only checked.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: Option<i32>,
        configs: &[(String, String)],
        dry_run: bool,
    ) -> Result<(), ClientError> {
        let config = |(name, value): &(String, String)| {
            CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
        };
        let topic = CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(partitions.unwrap_or(-1))
            .with_replication_factor(-1)
            .with_configs(configs.iter().map(config).collect());
        let request = CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(self.timeout_ms())
            .with_validate_only(dry_run);
        self.ask_controller(&request, |response| {
            let mut topics = response.topics.iter();
            topics.try_for_each(|topic| refusal(name, topic.error_code, topic.error_message.as_ref()))
        })
        .await
    }

    /// Deletes a topic and its data.
    pub async fn delete_topic(&self, name: &str) -> Result<(), ClientError> {
        let request = DeleteTopicsRequest::default()
            .with_topics(vec![DeleteTopicState::default().with_name(Some(topic_name(name)))])
            .with_topic_names(vec![topic_name(name)])
            .with_timeout_ms(self.timeout_ms());
        self.ask_controller(&request, |response| {
            let mut topics = response.responses.iter();
            topics.try_for_each(|topic| refusal(name, topic.error_code, topic.error_message.as_ref()))
        })
        .await
    }

    /// Gives a topic more partitions.
    pub async fn create_partitions(&self, name: &str, total: i32, dry_run: bool) -> Result<(), ClientError> {
        let topic =
            CreatePartitionsTopic::default().with_name(topic_name(name)).with_count(total).with_assignments(None);
        let request = CreatePartitionsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(self.timeout_ms())
            .with_validate_only(dry_run);
        self.ask_controller(&request, |response| {
            let mut topics = response.results.iter();
            topics.try_for_each(|topic| refusal(name, topic.error_code, topic.error_message.as_ref()))
        })
        .await
    }

    /// All settings of a topic, by name.
    pub async fn topic_configs(&self, name: &str) -> Result<Vec<ConfigEntry>, ClientError> {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(TOPIC_RESOURCE)
            .with_resource_name(text(name))
            .with_configuration_keys(None);
        let request = DescribeConfigsRequest::default()
            .with_resources(vec![resource])
            .with_include_synonyms(true)
            .with_include_documentation(true);
        let response = self.retrying(|| async { self.any().await?.call(&request, self.timeout()).await }).await?;
        let mut entries = Vec::new();
        for result in &response.results {
            refusal(name, result.error_code, result.error_message.as_ref())?;
            entries.extend(result.configs.iter().map(config_entry));
        }
        entries.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(entries)
    }

    /// Sets (`Some`) or takes back (`None`) settings of a topic.
    pub async fn alter_topic(
        &self,
        name: &str,
        changes: &[(String, Option<String>)],
        dry_run: bool,
    ) -> Result<(), ClientError> {
        let change = |(name, value): &(String, Option<String>)| {
            AlterableConfig::default()
                .with_name(text(name))
                .with_config_operation(if value.is_some() { SET } else { DELETE })
                .with_value(value.as_deref().map(text))
        };
        let resource = AlterConfigsResource::default()
            .with_resource_type(TOPIC_RESOURCE)
            .with_resource_name(text(name))
            .with_configs(changes.iter().map(change).collect());
        let request =
            IncrementalAlterConfigsRequest::default().with_resources(vec![resource]).with_validate_only(dry_run);
        self.ask_controller(&request, |response| {
            let mut topics = response.responses.iter();
            topics.try_for_each(|topic| refusal(name, topic.error_code, topic.error_message.as_ref()))
        })
        .await
    }
}

fn config_entry(config: &DescribeConfigsResourceResult) -> ConfigEntry {
    let documentation = config.documentation.as_ref().map(ToString::to_string).unwrap_or_default();
    let value = config.value.as_ref().map(ToString::to_string);
    ConfigEntry {
        name: config.name.to_string(),
        default: if config.config_source == DEFAULT_SOURCE { value.clone() } else { default_among(config) },
        value,
        source: source_name(config.config_source),
        is_own: config.config_source == TOPIC_SOURCE,
        has_effect: !documentation.ends_with(WITHOUT_EFFECT),
        documentation,
    }
}

/// The default among the values that would do in place of this one. Some are told in other units: `log.retention.hours`
/// for `retention.ms`. Kafka leaves those out.
fn default_among(config: &DescribeConfigsResourceResult) -> Option<String> {
    let synonym = config.synonyms.iter().find(|synonym| synonym.source == DEFAULT_SOURCE)?;
    let value = synonym.value.as_ref()?;
    let unit_ms = match synonym.name.rsplit('.').next() {
        Some("hours") => 3_600_000,
        Some("minutes") => 60_000,
        _ => return Some(value.to_string()),
    };
    value.parse::<i64>().ok()?.checked_mul(unit_ms).map(|value_ms| value_ms.to_string())
}

fn refusal(topic: &str, code: i16, message: Option<&StrBytes>) -> Result<(), ClientError> {
    check(code, || format!("topic {topic}"), message)
}

/// Kafka's names of the places a setting comes from (`ConfigSource`).
fn source_name(source: i8) -> &'static str {
    match source {
        TOPIC_SOURCE => "topic",
        2 => "broker (dynamic)",
        3 => "cluster (dynamic)",
        4 => "broker (static)",
        DEFAULT_SOURCE => "default",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::describe_configs_response::DescribeConfigsSynonym;

    fn entry(synonyms: &[(&str, &str, i8)]) -> ConfigEntry {
        let synonym = |(name, value, source): &(&str, &str, i8)| {
            DescribeConfigsSynonym::default().with_name(text(name)).with_value(Some(text(value))).with_source(*source)
        };
        let config = DescribeConfigsResourceResult::default()
            .with_name(text("retention.ms"))
            .with_value(Some(text("1000")))
            .with_config_source(TOPIC_SOURCE)
            .with_documentation(Some(text(&format!("How long. {WITHOUT_EFFECT}"))))
            .with_synonyms(synonyms.iter().map(synonym).collect());
        config_entry(&config)
    }

    #[test]
    fn the_default_is_told_in_the_units_of_the_setting() {
        let own = ("retention.ms", "1000", TOPIC_SOURCE);
        assert_eq!(entry(&[own, ("log.retention.hours", "168", 5)]).default.as_deref(), Some("604800000"));
        assert_eq!(entry(&[own, ("log.retention.minutes", "2", 5)]).default.as_deref(), Some("120000"));
        assert_eq!(
            entry(&[own, ("log.retention.ms", "7", 4), ("log.retention.ms", "5", 5)]).default.as_deref(),
            Some("5")
        );
        assert_eq!(entry(&[own]).default, None);
    }

    #[test]
    fn a_setting_without_effect_is_known_by_its_documentation() {
        let entry = entry(&[]);
        assert!(!entry.has_effect && entry.is_own);
        assert_eq!((entry.source, entry.value.as_deref()), ("topic", Some("1000")));
    }
}
