//! Transactions, as their coordinator sees them.
//!
//! There is little to coordinate: which producer may use a transactional id, what belongs to its transaction and how
//! that ended is decided where everything is, by applying the metadata log. The coordinator of an id is the broker that
//! the log's rendezvous hash names. It answers what needs no record, writes the records, and aborts what has been open
//! for too long (`timeouts`). Requests that a client has given up are told by their connection (`succession`).
//!
//! It keeps nothing. When it dies, the next broker of the hash goes on from the same state, and a record that the dead
//! one still had under way is refused. Because one record ends a transaction on all partitions, no state lies between
//! open and ended, and nobody is ever told to wait for the markers (`CONCURRENT_TRANSACTIONS`).

pub(crate) mod succession;
pub(crate) mod timeouts;

use crate::api::{Refused, Request};
use crate::error_code;
use crate::node::Node;
use frazil_meta::record::Command;
use frazil_meta::state::{CoordinatorKind, Outcome, State};
use kafka_protocol::error::ResponseError;

/// Whether requests about this transactional id are ours to answer.
pub(crate) fn check(node: &Node, state: &State, transactional_id: &str) -> Result<(), ResponseError> {
    if transactional_id.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    if is_coordinator(node, state, transactional_id) { Ok(()) } else { Err(ResponseError::NotCoordinator) }
}

/// Whether this broker coordinates the transactional id.
pub(crate) fn is_coordinator(node: &Node, state: &State, transactional_id: &str) -> bool {
    state.may_coordinate(CoordinatorKind::Transaction, transactional_id, node.log.epoch())
}

/// Refuses what a client before KIP-890 sent over a connection that it has given up since: the connection closes.
pub(crate) fn check_connection(
    node: &Node,
    request: &Request,
    transactional_id: &str,
    producer: (i64, i16),
) -> Result<(), Refused> {
    let connection = request.peer.connection;
    let counts = node.succession.hears(&node.log.state(), transactional_id, producer, connection);
    if counts { Ok(()) } else { Err(Refused::Superseded) }
}

/// Writes a coordinator's record and waits for what became of it.
pub(crate) async fn propose(node: &Node, command: Command) -> Result<Outcome, ResponseError> {
    match node.log.propose(command).await {
        Ok(Outcome::Refused(refusal)) => Err(error_code::of_refusal(refusal)),
        Ok(outcome) => Ok(outcome),
        Err(error) => Err(error_code::of_coordination(&error)),
    }
}

/// What a client of this version is told: `PRODUCER_FENCED` came with version `since` of each API (KIP-588).
pub(crate) fn fencing_known_since(since: i16, version: i16, error: ResponseError) -> ResponseError {
    match error {
        ResponseError::ProducerFenced if version < since => ResponseError::InvalidProducerEpoch,
        other => other,
    }
}
