//! AddOffsetsToTxn (API 25): the group whose offsets a transaction is going to commit, for clients before KIP-890.

use super::add_partitions_to_txn::join;
use super::{Answer, Refused, Request};
use crate::node::Node;
use crate::transaction;
use frazil_meta::record::AddToTransaction;
use kafka_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

/// First version that knows `PRODUCER_FENCED`.
const FENCING_FROM: i16 = 2;

pub(crate) async fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: AddOffsetsToTxnRequest = request.decode()?;
    let producer = (wanted.producer_id.0, wanted.producer_epoch);
    transaction::check_connection(node, request, &wanted.transactional_id, producer)?;
    let joining = AddToTransaction {
        transactional_id: wanted.transactional_id.to_string(),
        producer_id: wanted.producer_id.0,
        epoch: wanted.producer_epoch,
        partitions: Vec::new(),
        groups: vec![wanted.group_id.to_string()],
    };
    let joined = join(node, joining).await;
    let version = request.header.api_version;
    let code = joined.err().map_or(0, |error| transaction::fencing_known_since(FENCING_FROM, version, error).code());
    request.answer(&AddOffsetsToTxnResponse::default().with_error_code(code), code)
}
