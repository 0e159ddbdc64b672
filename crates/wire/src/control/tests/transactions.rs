//! Samples of the APIs around transactions, with something in every array.

use super::text;
use crate::api;
use kafka_protocol::messages as m;
use kafka_protocol::messages::RequestKind;

pub fn sample(key: i16, version: i16) -> Option<RequestKind> {
    Some(match key {
        api::ADD_PARTITIONS_TO_TXN => RequestKind::AddPartitionsToTxn(add_partitions_to_txn()),
        api::ADD_OFFSETS_TO_TXN => RequestKind::AddOffsetsToTxn(add_offsets_to_txn()),
        api::END_TXN => RequestKind::EndTxn(end_txn()),
        api::WRITE_TXN_MARKERS => RequestKind::WriteTxnMarkers(write_txn_markers()),
        api::TXN_OFFSET_COMMIT => RequestKind::TxnOffsetCommit(txn_offset_commit(version)),
        api::DESCRIBE_PRODUCERS => RequestKind::DescribeProducers(describe_producers()),
        api::DESCRIBE_TRANSACTIONS => RequestKind::DescribeTransactions(describe_transactions()),
        api::LIST_TRANSACTIONS => RequestKind::ListTransactions(list_transactions(version)),
        _ => return None,
    })
}

fn add_partitions_to_txn() -> m::AddPartitionsToTxnRequest {
    use m::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
    let topic = AddPartitionsToTxnTopic::default().with_name(text("t").into()).with_partitions(vec![0, 7]);
    m::AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(text("id").into())
        .with_v3_and_below_producer_id(4.into())
        .with_v3_and_below_producer_epoch(1)
        .with_v3_and_below_topics(vec![topic; 2])
}

fn add_offsets_to_txn() -> m::AddOffsetsToTxnRequest {
    let request = m::AddOffsetsToTxnRequest::default().with_transactional_id(text("id").into());
    request.with_producer_id(4.into()).with_producer_epoch(1).with_group_id(text("group").into())
}

fn end_txn() -> m::EndTxnRequest {
    let request = m::EndTxnRequest::default().with_transactional_id(text("id").into());
    request.with_producer_id(4.into()).with_producer_epoch(1).with_committed(true)
}

fn write_txn_markers() -> m::WriteTxnMarkersRequest {
    use m::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
    let topic = WritableTxnMarkerTopic::default().with_name(text("t").into()).with_partition_indexes(vec![1, 2]);
    let marker = WritableTxnMarker::default().with_producer_id(4.into()).with_topics(vec![topic; 2]);
    m::WriteTxnMarkersRequest::default().with_markers(vec![marker; 2])
}

fn txn_offset_commit(version: i16) -> m::TxnOffsetCommitRequest {
    use m::txn_offset_commit_request::{TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic};
    let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(9);
    let partition = partition.with_committed_metadata(Some(text("note")));
    let partition = if version >= 2 { partition.with_committed_leader_epoch(3) } else { partition };
    let topic = TxnOffsetCommitRequestTopic::default().with_name(text("t").into()).with_partitions(vec![partition; 2]);
    let request = m::TxnOffsetCommitRequest::default()
        .with_transactional_id(text("id").into())
        .with_group_id(text("group").into())
        .with_producer_id(4.into())
        .with_topics(vec![topic; 2]);
    match version {
        0..=2 => request,
        _ => {
            request.with_generation_id(5).with_member_id(text("member")).with_group_instance_id(Some(text("instance")))
        }
    }
}

fn describe_producers() -> m::DescribeProducersRequest {
    use m::describe_producers_request::TopicRequest;
    let topic = TopicRequest::default().with_name(text("t").into()).with_partition_indexes(vec![0, 1]);
    m::DescribeProducersRequest::default().with_topics(vec![topic; 2])
}

fn describe_transactions() -> m::DescribeTransactionsRequest {
    m::DescribeTransactionsRequest::default().with_transactional_ids(vec![text("a").into(), text("b").into()])
}

fn list_transactions(version: i16) -> m::ListTransactionsRequest {
    let request = m::ListTransactionsRequest::default()
        .with_state_filters(vec![text("Ongoing"), text("Empty")])
        .with_producer_id_filters(vec![1.into(), 2.into()]);
    let request = if version >= 1 { request.with_duration_filter(60_000) } else { request };
    if version >= 2 { request.with_transactional_id_pattern(Some(text("a.*"))) } else { request }
}
