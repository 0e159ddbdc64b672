//! DescribeProducers (API 61): who has written to a partition lately, and since which offset in an open transaction.
//!
//! Every broker knows it of every partition.

use super::{Answer, Refused, Request, text};
use crate::node::Node;
use frazil_meta::state::{ProducerView, State};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse};

/// Coordinators have no epoch that markers could carry: the metadata log fences them.
const COORDINATOR_EPOCH: i32 = 0;
/// No open transaction.
const NO_TRANSACTION: i64 = -1;

pub(crate) fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: DescribeProducersRequest = request.decode()?;
    let state = node.log.state();
    let topics: Vec<_> = wanted
        .topics
        .into_iter()
        .map(|topic| {
            let indexes = topic.partition_indexes.iter();
            let partitions = indexes.map(|index| describe(&state, &topic.name, *index)).collect();
            TopicResponse::default().with_name(topic.name).with_partitions(partitions)
        })
        .collect();
    drop(state);
    let codes = topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
    let error_code = super::first_error(codes);
    request.answer(&DescribeProducersResponse::default().with_topics(topics), error_code)
}

fn describe(state: &State, topic: &str, index: i32) -> PartitionResponse {
    let response = PartitionResponse::default().with_partition_index(index).with_error_message(None);
    let place = super::partition_named(state, topic, index);
    match place.and_then(|place| state.partition(place)) {
        Some(partition) => response.with_active_producers(partition.producers().map(producer).collect()),
        None => {
            let error = ResponseError::UnknownTopicOrPartition;
            response.with_error_code(error.code()).with_error_message(Some(text("the partition does not exist")))
        }
    }
}

fn producer(view: ProducerView) -> ProducerState {
    ProducerState::default()
        .with_producer_id(view.id.into())
        .with_producer_epoch(view.epoch.into())
        .with_last_sequence(view.last_sequence)
        .with_last_timestamp(view.last_ms)
        .with_coordinator_epoch(COORDINATOR_EPOCH)
        .with_current_txn_start_offset(view.txn_start.unwrap_or(NO_TRANSACTION))
}
