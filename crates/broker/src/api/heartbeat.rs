//! Heartbeat (API 12): a member of a classic group is alive, and hears whether it has to join again.

use super::{Answer, Refused, Request};
use crate::error_code;
use crate::node::Node;
use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

pub(crate) fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let HeartbeatRequest { group_id, generation_id, member_id, group_instance_id, .. } = request.decode()?;
    let beat = node.groups.heartbeat(&group_id, &member_id, group_instance_id.as_deref(), generation_id);
    let code = beat.err().map_or(0, |error| error_code::of_group(error).code());
    request.answer(&HeartbeatResponse::default().with_error_code(code), code)
}
