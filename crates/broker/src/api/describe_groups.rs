//! DescribeGroups (API 15): classic groups with their members. Groups of the consumer protocol have an API of their own.

use super::{Answer, OPERATIONS_NOT_ASKED, Refused, Request, text};
use crate::error_code;
use crate::group::membership::GroupState;
use crate::group::{GroupDescription, GroupError};
use crate::node::Node;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};

/// First version that says that a group does not exist (KIP-1043); before, it is dead.
const NOT_FOUND_FROM: i16 = 6;
/// All that Kafka's authorizers know of groups: READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS and ALTER_CONFIGS.
pub(crate) const GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

pub(crate) fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: DescribeGroupsRequest = request.decode()?;
    let operations = if wanted.include_authorized_operations { GROUP_OPERATIONS } else { OPERATIONS_NOT_ASKED };
    let describe = |group: GroupId| {
        let response = DescribedGroup::default().with_authorized_operations(OPERATIONS_NOT_ASKED);
        match node.groups.describe(&group) {
            Ok(described) => success(response, described).with_authorized_operations(operations),
            Err(error) => failure(response, request.header.api_version, &group, error),
        }
        .with_group_id(group)
    };
    let groups: Vec<_> = wanted.groups.into_iter().map(describe).collect();
    let code = super::first_error(groups.iter().map(|group| group.error_code));
    request.answer(&DescribeGroupsResponse::default().with_groups(groups), code)
}

fn success(response: DescribedGroup, group: GroupDescription) -> DescribedGroup {
    let members = group.members.into_iter().map(|member| {
        DescribedGroupMember::default()
            .with_member_id(text(member.member_id))
            .with_group_instance_id(member.instance_id.map(text))
            .with_client_id(text(member.client_id))
            .with_client_host(text(member.client_host))
            .with_member_metadata(member.metadata)
            .with_member_assignment(member.assignment)
    });
    response
        .with_group_state(text(group.state.name()))
        .with_protocol_type(text(group.protocol_type))
        .with_protocol_data(text(group.protocol))
        .with_members(members.collect())
}

fn failure(response: DescribedGroup, version: i16, group: &str, error: GroupError) -> DescribedGroup {
    let is_dead = error == GroupError::GroupIdNotFound;
    let response = if is_dead { response.with_group_state(text(GroupState::Dead.name())) } else { response };
    if !is_dead {
        return response.with_error_code(error_code::of_group(error).code());
    }
    if version < NOT_FOUND_FROM {
        return response;
    }
    let response = response.with_error_code(error_code::of_group(error).code());
    response.with_error_message(Some(text(format!("Group {group} not found."))))
}
