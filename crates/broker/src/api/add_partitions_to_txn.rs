//! AddPartitionsToTxn (API 24): partitions that a transaction is going to write to, for clients before KIP-890.
//!
//! Versions from 4 on are spoken between Kafka's brokers and not served.

use super::{Answer, Refused, Request};
use crate::node::Node;
use crate::transaction;
use frazil_base::TopicPartition;
use frazil_meta::record::{AddToTransaction, Command};
use frazil_meta::state::State;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};

/// First version that knows `PRODUCER_FENCED`.
const FENCING_FROM: i16 = 2;

pub(crate) async fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: AddPartitionsToTxnRequest = request.decode()?;
    let version = request.header.api_version;
    let producer = (wanted.v3_and_below_producer_id.0, wanted.v3_and_below_producer_epoch);
    transaction::check_connection(node, request, &wanted.v3_and_below_transactional_id, producer)?;
    let (places, unknown) = places(&node.log.state(), &wanted);
    let code = match unknown {
        true => Some(ResponseError::OperationNotAttempted),
        false => add(node, &wanted, places.iter().copied().flatten().collect()).await.err(),
    };
    let code = code.map_or(0, |error| transaction::fencing_known_since(FENCING_FROM, version, error).code());
    let mut places = places.into_iter();
    let mut topics = Vec::with_capacity(wanted.v3_and_below_topics.len());
    for topic in wanted.v3_and_below_topics {
        let results = topic.partitions.iter().zip(&mut places).map(|(index, place)| {
            let code = if place.is_some() { code } else { ResponseError::UnknownTopicOrPartition.code() };
            let result = AddPartitionsToTxnPartitionResult::default().with_partition_index(*index);
            result.with_partition_error_code(code)
        });
        let result = AddPartitionsToTxnTopicResult::default().with_results_by_partition(results.collect());
        topics.push(result.with_name(topic.name));
    }
    let codes = topics.iter().flat_map(|topic| &topic.results_by_partition).map(|result| result.partition_error_code);
    let first_error = super::first_error(codes);
    request.answer(&AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(topics), first_error)
}

/// The partitions in the order of the request, `None` for those that do not exist, and whether there are such.
fn places(state: &State, wanted: &AddPartitionsToTxnRequest) -> (Vec<Option<TopicPartition>>, bool) {
    let topics = wanted.v3_and_below_topics.iter();
    let places: Vec<_> = topics
        .flat_map(|topic| topic.partitions.iter().map(|index| super::partition_named(state, &topic.name, *index)))
        .collect();
    let unknown = places.iter().any(Option::is_none);
    (places, unknown)
}

async fn add(
    node: &Node,
    wanted: &AddPartitionsToTxnRequest,
    partitions: Vec<TopicPartition>,
) -> Result<(), ResponseError> {
    let joining = AddToTransaction {
        transactional_id: wanted.v3_and_below_transactional_id.to_string(),
        producer_id: wanted.v3_and_below_producer_id.0,
        epoch: wanted.v3_and_below_producer_epoch,
        partitions,
        groups: Vec::new(),
    };
    join(node, joining).await
}

/// Writes who joins the transaction, unless all of it belongs to it already.
pub(crate) async fn join(node: &Node, joining: AddToTransaction) -> Result<(), ResponseError> {
    {
        let state = node.log.state();
        transaction::check(node, &state, &joining.transactional_id)?;
        if has_joined(&state, &joining) {
            return Ok(());
        }
    }
    transaction::propose(node, Command::AddToTransaction(joining)).await.map(|_| ())
}

fn has_joined(state: &State, joining: &AddToTransaction) -> bool {
    state.transaction(&joining.transactional_id).is_some_and(|open| {
        open.is_ongoing()
            && (open.producer_id, open.epoch) == (joining.producer_id, joining.epoch)
            && joining.partitions.iter().all(|partition| open.partitions.contains(partition))
            && joining.groups.iter().all(|group| open.groups.contains(group))
    })
}
