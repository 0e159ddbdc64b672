//! WriteTxnMarkers (API 27), for `Admin.abortTransaction` alone.
//!
//! Between Kafka's brokers it ends transactions partition by partition. Here nothing can end on some partitions only, so
//! an administrator's abort of a transaction on a partition aborts the whole of it and fences its producer. A commit is
//! refused: nobody but the producer commits.

use super::{Answer, Refused, Request};
use crate::node::Node;
use crate::transaction;
use frazil_meta::record::{Command, EndReason, EndTransaction};
use frazil_meta::state::State;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::write_txn_markers_request::WritableTxnMarker;
use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use kafka_protocol::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};

pub(crate) async fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: WriteTxnMarkersRequest = request.decode()?;
    let mut results = Vec::with_capacity(wanted.markers.len());
    let mut first_error = 0;
    for marker in wanted.markers {
        let code = abort(node, &marker).await.err().map_or(0, |error| error.code());
        first_error = super::first_error([first_error, code]);
        results.push(result(&node.log.state(), marker, code));
    }
    request.answer(&WriteTxnMarkersResponse::default().with_markers(results), first_error)
}

fn result(state: &State, marker: WritableTxnMarker, code: i16) -> WritableTxnMarkerResult {
    let topics = marker.topics.into_iter().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|index| {
            let exists = super::partition_named(state, &topic.name, *index).is_some();
            let code = if exists { code } else { ResponseError::UnknownTopicOrPartition.code() };
            WritableTxnMarkerPartitionResult::default().with_partition_index(*index).with_error_code(code)
        });
        let partitions = partitions.collect();
        WritableTxnMarkerTopicResult::default().with_name(topic.name).with_partitions(partitions)
    });
    WritableTxnMarkerResult::default().with_producer_id(marker.producer_id).with_topics(topics.collect())
}

/// Aborts the producer's transaction if it is open on one of the marker's partitions; if it is not, there is nothing to do.
async fn abort(node: &Node, marker: &WritableTxnMarker) -> Result<(), ResponseError> {
    if marker.transaction_result {
        return Err(ResponseError::InvalidRequest);
    }
    let Some(end) = open_transaction(&node.log.state(), marker)? else { return Ok(()) };
    transaction::propose(node, Command::EndTransaction(end)).await.map(|_| ())
}

fn open_transaction(state: &State, marker: &WritableTxnMarker) -> Result<Option<EndTransaction>, ResponseError> {
    let transaction = state.transaction_of(marker.producer_id.0).filter(|transaction| transaction.is_ongoing());
    let Some(transaction) = transaction else { return Ok(None) };
    if marker.producer_epoch < transaction.epoch {
        return Err(ResponseError::InvalidProducerEpoch);
    }
    let is_open = |topic: &str, index: i32| {
        super::partition_named(state, topic, index).is_some_and(|place| transaction.partitions.contains(&place))
    };
    let mut topics = marker.topics.iter();
    let is_meant = topics.any(|topic| topic.partition_indexes.iter().any(|index| is_open(&topic.name, *index)));
    Ok(is_meant.then(|| EndTransaction {
        transactional_id: transaction.transactional_id.clone(),
        producer_id: transaction.producer_id,
        epoch: transaction.epoch,
        commit: false,
        reason: EndReason::Admin,
        started: Some(transaction.started),
    }))
}
