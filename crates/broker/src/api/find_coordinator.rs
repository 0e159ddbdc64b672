//! FindCoordinator (API 10): which broker keeps a group or a transactional id, by the metadata log's rendezvous hash.

use super::{Answer, Refused, Request, broker_id, text};
use crate::node::Node;
use frazil_meta::state::{Broker, CoordinatorKind};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

/// First version that asks for several keys at once (KIP-699).
const BATCHED_FROM: i16 = 4;

pub(crate) fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: FindCoordinatorRequest = request.decode()?;
    let keys = if request.header.api_version < BATCHED_FROM { vec![wanted.key] } else { wanted.coordinator_keys };
    let coordinators: Vec<_> = keys.into_iter().map(|key| find(node, wanted.key_type, key)).collect();
    let error_code = super::first_error(coordinators.iter().map(|coordinator| coordinator.error_code));
    let response = FindCoordinatorResponse::default();
    if request.header.api_version >= BATCHED_FROM {
        return request.answer(&response.with_coordinators(coordinators), error_code);
    }
    let Coordinator { node_id, host, port, error_code, error_message, .. } =
        coordinators.into_iter().next().expect("one key was asked for");
    let response = response.with_node_id(node_id).with_host(host).with_port(port);
    request.answer(&response.with_error_code(error_code).with_error_message(error_message), error_code)
}

fn find(node: &Node, key_type: i8, key: StrBytes) -> Coordinator {
    let response = Coordinator::default().with_key(key.clone()).with_error_message(None);
    let failed = |error: ResponseError, message: &'static str| {
        let response = response.clone().with_node_id((-1).into()).with_port(-1);
        response.with_error_code(error.code()).with_error_message(Some(text(message)))
    };
    let kind = match key_type {
        0 => CoordinatorKind::Group,
        1 => CoordinatorKind::Transaction,
        _ => return failed(ResponseError::InvalidRequest, "unknown kind of coordinator"),
    };
    let state = node.log.state();
    match state.coordinator(kind, &key) {
        None => failed(ResponseError::CoordinatorNotAvailable, "no broker is registered"),
        Some(Broker { id, host, port, .. }) => {
            response.with_node_id(broker_id(*id)).with_host(text(host.clone())).with_port((*port).into())
        }
    }
}
