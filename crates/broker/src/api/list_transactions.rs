//! ListTransactions (API 66): the transactional ids that this broker coordinates.

use super::describe_transactions::state_name;
use super::{Answer, Refused, Request, text};
use crate::node::Node;
use crate::transaction;
use frazil_meta::state::{Transaction, TransactionPhase};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_transactions_response::TransactionState;
use kafka_protocol::messages::{ListTransactionsRequest, ListTransactionsResponse};
use regex::Regex;

/// Every state of Kafka's, also those that do not occur here.
const STATES: [&str; 8] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "Dead",
    "PrepareEpochFence",
];

/// What is asked for.
struct Filter {
    request: ListTransactionsRequest,
    pattern: Option<Regex>,
    now_ms: i64,
}

pub(crate) fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: ListTransactionsRequest = request.decode()?;
    let response = ListTransactionsResponse::default();
    let pattern = wanted.transactional_id_pattern.as_deref().filter(|pattern| !pattern.is_empty());
    let pattern = match pattern.map(|pattern| Regex::new(&format!("^(?:{pattern})$"))).transpose() {
        Ok(pattern) => pattern,
        Err(_) => {
            let code = ResponseError::InvalidRegularExpression.code();
            return request.answer(&response.with_error_code(code), code);
        }
    };
    let is_unknown = |name: &&_| !STATES.contains(&std::ops::Deref::deref(*name));
    let unknown = wanted.state_filters.iter().filter(is_unknown).cloned().collect();
    let filter = Filter { request: wanted, pattern, now_ms: node.log.env().clock.now_ms() };
    let state = node.log.state();
    let ours = |found: &&Transaction| transaction::is_coordinator(node, &state, &found.transactional_id);
    let rows = state.transactions().filter(|found| filter.takes(found)).filter(ours).map(row).collect();
    drop(state);
    request.answer(&response.with_unknown_state_filters(unknown).with_transaction_states(rows), 0)
}

impl Filter {
    fn takes(&self, transaction: &Transaction) -> bool {
        let Filter { request, pattern, now_ms } = self;
        let (states, producers) = (&request.state_filters, &request.producer_id_filters);
        (states.is_empty() || states.iter().any(|name| &**name == state_name(transaction)))
            && (producers.is_empty() || producers.iter().any(|id| id.0 == transaction.producer_id))
            && (request.duration_filter < 0 || is_older_than(transaction, request.duration_filter, *now_ms))
            && pattern.as_ref().is_none_or(|pattern| pattern.is_match(&transaction.transactional_id))
    }
}

/// Whether the transaction began longer ago than so many milliseconds. As in Kafka that goes for ids without an open one,
/// too: those that never had one are always older.
fn is_older_than(transaction: &Transaction, duration_ms: i64, now_ms: i64) -> bool {
    let began_ms = match transaction.phase {
        TransactionPhase::Empty => return true,
        TransactionPhase::Ongoing { started_ms } => started_ms,
        TransactionPhase::Committed | TransactionPhase::Aborted => transaction.changed_ms,
    };
    now_ms.saturating_sub(began_ms) > duration_ms
}

fn row(transaction: &Transaction) -> TransactionState {
    TransactionState::default()
        .with_transactional_id(text(transaction.transactional_id.clone()).into())
        .with_producer_id(transaction.producer_id.into())
        .with_transaction_state(text(state_name(transaction)))
}
