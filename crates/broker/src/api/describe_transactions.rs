//! DescribeTransactions (API 65): what transactional ids do now.

use super::{Answer, Refused, Request, text};
use crate::node::Node;
use crate::transaction;
use frazil_meta::state::{State, Transaction, TransactionPhase};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::{DescribeTransactionsRequest, DescribeTransactionsResponse};
use std::collections::BTreeMap;

pub(crate) fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: DescribeTransactionsRequest = request.decode()?;
    let state = node.log.state();
    let described: Vec<_> = wanted
        .transactional_ids
        .into_iter()
        .map(|id| {
            let row = match find(node, &state, &id) {
                Ok(transaction) => describe(&state, transaction),
                Err(error) => TransactionState::default().with_error_code(error.code()),
            };
            row.with_transactional_id(id)
        })
        .collect();
    drop(state);
    let error_code = super::first_error(described.iter().map(|row| row.error_code));
    request.answer(&DescribeTransactionsResponse::default().with_transaction_states(described), error_code)
}

fn find<'a>(node: &Node, state: &'a State, id: &str) -> Result<&'a Transaction, ResponseError> {
    transaction::check(node, state, id)?;
    state.transaction(id).ok_or(ResponseError::TransactionalIdNotFound)
}

fn describe(state: &State, transaction: &Transaction) -> TransactionState {
    let started_ms = match transaction.phase {
        TransactionPhase::Ongoing { started_ms } => started_ms,
        TransactionPhase::Empty | TransactionPhase::Committed | TransactionPhase::Aborted => -1,
    };
    TransactionState::default()
        .with_transaction_state(text(state_name(transaction)))
        .with_transaction_timeout_ms(transaction.timeout_ms)
        .with_transaction_start_time_ms(started_ms)
        .with_producer_id(transaction.producer_id.into())
        .with_producer_epoch(transaction.epoch)
        .with_topics(topics(state, transaction))
}

fn topics(state: &State, transaction: &Transaction) -> Vec<TopicData> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in &transaction.partitions {
        if let Some(topic) = state.topic(partition.topic) {
            topics.entry(&topic.name).or_default().push(partition.partition);
        }
    }
    let topic = |(name, partitions): (&str, Vec<i32>)| {
        TopicData::default().with_topic(text(name).into()).with_partitions(partitions)
    };
    topics.into_iter().map(topic).collect()
}

/// What Kafka calls the state of a transactional id. Its states of waiting for markers do not exist here.
pub(crate) fn state_name(transaction: &Transaction) -> &'static str {
    match transaction.phase {
        TransactionPhase::Empty => "Empty",
        TransactionPhase::Ongoing { .. } => "Ongoing",
        TransactionPhase::Committed => "CompleteCommit",
        TransactionPhase::Aborted => "CompleteAbort",
    }
}
