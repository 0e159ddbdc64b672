//! OffsetForLeaderEpoch (API 23, KIP-320): where an epoch ends. There is one epoch, and it ends with the log.

use super::fetch::{LEADER_EPOCH, check_epoch};
use super::{Answer, Refused, Request};
use crate::node::Node;
use frazil_base::TopicPartition;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

pub(crate) fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: OffsetForLeaderEpochRequest = request.decode()?;
    let mut topics = Vec::with_capacity(wanted.topics.len());
    for topic in wanted.topics {
        let partitions = topic.partitions.iter().map(|partition| find(node, &topic.topic, partition)).collect();
        topics.push(OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(partitions));
    }
    let codes = topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
    let error_code = super::first_error(codes);
    request.answer(&OffsetForLeaderEpochResponse::default().with_topics(topics), error_code)
}

fn find(node: &Node, topic: &str, wanted: &OffsetForLeaderPartition) -> EpochEndOffset {
    let response = EpochEndOffset::default().with_partition(wanted.partition);
    match next_offset(node, topic, wanted) {
        Err(error) => response.with_error_code(error.code()),
        Ok(next_offset) if wanted.leader_epoch == LEADER_EPOCH => {
            response.with_leader_epoch(LEADER_EPOCH).with_end_offset(next_offset)
        }
        Ok(_) => response,
    }
}

fn next_offset(node: &Node, topic: &str, wanted: &OffsetForLeaderPartition) -> Result<i64, ResponseError> {
    let unknown = ResponseError::UnknownTopicOrPartition;
    let state = node.log.state();
    let topic = state.topic_by_name(topic).ok_or(unknown)?.id;
    let place = TopicPartition { topic, partition: wanted.partition };
    let next_offset = state.partition(place).ok_or(unknown)?.next_offset;
    check_epoch(wanted.current_leader_epoch)?;
    Ok(next_offset)
}
