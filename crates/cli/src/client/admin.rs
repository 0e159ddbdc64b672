//! Topics and their settings.

use super::{Client, ClientError, check, topic_name};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest,
    IncrementalAlterConfigsRequest, ListOffsetsRequest,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;

const TOPIC_RESOURCE: i8 = 2;
const SET: i8 = 0;
const DELETE: i8 = 1;

/// Timestamp that asks `ListOffsets` for the end of a partition.
pub const LATEST: i64 = -1;
/// Timestamp that asks `ListOffsets` for the start of a partition.
pub const EARLIEST: i64 = -2;

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

/// First and next offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionOffsets {
    /// First readable offset.
    pub start: i64,
    /// Offset of the next record.
    pub end: i64,
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
        self.retrying(|| async {
            let response = self.controller().await?.call(&request, self.timeout()).await?;
            response
                .topics
                .iter()
                .try_for_each(|topic| check(topic.error_code, || format!("topic {name}"), topic.error_message.as_ref()))
        })
        .await
    }

    /// Deletes a topic and its data.
    pub async fn delete_topic(&self, name: &str) -> Result<(), ClientError> {
        let request = DeleteTopicsRequest::default()
            .with_topics(vec![DeleteTopicState::default().with_name(Some(topic_name(name)))])
            .with_topic_names(vec![topic_name(name)])
            .with_timeout_ms(self.timeout_ms());
        self.retrying(|| async {
            let response = self.controller().await?.call(&request, self.timeout()).await?;
            response
                .responses
                .iter()
                .try_for_each(|topic| check(topic.error_code, || format!("topic {name}"), topic.error_message.as_ref()))
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
        self.retrying(|| async {
            let response = self.controller().await?.call(&request, self.timeout()).await?;
            response
                .results
                .iter()
                .try_for_each(|topic| check(topic.error_code, || format!("topic {name}"), topic.error_message.as_ref()))
        })
        .await
    }

    /// All settings of a topic, by name.
    pub async fn topic_configs(&self, name: &str) -> Result<Vec<ConfigEntry>, ClientError> {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(TOPIC_RESOURCE)
            .with_resource_name(text(name))
            .with_configuration_keys(None);
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
        let response = self.retrying(|| async { self.any().await?.call(&request, self.timeout()).await }).await?;
        let mut entries = Vec::new();
        for result in &response.results {
            check(result.error_code, || format!("topic {name}"), result.error_message.as_ref())?;
            entries.extend(result.configs.iter().map(|config| ConfigEntry {
                name: config.name.to_string(),
                value: config.value.as_ref().map(|value| value.to_string()),
                source: source_name(config.config_source),
                is_own: config.config_source == 1,
            }));
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
        self.retrying(|| async {
            let response = self.controller().await?.call(&request, self.timeout()).await?;
            response.responses.iter().try_for_each(|result| {
                check(result.error_code, || format!("topic {name}"), result.error_message.as_ref())
            })
        })
        .await
    }

    /// First and next offset of each partition.
    pub async fn offsets(&self, topic: &str) -> Result<BTreeMap<i32, PartitionOffsets>, ClientError> {
        let partitions: Vec<i32> = self.leaders(topic, false).await?.into_keys().collect();
        let starts = self.offsets_at(topic, &partitions, EARLIEST).await?;
        let ends = self.offsets_at(topic, &partitions, LATEST).await?;
        let pair = |(partition, start): (i32, i64)| {
            let end = ends.get(&partition).copied().unwrap_or(start);
            (partition, PartitionOffsets { start, end })
        };
        Ok(starts.into_iter().map(pair).collect())
    }

    /// The first offset at or after a timestamp (milliseconds since 1970, or [`LATEST`] or [`EARLIEST`]); -1 where
    /// there is no such record.
    pub async fn offsets_at(
        &self,
        topic: &str,
        partitions: &[i32],
        timestamp: i64,
    ) -> Result<BTreeMap<i32, i64>, ClientError> {
        self.retrying(|| async {
            let leaders = self.leaders(topic, false).await?;
            let mut by_node: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
            for partition in partitions {
                let unknown = || format!("partition {topic}/{partition}");
                let leader = leaders.get(partition);
                check(if leader.is_some() { 0 } else { UNKNOWN_PARTITION }, unknown, None)?;
                by_node.entry(leader.copied().unwrap_or(-1)).or_default().push(*partition);
            }
            let mut offsets = BTreeMap::new();
            for (node, partitions) in by_node {
                offsets.extend(self.offsets_of_node(node, topic, &partitions, timestamp).await?);
            }
            Ok(offsets)
        })
        .await
    }

    async fn offsets_of_node(
        &self,
        node: i32,
        topic: &str,
        partitions: &[i32],
        timestamp: i64,
    ) -> Result<Vec<(i32, i64)>, ClientError> {
        let ask = |partition: &i32| {
            ListOffsetsPartition::default()
                .with_partition_index(*partition)
                .with_timestamp(timestamp)
                .with_current_leader_epoch(-1)
        };
        let asked = ListOffsetsTopic::default()
            .with_name(topic_name(topic))
            .with_partitions(partitions.iter().map(ask).collect());
        let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![asked]);
        let response = self.node(node).await?.call(&request, self.timeout()).await?;
        let mut offsets = Vec::new();
        for partition in response.topics.iter().flat_map(|topic| &topic.partitions) {
            check(partition.error_code, || format!("partition {topic}/{}", partition.partition_index), None)?;
            offsets.push((partition.partition_index, partition.offset));
        }
        Ok(offsets)
    }

    async fn controller(&self) -> Result<std::sync::Arc<super::Connection>, ClientError> {
        let metadata = self.metadata(Some(&[]), false).await?;
        if metadata.controller_id.0 < 0 { self.any().await } else { self.node(metadata.controller_id.0).await }
    }

    fn timeout_ms(&self) -> i32 {
        i32::try_from(self.timeout().as_millis()).unwrap_or(i32::MAX)
    }
}

const UNKNOWN_PARTITION: i16 = kafka_protocol::error::ResponseError::UnknownTopicOrPartition.code();

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_string())
}

/// Kafka's names of the places a setting comes from (`ConfigSource`).
fn source_name(source: i8) -> &'static str {
    match source {
        1 => "topic",
        2 => "broker (dynamic)",
        3 => "cluster (dynamic)",
        4 => "broker (static)",
        5 => "default",
        _ => "unknown",
    }
}
