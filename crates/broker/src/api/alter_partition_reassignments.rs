//! AlterPartitionReassignments (API 45). Replicas are a view for tools: any broker takes any record, and the store has
//! the copies. A partition that is to stay where it is shown is done at once; one that is to move is refused, since
//! nothing could.

use super::create_topics::{Refusal, check_replicas};
use super::metadata::View;
use super::{Answer, Refused, Request, text};
use crate::node::Node;
use frazil_meta::state::State;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_partition_reassignments_request::ReassignablePartition;
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, BrokerId, TopicName,
};

/// First version that tells whether replication factors may change (KIP-860).
const REPLICATION_FACTORS_FROM: i16 = 1;

pub(crate) fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: AlterPartitionReassignmentsRequest = request.decode()?;
    let state = node.log.state();
    let view = View::new(&state, None);
    let responses = wanted.topics.into_iter().map(|topic| {
        let respond = |partition: &ReassignablePartition| {
            let response = ReassignablePartitionResponse::default().with_partition_index(partition.partition_index);
            match check(&state, &view, &topic.name, partition) {
                Ok(()) => response.with_error_message(None),
                Err(refusal) => {
                    response.with_error_code(refusal.code.code()).with_error_message(Some(text(refusal.message)))
                }
            }
        };
        let partitions = topic.partitions.iter().map(respond).collect();
        ReassignableTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    let responses: Vec<_> = responses.collect();
    let codes = responses.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
    let error_code = super::first_error(codes);
    let mut response =
        AlterPartitionReassignmentsResponse::default().with_error_message(None).with_responses(responses);
    if request.header.api_version >= REPLICATION_FACTORS_FROM {
        response = response.with_allow_replication_factor_change(wanted.allow_replication_factor_change);
    }
    request.answer(&response, error_code)
}

fn check(state: &State, view: &View<'_>, topic: &TopicName, wanted: &ReassignablePartition) -> Result<(), Refusal> {
    let unknown = || Refusal::new(ResponseError::UnknownTopicOrPartition, "The topic or partition does not exist.");
    let topic = state.topic_by_name(topic).ok_or_else(unknown)?;
    let count = topic.partitions.len() as i32;
    if !(0..count).contains(&wanted.partition_index) {
        return Err(unknown());
    }
    let Some(replicas) = &wanted.replicas else {
        let message = "No partition reassignment is in progress.";
        return Err(Refusal::new(ResponseError::NoReassignmentInProgress, message));
    };
    check_replicas(state, replicas)?;
    match view.place(state, topic, wanted.partition_index) {
        Some(placed) if is_same_set(&placed.replicas, replicas) => Ok(()),
        _ => Err(Refusal::new(
            ResponseError::InvalidReplicaAssignment,
            "Partitions cannot be moved: any broker takes any record, and the store has the copies.",
        )),
    }
}

fn is_same_set(shown: &[BrokerId], wanted: &[BrokerId]) -> bool {
    wanted.iter().all(|id| shown.contains(id)) && shown.iter().all(|id| wanted.contains(id))
}
