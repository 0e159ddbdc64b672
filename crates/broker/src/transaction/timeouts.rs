//! Aborts transactions that have been open for longer than their producers asked for.
//!
//! Only the coordinator of a transaction looks at it. While none is open the task sleeps until the log moves on, and it
//! looks at most once a second, so it costs nothing where there is nothing to do. The record names the transaction by its
//! start: a later one of the same id is never hit, however late the record is applied.

use super::{is_coordinator, propose};
use crate::node::Node;
use crate::stopping::Stopping;
use frazil_meta::record::{Command, EndReason, EndTransaction};
use frazil_meta::state::{State, Transaction, TransactionPhase};
use std::sync::Arc;
use std::time::Duration;

/// Least time between two looks at the state.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What a look at the state shows.
struct Look {
    overdue: Vec<EndTransaction>,
    /// Milliseconds until the next transaction is overdue; `None` if none is open.
    next_in_ms: Option<i64>,
}

/// Runs until the broker stops.
pub(crate) async fn run(node: Arc<Node>, mut stopping: Stopping) {
    tokio::select! {
        biased;
        () = stopping.stopped() => {}
        () = watch(&node) => {}
    }
}

async fn watch(node: &Node) {
    loop {
        let seen = node.log.state().applied();
        let Look { overdue, next_in_ms } = look(node, &node.log.state());
        let had_overdue = !overdue.is_empty();
        for end in overdue {
            abort(node, end).await;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
        if had_overdue {
            continue;
        }
        let until_overdue = next_in_ms.map(|ms| Duration::from_millis(ms.max(0) as u64).saturating_sub(LOOK_INTERVAL));
        tokio::select! {
            biased;
            _ = node.log.applied_changes().wait_for(|applied| *applied > seen) => {}
            () = tokio::time::sleep(until_overdue.unwrap_or_default()), if until_overdue.is_some() => {}
        }
    }
}

fn look(node: &Node, state: &State) -> Look {
    let now_ms = node.log.env().clock.now_ms();
    let mut look = Look { overdue: Vec::new(), next_in_ms: None };
    for transaction in state.transactions() {
        let Some(rest_ms) = rest_ms(transaction, now_ms) else { continue };
        if !is_coordinator(node, state, &transaction.transactional_id) {
            continue;
        }
        if rest_ms <= 0 {
            look.overdue.push(timed_out(transaction));
        } else {
            look.next_in_ms = Some(look.next_in_ms.map_or(rest_ms, |next| next.min(rest_ms)));
        }
    }
    look
}

/// How much longer an open transaction may stay open.
fn rest_ms(transaction: &Transaction, now_ms: i64) -> Option<i64> {
    let TransactionPhase::Ongoing { started_ms } = transaction.phase else { return None };
    Some(started_ms.saturating_add(i64::from(transaction.timeout_ms)).saturating_sub(now_ms))
}

fn timed_out(transaction: &Transaction) -> EndTransaction {
    EndTransaction {
        transactional_id: transaction.transactional_id.clone(),
        producer_id: transaction.producer_id,
        epoch: transaction.epoch,
        commit: false,
        reason: EndReason::Timeout,
        started: Some(transaction.started),
    }
}

async fn abort(node: &Node, end: EndTransaction) {
    let transactional_id = end.transactional_id.clone();
    match propose(node, Command::EndTransaction(end)).await {
        Ok(_) => tracing::info!(transactional_id, "a transaction was open for too long and is aborted"),
        // It ended meanwhile, or another broker coordinates it now.
        Err(error) => tracing::debug!(transactional_id, ?error, "a transaction is not aborted"),
    }
}
