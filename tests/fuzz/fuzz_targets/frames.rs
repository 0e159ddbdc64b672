//! A frame as the broker takes it: header, then the body by API.
//!
//! `cargo +nightly fuzz run frames` in the folder `tests/fuzz`. Nothing may panic, and no input may make the process
//! take more memory than libFuzzer's limit (2 GiB): counts are checked before anything is allocated for them.
#![no_main]

use bytes::Bytes;
use frazil_wire::batch::{self, BatchRules};
use frazil_wire::fetch::FetchRequest;
use frazil_wire::produce::ProduceRequest;
use frazil_wire::{DecodeError, api, control, frame};
use kafka_protocol::messages as m;
use kafka_protocol::protocol::Decodable;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Some((prefix, rest)) = input.split_first_chunk::<4>() {
        let length = frame::frame_length(*prefix).unwrap_or(rest.len()).min(rest.len());
        read_frame(Bytes::copy_from_slice(&rest[..length]));
    }
});

fn read_frame(mut frame: Bytes) {
    let Ok(header) = frame::parse_header(&mut frame) else { return };
    let (key, version) = (header.api_key, header.api_version);
    if api::check(key, version).is_err() {
        return;
    }
    match key {
        api::PRODUCE => read_produce(version, frame),
        api::FETCH => drop(FetchRequest::decode(version, frame)),
        api::LIST_OFFSETS => read::<m::ListOffsetsRequest>(key, version, frame),
        api::METADATA => read::<m::MetadataRequest>(key, version, frame),
        api::OFFSET_COMMIT => read::<m::OffsetCommitRequest>(key, version, frame),
        api::OFFSET_FETCH => read::<m::OffsetFetchRequest>(key, version, frame),
        api::JOIN_GROUP => read::<m::JoinGroupRequest>(key, version, frame),
        api::HEARTBEAT => read::<m::HeartbeatRequest>(key, version, frame),
        api::LEAVE_GROUP => read::<m::LeaveGroupRequest>(key, version, frame),
        api::SYNC_GROUP => read::<m::SyncGroupRequest>(key, version, frame),
        api::DESCRIBE_GROUPS => read::<m::DescribeGroupsRequest>(key, version, frame),
        api::LIST_GROUPS => read::<m::ListGroupsRequest>(key, version, frame),
        api::DELETE_GROUPS => read::<m::DeleteGroupsRequest>(key, version, frame),
        api::OFFSET_DELETE => read::<m::OffsetDeleteRequest>(key, version, frame),
        api::FIND_COORDINATOR => read::<m::FindCoordinatorRequest>(key, version, frame),
        api::API_VERSIONS => read::<m::ApiVersionsRequest>(key, version, frame),
        api::CREATE_TOPICS => read::<m::CreateTopicsRequest>(key, version, frame),
        api::DELETE_TOPICS => read::<m::DeleteTopicsRequest>(key, version, frame),
        api::INIT_PRODUCER_ID => read::<m::InitProducerIdRequest>(key, version, frame),
        api::OFFSET_FOR_LEADER_EPOCH => read::<m::OffsetForLeaderEpochRequest>(key, version, frame),
        api::DESCRIBE_CONFIGS => read::<m::DescribeConfigsRequest>(key, version, frame),
        api::ALTER_CONFIGS => read::<m::AlterConfigsRequest>(key, version, frame),
        api::CREATE_PARTITIONS => read::<m::CreatePartitionsRequest>(key, version, frame),
        api::INCREMENTAL_ALTER_CONFIGS => read::<m::IncrementalAlterConfigsRequest>(key, version, frame),
        api::DESCRIBE_CLUSTER => read::<m::DescribeClusterRequest>(key, version, frame),
        _ => unreachable!("API {key} is served and not fuzzed"),
    }
}

fn read<T: Decodable>(key: i16, version: i16, body: Bytes) {
    match control::decode::<T>(key, version, body) {
        Err(DecodeError::Version { key, version }) => {
            panic!("API {key} is served in version {version} and has no shape")
        }
        Ok(_) | Err(_) => {}
    }
}

fn read_produce(version: i16, body: Bytes) {
    let length = body.len();
    let Ok(request) = ProduceRequest::decode(version, body) else { return };
    let partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
    let records: Vec<&Bytes> = partitions.filter_map(|partition| partition.records.as_ref()).collect();
    assert!(records.iter().map(|records| records.len()).sum::<usize>() <= length, "records are slices of the body");
    for records in records {
        let _ = batch::check_produced(records, &BatchRules::of_produce(version, 1 << 20));
    }
}
