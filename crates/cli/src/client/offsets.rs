//! Offsets of partitions: where they start and end, where a moment lies, and deleting what is before one.
//!
//! One request per leader carries all partitions, whatever their topics.

use super::{Client, ClientError, check, topic_name};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, DeleteRecordsRequest, ListOffsetsRequest};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Timestamp that asks `ListOffsets` for the end of a partition.
pub const LATEST: i64 = -1;
/// Timestamp that asks `ListOffsets` for the start of a partition.
pub const EARLIEST: i64 = -2;

const UNKNOWN_PARTITION: i16 = ResponseError::UnknownTopicOrPartition.code();

/// A partition by the name of its topic; prints as `orders/3`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
}

impl TopicPartition {
    /// The partition of this topic.
    pub fn new(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition { topic: topic.to_string(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// First and next offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionOffsets {
    /// First readable offset.
    pub start: i64,
    /// Offset of the next record.
    pub end: i64,
}

/// Partitions sorted by topic, as requests want them.
pub(super) fn by_topic<'a>(
    partitions: impl IntoIterator<Item = &'a TopicPartition>,
) -> BTreeMap<&'a str, Vec<&'a TopicPartition>> {
    let mut topics: BTreeMap<&str, Vec<&TopicPartition>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition);
    }
    topics
}

impl Client {
    /// First and next offset of each partition of a topic.
    pub async fn offsets(&self, topic: &str) -> Result<BTreeMap<i32, PartitionOffsets>, ClientError> {
        let wanted = self.partitions(topic).await?;
        let ranges = self.ranges(&wanted).await?;
        Ok(ranges.into_iter().map(|(place, range)| (place.partition, range)).collect())
    }

    /// All partitions of a topic.
    pub async fn partitions(&self, topic: &str) -> Result<BTreeSet<TopicPartition>, ClientError> {
        let leaders = self.leaders(topic, false).await?;
        Ok(leaders.into_keys().map(|partition| TopicPartition::new(topic, partition)).collect())
    }

    /// First and next offset of partitions; those that do not exist are left out.
    pub async fn ranges(
        &self,
        wanted: &BTreeSet<TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, PartitionOffsets>, ClientError> {
        let (starts, ends) =
            futures::try_join!(self.list_offsets(wanted, EARLIEST), self.list_offsets(wanted, LATEST))?;
        let pair = |(place, start): (TopicPartition, i64)| {
            let end = ends.get(&place).copied().unwrap_or(start);
            (place, PartitionOffsets { start, end })
        };
        Ok(starts.into_iter().map(pair).collect())
    }

    /// The first offset at or after a timestamp (milliseconds since 1970, or [`LATEST`] or [`EARLIEST`]) in partitions
    /// of one topic; -1 where there is no such record.
    pub async fn offsets_at(
        &self,
        topic: &str,
        partitions: &[i32],
        timestamp: i64,
    ) -> Result<BTreeMap<i32, i64>, ClientError> {
        let wanted = partitions.iter().map(|partition| TopicPartition::new(topic, *partition)).collect();
        let offsets = self.list_offsets(&wanted, timestamp).await?;
        for place in wanted.iter().filter(|place| !offsets.contains_key(place)) {
            check(UNKNOWN_PARTITION, || format!("partition {place}"), None)?;
        }
        Ok(offsets.into_iter().map(|(place, offset)| (place.partition, offset)).collect())
    }

    /// The same in any partitions; those that do not exist are left out.
    pub async fn list_offsets(
        &self,
        wanted: &BTreeSet<TopicPartition>,
        timestamp: i64,
    ) -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
        self.retrying(|| async {
            let by_leader = self.by_leader(wanted).await?;
            let asks = by_leader.iter().map(|(leader, places)| self.offsets_of_node(*leader, places, timestamp));
            let answers = futures::future::try_join_all(asks).await?;
            Ok(answers.into_iter().flatten().collect())
        })
        .await
    }

    /// Existing partitions by the broker that leads them.
    pub(super) async fn by_leader<'a>(
        &self,
        wanted: &'a BTreeSet<TopicPartition>,
    ) -> Result<BTreeMap<i32, Vec<&'a TopicPartition>>, ClientError> {
        let topics: Vec<String> = by_topic(wanted).into_keys().map(str::to_string).collect();
        let leaders = self.leaders_of(&topics).await?;
        let mut by_leader: BTreeMap<i32, Vec<&TopicPartition>> = BTreeMap::new();
        for place in wanted {
            let leader = leaders.get(&place.topic).and_then(|leaders| leaders.get(&place.partition));
            if let Some(leader) = leader {
                by_leader.entry(*leader).or_default().push(place);
            }
        }
        Ok(by_leader)
    }

    async fn offsets_of_node(
        &self,
        node: i32,
        places: &[&TopicPartition],
        timestamp: i64,
    ) -> Result<Vec<(TopicPartition, i64)>, ClientError> {
        let partition = |place: &&TopicPartition| {
            ListOffsetsPartition::default()
                .with_partition_index(place.partition)
                .with_timestamp(timestamp)
                .with_current_leader_epoch(-1)
        };
        let topics = by_topic(places.iter().copied()).into_iter().map(|(topic, places)| {
            ListOffsetsTopic::default()
                .with_name(topic_name(topic))
                .with_partitions(places.iter().map(partition).collect())
        });
        let request =
            ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(topics.collect::<Vec<_>>());
        let request = request.with_isolation_level(self.isolation() as i8);
        let response = self.node(node).await?.call(&request, self.timeout()).await?;
        let mut offsets = Vec::new();
        for topic in &response.topics {
            for partition in &topic.partitions {
                let place = TopicPartition::new(&topic.name, partition.partition_index);
                check(partition.error_code, || format!("partition {place}"), None)?;
                offsets.push((place, partition.offset));
            }
        }
        Ok(offsets)
    }

    /// Deletes the records before these offsets (-1: all there are). Returns the first offset that is left in each
    /// partition.
    pub async fn delete_records(
        &self,
        before: &BTreeMap<TopicPartition, i64>,
    ) -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
        let wanted = before.keys().cloned().collect();
        self.retrying(|| async {
            let by_leader = self.by_leader(&wanted).await?;
            let asks = by_leader.iter().map(|(leader, places)| self.delete_on_node(*leader, places, before));
            let answers = futures::future::try_join_all(asks).await?;
            Ok(answers.into_iter().flatten().collect())
        })
        .await
    }

    async fn delete_on_node(
        &self,
        node: i32,
        places: &[&TopicPartition],
        before: &BTreeMap<TopicPartition, i64>,
    ) -> Result<Vec<(TopicPartition, i64)>, ClientError> {
        let partition = |place: &&TopicPartition| {
            DeleteRecordsPartition::default().with_partition_index(place.partition).with_offset(before[*place])
        };
        let topics = by_topic(places.iter().copied()).into_iter().map(|(topic, places)| {
            DeleteRecordsTopic::default()
                .with_name(topic_name(topic))
                .with_partitions(places.iter().map(partition).collect())
        });
        let request =
            DeleteRecordsRequest::default().with_topics(topics.collect::<Vec<_>>()).with_timeout_ms(self.timeout_ms());
        let response = self.node(node).await?.call(&request, self.timeout()).await?;
        let mut left = Vec::new();
        for topic in &response.topics {
            for partition in &topic.partitions {
                let place = TopicPartition::new(&topic.name, partition.partition_index);
                check(partition.error_code, || format!("partition {place}"), None)?;
                left.push((place, partition.low_watermark));
            }
        }
        Ok(left)
    }
}
