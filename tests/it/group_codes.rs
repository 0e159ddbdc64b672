//! The same requests about groups go to Frazil and to Apache Kafka 4.1.1, and get the same answers, down to the codes.

use bytes::{BufMut, Bytes, BytesMut};
use frazil_broker::testing::{Client, topic_name};
use frazil_tests::{FrazilProcess, FrazilSettings, KafkaProcess, Tools};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_commit_response::OffsetCommitResponsePartition;
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_delete_response::OffsetDeleteResponsePartition;
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerProtocolSubscription, DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, GroupId,
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest,
    OffsetDeleteRequest, OffsetFetchRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::{Encodable as _, Request, StrBytes};
use std::fmt::Debug;
use tempfile::TempDir;

const LEFT_BEHIND: &str = "Kafka keeps an empty group in memory after a join that it refused; Frazil keeps nothing";

/// Questions that are answered otherwise on purpose, by the beginning of their text, and why.
const DIFFERENT: &[(&str, &str)] = &[
    ("commit as a member of nothing", LEFT_BEHIND),
    ("describe nothing", LEFT_BEHIND),
    ("delete [\"none\", \"\"]", LEFT_BEHIND),
    ("describe a group with a pending member", "Kafka does not show a group before its first member is in"),
];

/// A broker under questioning, and what it said, by question.
struct Subject {
    client: Client,
    said: Vec<(String, String)>,
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn id(group: &str) -> GroupId {
    GroupId(text(group))
}

fn subscription(topic: &str) -> Bytes {
    let mut metadata = BytesMut::new();
    metadata.put_i16(1);
    let subscription = ConsumerProtocolSubscription::default().with_topics(vec![text(topic)]);
    subscription.encode(&mut metadata, 1).expect("it can be written");
    metadata.freeze()
}

fn join(group: &str, member_id: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
    JoinGroupRequest::default()
        .with_group_id(id(group))
        .with_session_timeout_ms(30_000)
        .with_rebalance_timeout_ms(30_000)
        .with_member_id(text(member_id))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol.with_metadata(subscription("used"))])
}

fn sync(group: &str, member_id: &str, generation: i32) -> SyncGroupRequest {
    let part = SyncGroupRequestAssignment::default().with_member_id(text(member_id));
    SyncGroupRequest::default()
        .with_group_id(id(group))
        .with_generation_id(generation)
        .with_member_id(text(member_id))
        .with_protocol_type(Some(text("consumer")))
        .with_protocol_name(Some(text("range")))
        .with_assignments(vec![part.with_assignment(Bytes::from_static(b"all"))])
}

fn beat(group: &str, member_id: &str, generation: i32) -> HeartbeatRequest {
    let request = HeartbeatRequest::default().with_group_id(id(group)).with_generation_id(generation);
    request.with_member_id(text(member_id))
}

fn leave(group: &str, members: &[(&str, Option<&str>)]) -> LeaveGroupRequest {
    let member = |(member_id, instance): &(&str, Option<&str>)| {
        MemberIdentity::default().with_member_id(text(member_id)).with_group_instance_id(instance.map(text))
    };
    LeaveGroupRequest::default().with_group_id(id(group)).with_members(members.iter().map(member).collect())
}

fn commit(group: &str, member_id: &str, generation: i32, places: &[(&str, i32, &str)]) -> OffsetCommitRequest {
    let topic = |(topic, partition, metadata): &(&str, i32, &str)| {
        let partition = OffsetCommitRequestPartition::default().with_partition_index(*partition);
        let partition = partition.with_committed_offset(1).with_committed_metadata(Some(text(metadata)));
        OffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition])
    };
    OffsetCommitRequest::default()
        .with_group_id(id(group))
        .with_member_id(text(member_id))
        .with_generation_id_or_member_epoch(generation)
        .with_topics(places.iter().map(topic).collect())
}

impl Subject {
    fn note(&mut self, question: &str, answer: impl Debug) {
        self.said.push((question.to_owned(), format!("{answer:?}")));
    }

    async fn ask<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.client.call(version, request).await.unwrap_or_else(|error| panic!("API {}: {error}", R::KEY))
    }

    async fn join(&mut self, question: &str, request: &JoinGroupRequest) -> JoinGroupResponse {
        let answer = self.ask(9, request).await;
        let names = (answer.protocol_type.as_deref(), answer.protocol_name.as_deref());
        let kept_id = !request.member_id.is_empty() && answer.member_id == request.member_id;
        let is_leader = answer.error_code == 0 && answer.leader == answer.member_id;
        let (code, generation) = (answer.error_code, answer.generation_id);
        let what = (code, generation, names, kept_id, is_leader, answer.skip_assignment, answer.members.len());
        self.note(question, what);
        answer
    }

    async fn sync(&mut self, question: &str, version: i16, request: &SyncGroupRequest) {
        let answer = self.ask(version, request).await;
        let names = (answer.protocol_type.as_deref(), answer.protocol_name.as_deref());
        self.note(question, (answer.error_code, names, answer.assignment.clone()));
    }

    async fn beat(&mut self, question: &str, request: &HeartbeatRequest) {
        let answer = self.ask(4, request).await;
        self.note(question, answer.error_code);
    }

    async fn leave(&mut self, question: &str, version: i16, request: &LeaveGroupRequest) {
        let answer = self.ask(version, request).await;
        let members: Vec<_> = answer.members.iter().map(|member| member.error_code).collect();
        self.note(question, (answer.error_code, members));
    }

    async fn commit(&mut self, question: &str, version: i16, request: &OffsetCommitRequest) {
        let answer = self.ask(version, request).await;
        let codes = answer.topics.iter().flat_map(|topic| {
            let row = |partition: &OffsetCommitResponsePartition| (partition.partition_index, partition.error_code);
            topic.partitions.iter().map(row).map(|(partition, code)| (topic.name.0.to_string(), partition, code))
        });
        // Kafka answers in an order of its own.
        let mut codes: Vec<_> = codes.collect();
        codes.sort();
        self.note(question, codes);
    }

    async fn describe(&mut self, question: &str, version: i16, group: &str) {
        let request = DescribeGroupsRequest::default().with_groups(vec![id(group)]);
        let request = request.with_include_authorized_operations(version >= 3);
        let answer = self.ask(version, &request).await;
        let group = &answer.groups[0];
        let members = group.members.iter().map(|member| {
            let (client, host) = (member.client_id.to_string(), member.client_host.to_string());
            (client, host, member.member_metadata.clone(), member.member_assignment.clone())
        });
        let members: Vec<_> = members.collect();
        let names = (group.group_state.to_string(), group.protocol_type.to_string(), group.protocol_data.to_string());
        let message = group.error_message.as_ref().map(ToString::to_string);
        self.note(question, (group.error_code, message, names, members, group.authorized_operations));
    }

    async fn list(&mut self, states: &[&str], types: &[&str]) {
        let words = |words: &[&str]| words.iter().map(|word| text(word)).collect();
        let request = ListGroupsRequest::default().with_states_filter(words(states)).with_types_filter(words(types));
        let answer = self.ask(5, &request).await;
        let mut rows: Vec<_> = answer
            .groups
            .iter()
            .map(|row| {
                let names = [&row.group_id.0, &row.protocol_type, &row.group_state, &row.group_type];
                names.map(ToString::to_string)
            })
            .collect();
        rows.sort();
        self.note(&format!("list {states:?} {types:?}"), (answer.error_code, rows));
    }

    async fn delete(&mut self, groups: &[&str]) {
        let request = DeleteGroupsRequest::default().with_groups_names(groups.iter().map(|group| id(group)).collect());
        let answer = self.ask(2, &request).await;
        let mut rows: Vec<_> = answer.results.iter().map(|row| (row.group_id.0.to_string(), row.error_code)).collect();
        rows.sort();
        self.note(&format!("delete {groups:?}"), rows);
    }

    async fn delete_offsets(&mut self, group: &str, places: &[(&str, i32)]) {
        let topic = |(topic, partition): &(&str, i32)| {
            let partition = OffsetDeleteRequestPartition::default().with_partition_index(*partition);
            OffsetDeleteRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition])
        };
        let request = OffsetDeleteRequest::default().with_group_id(id(group));
        let answer = self.ask(0, &request.with_topics(places.iter().map(topic).collect())).await;
        let rows = answer.topics.iter().flat_map(|topic| {
            let row = |row: &OffsetDeleteResponsePartition| (row.partition_index, row.error_code);
            topic.partitions.iter().map(row).map(|(partition, code)| (topic.name.0.to_string(), partition, code))
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort();
        self.note(&format!("delete offsets of {group:?} {places:?}"), (answer.error_code, rows));
    }

    async fn fetch(&mut self, question: &str, member: Option<&str>, epoch: i32, group: &str, topics: &[(&str, i32)]) {
        let topic = |(topic, partition): &(&str, i32)| {
            OffsetFetchRequestTopics::default().with_name(topic_name(topic)).with_partition_indexes(vec![*partition])
        };
        let wanted = OffsetFetchRequestGroup::default().with_group_id(id(group)).with_member_id(member.map(text));
        let wanted = wanted.with_member_epoch(epoch).with_topics(Some(topics.iter().map(topic).collect()));
        let answer = self.ask(9, &OffsetFetchRequest::default().with_groups(vec![wanted])).await;
        let group = &answer.groups[0];
        let rows: Vec<_> = group
            .topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .map(|row| {
                let metadata = row.metadata.as_ref().map(ToString::to_string);
                (row.committed_offset, row.committed_leader_epoch, metadata, row.error_code)
            })
            .collect();
        self.note(question, (group.error_code, rows));
    }

    /// Waits until the coordinator of groups has begun to work.
    async fn warm_up(&mut self) {
        loop {
            let found = self.ask(3, &FindCoordinatorRequest::default().with_key(text("warm"))).await;
            let beat = self.ask(4, &beat("warm", "nobody", 1)).await;
            if found.error_code == 0 && beat.error_code == 25 {
                break;
            }
        }
        for topic in ["used", "unused"] {
            assert_eq!(self.client.create_topic(topic, 2, &[]).await.expect("answered"), 0);
        }
    }
}

async fn strangers(subject: &mut Subject) {
    subject.join("join of no group", &join("", "")).await;
    subject.join("join, short session", &join("g", "").with_session_timeout_ms(5_999)).await;
    subject.join("join, long session", &join("g", "").with_session_timeout_ms(1_800_001)).await;
    subject.join("join of a group that is not there", &join("none", "stranger")).await;
    subject.join("join without protocols", &join("none", "").with_protocols(Vec::new())).await;
    subject.join("join without a type", &join("none", "").with_protocol_type(text(""))).await;
    subject.sync("sync of no group", 5, &sync("", "m", 1)).await;
    subject.sync("sync of a group that is not there", 5, &sync("none", "m", 1)).await;
    subject.beat("beat of no group", &beat("", "m", 1)).await;
    subject.beat("beat of a group that is not there", &beat("none", "m", 1)).await;
    subject.leave("leave no group", 5, &leave("", &[("m", None)])).await;
    subject.leave("leave a group that is not there", 5, &leave("none", &[("m", None), ("", Some("i"))])).await;
    let alone = LeaveGroupRequest::default().with_group_id(id("none")).with_member_id(text("m"));
    subject.leave("leave alone", 2, &alone).await;
    for version in [8, 9] {
        let request = commit("none", "m", 3, &[("used", 0, "")]);
        subject.commit(&format!("commit as a member of nothing, version {version}"), version, &request).await;
    }
    for version in [0, 5, 6] {
        subject.describe(&format!("describe nothing, version {version}"), version, "none").await;
    }
    subject.delete(&["none", ""]).await;
    subject.delete_offsets("none", &[("used", 0)]).await;
    subject.delete_offsets("", &[("used", 0)]).await;
    subject.fetch("fetch of nothing", None, -1, "none", &[("used", 0), ("no-such-topic", 0)]).await;
}

async fn one_member(subject: &mut Subject) {
    let member = subject.join("join", &join("g", "")).await.member_id.to_string();
    subject.describe("describe a group with a pending member", 6, "g").await;
    subject.beat("beat before the join", &beat("g", &member, 1)).await;
    subject.join("join with the id", &join("g", &member)).await;
    subject.join("join again at once", &join("g", &member)).await;
    subject.describe("describe before the assignment", 6, "g").await;
    subject.beat("beat before the assignment", &beat("g", &member, 1)).await;
    subject.commit("commit before the assignment", 9, &commit("g", &member, 1, &[("used", 0, "")])).await;
    subject.sync("sync, other generation", 5, &sync("g", &member, 2)).await;
    subject.sync("sync, other member", 5, &sync("g", "stranger", 1)).await;
    subject.sync("sync, other protocol", 5, &sync("g", &member, 1).with_protocol_name(Some(text("sticky")))).await;
    subject.sync("sync, other type", 5, &sync("g", &member, 1).with_protocol_type(Some(text("connect")))).await;
    subject.sync("sync without a protocol", 5, &sync("g", &member, 1).with_protocol_name(None)).await;
    subject.sync("sync", 5, &sync("g", &member, 1)).await;
    subject.sync("sync again", 5, &sync("g", &member, 1)).await;
    for version in [0, 6] {
        subject.describe(&format!("describe a stable group, version {version}"), version, "g").await;
    }
    subject.beat("beat", &beat("g", &member, 1)).await;
    subject.beat("beat, other generation", &beat("g", &member, 2)).await;
    subject.beat("beat, other member", &beat("g", "stranger", 1)).await;
    subject.beat("beat, as a static member", &beat("g", &member, 1).with_group_instance_id(Some(text("i")))).await;
    subject.join("join, other type", &join("g", "").with_protocol_type(text("connect"))).await;
    let other = JoinGroupRequestProtocol::default().with_name(text("sticky"));
    subject.join("join, other protocol", &join("g", "").with_protocols(vec![other])).await;
    subject.join("join, stranger", &join("g", "stranger")).await;
    commits(subject, &member).await;
    subject.list(&[], &[]).await;
    subject.list(&["STABLE", "nonsense"], &[]).await;
    subject.list(&["empty"], &["classic"]).await;
    subject.list(&[], &["Consumer"]).await;
    subject.list(&[], &["nonsense"]).await;
    subject.delete(&["g"]).await;
    subject.delete_offsets("g", &[("used", 0), ("unused", 0), ("used", 7)]).await;
    subject.join("the leader joins again", &join("g", &member)).await;
    subject.leave("leave twice and wrongly", 5, &leave("g", &[(&member, None), (&member, None), ("", None)])).await;
    subject.describe("describe an empty group", 6, "g").await;
    subject.join("a former member joins", &join("g", &member)).await;
    subject.commit("a former member commits", 9, &commit("g", &member, 2, &[("used", 0, "")])).await;
    subject.commit("an administrator commits", 9, &commit("g", "", -1, &[("used", 0, "reset")])).await;
    subject.fetch("fetch what it committed", None, -1, "g", &[("used", 0)]).await;
    subject.list(&["empty"], &[]).await;
    subject.delete(&["g"]).await;
    subject.fetch("fetch of a deleted group", None, -1, "g", &[("used", 0)]).await;
}

async fn commits(subject: &mut Subject, member: &str) {
    let long = "x".repeat(4_097);
    let places =
        [("used", 0, "note"), ("unused", 0, ""), ("used", 9, ""), ("no-such-topic", 0, ""), ("used", 1, &long)];
    subject.commit("commit", 9, &commit("g", member, 1, &places)).await;
    subject.commit("commit, other generation", 9, &commit("g", member, 0, &places)).await;
    subject.commit("commit, other member", 9, &commit("g", "stranger", 1, &places)).await;
    subject.commit("commit as nobody", 9, &commit("g", "", -1, &places)).await;
    subject.commit("commit without a generation", 9, &commit("g", member, -1, &places)).await;
    let fenced = commit("g", member, 1, &places).with_group_instance_id(Some(text("i")));
    subject.commit("commit as a static member", 9, &fenced).await;
    subject.commit("commit of no group", 9, &commit("", "", -1, &[("used", 0, "")])).await;
    let topics = [("used", 0), ("used", 1), ("unused", 0)];
    subject.fetch("fetch", None, -1, "g", &topics).await;
    subject.fetch("fetch as a member", Some(member), 1, "g", &topics).await;
    subject.fetch("fetch of no group", None, -1, "", &[("used", 0)]).await;
}

async fn static_members(subject: &mut Subject) {
    let static_join = |member: &str| join("s", member).with_group_instance_id(Some(text("i")));
    let first = subject.join("static join", &static_join("")).await.member_id.to_string();
    subject.sync("static sync", 5, &sync("s", &first, 1).with_group_instance_id(Some(text("i")))).await;
    let second = subject.join("static member comes back", &static_join("")).await.member_id.to_string();
    subject.join("fenced join", &static_join(&first)).await;
    let named = |request: HeartbeatRequest| request.with_group_instance_id(Some(text("i")));
    subject.beat("fenced beat", &named(beat("s", &first, 1))).await;
    subject.beat("beat of the replaced id", &beat("s", &first, 1)).await;
    subject.beat("beat of the new id", &named(beat("s", &second, 1))).await;
    let fenced = commit("s", &first, 1, &[("used", 0, "")]).with_group_instance_id(Some(text("i")));
    subject.commit("fenced commit", 9, &fenced).await;
    let fenced = sync("s", &first, 1).with_group_instance_id(Some(text("i")));
    subject.sync("fenced sync", 5, &fenced).await;
    let leavers = [("", Some("no-such")), (first.as_str(), Some("i")), ("", Some("i")), ("", Some("i"))];
    subject.leave("leave by instance", 5, &leave("s", &leavers)).await;
    subject.describe("describe the emptied group", 6, "s").await;
}

async fn say_everything(address: &str) -> Vec<(String, String)> {
    let client = Client::connect(address.parse().expect("an address")).await.expect("it listens");
    let mut subject = Subject { client, said: Vec::new() };
    subject.warm_up().await;
    strangers(&mut subject).await;
    one_member(&mut subject).await;
    static_members(&mut subject).await;
    subject.said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_about_groups_are_answered_as_kafka_answers_them() {
    let tools = Tools::locate().expect("the tools");
    let folder = TempDir::new().expect("a folder");
    let kafka = KafkaProcess::start(&tools, folder.path(), &[]).expect("Kafka starts");
    let settings = FrazilSettings::on_folder(&folder.path().join("frazil"));
    let settings = settings.with("FRAZIL__KAFKA__GROUP_INITIAL_REBALANCE_DELAY_MS", "0");
    let frazil = FrazilProcess::start(settings).expect("frazil starts");
    let expected = say_everything(&kafka.bootstrap()).await;
    let actual = say_everything(&frazil.bootstrap()).await;
    let is_explained = |question: &str| DIFFERENT.iter().any(|(start, _)| question.starts_with(start));
    let differs = |(kafka, frazil): &(&(String, String), &(String, String))| kafka != frazil && !is_explained(&kafka.0);
    let differences: Vec<_> = expected.iter().zip(&actual).filter(differs).collect();
    let shown: Vec<_> = differences
        .iter()
        .map(|(kafka, frazil)| format!("{}\n  kafka:  {}\n  frazil: {}", kafka.0, kafka.1, frazil.1))
        .collect();
    assert!(differences.is_empty(), "{} of {} differ:\n{}", shown.len(), expected.len(), shown.join("\n"));
}
