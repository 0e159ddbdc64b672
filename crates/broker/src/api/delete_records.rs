//! DeleteRecords (API 21): moves log starts forward. Streams purges its repartition topics with it.
//!
//! All starts of a request go into one record, or a few when there are very many.

use super::{Answer, Refused, Request};
use crate::config::{Scope, list_items, table};
use crate::error_code;
use crate::node::Node;
use frazil_base::TopicPartition;
use frazil_meta::Outcome;
use frazil_meta::record::Command;
use frazil_meta::state::{State, Topic};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

/// Stands for the offset after the last record.
const TO_THE_END: i64 = -1;
/// The log start of a partition that could not be served.
const NO_LOW_WATERMARK: i64 = -1;
/// Log starts that one record moves.
const STARTS_AT_ONCE: usize = 4096;

type Start = (TopicPartition, i64);

pub(crate) async fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: DeleteRecordsRequest = request.decode()?;
    let planned: Vec<Vec<Result<Start, ResponseError>>> = {
        let state = node.log.state();
        let plan_topic = |topic: &kafka_protocol::messages::delete_records_request::DeleteRecordsTopic| {
            let found = state.topic_by_name(&topic.name);
            let plan = |index, offset| plan(node, &state, found, index, offset);
            topic.partitions.iter().map(|wanted| plan(wanted.partition_index, wanted.offset)).collect()
        };
        wanted.topics.iter().map(plan_topic).collect()
    };
    let moved = move_starts(node, planned.iter().flatten().filter_map(|start| start.as_ref().ok().copied())).await;
    let topics = wanted.topics.into_iter().zip(planned).map(|(topic, planned)| {
        let results = topic.partitions.iter().zip(planned).map(|(wanted, planned)| {
            let low_watermark = planned.and_then(|(place, _)| moved.and_then(|()| log_start(node, place)));
            result(wanted.partition_index, low_watermark)
        });
        DeleteRecordsTopicResult::default().with_partitions(results.collect()).with_name(topic.name)
    });
    let topics: Vec<_> = topics.collect();
    let codes = topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
    let error_code = super::first_error(codes);
    request.answer(&DeleteRecordsResponse::default().with_topics(topics), error_code)
}

/// Where a partition is to start.
fn plan(node: &Node, state: &State, topic: Option<&Topic>, index: i32, offset: i64) -> Result<Start, ResponseError> {
    let topic = topic.ok_or(ResponseError::UnknownTopicOrPartition)?;
    let place = TopicPartition { topic: topic.id, partition: index };
    let partition = state.partition(place).ok_or(ResponseError::UnknownTopicOrPartition)?;
    if is_only_compacted(node, state, topic) {
        return Err(ResponseError::PolicyViolation);
    }
    match offset {
        TO_THE_END => Ok((place, partition.next_offset)),
        offset if (0..=partition.next_offset).contains(&offset) => Ok((place, offset)),
        _ => Err(ResponseError::OffsetOutOfRange),
    }
}

/// Records of compacted topics are replaced by later ones of the same key, and by nothing else.
fn is_only_compacted(node: &Node, state: &State, topic: &Topic) -> bool {
    let policy = table::topic("cleanup.policy").expect("the setting stands in the table");
    let value = node.topic_layers(state, topic).effective(policy, Scope::Topic).0.unwrap_or_default();
    let policies = list_items(&value);
    policies.contains(&"compact") && !policies.contains(&"delete")
}

/// Moves the starts that are not there yet. The first failure counts for all.
async fn move_starts(node: &Node, starts: impl Iterator<Item = Start>) -> Result<(), ResponseError> {
    let behind: Vec<Start> = {
        let state = node.log.state();
        let moves = |(place, start): &Start| state.partition(*place).is_some_and(|at| at.log_start < *start);
        starts.filter(moves).collect()
    };
    for starts in behind.chunks(STARTS_AT_ONCE) {
        match node.log.propose(Command::MoveLogStart { starts: starts.to_vec() }).await {
            Ok(Outcome::Refused(refusal)) => return Err(error_code::of_refusal(refusal)),
            Ok(_) => {}
            Err(error) => return Err(error_code::of_propose(&error)),
        }
    }
    Ok(())
}

fn log_start(node: &Node, place: TopicPartition) -> Result<i64, ResponseError> {
    let state = node.log.state();
    state.partition(place).map(|partition| partition.log_start).ok_or(ResponseError::UnknownTopicOrPartition)
}

fn result(index: i32, low_watermark: Result<i64, ResponseError>) -> DeleteRecordsPartitionResult {
    let result = DeleteRecordsPartitionResult::default().with_partition_index(index);
    match low_watermark {
        Ok(offset) => result.with_low_watermark(offset),
        Err(error) => result.with_low_watermark(NO_LOW_WATERMARK).with_error_code(error.code()),
    }
}
