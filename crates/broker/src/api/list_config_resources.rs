//! ListConfigResources (API 74, KIP-1142): what has settings. In version 0: subscriptions to clients' metrics.

use super::describe_configs::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use super::{Answer, Refused, Request, text};
use crate::node::Node;
use frazil_meta::record::ConfigResource as Configured;
use frazil_meta::state::State;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_config_resources_response::ConfigResource;
use kafka_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};

/// First version that asks for kinds, and tells them.
const KINDS_FROM: i16 = 1;
const ALL_KINDS: [i8; 5] = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];

pub(crate) fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: ListConfigResourcesRequest = request.decode()?;
    let tells_kinds = request.header.api_version >= KINDS_FROM;
    let kinds = match (tells_kinds, wanted.resource_types) {
        (false, _) => vec![CLIENT_METRICS],
        (true, kinds) if kinds.is_empty() => ALL_KINDS.to_vec(),
        (true, kinds) => kinds,
    };
    if kinds.iter().any(|kind| !ALL_KINDS.contains(kind)) {
        let error_code = ResponseError::UnsupportedVersion.code();
        return request.answer(&ListConfigResourcesResponse::default().with_error_code(error_code), error_code);
    }
    let state = node.log.state();
    let resources = ALL_KINDS.iter().filter(|kind| kinds.contains(kind)).flat_map(|kind| {
        let resource = |name: String| {
            let resource = ConfigResource::default().with_resource_name(text(name));
            if tells_kinds { resource.with_resource_type(*kind) } else { resource }
        };
        names(&state, *kind).into_iter().map(resource).collect::<Vec<_>>()
    });
    request.answer(&ListConfigResourcesResponse::default().with_config_resources(resources.collect()), 0)
}

fn names(state: &State, kind: i8) -> Vec<String> {
    let configured = |name: fn(&Configured) -> Option<&String>| state.configured().filter_map(name).cloned().collect();
    match kind {
        TOPIC => state.topics().map(|topic| topic.name.clone()).collect(),
        BROKER | BROKER_LOGGER => state.brokers().map(|broker| broker.id.to_string()).collect(),
        CLIENT_METRICS => configured(|resource| match resource {
            Configured::ClientMetrics(name) => Some(name),
            _ => None,
        }),
        _ => configured(|resource| match resource {
            Configured::Group(name) => Some(name),
            _ => None,
        }),
    }
}
