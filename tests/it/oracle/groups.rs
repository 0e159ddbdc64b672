//! Groups of the consumer protocol (KIP-848), and what goes wrong where they meet classic ones: a table, as `answers`.
//! Member ids are the clients' own there, so every request stands by itself. Later lines live on what earlier ones did.
//! (Classic groups by themselves are compared in `group_codes`, where the broker chooses the ids.)

use super::answers::{self, PATIENCE, PAUSE};
use super::requests::*;
use super::row::{Row, row};
use bytes::{BufMut as _, Bytes, BytesMut};
use frazil_broker::testing::{Client, topic_name};
use kafka_protocol::messages as m;
use kafka_protocol::protocol::Encodable as _;
use std::time::Instant;

/// Later than any epoch of these groups.
const FAR: i32 = 100;

fn id(group: &str) -> m::GroupId {
    m::GroupId(text(group))
}

/// A member that says only who it is.
fn beat(group: &str, member: &str, epoch: i32) -> m::ConsumerGroupHeartbeatRequest {
    m::ConsumerGroupHeartbeatRequest::default()
        .with_group_id(id(group))
        .with_member_id(text(member))
        .with_member_epoch(epoch)
        .with_subscribed_topic_names(None)
        .with_topic_partitions(None)
}

/// A member that says everything, as it has to when it joins.
fn joining(group: &str, member: &str) -> m::ConsumerGroupHeartbeatRequest {
    beat(group, member, 0)
        .with_rebalance_timeout_ms(30_000)
        .with_subscribed_topic_names(Some(vec![topic_name("t")]))
        .with_topic_partitions(Some(Vec::new()))
}

fn owning(request: m::ConsumerGroupHeartbeatRequest, topic: u128) -> m::ConsumerGroupHeartbeatRequest {
    let owned = m::consumer_group_heartbeat_request::TopicPartitions::default()
        .with_topic_id(uuid::Uuid::from_u128(topic))
        .with_partitions(vec![0]);
    request.with_topic_partitions(Some(vec![owned]))
}

fn classic(group: &str, instance: Option<&str>, protocol_type: &str) -> m::JoinGroupRequest {
    let mut metadata = BytesMut::new();
    metadata.put_i16(1);
    let subscription = m::ConsumerProtocolSubscription::default().with_topics(vec![text("t")]);
    subscription.encode(&mut metadata, 1).expect("it can be written");
    let protocol = m::join_group_request::JoinGroupRequestProtocol::default().with_name(text("range"));
    m::JoinGroupRequest::default()
        .with_group_id(id(group))
        .with_group_instance_id(instance.map(text))
        .with_session_timeout_ms(30_000)
        .with_rebalance_timeout_ms(30_000)
        .with_protocol_type(text(protocol_type))
        .with_protocols(vec![protocol.with_metadata(metadata.freeze())])
}

fn commit(group: &str, member: &str, epoch: i32, topic: &str, note: &str) -> m::OffsetCommitRequest {
    use m::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(1);
    let partition = partition.with_committed_metadata(Some(text(note)));
    let topic = OffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
    m::OffsetCommitRequest::default()
        .with_group_id(id(group))
        .with_member_id(text(member))
        .with_generation_id_or_member_epoch(epoch)
        .with_topics(vec![topic])
}

fn offsets_of(group: &str, member: Option<&str>, epoch: i32) -> m::OffsetFetchRequest {
    use m::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
    let topic = OffsetFetchRequestTopics::default().with_name(topic_name("t")).with_partition_indexes(vec![0, 9]);
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(id(group))
        .with_member_id(member.map(text))
        .with_member_epoch(epoch)
        .with_topics(Some(vec![topic]));
    m::OffsetFetchRequest::default().with_groups(vec![group])
}

fn classic_beat(group: &str, member: &str, instance: Option<&str>, generation: i32) -> m::HeartbeatRequest {
    m::HeartbeatRequest::default()
        .with_group_id(id(group))
        .with_member_id(text(member))
        .with_group_instance_id(instance.map(text))
        .with_generation_id(generation)
}

fn sync(group: &str, member: &str, generation: i32) -> m::SyncGroupRequest {
    m::SyncGroupRequest::default().with_group_id(id(group)).with_member_id(text(member)).with_generation_id(generation)
}

fn leave(group: &str, member: &str, instance: Option<&str>) -> m::LeaveGroupRequest {
    let leaver = m::leave_group_request::MemberIdentity::default()
        .with_member_id(text(member))
        .with_group_instance_id(instance.map(text));
    m::LeaveGroupRequest::default().with_group_id(id(group)).with_members(vec![leaver])
}

fn find(key_type: i8, keys: &[&str]) -> m::FindCoordinatorRequest {
    let keys = keys.iter().map(|key| text(key)).collect();
    m::FindCoordinatorRequest::default().with_key_type(key_type).with_coordinator_keys(keys)
}

fn describe_consumers(groups: &[&str]) -> m::ConsumerGroupDescribeRequest {
    m::ConsumerGroupDescribeRequest::default().with_group_ids(groups.iter().map(|group| id(group)).collect())
}

fn delete_groups(groups: &[&str]) -> m::DeleteGroupsRequest {
    m::DeleteGroupsRequest::default().with_groups_names(groups.iter().map(|group| id(group)).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_the_consumer_protocol_get_kafkas_codes() {
    let tables = [invalid_heartbeats(), strangers(), members(), static_members(), offsets(), mixed(), coordinators()];
    answers::compare_after(tables.into_iter().flatten().collect(), |client| Box::pin(wake(client))).await;
}

/// Waits until Kafka's coordinators have loaded the partitions of these groups: they know then that there is nobody.
async fn wake(client: &mut Client) {
    const UNKNOWN_MEMBER: i16 = 25;
    let began = Instant::now();
    for group in ["i", "i2", "i3", "i4", "none", "g", "s", "o", "c", "w", "z", "z1", "z2", "z3", "z4", "z5", "z6", " "]
    {
        // Asking for a coordinator has Kafka make the topic of offsets.
        let _ = client.call(4, &find(0, &[group])).await.expect("answered");
        let unknown = classic_beat(group, "nobody", None, 1);
        while client.call(4, &unknown).await.expect("answered").error_code != UNKNOWN_MEMBER {
            assert!(began.elapsed() < PATIENCE, "the coordinator of {group:?} does not wake up");
            tokio::time::sleep(PAUSE).await;
        }
    }
    while client.call(4, &find(1, &["t"])).await.expect("answered").coordinators[0].error_code != 0 {
        assert!(began.elapsed() < PATIENCE, "the coordinator of transactions does not wake up");
        tokio::time::sleep(PAUSE).await;
    }
}

fn invalid_heartbeats() -> Vec<Row> {
    let topics = |names: &[&str]| Some(names.iter().map(|name| topic_name(name)).collect());
    vec![
        row("beat: no group", 1, joining("", "m")),
        row("beat: a blank group", 1, joining(" ", "m")),
        row("beat: no member", 1, joining("i", "")),
        row("beat: no member, version 0, with an epoch", 0, beat("i", "", 1)),
        row("beat: epoch -3", 1, beat("i", "m", -3)),
        row("beat: epoch of the least", 1, beat("i", "m", i32::MIN)),
        row("beat: joins without a timeout", 1, joining("i", "m").with_rebalance_timeout_ms(-1)),
        row("beat: joins with a timeout of 0", 1, joining("i", "m").with_rebalance_timeout_ms(0)),
        row("beat: joins with a timeout of -5", 1, joining("i", "m").with_rebalance_timeout_ms(-5)),
        row("beat: joins without topics", 1, joining("i", "m").with_subscribed_topic_names(None)),
        row("beat: joins without partitions", 1, joining("i", "m").with_topic_partitions(None)),
        row("beat: joins with partitions", 1, owning(joining("i", "m"), 5)),
        row("beat: joins with an empty instance", 1, joining("i", "m").with_instance_id(Some(text("")))),
        row("beat: joins with an empty zone", 1, joining("i", "m").with_rack_id(Some(text("")))),
        row("beat: joins with an unknown assignor", 1, joining("i", "m").with_server_assignor(Some(text("mine")))),
        row("beat: joins with an empty assignor", 1, joining("i", "m").with_server_assignor(Some(text("")))),
        row(
            "beat: joins with a broken expression",
            1,
            joining("i", "m").with_subscribed_topic_names(None).with_subscribed_topic_regex(Some(text("(a"))),
        ),
        row("beat: leaves as a static member without a name", 1, beat("i", "m", -2)),
        row("beat: topics without a name", 1, joining("i2", "m").with_subscribed_topic_names(topics(&[""]))),
        row("beat: topics of a bad name", 1, joining("i3", "m").with_subscribed_topic_names(topics(&["a b"]))),
        row("beat: no topics", 1, joining("i4", "m").with_subscribed_topic_names(topics(&[]))),
    ]
}

fn strangers() -> Vec<Row> {
    vec![
        row("stranger: beats", 1, beat("none", "m", 1)),
        row("stranger: leaves", 1, beat("none", "m", -1)),
        row("stranger: leaves for a while", 1, beat("none", "m", -2).with_instance_id(Some(text("one")))),
        row("stranger: commits", 9, commit("none", "m", 1, "t", "")),
        row("stranger: commits, version 8", 8, commit("none", "m", 1, "t", "")),
        row("stranger: reads offsets", 9, offsets_of("none", Some("m"), 1)),
        row("stranger: describes", 1, describe_consumers(&["none"])),
        row("stranger: describes no group", 1, describe_consumers(&[""])),
        row("stranger: deletes", 2, delete_groups(&["none"])),
    ]
}

fn members() -> Vec<Row> {
    vec![
        row("member: joins", 1, joining("g", "a")),
        row("member: beats", 1, beat("g", "a", 1)),
        row("member: beats again", 1, beat("g", "a", 1)),
        row("member: beats in an epoch to come", 1, beat("g", "a", FAR)),
        row("member: joins again", 1, joining("g", "a")),
        row("member: beats with partitions of others", 1, owning(beat("g", "a", 1), 5)),
        row("member: asks for an unknown assignor", 1, beat("g", "a", 1).with_server_assignor(Some(text("mine")))),
        row("member: another beats that never joined", 1, beat("g", "b", 1)),
        row("member: another leaves that never joined", 1, beat("g", "b", -1)),
        row("member: leaves for a while without a name", 1, beat("g", "a", -2)),
        row("member: a group that is in use is deleted", 2, delete_groups(&["g"])),
        row("member: described", 1, describe_consumers(&["g"])),
        row("member: described as classic", 6, m::DescribeGroupsRequest::default().with_groups(vec![id("g")])),
        row(
            "member: subscribes to a broken expression",
            1,
            beat("g", "a", 1).with_subscribed_topic_regex(Some(text("[a"))),
        ),
    ]
}

fn static_members() -> Vec<Row> {
    let named = |request: m::ConsumerGroupHeartbeatRequest| request.with_instance_id(Some(text("one")));
    vec![
        row("static: joins", 1, named(joining("s", "a"))),
        row("static: another of its name", 1, named(joining("s", "b"))),
        row("static: beats", 1, named(beat("s", "a", 1))),
        row("static: another beats under its name", 1, named(beat("s", "b", 1))),
        row("static: beats under another name", 1, beat("s", "a", 1).with_instance_id(Some(text("two")))),
        row("static: another leaves under its name", 1, named(beat("s", "b", -1))),
        row("static: another leaves for a while under its name", 1, named(beat("s", "b", -2))),
        row("static: leaves for a while", 1, named(beat("s", "a", -2))),
        row("static: beats after that", 1, named(beat("s", "a", 1))),
        row("static: comes back with another id", 1, named(joining("s", "b"))),
        row("static: beats with the old id", 1, named(beat("s", "a", 1))),
        row("static: commits with the old id", 9, commit("s", "a", 1, "t", "")),
        row("static: leaves", 1, named(beat("s", "b", -1))),
        row("static: leaves again", 1, named(beat("s", "b", -1))),
    ]
}

fn offsets() -> Vec<Row> {
    let long = "x".repeat(4_097);
    vec![
        row("offsets: joins", 1, joining("o", "a")),
        row("offsets: commit", 9, commit("o", "a", 1, "t", "note")),
        row("offsets: commit, version 8", 8, commit("o", "a", 1, "t", "note")),
        row("offsets: commit in an old epoch", 9, commit("o", "a", 0, "t", "")),
        row("offsets: commit in an epoch to come", 9, commit("o", "a", FAR, "t", "")),
        row("offsets: commit in an old epoch, version 8", 8, commit("o", "a", 0, "t", "")),
        row("offsets: commit of a stranger", 9, commit("o", "b", 1, "t", "")),
        row("offsets: commit of nobody", 9, commit("o", "", -1, "t", "")),
        row("offsets: commit of a member without an epoch", 9, commit("o", "a", -1, "t", "")),
        row("offsets: commit with a long note", 9, commit("o", "a", 1, "t", &long)),
        row("offsets: commit with a long note in an old epoch", 9, commit("o", "a", 0, "t", &long)),
        row("offsets: commit of an unknown topic", 9, commit("o", "a", 1, "nowhere", "")),
        row("offsets: commit of an unknown topic in an old epoch", 9, commit("o", "a", 0, "nowhere", "")),
        row("offsets: commit of nothing", 9, commit("o", "a", 1, "t", "").with_topics(Vec::new())),
        row("offsets: commit of nothing in an old epoch", 9, commit("o", "a", 0, "t", "").with_topics(Vec::new())),
        row("offsets: read", 9, offsets_of("o", Some("a"), 1)),
        row("offsets: read by anybody", 9, offsets_of("o", None, -1)),
        row("offsets: read in an old epoch", 9, offsets_of("o", Some("a"), 0)),
        row("offsets: read in an epoch to come", 9, offsets_of("o", Some("a"), FAR)),
        row("offsets: read by a stranger", 9, offsets_of("o", Some("b"), 1)),
        row("offsets: read of no group", 9, offsets_of("", None, -1)),
    ]
}

fn mixed() -> Vec<Row> {
    let assigned = Bytes::new();
    vec![
        row("mixed: a classic member of another kind joins", 9, classic("g", Some("c"), "connect")),
        row("mixed: a classic member beats", 4, classic_beat("g", "a", None, 1)),
        row("mixed: a classic stranger beats", 4, classic_beat("g", "c", None, 1)),
        row("mixed: a classic member syncs", 5, sync("g", "a", 1)),
        row("mixed: a classic stranger leaves", 5, leave("g", "c", None)),
        row("mixed: a member leaves the classic way", 5, leave("g", "a", None)),
        row("mixed: a classic group", 9, classic("c", Some("one"), "consumer")),
        row("mixed: another id under its name beats", 4, classic_beat("c", "x", Some("one"), 1)),
        row("mixed: another id under its name syncs", 5, {
            let part = m::sync_group_request::SyncGroupRequestAssignment::default().with_assignment(assigned);
            sync("c", "x", 1).with_group_instance_id(Some(text("one"))).with_assignments(vec![part])
        }),
        row("mixed: another id under its name leaves", 5, leave("c", "x", Some("one"))),
        row("mixed: a classic group of workers", 9, classic("w", Some("one"), "connect")),
        row("mixed: a consumer joins the workers", 1, joining("w", "a")),
        row("mixed: a consumer beats among the workers", 1, beat("w", "a", 1)),
        row("mixed: the workers described as consumers", 1, describe_consumers(&["w"])),
        row("mixed: a session of 0", 9, classic("z", None, "consumer").with_session_timeout_ms(0)),
        row("mixed: a session of -1", 9, classic("z", None, "consumer").with_session_timeout_ms(-1)),
        row("mixed: a session without end", 9, classic("z", None, "consumer").with_session_timeout_ms(i32::MAX)),
        row("mixed: a rebalance of -5", 9, classic("z1", Some("one"), "consumer").with_rebalance_timeout_ms(-5)),
        row("mixed: a rebalance of 0", 9, classic("z2", Some("one"), "consumer").with_rebalance_timeout_ms(0)),
        row("mixed: an empty instance", 9, classic("z3", Some(""), "consumer")),
        row("mixed: an instance of a bad name", 9, classic("z4", Some("a b"), "consumer")),
        row("mixed: an instance of two dots", 9, classic("z5", Some(".."), "consumer")),
        row("mixed: an instance of 250 characters", 9, classic("z6", Some(&"x".repeat(250)), "consumer")),
    ]
}

fn coordinators() -> Vec<Row> {
    vec![
        row("find: groups", 4, find(0, &["g", "h"])),
        row("find: no group", 4, find(0, &[""])),
        row("find: nothing", 4, find(0, &[])),
        row("find: a transaction of no name", 4, find(1, &[""])),
        row("find: an unknown kind", 4, find(9, &["g"])),
        row("find: a negative kind", 4, find(-1, &["g"])),
        row("find: an unknown kind, version 3", 3, m::FindCoordinatorRequest::default().with_key_type(9)),
        row("find: a share group's before it existed", 5, find(2, &["g"])),
    ]
}
