//! OffsetCommit (API 8): where a group has got to.
//!
//! Version 10, with topic ids, is not stable in Kafka 4.1 and not served.

use super::{Answer, Refused, Request};
use crate::error_code;
use crate::group::{Commit, CommittedBy, GroupError};
use crate::node::Node;
use frazil_base::TopicPartition;
use frazil_meta::record::OffsetCommit;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};

/// First version that knows groups of the consumer protocol and says that a group does not exist (KIP-848).
const CONSUMER_PROTOCOL_FROM: i16 = 9;

/// What becomes of a partition, apart from the group.
enum Fate {
    Commit(TopicPartition, OffsetCommit),
    /// Refused before the group is asked.
    UnknownPartition,
    /// Refused if the group has nothing against the request.
    MetadataTooLarge,
}

pub(crate) async fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: OffsetCommitRequest = request.decode()?;
    let fates = fates(node, &wanted);
    let version = request.header.api_version;
    let outcome = commit(node, version, &wanted, &fates).await.map_err(|error| code_in(version, error));
    let mut fates = fates.into_iter();
    let topics: Vec<_> = wanted
        .topics
        .into_iter()
        .map(|topic| {
            let codes = topic.partitions.iter().zip(&mut fates).map(|(partition, fate)| {
                let error = match fate {
                    Fate::UnknownPartition => Some(ResponseError::UnknownTopicOrPartition),
                    Fate::Commit(..) => outcome.err(),
                    Fate::MetadataTooLarge => Some(outcome.err().unwrap_or(ResponseError::OffsetMetadataTooLarge)),
                };
                OffsetCommitResponsePartition::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(error.map_or(0, |error| error.code()))
            });
            let partitions = codes.collect();
            OffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions)
        })
        .collect();
    let codes = topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
    let first_error = super::first_error(codes);
    request.answer(&OffsetCommitResponse::default().with_topics(topics), first_error)
}

/// In the order of the request.
fn fates(node: &Node, wanted: &OffsetCommitRequest) -> Vec<Fate> {
    let state = node.log.state();
    let metadata_bytes_max = node.groups.settings().offset_metadata_bytes_max;
    let fate = |topic: &str, partition: &OffsetCommitRequestPartition| {
        let Some(place) = super::partition_named(&state, topic, partition.partition_index) else {
            return Fate::UnknownPartition;
        };
        let metadata = partition.committed_metadata.as_ref().map(ToString::to_string).unwrap_or_default();
        if metadata.len() > metadata_bytes_max {
            return Fate::MetadataTooLarge;
        }
        let (offset, leader_epoch) = (partition.committed_offset, partition.committed_leader_epoch);
        Fate::Commit(place, OffsetCommit { offset, leader_epoch, metadata })
    };
    let topics = wanted.topics.iter();
    topics.flat_map(|topic| topic.partitions.iter().map(|partition| fate(&topic.name, partition))).collect()
}

async fn commit(node: &Node, version: i16, wanted: &OffsetCommitRequest, fates: &[Fate]) -> Result<(), GroupError> {
    if !fates.is_empty() && fates.iter().all(|fate| matches!(fate, Fate::UnknownPartition)) {
        return Ok(());
    }
    if version < CONSUMER_PROTOCOL_FROM && node.groups.is_consumer_member(&wanted.group_id, &wanted.member_id) {
        return Err(GroupError::StaleMemberEpoch);
    }
    let offsets = fates.iter().filter_map(|fate| match fate {
        Fate::Commit(partition, offset) => Some((*partition, offset.clone())),
        Fate::UnknownPartition | Fate::MetadataTooLarge => None,
    });
    let by = CommittedBy {
        member_id: wanted.member_id.to_string(),
        instance_id: wanted.group_instance_id.as_ref().map(ToString::to_string),
        generation: wanted.generation_id_or_member_epoch,
    };
    let group = wanted.group_id.to_string();
    node.groups.commit(Commit { group, by, txn: None, offsets: offsets.collect() }).await
}

/// Older versions have no words for groups that do not exist and for the consumer protocol.
fn code_in(version: i16, error: GroupError) -> ResponseError {
    match error {
        GroupError::GroupIdNotFound if version < CONSUMER_PROTOCOL_FROM => ResponseError::IllegalGeneration,
        GroupError::StaleMemberEpoch if version < CONSUMER_PROTOCOL_FROM => ResponseError::UnsupportedVersion,
        error => error_code::of_group(error),
    }
}
