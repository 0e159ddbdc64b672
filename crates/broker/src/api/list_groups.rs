//! ListGroups (API 16): the groups that this broker coordinates. Tools ask every broker.

use super::{Answer, Refused, Request, text};
use crate::group::ListedGroup;
use crate::node::Node;
use kafka_protocol::messages::list_groups_response::ListedGroup as Row;
use kafka_protocol::messages::{ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;

pub(crate) fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: ListGroupsRequest = request.decode()?;
    let passes = |group: &ListedGroup| {
        matches(&wanted.states_filter, group.state) && matches(&wanted.types_filter, group.group_type.name())
    };
    let groups = node.groups.list().into_iter().filter(passes).map(row).collect();
    request.answer(&ListGroupsResponse::default().with_groups(groups), 0)
}

/// Case does not matter; no filter lets everything pass.
fn matches(filter: &[StrBytes], value: &str) -> bool {
    filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(value))
}

fn row(group: ListedGroup) -> Row {
    Row::default()
        .with_group_id(text(group.group).into())
        .with_protocol_type(text(group.protocol_type))
        .with_group_state(text(group.state))
        .with_group_type(text(group.group_type.name()))
}
