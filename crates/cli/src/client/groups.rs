//! Groups: which there are, what they consist of, and the offsets they have committed.
//!
//! Both protocols are shown in one shape. A group is first asked for as one of the consumer protocol (KIP-848), then as a
//! classic one, as Kafka's own admin client does.

use super::assignor::decode_assignment;
use super::coordinator::{Everyone, Found};
use super::offsets::by_topic;
use super::{Client, ClientError, CoordinatorKind, Node, TopicPartition, check, text, topic_name};
use crate::output::counted;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_group_describe_response as consumer;
use kafka_protocol::messages::describe_groups_response as classic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, DeleteGroupsRequest, DescribeGroupsRequest, GroupId, ListGroupsRequest,
    OffsetCommitRequest, OffsetFetchRequest,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;

/// The protocol type of groups that share partitions of topics.
pub(super) const CONSUMER: &str = "consumer";

/// A group as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    /// Its name.
    pub group: String,
    /// `classic`, `consumer`, …; empty on brokers that do not tell.
    pub kind: String,
    /// Such as `Stable` or `Empty`; empty on brokers that do not tell.
    pub state: String,
    /// What its members do together: `consumer`, `connect`, `sr`; empty for groups that never had members.
    pub protocol_type: String,
    /// Node id of its coordinator.
    pub coordinator: i32,
}

/// A group and its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its name.
    pub group: String,
    /// `classic` or `consumer`.
    pub kind: &'static str,
    /// Such as `Stable` or `Empty`.
    pub state: String,
    /// What its members do together; empty for groups that never had members.
    pub protocol_type: String,
    /// Who shares out the partitions: the members' protocol, or the broker's assignor. Empty without members.
    pub assignor: String,
    /// The epoch of a group of the consumer protocol.
    pub epoch: Option<i32>,
    /// Its coordinator.
    pub coordinator: Node,
    /// Its members, by client id, then member id.
    pub members: Vec<GroupMember>,
}

impl GroupDescription {
    /// Whether members are in it, coming to it, or sharing out its partitions.
    pub fn is_active(&self) -> bool {
        !["Empty", "Dead"].contains(&self.state.as_str())
    }

    /// Such as `it is Stable and has 2 members`.
    pub fn activity(&self) -> String {
        format!("it is {} and has {}", self.state, counted(self.members.len(), "member"))
    }
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// The id that it has in this group.
    pub member_id: String,
    /// Its own name, for static members.
    pub instance_id: Option<String>,
    /// What it calls its client.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// Its epoch, in groups of the consumer protocol.
    pub epoch: Option<i32>,
    /// What it was given, in order.
    pub assigned: Vec<TopicPartition>,
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// Offset of the next record to read.
    pub offset: i64,
    /// Text that came with the commit.
    pub metadata: String,
}

/// In whose name offsets are committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberIdentity {
    /// Empty for somebody who is no member.
    pub member_id: String,
    /// Generation of the group; -1 for somebody who is no member.
    pub generation: i32,
    /// The name of a static member.
    pub instance_id: Option<String>,
}

impl MemberIdentity {
    /// Somebody from outside; may commit while the group has no members.
    pub const NOBODY: MemberIdentity = MemberIdentity { member_id: String::new(), generation: -1, instance_id: None };
}

pub(super) fn group_id(group: &str) -> GroupId {
    GroupId(text(group))
}

fn what(group: &str) -> String {
    format!("group {group}")
}

fn not_found(group: &str, message: Option<&StrBytes>) -> ClientError {
    let message = message.map(ToString::to_string);
    ClientError::Refused { what: what(group), error: ResponseError::GroupIdNotFound, message }
}

impl Client {
    /// All groups of all brokers, by name.
    pub async fn groups(&self) -> Result<Found<GroupListing>, ClientError> {
        let refusal = |code: i16| check(code, || "list of groups".to_string(), None);
        let Everyone { answers, silent } =
            self.ask_everyone(&ListGroupsRequest::default(), |answer| refusal(answer.error_code)).await?;
        // While a coordinator moves, both may list the group.
        let mut groups = BTreeMap::new();
        for (node, answer) in answers {
            for listed in answer.groups {
                let listing = GroupListing {
                    group: listed.group_id.to_string(),
                    kind: listed.group_type.to_lowercase(),
                    state: listed.group_state.to_string(),
                    protocol_type: listed.protocol_type.to_string(),
                    coordinator: node.id,
                };
                groups.insert(listing.group.clone(), listing);
            }
        }
        Ok(Found { all: groups.into_values().collect(), silent })
    }

    /// A group of either protocol.
    pub async fn describe_group(&self, group: &str) -> Result<GroupDescription, ClientError> {
        let described = match self.describe_consumer_group(group).await {
            Err(ClientError::Unsupported { .. }) => self.describe_classic_group(group).await,
            Err(error) if error.is(ResponseError::GroupIdNotFound) => self.describe_classic_group(group).await,
            described => described,
        };
        described.map(|mut group| {
            group.members.sort_by(|a, b| (&a.client_id, &a.member_id).cmp(&(&b.client_id, &b.member_id)));
            group
        })
    }

    async fn describe_consumer_group(&self, group: &str) -> Result<GroupDescription, ClientError> {
        let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group_id(group)]);
        self.ask_coordinator(CoordinatorKind::Group, group, &request, |node, answer| {
            let described = answer.groups.into_iter().next().ok_or_else(|| ClientError::no_answer(what(group)))?;
            check(described.error_code, || what(group), described.error_message.as_ref())?;
            Ok(consumer_group(node, described))
        })
        .await
    }

    async fn describe_classic_group(&self, group: &str) -> Result<GroupDescription, ClientError> {
        let request = DescribeGroupsRequest::default().with_groups(vec![group_id(group)]);
        self.ask_coordinator(CoordinatorKind::Group, group, &request, |node, answer| {
            let described = answer.groups.into_iter().next().ok_or_else(|| ClientError::no_answer(what(group)))?;
            check(described.error_code, || what(group), described.error_message.as_ref())?;
            // How older brokers say that there is no such group.
            if &*described.group_state == "Dead" {
                return Err(not_found(group, None));
            }
            Ok(classic_group(node, described))
        })
        .await
    }

    /// What a group has committed, by partition. With `stable` an offset that an open transaction may still replace is
    /// waited for.
    pub async fn committed(
        &self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
        stable: bool,
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>, ClientError> {
        let topic = |(topic, places): (&str, Vec<&TopicPartition>)| {
            OffsetFetchRequestTopics::default()
                .with_name(topic_name(topic))
                .with_partition_indexes(places.iter().map(|place| place.partition).collect())
        };
        let asked = OffsetFetchRequestGroup::default()
            .with_group_id(group_id(group))
            .with_member_id(None)
            .with_member_epoch(-1)
            .with_topics(partitions.map(|partitions| by_topic(partitions).into_iter().map(topic).collect()));
        let request = OffsetFetchRequest::default().with_groups(vec![asked]).with_require_stable(stable);
        self.ask_coordinator(CoordinatorKind::Group, group, &request, |_, answer| {
            let answer = answer.groups.into_iter().next().ok_or_else(|| ClientError::no_answer(what(group)))?;
            check(answer.error_code, || format!("committed offsets of {}", what(group)), None)?;
            let mut committed = BTreeMap::new();
            for topic in &answer.topics {
                for partition in &topic.partitions {
                    let place = TopicPartition::new(&topic.name, partition.partition_index);
                    check(partition.error_code, || format!("committed offset of {} in {place}", what(group)), None)?;
                    let metadata = partition.metadata.as_ref().map(ToString::to_string).unwrap_or_default();
                    let offset = CommittedOffset { offset: partition.committed_offset, metadata };
                    committed.extend((offset.offset >= 0).then_some((place, offset)));
                }
            }
            Ok(committed)
        })
        .await
    }

    /// Commits offsets in somebody's name.
    pub async fn commit_offsets(
        &self,
        group: &str,
        identity: &MemberIdentity,
        offsets: &BTreeMap<TopicPartition, i64>,
    ) -> Result<(), ClientError> {
        let partition = |place: &&TopicPartition| {
            OffsetCommitRequestPartition::default()
                .with_partition_index(place.partition)
                .with_committed_offset(offsets[*place])
                .with_committed_leader_epoch(-1)
                .with_committed_metadata(Some(StrBytes::default()))
        };
        let topic = |(topic, places): (&str, Vec<&TopicPartition>)| {
            let partitions = places.iter().map(partition).collect();
            OffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(partitions)
        };
        let request = OffsetCommitRequest::default()
            .with_group_id(group_id(group))
            .with_generation_id_or_member_epoch(identity.generation)
            .with_member_id(text(&identity.member_id))
            .with_group_instance_id(identity.instance_id.as_deref().map(text))
            .with_topics(by_topic(offsets.keys()).into_iter().map(topic).collect());
        self.ask_coordinator(CoordinatorKind::Group, group, &request, |_, answer| {
            answer.topics.iter().try_for_each(|topic| {
                topic.partitions.iter().try_for_each(|partition| {
                    let place = || format!("commit of {}/{}", topic.name.as_str(), partition.partition_index);
                    check(partition.error_code, place, None)
                })
            })
        })
        .await
    }

    /// Deletes a group and its offsets.
    pub async fn delete_group(&self, group: &str) -> Result<(), ClientError> {
        let request = DeleteGroupsRequest::default().with_groups_names(vec![group_id(group)]);
        self.ask_coordinator(CoordinatorKind::Group, group, &request, |_, answer| {
            answer.results.iter().try_for_each(|result| check(result.error_code, || what(group), None))
        })
        .await
    }
}

fn consumer_group(coordinator: Node, group: consumer::DescribedGroup) -> GroupDescription {
    GroupDescription {
        group: group.group_id.to_string(),
        kind: "consumer",
        state: group.group_state.to_string(),
        protocol_type: CONSUMER.to_string(),
        assignor: group.assignor_name.to_string(),
        epoch: Some(group.group_epoch),
        coordinator,
        members: group.members.into_iter().map(consumer_member).collect(),
    }
}

fn consumer_member(member: consumer::Member) -> GroupMember {
    let topics = member.assignment.topic_partitions.iter();
    let places = topics
        .flat_map(|topic| topic.partitions.iter().map(|partition| TopicPartition::new(&topic.topic_name, *partition)));
    GroupMember {
        assigned: sorted(places.collect()),
        member_id: member.member_id.to_string(),
        instance_id: member.instance_id.map(|id| id.to_string()),
        client_id: member.client_id.to_string(),
        host: shown_host(&member.client_host),
        epoch: Some(member.member_epoch),
    }
}

fn classic_group(coordinator: Node, group: classic::DescribedGroup) -> GroupDescription {
    let shares_partitions = &*group.protocol_type == CONSUMER;
    GroupDescription {
        group: group.group_id.to_string(),
        kind: "classic",
        state: group.group_state.to_string(),
        protocol_type: group.protocol_type.to_string(),
        assignor: group.protocol_data.to_string(),
        epoch: None,
        coordinator,
        members: group.members.into_iter().map(|member| classic_member(member, shares_partitions)).collect(),
    }
}

/// What other protocol types assign (connectors, a leader) is theirs to understand.
fn classic_member(member: classic::DescribedGroupMember, shares_partitions: bool) -> GroupMember {
    let assigned = if shares_partitions { decode_assignment(&member.member_assignment).ok() } else { None };
    GroupMember {
        assigned: sorted(assigned.unwrap_or_default()),
        member_id: member.member_id.to_string(),
        instance_id: member.group_instance_id.map(|id| id.to_string()),
        client_id: member.client_id.to_string(),
        host: shown_host(&member.client_host),
        epoch: None,
    }
}

fn sorted(mut places: Vec<TopicPartition>) -> Vec<TopicPartition> {
    places.sort();
    places
}

/// Java prints an address without name as `/127.0.0.1`.
fn shown_host(host: &str) -> String {
    host.strip_prefix('/').unwrap_or(host).to_string()
}
