//! InitProducerId (API 22): ids for idempotent producers. Transactional ids are not served yet.

use super::{Answer, Refused, Request};
use crate::error_code;
use crate::node::Node;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

pub(crate) async fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: InitProducerIdRequest = request.decode()?;
    // A producer without a transactional id gets a new id whatever it had before, as in Kafka.
    let id = match wanted.transactional_id.as_deref() {
        None => node.log.next_producer_id().await.map_err(|error| error_code::of_propose(&error)),
        Some(id) if id.is_empty() => Err(ResponseError::InvalidRequest),
        // Not retriable, so that `initTransactions` fails at once and says why instead of trying for a minute.
        Some(_) => Err(ResponseError::UnsupportedVersion),
    };
    let response = InitProducerIdResponse::default();
    match id {
        Ok(id) => request.answer(&response.with_producer_id(id.into()).with_producer_epoch(0), 0),
        Err(error) => {
            let response = response.with_error_code(retriable_here(error).code());
            request.answer(&response.with_producer_id((-1).into()).with_producer_epoch(-1), error.code())
        }
    }
}

/// Producers know what to do about a coordinator, not about a controller or a disk.
fn retriable_here(error: ResponseError) -> ResponseError {
    match error {
        ResponseError::NotController => ResponseError::NotCoordinator,
        ResponseError::KafkaStorageError | ResponseError::RequestTimedOut => ResponseError::CoordinatorNotAvailable,
        other => other,
    }
}
