//! SyncGroup (API 14): members of a generation get their assignments; its leader brings them.

use super::{Answer, Refused, Request, text};
use crate::error_code;
use crate::group::GroupError;
use crate::group::membership::{Sync, Synced};
use crate::node::Node;
use crate::stopping::Stopping;
use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

/// First version that has to name the protocol (KIP-559).
const PROTOCOL_FROM: i16 = 5;

pub(crate) async fn handle(node: &Node, request: &Request, stopping: Stopping) -> Result<Answer, Refused> {
    let wanted: SyncGroupRequest = request.decode()?;
    let names_protocol = wanted.protocol_type.is_some() && wanted.protocol_name.is_some();
    let synced = if request.header.api_version >= PROTOCOL_FROM && !names_protocol {
        Err(GroupError::InconsistentGroupProtocol)
    } else {
        node.groups.sync(&wanted.group_id, sync(&wanted), &stopping).await
    };
    let response = SyncGroupResponse::default();
    match synced {
        Ok(Synced { protocol_type, protocol, assignment }) => {
            let response = response.with_protocol_type(protocol_type.map(text)).with_assignment(assignment);
            request.answer(&response.with_protocol_name(protocol.map(text)), 0)
        }
        Err(error) => {
            let code = error_code::of_group(error).code();
            request.answer(&response.with_error_code(code), code)
        }
    }
}

fn sync(wanted: &SyncGroupRequest) -> Sync {
    let assignment = wanted.assignments.iter().map(|part| (part.member_id.to_string(), part.assignment.clone()));
    Sync {
        member_id: wanted.member_id.to_string(),
        instance_id: wanted.group_instance_id.as_ref().map(ToString::to_string),
        generation: wanted.generation_id,
        protocol_type: wanted.protocol_type.as_ref().map(ToString::to_string),
        protocol: wanted.protocol_name.as_ref().map(ToString::to_string),
        assignment: assignment.collect(),
    }
}
