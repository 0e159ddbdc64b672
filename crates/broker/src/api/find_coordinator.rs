//! FindCoordinator (API 10): which broker keeps a group or a transactional id.
//!
//! A rendezvous hash over the brokers in the metadata log, the one that places partition leaders, over the key's text in
//! place of a topic id. Groups and transactions themselves are not served yet.

use super::{Answer, Refused, Request, broker_id, text};
use crate::node::Node;
use frazil_base::{TopicId, TopicPartition};
use frazil_meta::state::Broker;
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
    match key_type {
        0 | 1 => (),
        _ => return failed(ResponseError::InvalidRequest, "unknown kind of coordinator"),
    }
    if key_type == 1 && key.is_empty() {
        return failed(ResponseError::InvalidRequest, "a transactional id is not empty");
    }
    let state = node.log.state();
    match state.leader(place(key_type, &key), None) {
        None => failed(ResponseError::CoordinatorNotAvailable, "no broker is registered"),
        Some(Broker { id, host, port, .. }) => {
            response.with_node_id(broker_id(*id)).with_host(text(host.clone())).with_port((*port).into())
        }
    }
}

/// A key's place among the partitions: FNV-1a of its text where the topic id stands, and its type as the partition.
fn place(key_type: i8, key: &str) -> TopicPartition {
    const OFFSET_BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let hash = key.bytes().fold(OFFSET_BASIS, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME));
    TopicPartition { topic: TopicId(hash), partition: i32::from(key_type) }
}
