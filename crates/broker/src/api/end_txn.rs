//! EndTxn (API 26): commits or aborts a transaction, on all its partitions and groups with one record.
//!
//! From version 5 on (KIP-890) every end raises the epoch, and the answer says what to use from then on; so a late or
//! repeated request can never touch a later transaction (KAFKA-17754).

use super::{Answer, Refused, Request};
use crate::node::Node;
use crate::transaction;
use frazil_meta::record::{Command, EndReason, EndTransaction};
use frazil_meta::state::Outcome;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{EndTxnRequest, EndTxnResponse};

/// First version that raises the epoch and tells it.
const EPOCH_BUMP_FROM: i16 = 5;
/// First version that knows `PRODUCER_FENCED`.
const FENCING_FROM: i16 = 2;

pub(crate) async fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: EndTxnRequest = request.decode()?;
    let version = request.header.api_version;
    let producer = (wanted.producer_id.0, wanted.producer_epoch);
    if version < EPOCH_BUMP_FROM {
        transaction::check_connection(node, request, &wanted.transactional_id, producer)?;
    }
    let response = EndTxnResponse::default();
    match end(node, version, &wanted).await {
        Ok((id, epoch)) if version >= EPOCH_BUMP_FROM => {
            request.answer(&response.with_producer_id(id.into()).with_producer_epoch(epoch), 0)
        }
        Ok(_) => request.answer(&response, 0),
        Err(error) => {
            let code = transaction::fencing_known_since(FENCING_FROM, version, error).code();
            request.answer(&response.with_error_code(code), code)
        }
    }
}

/// Producer id and epoch to use from now on.
async fn end(node: &Node, version: i16, wanted: &EndTxnRequest) -> Result<(i64, i16), ResponseError> {
    let bump = version >= EPOCH_BUMP_FROM;
    let transactional_id = wanted.transactional_id.as_str();
    let started = {
        let state = node.log.state();
        transaction::check(node, &state, transactional_id)?;
        // A client that keeps its epoch has no name for what it wants to end; what it opened last is known here. Should
        // another be open where the record is applied, it is told to ask again.
        state.transaction(transactional_id).filter(|_| !bump).map(|transaction| transaction.started)
    };
    let command = Command::EndTransaction(EndTransaction {
        transactional_id: transactional_id.to_owned(),
        producer_id: wanted.producer_id.0,
        epoch: wanted.producer_epoch,
        commit: wanted.committed,
        reason: EndReason::Client { bump },
        started,
    });
    match transaction::propose(node, command).await? {
        Outcome::TransactionEnded { producer_id, epoch, .. } => Ok((producer_id, epoch)),
        _ => Err(ResponseError::UnknownServerError),
    }
}
