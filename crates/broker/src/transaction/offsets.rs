//! Offsets that take effect with the end of a transaction (TxnOffsetCommit).

use crate::error_code;
use crate::node::Node;
use frazil_meta::record::{Command, GroupCommit};
use frazil_meta::state::Outcome;
use kafka_protocol::error::ResponseError;

/// Writes one commit of a group, whose coordinator this broker has to be.
pub(crate) async fn commit(node: &Node, commit: GroupCommit) -> Result<(), ResponseError> {
    match node.log.propose(Command::CommitOffsets { commits: vec![commit] }).await {
        Ok(Outcome::PerItem(mut results)) => match results.pop() {
            Some(Err(refusal)) => Err(error_code::of_refusal(refusal)),
            Some(Ok(())) | None => Ok(()),
        },
        Ok(Outcome::Refused(refusal)) => Err(error_code::of_refusal(refusal)),
        Ok(_) => Ok(()),
        Err(error) => Err(error_code::of_coordination(&error)),
    }
}
