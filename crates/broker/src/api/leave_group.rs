//! LeaveGroup (API 13): members leave, several at once from version 3 on (KIP-345).

use super::{Answer, Refused, Request, text};
use crate::error_code;
use crate::group::membership::{Leaver, LeftMember};
use crate::node::Node;
use crate::stopping::Stopping;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

/// First version that names several members.
const BATCHED_FROM: i16 = 3;

pub(crate) async fn handle(node: &Node, request: &Request, stopping: Stopping) -> Result<Answer, Refused> {
    let wanted: LeaveGroupRequest = request.decode()?;
    let is_batched = request.header.api_version >= BATCHED_FROM;
    let leavers = if is_batched {
        let leaver = |member: &kafka_protocol::messages::leave_group_request::MemberIdentity| Leaver {
            member_id: member.member_id.to_string(),
            instance_id: member.group_instance_id.as_ref().map(ToString::to_string),
        };
        wanted.members.iter().map(leaver).collect()
    } else {
        vec![Leaver { member_id: wanted.member_id.to_string(), instance_id: None }]
    };
    let response = LeaveGroupResponse::default();
    match node.groups.leave(&wanted.group_id, leavers, &stopping).await {
        Err(error) => {
            let code = error_code::of_group(error).code();
            request.answer(&response.with_error_code(code), code)
        }
        Ok(left) => {
            let members: Vec<_> = left.into_iter().map(member).collect();
            let code = super::first_error(members.iter().map(|member| member.error_code));
            let response = if is_batched { response.with_members(members) } else { response.with_error_code(code) };
            request.answer(&response, code)
        }
    }
}

fn member(left: LeftMember) -> MemberResponse {
    let code = left.result.err().map_or(0, |error| error_code::of_group(error).code());
    MemberResponse::default()
        .with_member_id(text(left.leaver.member_id))
        .with_group_instance_id(left.leaver.instance_id.map(text))
        .with_error_code(code)
}
