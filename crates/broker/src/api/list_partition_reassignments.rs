//! ListPartitionReassignments (API 46): nothing ever moves.

use super::{Answer, Refused, Request};
use kafka_protocol::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

pub(crate) fn handle(request: &Request) -> Result<Answer, Refused> {
    let _: ListPartitionReassignmentsRequest = request.decode()?;
    request.answer(&ListPartitionReassignmentsResponse::default().with_error_message(None), 0)
}
