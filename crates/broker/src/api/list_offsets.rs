//! ListOffsets (API 2): the first and the next offset, and offsets by time.

use super::fetch::{LEADER_EPOCH, check_epoch, isolation_of};
use super::{Answer, Refused, Request};
use crate::error_code;
use crate::node::Node;
use frazil_base::TopicPartition;
use frazil_log::{FetchError, Isolation};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};
use std::collections::BTreeSet;

/// First version that tells the leader epoch.
const EPOCHS_FROM: i16 = 4;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
/// KIP-734.
const MAX_TIMESTAMP: i64 = -3;
/// KIP-405: the first offset on local disks; here, the first offset.
const EARLIEST_LOCAL: i64 = -4;
/// KIP-1005: the last offset in tiered storage; there are no tiers here.
const LATEST_TIERED: i64 = -5;

/// An offset and its record's timestamp.
type Found = (i64, i64);
const NOTHING: Found = (-1, -1);

pub(crate) async fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: ListOffsetsRequest = request.decode()?;
    let version = request.header.api_version;
    let isolation = isolation_of(wanted.isolation_level);
    let mut seen = BTreeSet::new();
    let mut topics = Vec::with_capacity(wanted.topics.len());
    for topic in &wanted.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let found = match seen.insert((topic.name.as_str(), partition.partition_index)) {
                true => find(node, version, isolation, topic, partition).await,
                false => Err(ResponseError::InvalidRequest),
            };
            partitions.push(response(version, partition.partition_index, found));
        }
        topics.push(ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions));
    }
    let codes = topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
    let error_code = super::first_error(codes);
    request.answer(&ListOffsetsResponse::default().with_topics(topics), error_code)
}

fn response(version: i16, index: i32, found: Result<Found, ResponseError>) -> ListOffsetsPartitionResponse {
    let response = ListOffsetsPartitionResponse::default().with_partition_index(index);
    match found {
        Ok((offset, timestamp)) => {
            let leader_epoch = if version < EPOCHS_FROM || offset < 0 { -1 } else { LEADER_EPOCH };
            response.with_offset(offset).with_timestamp(timestamp).with_leader_epoch(leader_epoch)
        }
        Err(error) => response.with_error_code(error.code()),
    }
}

async fn find(
    node: &Node,
    version: i16,
    isolation: Isolation,
    topic: &ListOffsetsTopic,
    wanted: &ListOffsetsPartition,
) -> Result<Found, ResponseError> {
    let unknown = ResponseError::UnknownTopicOrPartition;
    let (partition, log_start, end) = {
        let state = node.log.state();
        let topic = state.topic_by_name(&topic.name).ok_or(unknown)?.id;
        let place = TopicPartition { topic, partition: wanted.partition_index };
        let partition = state.partition(place).ok_or(unknown)?;
        (place, partition.log_start, isolation.end_of(partition))
    };
    check_epoch(wanted.current_leader_epoch)?;
    // What lies behind the end that the reader sees is not there for it.
    let visible = |found: Found| if found.0 < end { found } else { NOTHING };
    match wanted.timestamp {
        LATEST => Ok((end, -1)),
        EARLIEST => Ok((log_start, -1)),
        MAX_TIMESTAMP if version >= 7 => by_time(node.log.max_timestamp_offset(partition).await).map(visible),
        EARLIEST_LOCAL if version >= 8 => Ok((log_start, -1)),
        LATEST_TIERED if version >= 9 => Ok(NOTHING),
        timestamp if timestamp < 0 => Err(ResponseError::UnsupportedVersion),
        timestamp => by_time(node.log.offset_for_time(partition, timestamp).await).map(visible),
    }
}

fn by_time(found: Result<Option<Found>, FetchError>) -> Result<Found, ResponseError> {
    found.map(|found| found.unwrap_or(NOTHING)).map_err(|error| error_code::of_fetch(&error))
}
