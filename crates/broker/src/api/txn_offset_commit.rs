//! TxnOffsetCommit (API 28): offsets of a group that take effect with the end of a transaction.
//!
//! It goes to the coordinator of the group, which knows the members; the transaction's own fence is checked where the
//! record is applied. From version 5 on the group joins the transaction by it (KIP-890).

use super::{Answer, Refused, Request};
use crate::error_code;
use crate::group::{Commit, CommittedBy, GroupError};
use crate::node::Node;
use frazil_base::TopicPartition;
use frazil_meta::record::{OffsetCommit, TxnFence};
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
    let is_unknown = |fate: &Fate| matches!(fate, Err(ResponseError::UnknownTopicOrPartition));
    let code = match !fates.is_empty() && fates.iter().all(is_unknown) {
        // Nobody asks the group, nor the transaction.
        true => 0,
        false => {
            let offsets = fates.iter().filter_map(|fate| fate.as_ref().ok().cloned()).collect();
            let outcome = node.groups.commit(commit(version, &wanted, offsets)).await;
            outcome.err().map_or(0, |error| code_in(version, error).code())
        }
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
    let metadata_bytes_max = node.groups.settings().offset_metadata_bytes_max;
    let fate = |topic: &str, partition: &TxnOffsetCommitRequestPartition| {
        let place = super::partition_named(&state, topic, partition.partition_index);
        let place = place.ok_or(ResponseError::UnknownTopicOrPartition)?;
        let metadata = partition.committed_metadata.as_ref().map(ToString::to_string).unwrap_or_default();
        if metadata.len() > metadata_bytes_max {
            return Err(ResponseError::OffsetMetadataTooLarge);
        }
        let (offset, leader_epoch) = (partition.committed_offset, partition.committed_leader_epoch);
        Ok((place, OffsetCommit { offset, leader_epoch, metadata }))
    };
    let topics = wanted.topics.iter();
    topics.flat_map(|topic| topic.partitions.iter().map(|partition| fate(&topic.name, partition))).collect()
}

fn commit(version: i16, wanted: &TxnOffsetCommitRequest, offsets: Vec<(TopicPartition, OffsetCommit)>) -> Commit {
    let by = CommittedBy {
        member_id: wanted.member_id.to_string(),
        instance_id: wanted.group_instance_id.as_ref().map(ToString::to_string),
        generation: wanted.generation_id,
    };
    let txn = TxnFence {
        transactional_id: wanted.transactional_id.to_string(),
        producer_id: wanted.producer_id.0,
        epoch: wanted.producer_epoch,
        implicit: version >= IMPLICIT_FROM,
    };
    Commit { group: wanted.group_id.to_string(), by, txn: Some(txn), offsets }
}

/// What a client of this version is told.
fn code_in(version: i16, error: GroupError) -> ResponseError {
    match error {
        GroupError::GroupIdNotFound | GroupError::StaleMemberEpoch => ResponseError::IllegalGeneration,
        GroupError::InvalidTxnState if version >= ABORTABLE_FROM => ResponseError::TransactionAbortable,
        error => error_code::of_group(error),
    }
}
