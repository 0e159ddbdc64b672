//! TxnOffsetCommit (API 28): offsets of a group that take effect with the end of a transaction.
//!
//! It goes to the coordinator of the group, which knows the members; the transaction's own fence is checked where the
//! record is applied. From version 5 on the group joins the transaction by it (KIP-890).

use super::{Answer, Refused, Request};
use crate::node::Node;
use crate::transaction;
use frazil_base::TopicPartition;
use frazil_meta::record::{GroupCommit, GroupFence, OffsetCommit, TxnFence};
use frazil_meta::state::{CoordinatorKind, Group, GroupKind, State};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestPartition;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};

/// First version whose group joins the transaction by the commit.
const IMPLICIT_FROM: i16 = 5;
/// First version that knows `TRANSACTION_ABORTABLE`.
const ABORTABLE_FROM: i16 = 4;

/// What becomes of a partition before anything is written.
type Fate = Result<(TopicPartition, OffsetCommit), ResponseError>;

pub(crate) async fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: TxnOffsetCommitRequest = request.decode()?;
    let version = request.header.api_version;
    let fates = fates(node, &wanted);
    let offsets: Vec<_> = fates.iter().filter_map(|fate| fate.as_ref().ok().cloned()).collect();
    let code = match commit(node, version, &wanted, offsets).await {
        Ok(()) => 0,
        Err(error) => known_in(version, error).code(),
    };
    let mut fates = fates.into_iter();
    let response = |(partition, fate): (&TxnOffsetCommitRequestPartition, Fate)| {
        let code = match fate {
            Err(error) if code == 0 || error == ResponseError::UnknownTopicOrPartition => error.code(),
            _ => code,
        };
        let response = TxnOffsetCommitResponsePartition::default().with_error_code(code);
        response.with_partition_index(partition.partition_index)
    };
    let mut topics = Vec::with_capacity(wanted.topics.len());
    for topic in wanted.topics {
        let partitions = topic.partitions.iter().zip(&mut fates).map(response).collect();
        topics.push(TxnOffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions));
    }
    let codes = topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
    let first_error = super::first_error(codes);
    request.answer(&TxnOffsetCommitResponse::default().with_topics(topics), first_error)
}

/// The offsets that can be committed, and what is wrong with the others, in the order of the request.
fn fates(node: &Node, wanted: &TxnOffsetCommitRequest) -> Vec<Fate> {
    let state = node.log.state();
    let metadata_bytes_max = node.broker_layers(&state).number("offset.metadata.max.bytes");
    let fate = |topic: &str, partition: &TxnOffsetCommitRequestPartition| {
        let place = super::partition_named(&state, topic, partition.partition_index);
        let place = place.ok_or(ResponseError::UnknownTopicOrPartition)?;
        let metadata = partition.committed_metadata.as_ref().map(ToString::to_string).unwrap_or_default();
        if metadata.len() as i64 > metadata_bytes_max {
            return Err(ResponseError::OffsetMetadataTooLarge);
        }
        let (offset, leader_epoch) = (partition.committed_offset, partition.committed_leader_epoch);
        Ok((place, OffsetCommit { offset, leader_epoch, metadata }))
    };
    let topics = wanted.topics.iter();
    topics.flat_map(|topic| topic.partitions.iter().map(|partition| fate(&topic.name, partition))).collect()
}

async fn commit(
    node: &Node,
    version: i16,
    wanted: &TxnOffsetCommitRequest,
    offsets: Vec<(TopicPartition, OffsetCommit)>,
) -> Result<(), ResponseError> {
    let group = wanted.group_id.to_string();
    let fence = {
        let state = node.log.state();
        check_coordinator(node, &state, &group)?;
        fence(state.group(&group), wanted)?
    };
    if offsets.is_empty() {
        return Ok(());
    }
    let txn = TxnFence {
        transactional_id: wanted.transactional_id.to_string(),
        producer_id: wanted.producer_id.0,
        epoch: wanted.producer_epoch,
        implicit: version >= IMPLICIT_FROM,
    };
    transaction::offsets::commit(node, GroupCommit { group, fence, txn: Some(txn), offsets }).await
}

fn check_coordinator(node: &Node, state: &State, group: &str) -> Result<(), ResponseError> {
    if group.is_empty() {
        return Err(ResponseError::InvalidGroupId);
    }
    let coordinator = state.coordinator(CoordinatorKind::Group, group);
    let is_ours = coordinator.is_some_and(|broker| broker.epoch == node.log.epoch());
    if is_ours { Ok(()) } else { Err(ResponseError::NotCoordinator) }
}

/// As whom the producer commits. Producers before KIP-447 name no member; then only the transaction counts.
fn fence(group: Option<&Group>, wanted: &TxnOffsetCommitRequest) -> Result<GroupFence, ResponseError> {
    let (generation, member_id) = (wanted.generation_id, wanted.member_id.as_str());
    let names_member = generation >= 0 || !member_id.is_empty() || wanted.group_instance_id.is_some();
    match group.map(|group| &group.kind) {
        None if generation >= 0 => Err(ResponseError::IllegalGeneration),
        None => Ok(GroupFence::Transactional),
        Some(GroupKind::Offsets) if generation >= 0 => Err(ResponseError::UnknownMemberId),
        Some(GroupKind::Offsets) => Ok(GroupFence::Transactional),
        Some(GroupKind::Classic(group)) => {
            if !names_member || generation < 0 && group.members.is_empty() {
                return Ok(GroupFence::Transactional);
            }
            check_instance(wanted, group.members.values().map(|m| (m.instance_id.as_deref(), m.member_id.as_str())))?;
            Ok(GroupFence::Classic { member_id: member_id.to_owned(), generation })
        }
        Some(GroupKind::Consumer(group)) => {
            if !names_member || generation < 0 && group.members.is_empty() {
                return Ok(GroupFence::Transactional);
            }
            Ok(GroupFence::Consumer { member_id: member_id.to_owned(), member_epoch: generation })
        }
    }
}

/// A static member has to be the one that its instance id belongs to now (KIP-345).
fn check_instance<'a>(
    wanted: &TxnOffsetCommitRequest,
    mut members: impl Iterator<Item = (Option<&'a str>, &'a str)>,
) -> Result<(), ResponseError> {
    let Some(instance_id) = wanted.group_instance_id.as_deref() else { return Ok(()) };
    match members.find(|(instance, _)| *instance == Some(instance_id)) {
        None => Err(ResponseError::UnknownMemberId),
        Some((_, member_id)) if member_id != wanted.member_id.as_str() => Err(ResponseError::FencedInstanceId),
        Some(_) => Ok(()),
    }
}

/// What a client of this version is told.
fn known_in(version: i16, error: ResponseError) -> ResponseError {
    match error {
        ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
        ResponseError::StaleMemberEpoch => ResponseError::IllegalGeneration,
        ResponseError::InvalidTxnState if version >= ABORTABLE_FROM => ResponseError::TransactionAbortable,
        other => other,
    }
}
