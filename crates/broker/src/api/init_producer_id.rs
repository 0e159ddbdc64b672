//! InitProducerId (API 22): ids for idempotent producers, and the start of a transactional one.
//!
//! A transactional id keeps its producer id and gets a higher epoch; whoever used it before is fenced, and its open
//! transaction is aborted by the same record. So the answer is never `CONCURRENT_TRANSACTIONS`, which Kafka gives until
//! the markers are written.

use super::{Answer, Refused, Request};
use crate::error_code;
use crate::node::Node;
use crate::transaction;
use frazil_meta::record::{Command, InitTransactions};
use frazil_meta::state::Outcome;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

/// First version that knows `PRODUCER_FENCED`.
const FENCING_FROM: i16 = 4;

pub(crate) async fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: InitProducerIdRequest = request.decode()?;
    let version = request.header.api_version;
    let given = match wanted.transactional_id.as_deref() {
        // A producer without a transactional id gets a new id whatever it had before, as in Kafka.
        None => {
            node.log.next_producer_id().await.map(|id| (id, 0)).map_err(|error| error_code::of_coordination(&error))
        }
        Some(transactional_id) => init(node, transactional_id, &wanted).await,
    };
    let response = InitProducerIdResponse::default();
    match given {
        Ok((id, epoch)) => request.answer(&response.with_producer_id(id.into()).with_producer_epoch(epoch), 0),
        Err(error) => {
            let code = transaction::fencing_known_since(FENCING_FROM, version, error).code();
            let response = response.with_producer_id((-1).into()).with_producer_epoch(-1);
            request.answer(&response.with_error_code(code), code)
        }
    }
}

async fn init(
    node: &Node,
    transactional_id: &str,
    wanted: &InitProducerIdRequest,
) -> Result<(i64, i16), ResponseError> {
    let expected = expected(wanted)?;
    let timeout_ms = wanted.transaction_timeout_ms;
    {
        let state = node.log.state();
        if transactional_id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        if !(1..=longest_timeout_ms(node, &state)).contains(&i64::from(timeout_ms)) {
            return Err(ResponseError::InvalidTransactionTimeout);
        }
        transaction::check(node, &state, transactional_id)?;
    }
    let transactional_id = transactional_id.to_owned();
    let command = Command::InitTransactions(InitTransactions { transactional_id, timeout_ms, expected });
    match transaction::propose(node, command).await? {
        Outcome::Producer { id, epoch, .. } => Ok((id, epoch)),
        _ => Err(ResponseError::UnknownServerError),
    }
}

/// The id and epoch of a producer that goes on after an error (KIP-360): both or neither.
fn expected(wanted: &InitProducerIdRequest) -> Result<Option<(i64, i16)>, ResponseError> {
    match (wanted.producer_id.0, wanted.producer_epoch) {
        (-1, -1) => Ok(None),
        (-1, _) | (_, -1) => Err(ResponseError::InvalidRequest),
        (id, epoch) => Ok(Some((id, epoch))),
    }
}

fn longest_timeout_ms(node: &Node, state: &frazil_meta::state::State) -> i64 {
    node.broker_layers(state).number("transaction.max.timeout.ms")
}
