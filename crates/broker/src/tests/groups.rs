//! Groups over TCP: every version of every API, and connections that end while they wait.

use super::world::{Running, World};
use crate::BrokerSettings;
use crate::testing::{Client, topic_name};
use bytes::Bytes;
use frazil_wire::api;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    DescribeGroupsRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse,
    LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest,
    OffsetFetchResponse, SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn id(group: &str) -> GroupId {
    GroupId(text(group))
}

fn versions(key: i16) -> std::ops::RangeInclusive<i16> {
    let support = api::supported(key).expect("it is served");
    support.min..=support.max
}

async fn start(world: &World, id: i32) -> Running {
    let kafka = [("group.initial.rebalance.delay.ms", "0"), ("group.min.session.timeout.ms", "50")];
    let kafka = kafka.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    world.start_with(id, None, BrokerSettings { kafka, ..BrokerSettings::default() }).await
}

fn join_request(group: &str, member_id: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
    JoinGroupRequest::default()
        .with_group_id(id(group))
        .with_session_timeout_ms(10_000)
        .with_member_id(text(member_id))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol.with_metadata(Bytes::from_static(b"topics"))])
}

/// Joins in any version; with its id first, where the version has that.
async fn join(client: &mut Client, version: i16, group: &str) -> JoinGroupResponse {
    let request = |member: &str| {
        let request = join_request(group, member);
        if version >= 1 { request.with_rebalance_timeout_ms(60_000) } else { request }
    };
    let first = client.call(version, &request("")).await.expect("answered");
    if version < 4 {
        return first;
    }
    assert_eq!(first.error_code, ResponseError::MemberIdRequired.code());
    client.call(version, &request(&first.member_id)).await.expect("answered")
}

async fn sync(client: &mut Client, version: i16, group: &str, joined: &JoinGroupResponse) -> Bytes {
    let part = SyncGroupRequestAssignment::default().with_member_id(joined.member_id.clone());
    let request = SyncGroupRequest::default()
        .with_group_id(id(group))
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone())
        .with_assignments(vec![part.with_assignment(Bytes::from_static(b"all"))]);
    let request = match version {
        5.. => request.with_protocol_type(Some(text("consumer"))).with_protocol_name(Some(text("range"))),
        _ => request,
    };
    let response = client.call(version, &request).await.expect("answered");
    assert_eq!(response.error_code, 0);
    response.assignment
}

async fn heartbeat(client: &mut Client, version: i16, group: &str, joined: &JoinGroupResponse) -> i16 {
    let request = HeartbeatRequest::default().with_group_id(id(group)).with_generation_id(joined.generation_id);
    client.call(version, &request.with_member_id(joined.member_id.clone())).await.expect("answered").error_code
}

#[tokio::test]
async fn a_member_joins_syncs_beats_and_leaves_in_every_version() {
    let world = World::new();
    let broker = start(&world, 1).await;
    let mut client = broker.client().await;
    for version in versions(api::JOIN_GROUP) {
        let group = format!("g{version}");
        let joined = join(&mut client, version, &group).await;
        assert_eq!((joined.error_code, joined.generation_id, joined.members.len()), (0, 1, 1), "version {version}");
        assert_eq!(joined.leader, joined.member_id);
        assert_eq!(joined.protocol_name.as_deref(), Some("range"));
        assert_eq!(joined.protocol_type.as_deref(), (version >= 7).then_some("consumer"));
        assert_eq!(sync(&mut client, version.min(5), &group, &joined).await, "all");
        assert_eq!(heartbeat(&mut client, version.min(4), &group, &joined).await, 0);
        let leave = LeaveGroupRequest::default().with_group_id(id(&group));
        let leaver = MemberIdentity::default().with_member_id(joined.member_id.clone());
        let leave = match version.min(5) {
            3.. => leave.with_members(vec![leaver]),
            _ => leave.with_member_id(joined.member_id.clone()),
        };
        let left = client.call(version.min(5), &leave).await.expect("answered");
        assert_eq!((left.error_code, left.members.iter().map(|member| member.error_code).sum::<i16>()), (0, 0));
        assert_eq!(
            heartbeat(&mut client, version.min(4), &group, &joined).await,
            ResponseError::UnknownMemberId.code()
        );
    }
}

fn commit_request(version: i16, group: &str, partitions: &[i32]) -> OffsetCommitRequest {
    let partition = |index: &i32| {
        let partition = OffsetCommitRequestPartition::default().with_partition_index(*index);
        let partition =
            partition.with_committed_offset(i64::from(*index) + 10).with_committed_metadata(Some(text("note")));
        if version >= 6 { partition.with_committed_leader_epoch(3) } else { partition }
    };
    let topic = OffsetCommitRequestTopic::default().with_name(topic_name("t"));
    let topic = topic.with_partitions(partitions.iter().map(partition).collect());
    let request = OffsetCommitRequest::default().with_group_id(id(group)).with_topics(vec![topic]);
    request.with_generation_id_or_member_epoch(-1)
}

/// Offset, leader epoch, metadata and error by partition, whatever the version.
fn fetched(response: &OffsetFetchResponse) -> Vec<(i32, i64, i32, String, i16)> {
    let old = response.topics.iter().flat_map(|topic| &topic.partitions).map(|at| {
        (at.partition_index, at.committed_offset, at.committed_leader_epoch, at.metadata.clone(), at.error_code)
    });
    let new = response.groups.iter().flat_map(|group| &group.topics).flat_map(|topic| &topic.partitions).map(|at| {
        (at.partition_index, at.committed_offset, at.committed_leader_epoch, at.metadata.clone(), at.error_code)
    });
    let text = |metadata: Option<StrBytes>| metadata.unwrap_or_default().to_string();
    old.chain(new).map(|(index, offset, epoch, metadata, code)| (index, offset, epoch, text(metadata), code)).collect()
}

fn fetch_request(version: i16, group: &str, partitions: Option<Vec<i32>>) -> OffsetFetchRequest {
    if version < 8 {
        let topic = |partitions| {
            vec![OffsetFetchRequestTopic::default().with_name(topic_name("t")).with_partition_indexes(partitions)]
        };
        return OffsetFetchRequest::default().with_group_id(id(group)).with_topics(partitions.map(topic));
    }
    let topic = |partitions| {
        vec![OffsetFetchRequestTopics::default().with_name(topic_name("t")).with_partition_indexes(partitions)]
    };
    let group = OffsetFetchRequestGroup::default().with_group_id(id(group)).with_topics(partitions.map(topic));
    OffsetFetchRequest::default().with_groups(vec![group.with_member_epoch(-1)])
}

#[tokio::test]
async fn offsets_are_committed_and_fetched_in_every_version() {
    let world = World::new();
    let broker = start(&world, 1).await;
    let mut client = broker.client_with("t", 3).await;
    for version in versions(api::OFFSET_COMMIT) {
        let group = format!("g{version}");
        let request = commit_request(version, &group, &[0, 1, 9]);
        let committed = client.call(version, &request).await.expect("answered");
        let codes: Vec<_> = committed.topics[0].partitions.iter().map(|partition| partition.error_code).collect();
        assert_eq!(codes, [0, 0, ResponseError::UnknownTopicOrPartition.code()], "version {version}");
    }
    for version in versions(api::OFFSET_FETCH) {
        let request = fetch_request(version, "g9", Some(vec![0, 2]));
        let response = client.call(version, &request).await.expect("answered");
        let epoch = if version >= 5 { 3 } else { -1 };
        let expected = [(0, 10, epoch, "note".to_owned(), 0), (2, -1, -1, String::new(), 0)];
        assert_eq!(fetched(&response), expected, "version {version}");
        if version >= 2 {
            let response = client.call(version, &fetch_request(version, "g9", None)).await.expect("answered");
            assert_eq!(fetched(&response).iter().map(|row| (row.0, row.1)).collect::<Vec<_>>(), [(0, 10), (1, 11)]);
            let response = client.call(version, &fetch_request(version, "nobody", None)).await.expect("answered");
            assert_eq!(fetched(&response), []);
        }
    }
}

#[tokio::test]
async fn commit_metadata_that_is_too_long_is_refused_for_its_partition_only() {
    let world = World::new();
    let broker = start(&world, 1).await;
    let mut client = broker.client_with("t", 2).await;
    let mut request = commit_request(9, "g", &[0, 1]);
    request.topics[0].partitions[1].committed_metadata = Some(text(&"x".repeat(4_097)));
    let committed = client.call(9, &request).await.expect("answered");
    let codes: Vec<_> = committed.topics[0].partitions.iter().map(|partition| partition.error_code).collect();
    assert_eq!(codes, [0, ResponseError::OffsetMetadataTooLarge.code()]);
    let applied = broker.log.state().applied();
    let both = request.topics[0].partitions.clone();
    request.topics[0].partitions.remove(0);
    let refused = client.call(9, &request).await.expect("answered");
    assert_eq!(refused.topics[0].partitions[0].error_code, ResponseError::OffsetMetadataTooLarge.code());
    assert_eq!(broker.log.state().applied(), applied, "nothing to write down");
    let refused = client.call(9, &commit_request(9, "g", &[8, 9])).await.expect("answered");
    let codes: Vec<_> = refused.topics[0].partitions.iter().map(|partition| partition.error_code).collect();
    assert_eq!(codes, [ResponseError::UnknownTopicOrPartition.code(); 2]);
    assert_eq!(broker.log.state().applied(), applied);
    request.generation_id_or_member_epoch = 4;
    request.topics[0].partitions = both;
    let refused = client.call(9, &request).await.expect("answered");
    let codes: Vec<_> = refused.topics[0].partitions.iter().map(|partition| partition.error_code).collect();
    assert_eq!(codes, [ResponseError::UnknownMemberId.code(); 2], "the group's objection comes first");
}

#[tokio::test]
async fn groups_are_described_listed_and_deleted_in_every_version() {
    let world = World::new();
    let broker = start(&world, 1).await;
    let mut client = broker.client_with("t", 1).await;
    let joined = join(&mut client, 9, "g").await;
    sync(&mut client, 5, "g", &joined).await;
    client.call(9, &commit_request(9, "simple", &[0])).await.expect("answered");
    for version in versions(api::DESCRIBE_GROUPS) {
        let request = DescribeGroupsRequest::default().with_groups(vec![id("g"), id("none")]);
        let groups = client.call(version, &request).await.expect("answered").groups;
        let (group, none) = (&groups[0], &groups[1]);
        assert_eq!((group.error_code, &*group.group_state, &*group.protocol_data), (0, "Stable", "range"));
        let member = &group.members[0];
        assert_eq!((&*member.client_id, &*member.client_host), ("test", "/127.0.0.1"), "version {version}");
        assert_eq!((&member.member_metadata[..], &member.member_assignment[..]), (&b"topics"[..], &b"all"[..]));
        let code = if version >= 6 { ResponseError::GroupIdNotFound.code() } else { 0 };
        assert_eq!((none.error_code, &*none.group_state), (code, "Dead"));
    }
    for version in versions(api::LIST_GROUPS) {
        let groups = client.call(version, &ListGroupsRequest::default()).await.expect("answered").groups;
        let rows: Vec<_> = groups.iter().map(|row| (&*row.group_id.0, &*row.protocol_type)).collect();
        assert_eq!(rows, [("g", "consumer"), ("simple", "")], "version {version}");
    }
    let filters: [(&[&str], &[&str], &[&str]); 4] = [
        (&["stable"], &[], &["g"]),
        (&["Empty", "Dead"], &[], &["simple"]),
        (&[], &["Classic"], &["g", "simple"]),
        (&[], &["consumer"], &[]),
    ];
    for (states, types, expected) in filters {
        let words = |words: &[&str]| words.iter().map(|word| text(word)).collect();
        let request = ListGroupsRequest::default().with_states_filter(words(states)).with_types_filter(words(types));
        let groups = client.call(5, &request).await.expect("answered").groups;
        assert_eq!(groups.iter().map(|row| row.group_id.0.to_string()).collect::<Vec<_>>(), expected);
    }
    for version in versions(api::DELETE_GROUPS) {
        client.call(9, &commit_request(9, "simple", &[0])).await.expect("answered");
        let request = DeleteGroupsRequest::default().with_groups_names(vec![id("g"), id("simple"), id("none")]);
        let results = client.call(version, &request).await.expect("answered").results;
        let expected = [ResponseError::NonEmptyGroup.code(), 0, ResponseError::GroupIdNotFound.code()];
        assert_eq!(results.iter().map(|result| result.error_code).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn committed_offsets_are_deleted_where_nobody_subscribes() {
    let world = World::new();
    let broker = start(&world, 1).await;
    let mut client = broker.client_with("t", 2).await;
    client.call(9, &commit_request(9, "g", &[0, 1])).await.expect("answered");
    let partitions = [1, 7].map(|index| OffsetDeleteRequestPartition::default().with_partition_index(index));
    let topic = OffsetDeleteRequestTopic::default().with_name(topic_name("t")).with_partitions(partitions.to_vec());
    let request = OffsetDeleteRequest::default().with_group_id(id("g")).with_topics(vec![topic]);
    let deleted = client.call(0, &request).await.expect("answered");
    assert_eq!(deleted.error_code, 0);
    let codes: Vec<_> = deleted.topics[0].partitions.iter().map(|partition| partition.error_code).collect();
    assert_eq!(codes, [0, ResponseError::UnknownTopicOrPartition.code()]);
    let left = client.call(9, &fetch_request(9, "g", None)).await.expect("answered");
    assert_eq!(fetched(&left).iter().map(|row| row.0).collect::<Vec<_>>(), [0]);
    let none = client.call(0, &request.with_group_id(id("none"))).await.expect("answered");
    assert_eq!(none.error_code, ResponseError::GroupIdNotFound.code());
}

#[tokio::test]
async fn a_client_that_hangs_up_while_it_joins_frees_its_connection_and_is_forgotten_in_time() {
    let world = World::new();
    let broker = start(&world, 1).await;
    let mut leader = broker.client().await;
    let joined = join(&mut leader, 3, "g").await;
    sync(&mut leader, 3, "g", &joined).await;
    let mut other = broker.client().await;
    other.send(3, &join_request("g", "").with_rebalance_timeout_ms(60_000)).await.expect("sent");
    while heartbeat(&mut leader, 3, "g", &joined).await == 0 {
        tokio::task::yield_now().await;
    }
    drop(other);
    while !broker.metrics().contains("frazil_connections 1") {
        tokio::task::yield_now().await;
    }
    let again = leader.call(3, &join_request("g", &joined.member_id).with_rebalance_timeout_ms(60_000)).await;
    assert_eq!(again.expect("answered").members.len(), 2, "it may come back for its answer until its session ends");
}

#[tokio::test]
async fn a_broker_that_stops_sends_those_who_wait_to_another_coordinator() {
    let world = World::new();
    let broker = start(&world, 1).await;
    let mut leader = broker.client().await;
    let joined = join(&mut leader, 3, "g").await;
    sync(&mut leader, 3, "g", &joined).await;
    let mut other = broker.client().await;
    other.send(3, &join_request("g", "").with_rebalance_timeout_ms(60_000)).await.expect("sent");
    while heartbeat(&mut leader, 3, "g", &joined).await == 0 {
        tokio::task::yield_now().await;
    }
    broker.broker.stop().await;
    let refused = other.receive::<JoinGroupRequest>(3).await.expect("answered");
    assert_eq!(refused.error_code, ResponseError::NotCoordinator.code());
}

#[tokio::test]
async fn every_broker_knows_the_coordinator_and_the_others_refuse() {
    let world = World::new();
    let brokers = [start(&world, 1).await, start(&world, 2).await, start(&world, 3).await];
    for broker in &brokers {
        for other in &brokers {
            broker.catch_up_with(other).await;
        }
    }
    let mut coordinators = Vec::new();
    for broker in &brokers {
        let request = FindCoordinatorRequest::default().with_key(text("g"));
        coordinators.push(broker.client().await.call(3, &request).await.expect("answered").node_id.0);
    }
    assert!(coordinators.iter().all(|node| *node == coordinators[0]), "{coordinators:?}");
    for (broker, node) in brokers.iter().zip(1..) {
        let mut client = broker.client_with(&format!("t{node}"), 1).await;
        let joined = client.call(9, &join_request("g", "").with_rebalance_timeout_ms(1_000)).await.expect("answered");
        let wanted =
            if node == coordinators[0] { ResponseError::MemberIdRequired } else { ResponseError::NotCoordinator };
        assert_eq!(joined.error_code, wanted.code());
        let fetched = client.call(9, &fetch_request(9, "g", None)).await.expect("answered");
        let wanted = if node == coordinators[0] { 0 } else { ResponseError::NotCoordinator.code() };
        assert_eq!(fetched.groups[0].error_code, wanted);
    }
}

#[tokio::test]
async fn impossible_sessions_and_empty_group_ids_are_refused() {
    let world = World::new();
    let broker = start(&world, 1).await;
    let mut client = broker.client().await;
    for (group, session_timeout_ms, error) in [
        ("", 10_000, ResponseError::InvalidGroupId),
        ("g", 49, ResponseError::InvalidSessionTimeout),
        ("g", 1_800_001, ResponseError::InvalidSessionTimeout),
    ] {
        let request = join_request(group, "").with_session_timeout_ms(session_timeout_ms);
        let refused = client.call(9, &request.with_rebalance_timeout_ms(1)).await.expect("answered");
        assert_eq!(refused.error_code, error.code(), "{group:?}, {session_timeout_ms} ms");
    }
}

#[tokio::test]
async fn a_member_that_falls_silent_makes_room() {
    let world = World::new();
    let broker = start(&world, 1).await;
    let (mut silent, mut other) = (broker.client().await, broker.client().await);
    let request = join_request("g", "").with_session_timeout_ms(50).with_rebalance_timeout_ms(60_000);
    let joined = silent.call(3, &request).await.expect("answered");
    sync(&mut silent, 3, "g", &joined).await;
    let joined = other.call(3, &request).await.expect("answered without the silent one");
    assert_eq!((joined.error_code, joined.members.len()), (0, 1));
}
