//! DeleteGroups (API 42): groups without members, with their offsets.

use super::{Answer, Refused, Request};
use crate::error_code;
use crate::node::Node;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

pub(crate) async fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: DeleteGroupsRequest = request.decode()?;
    let names = wanted.groups_names.iter().map(|group| group.to_string()).collect();
    let results = node.groups.delete(names).await;
    let rows = wanted.groups_names.into_iter().zip(results).map(|(group, result)| {
        let code = result.err().map_or(0, |error| error_code::of_group(error).code());
        DeletableGroupResult::default().with_group_id(group).with_error_code(code)
    });
    let rows: Vec<_> = rows.collect();
    let code = super::first_error(rows.iter().map(|row| row.error_code));
    request.answer(&DeleteGroupsResponse::default().with_results(rows), code)
}
