//! ElectLeaders (API 43): every partition has the leader that it prefers, so there is never anything to elect.

use super::{Answer, Refused, Request, text};
use crate::node::Node;
use frazil_base::TopicPartition;
use frazil_meta::state::State;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};

/// First version that has kinds of elections, and an error of the whole request.
const KINDS_FROM: i16 = 1;
/// Preferred and unclean.
const KINDS: std::ops::RangeInclusive<i8> = 0..=1;

pub(crate) fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: ElectLeadersRequest = request.decode()?;
    let has_kinds = request.header.api_version >= KINDS_FROM;
    if has_kinds && !KINDS.contains(&wanted.election_type) {
        let error_code = ResponseError::InvalidRequest.code();
        return request.answer(&ElectLeadersResponse::default().with_error_code(error_code), error_code);
    }
    let state = node.log.state();
    // Asked for all, Kafka tells those that changed.
    let results = wanted.topic_partitions.unwrap_or_default().into_iter().map(|topic| {
        let result = |index: i32| {
            let (error, message) = answer(&state, &topic.topic, index);
            PartitionResult::default()
                .with_partition_id(index)
                .with_error_code(error.code())
                .with_error_message(Some(text(message)))
        };
        let results = topic.partitions.iter().map(|index| result(*index)).collect();
        ReplicaElectionResult::default().with_topic(topic.topic.clone()).with_partition_result(results)
    });
    let results: Vec<_> = results.collect();
    let codes = results.iter().flat_map(|topic| &topic.partition_result).map(|result| result.error_code);
    let error_code = super::first_error(codes);
    request.answer(&ElectLeadersResponse::default().with_replica_election_results(results), error_code)
}

fn answer(state: &State, topic: &str, index: i32) -> (ResponseError, String) {
    let Some(found) = state.topic_by_name(topic) else {
        return (ResponseError::UnknownTopicOrPartition, format!("No such topic as {topic}"));
    };
    match state.partition(TopicPartition { topic: found.id, partition: index }) {
        None => (ResponseError::UnknownTopicOrPartition, format!("No such partition as {topic}-{index}")),
        Some(_) => (ResponseError::ElectionNotNeeded, "Leader election not needed for topic partition.".to_owned()),
    }
}
