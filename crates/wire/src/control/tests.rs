mod administration;
mod groups;
mod transactions;

use super::*;
use crate::api;
use crate::noise::Noise;
use bytes::{Buf, BufMut};
use kafka_protocol::messages as m;
use kafka_protocol::messages::{ApiKey, RequestKind};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn list_offsets(version: i16) -> m::ListOffsetsRequest {
    use m::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
    let partition = ListOffsetsPartition::default().with_partition_index(3).with_timestamp(-1);
    let partition = if version >= 4 { partition.with_current_leader_epoch(2) } else { partition };
    let topic = ListOffsetsTopic::default().with_name(text("a").into()).with_partitions(vec![partition; 2]);
    let request = m::ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic; 2]);
    if version >= 2 { request.with_isolation_level(1) } else { request }
}

fn metadata(version: i16) -> m::MetadataRequest {
    use m::metadata_request::MetadataRequestTopic;
    let topic = MetadataRequestTopic::default().with_name(Some(text("abc").into()));
    let topic = if version >= 10 { topic.with_topic_id(Uuid::from_u128(3)) } else { topic };
    let request = m::MetadataRequest::default().with_topics(Some(vec![topic; 3]));
    if version >= 8 { request.with_include_topic_authorized_operations(true) } else { request }
}

fn find_coordinator(version: i16) -> m::FindCoordinatorRequest {
    let request = m::FindCoordinatorRequest::default();
    match version {
        0..=3 => request.with_key(text("group")),
        _ => request.with_coordinator_keys(vec![text("a"), text("b")]),
    }
}

fn api_versions(version: i16) -> m::ApiVersionsRequest {
    let request = m::ApiVersionsRequest::default();
    let named = || request.clone().with_client_software_name(text("n")).with_client_software_version(text("1"));
    if version >= 3 { named() } else { request }
}

fn create_topics(_: i16) -> m::CreateTopicsRequest {
    use m::create_topics_request::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig};
    let assignment = CreatableReplicaAssignment::default().with_broker_ids(vec![1.into(), 2.into()]);
    let config = CreatableTopicConfig::default().with_name(text("k")).with_value(Some(text("v")));
    let topic = CreatableTopic::default()
        .with_name(text("topic").into())
        .with_num_partitions(-1)
        .with_assignments(vec![assignment; 2])
        .with_configs(vec![config.clone(), config.with_value(None)]);
    m::CreateTopicsRequest::default().with_topics(vec![topic; 2]).with_timeout_ms(9)
}

fn delete_topics(version: i16) -> m::DeleteTopicsRequest {
    use m::delete_topics_request::DeleteTopicState;
    let request = m::DeleteTopicsRequest::default().with_timeout_ms(5);
    let by_id = DeleteTopicState::default().with_topic_id(Uuid::from_u128(8));
    match version {
        0..=5 => request.with_topic_names(vec![text("a").into(), text("b").into()]),
        _ => request.with_topics(vec![by_id.clone(), by_id.with_name(Some(text("n").into()))]),
    }
}

fn init_producer_id(version: i16) -> m::InitProducerIdRequest {
    let request = m::InitProducerIdRequest::default().with_transactional_id(Some(text("t").into()));
    if version >= 3 { request.with_producer_id(4.into()).with_producer_epoch(1) } else { request }
}

fn offset_for_leader_epoch(_: i16) -> m::OffsetForLeaderEpochRequest {
    use m::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
    let partition = OffsetForLeaderPartition::default().with_partition(1).with_leader_epoch(2);
    let topic = OffsetForLeaderTopic::default().with_topic(text("t").into()).with_partitions(vec![partition; 2]);
    m::OffsetForLeaderEpochRequest::default().with_topics(vec![topic; 2])
}

fn describe_configs(version: i16) -> m::DescribeConfigsRequest {
    use m::describe_configs_request::DescribeConfigsResource;
    let resource = DescribeConfigsResource::default().with_resource_type(2).with_resource_name(text("t"));
    let all = resource.clone().with_configuration_keys(None);
    let some = resource.with_configuration_keys(Some(vec![text("a"), text("b")]));
    let request = m::DescribeConfigsRequest::default().with_resources(vec![all, some]);
    if version >= 3 { request.with_include_documentation(true) } else { request }
}

fn alter_configs(_: i16) -> m::AlterConfigsRequest {
    use m::alter_configs_request::{AlterConfigsResource, AlterableConfig};
    let config = AlterableConfig::default().with_name(text("k")).with_value(None);
    let resource = AlterConfigsResource::default().with_resource_name(text("t")).with_configs(vec![config; 2]);
    m::AlterConfigsRequest::default().with_resources(vec![resource; 2]).with_validate_only(true)
}

fn incremental_alter_configs(_: i16) -> m::IncrementalAlterConfigsRequest {
    use m::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
    let config = AlterableConfig::default().with_name(text("k")).with_value(Some(text("v"))).with_config_operation(2);
    let resource = AlterConfigsResource::default().with_resource_name(text("t")).with_configs(vec![config; 2]);
    m::IncrementalAlterConfigsRequest::default().with_resources(vec![resource; 2])
}

fn create_partitions(_: i16) -> m::CreatePartitionsRequest {
    use m::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
    let assignment = CreatePartitionsAssignment::default().with_broker_ids(vec![1.into()]);
    let topic = CreatePartitionsTopic::default().with_name(text("t").into()).with_count(4);
    let topics = vec![topic.clone().with_assignments(None), topic.with_assignments(Some(vec![assignment; 2]))];
    m::CreatePartitionsRequest::default().with_topics(topics)
}

fn describe_cluster(_: i16) -> m::DescribeClusterRequest {
    m::DescribeClusterRequest::default().with_include_cluster_authorized_operations(true)
}

/// A request of every control API, with something in every array.
fn sample(key: i16, version: i16) -> RequestKind {
    match key {
        api::LIST_OFFSETS => RequestKind::ListOffsets(list_offsets(version)),
        api::METADATA => RequestKind::Metadata(metadata(version)),
        api::FIND_COORDINATOR => RequestKind::FindCoordinator(find_coordinator(version)),
        api::API_VERSIONS => RequestKind::ApiVersions(api_versions(version)),
        api::CREATE_TOPICS => RequestKind::CreateTopics(create_topics(version)),
        api::DELETE_TOPICS => RequestKind::DeleteTopics(delete_topics(version)),
        api::INIT_PRODUCER_ID => RequestKind::InitProducerId(init_producer_id(version)),
        api::OFFSET_FOR_LEADER_EPOCH => RequestKind::OffsetForLeaderEpoch(offset_for_leader_epoch(version)),
        api::DESCRIBE_CONFIGS => RequestKind::DescribeConfigs(describe_configs(version)),
        api::ALTER_CONFIGS => RequestKind::AlterConfigs(alter_configs(version)),
        api::INCREMENTAL_ALTER_CONFIGS => RequestKind::IncrementalAlterConfigs(incremental_alter_configs(version)),
        api::CREATE_PARTITIONS => RequestKind::CreatePartitions(create_partitions(version)),
        api::DESCRIBE_CLUSTER => RequestKind::DescribeCluster(describe_cluster(version)),
        _ => groups::sample(key, version)
            .or_else(|| transactions::sample(key, version))
            .or_else(|| administration::sample(key, version))
            .unwrap_or_else(|| panic!("no sample of API {key}")),
    }
}

fn encoded(key: i16, version: i16) -> Bytes {
    let mut buffer = BytesMut::new();
    sample(key, version).encode(&mut buffer, version).unwrap();
    buffer.freeze()
}

/// Every control API in every version.
fn versions() -> impl Iterator<Item = (i16, i16)> {
    let control = api::SUPPORTED.iter().filter(|api| api.key != api::PRODUCE && api.key != api::FETCH);
    control.flat_map(|api| (api.min..=api.max).map(|version| (api.key, version)))
}

/// What the broker does with a body, for any API.
fn read(key: i16, version: i16, mut body: Bytes) -> Result<RequestKind, DecodeError> {
    shape::check(key, version, body.clone())?;
    let key = ApiKey::try_from(key).map_err(|_| DecodeError::Schema)?;
    RequestKind::decode(key, &mut body, version).map_err(|_| DecodeError::Schema)
}

#[test]
fn shapes_follow_the_schemas_of_every_api_and_version_to_the_last_byte() {
    for (key, version) in versions() {
        let body = encoded(key, version);
        assert_eq!(shape::check(key, version, body.clone()), Ok(0), "{} {version}", api::name(key));
        let followed = [&body[..], b"12345"].concat();
        assert_eq!(shape::check(key, version, followed.into()), Ok(5), "{} {version}", api::name(key));
        assert_eq!(read(key, version, body), Ok(sample(key, version)), "{} {version}", api::name(key));
    }
}

#[test]
fn null_arrays_pass_where_the_protocol_has_them() {
    for version in 1..=13 {
        let mut buffer = BytesMut::new();
        m::MetadataRequest::default().with_topics(None).encode(&mut buffer, version).unwrap();
        let request: m::MetadataRequest = decode(api::METADATA, version, buffer.freeze()).unwrap();
        assert_eq!(request.topics, None, "all topics");
    }
}

#[test]
fn a_cut_anywhere_is_an_error() {
    for (key, version) in versions() {
        let body = encoded(key, version);
        for length in 0..body.len() {
            assert!(read(key, version, body.slice(..length)).is_err(), "{} {version} {length}", api::name(key));
        }
    }
}

#[test]
fn a_lying_count_at_any_place_is_answered_without_allocating_for_it() {
    const LIES: [&[u8]; 4] = [&[0x7f, 0xff, 0xff, 0xff], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0x80; 4], &[0, 1, 0, 0]];
    for (key, version) in versions() {
        let body = encoded(key, version);
        for (position, lie) in (0..body.len()).flat_map(|position| LIES.map(|lie| (position, lie))) {
            let mut lying = body.to_vec();
            lying.splice(position..(position + lie.len()).min(body.len()), lie.iter().copied());
            // A count that passed the check has its entries in the bytes; the decoder cannot allocate more than that.
            let _ = read(key, version, lying.into());
        }
    }
}

#[test]
fn the_first_array_of_a_request_cannot_promise_more_than_there_is() {
    let classic = Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    assert!(matches!(decode::<m::MetadataRequest>(3, 4, classic), Err(DecodeError::Count { .. })));
    let flexible = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0]);
    assert!(matches!(decode::<m::MetadataRequest>(3, 12, flexible), Err(DecodeError::Count { .. })));
    let mut many = BytesMut::from(&[0, 4, 0, 1][..]);
    many.put_bytes(0, 2 * 0x4_0001 + 8);
    assert_eq!(decode::<m::MetadataRequest>(3, 1, many.freeze()), Err(DecodeError::TooManyEntries));
}

#[test]
fn apis_and_versions_that_are_not_served_have_no_shape() {
    for (key, version) in [(3, 14), (3, -1), (7, 3), (-5, 0), (0, 9)] {
        assert_eq!(shape::check(key, version, Bytes::new()), Err(DecodeError::Version { key, version }));
    }
}

#[test]
fn responses_are_frames_with_the_right_header() {
    let response = m::DescribeClusterResponse::default().with_cluster_id(text("c"));
    let mut frame = encode_response(api::DESCRIBE_CLUSTER, 1, 6, &response).unwrap();
    assert_eq!(frame.get_i32() as usize, frame.len());
    assert_eq!((frame.get_i32(), frame.get_u8()), (6, 0), "correlation id, no tagged fields");
    assert_eq!(m::DescribeClusterResponse::decode(&mut frame, 1).unwrap(), response);

    let response = m::ApiVersionsResponse::default();
    let mut frame = encode_response(api::API_VERSIONS, 4, 6, &response).unwrap();
    frame.advance(8);
    assert_eq!(m::ApiVersionsResponse::decode(&mut frame, 4).unwrap(), response);
}

#[test]
fn a_response_that_its_version_cannot_say_is_an_error() {
    let response = m::FetchResponse::default().with_session_id(1);
    let error = encode_response(api::FETCH, 6, 0, &response);
    assert_eq!(error, Err(EncodeError { key: api::FETCH, version: 6 }), "sessions came with version 7");
}

#[test]
fn damaged_requests_of_every_api_never_panic() {
    const ROUNDS: usize = 2_000;
    let mut noise = Noise::new(3);
    for (key, version) in versions() {
        let body = encoded(key, version).to_vec();
        for _ in 0..ROUNDS {
            let mut damaged = body.clone();
            noise.damage(&mut damaged);
            let _ = read(key, version, damaged.into());
        }
    }
    assert!(versions().count() * ROUNDS >= 100_000);
}
