//! DescribeCluster (API 60): the brokers.

use super::{Answer, OPERATIONS_NOT_ASKED, Refused, Request, broker_id, metadata, text};
use crate::node::Node;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{DescribeClusterRequest, DescribeClusterResponse};

const BROKERS: i8 = 1;

pub(crate) fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: DescribeClusterRequest = request.decode()?;
    if wanted.endpoint_type != BROKERS {
        let (error, message) = match wanted.endpoint_type {
            2 => (ResponseError::MismatchedEndpointType, "this is a broker, not a controller"),
            _ => (ResponseError::UnsupportedEndpointType, "unknown endpoint type"),
        };
        let response = DescribeClusterResponse::default()
            .with_error_code(error.code())
            .with_error_message(Some(text(message)))
            .with_cluster_authorized_operations(OPERATIONS_NOT_ASKED);
        return request.answer(&response, error.code());
    }
    let state = node.log.state();
    let brokers = state.brokers().map(|broker| {
        DescribeClusterBroker::default()
            .with_broker_id(broker_id(broker.id))
            .with_host(text(broker.host.clone()))
            .with_port(broker.port.into())
            .with_rack(broker.zone.clone().map(text))
    });
    let asked = wanted.include_cluster_authorized_operations;
    let response = DescribeClusterResponse::default()
        .with_endpoint_type(BROKERS)
        .with_cluster_id(text(node.settings.cluster_id.clone()))
        .with_controller_id(metadata::controller(&state))
        .with_brokers(brokers.collect())
        .with_cluster_authorized_operations(metadata::cluster_operations(asked));
    request.answer(&response, 0)
}
