//! JoinGroup (API 11): a member joins a classic group and waits for the next generation.

use super::{Answer, Refused, Request, text};
use crate::error_code;
use crate::group::membership::{Join, JoinRefused, Joined};
use crate::node::Node;
use crate::stopping::Stopping;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use kafka_protocol::protocol::StrBytes;
use uuid::Builder;

/// First version with a rebalance timeout of its own; before, the session timeout is both.
const REBALANCE_TIMEOUT_FROM: i16 = 1;
/// First version whose new members come back with the id they are given (KIP-394).
const MEMBER_ID_REQUIRED_FROM: i16 = 4;
/// First version that may say null for a protocol.
const NULL_PROTOCOL_FROM: i16 = 7;
/// First version that knows how to skip the assignment (KIP-814).
const SKIP_ASSIGNMENT_FROM: i16 = 9;

pub(crate) async fn handle(node: &Node, request: &Request, stopping: Stopping) -> Result<Answer, Refused> {
    let wanted: JoinGroupRequest = request.decode()?;
    let group = wanted.group_id.to_string();
    let joined = node.groups.join(&group, join(node, request, wanted), &stopping).await;
    let version = request.header.api_version;
    let (response, code) = match joined {
        Ok(joined) => (success(joined, version), 0),
        Err(refused) => {
            let code = error_code::of_group(refused.error).code();
            (failure(refused, version).with_error_code(code), code)
        }
    };
    request.answer(&response, code)
}

fn join(node: &Node, request: &Request, wanted: JoinGroupRequest) -> Join {
    let version = request.header.api_version;
    let client_id = request.header.client_id.clone().unwrap_or_default();
    let instance_id = wanted.group_instance_id.as_ref().map(ToString::to_string);
    let has_rebalance_timeout = version >= REBALANCE_TIMEOUT_FROM;
    let session_timeout_ms = wanted.session_timeout_ms;
    Join {
        member_id: wanted.member_id.to_string(),
        fresh_id: fresh_id(node, instance_id.as_ref().unwrap_or(&client_id)),
        instance_id,
        client_id,
        client_host: request.client_host(),
        session_timeout_ms,
        rebalance_timeout_ms: if has_rebalance_timeout { wanted.rebalance_timeout_ms } else { session_timeout_ms },
        protocol_type: wanted.protocol_type.to_string(),
        protocols: wanted.protocols.into_iter().map(|own| (own.name.to_string(), own.metadata)).collect(),
        requires_member_id: version >= MEMBER_ID_REQUIRED_FROM,
        can_skip_assignment: version >= SKIP_ASSIGNMENT_FROM,
    }
}

/// A member id as Kafka makes them: who it is, and a random UUID.
fn fresh_id(node: &Node, name: &str) -> String {
    let random = Builder::from_random_bytes(node.log.env().entropy.bits128().to_be_bytes()).into_uuid();
    format!("{name}-{random}")
}

fn success(joined: Joined, version: i16) -> JoinGroupResponse {
    let members = joined.members.into_iter().map(|member| {
        JoinGroupResponseMember::default()
            .with_member_id(text(member.member_id))
            .with_group_instance_id(member.instance_id.map(text))
            .with_metadata(member.metadata)
    });
    JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_type(joined.protocol_type.map(text))
        .with_protocol_name(protocol_name(joined.protocol.map(text), version))
        .with_leader(text(joined.leader))
        .with_skip_assignment(joined.skip_assignment && version >= SKIP_ASSIGNMENT_FROM)
        .with_member_id(text(joined.member_id))
        .with_members(members.collect())
}

fn failure(refused: JoinRefused, version: i16) -> JoinGroupResponse {
    let response = JoinGroupResponse::default().with_member_id(text(refused.member_id));
    response.with_protocol_name(protocol_name(None, version))
}

fn protocol_name(name: Option<StrBytes>, version: i16) -> Option<StrBytes> {
    name.or_else(|| (version < NULL_PROTOCOL_FROM).then(StrBytes::default))
}
