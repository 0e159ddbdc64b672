//! Groups as tools see them, and what tools do to them.

use super::GroupError;
use super::coordinator::{GroupCoordinator, Protocol};
use super::membership::{GroupState, Membership};
use bytes::Bytes;
use frazil_base::TopicPartition;
use frazil_meta::record::Command;
use frazil_meta::state::{GroupKind, Outcome};
use frazil_wire::consumer_protocol::subscribed_topics;
use std::collections::{BTreeMap, BTreeSet};

/// Which protocol a group speaks, for ListGroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum GroupType {
    Classic,
    Consumer,
}

impl GroupType {
    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            GroupType::Classic => "classic",
            GroupType::Consumer => "consumer",
        }
    }
}

/// A row of ListGroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListedGroup {
    pub group: String,
    pub group_type: GroupType,
    pub state: &'static str,
    pub protocol_type: String,
}

/// A classic group in DescribeGroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupDescription {
    pub state: GroupState,
    pub protocol_type: String,
    /// The generation's protocol; empty unless the group is stable.
    pub protocol: String,
    pub members: Vec<MemberDescription>,
}

/// A member in DescribeGroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberDescription {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub metadata: Bytes,
    pub assignment: Bytes,
}

impl GroupCoordinator {
    /// A classic group; `GroupIdNotFound` if there is none of the name.
    pub fn describe(&self, group: &str) -> Result<GroupDescription, GroupError> {
        self.check_role(group)?;
        let is_known = self.exists(group);
        let is_consumer = self.is_consumer(group);
        self.look(group, |protocol| match protocol {
            Protocol::Classic(members) if is_known && !is_consumer => Ok(described(members)),
            Protocol::Classic(_) | Protocol::Consumer(_) => Err(GroupError::GroupIdNotFound),
        })?
    }

    /// The groups that this broker coordinates, by name.
    pub fn list(&self) -> Vec<ListedGroup> {
        let mut groups: BTreeSet<_> = self.in_memory().into_iter().collect();
        {
            let state = self.log().state();
            let ours = state.groups().map(|(id, _)| id).filter(|id| self.is_coordinator(&state, id));
            groups.extend(ours.map(ToString::to_string));
        }
        groups.into_iter().filter_map(|group| self.listed(group)).collect()
    }

    fn listed(&self, group: String) -> Option<ListedGroup> {
        let is_consumer = self.is_consumer(&group);
        let (group_type, state, protocol_type) = self
            .look(&group, |protocol| match protocol {
                Protocol::Consumer(keeper) => (GroupType::Consumer, keeper.state_name(), "consumer".to_owned()),
                Protocol::Classic(_) if is_consumer => (GroupType::Consumer, "Empty", "consumer".to_owned()),
                Protocol::Classic(members) => {
                    (GroupType::Classic, members.state().name(), members.protocol_type().to_owned())
                }
            })
            .ok()?;
        Some(ListedGroup { group, group_type, state, protocol_type })
    }

    /// Whether the log knows the group as one of the consumer protocol, perhaps without members.
    fn is_consumer(&self, group: &str) -> bool {
        self.log().state().group(group).is_some_and(|group| matches!(group.kind, GroupKind::Consumer(_)))
    }

    /// Deletes groups without members, with their offsets; one result per group, in order.
    pub async fn delete(&self, groups: Vec<String>) -> Vec<Result<(), GroupError>> {
        let mut results: Vec<_> = groups.iter().map(|group| self.check_deletable(group)).collect();
        let accepted: Vec<_> = groups.iter().zip(&results).filter(|(_, result)| result.is_ok()).collect();
        let accepted: Vec<_> = accepted.into_iter().map(|(group, _)| group.clone()).collect();
        if accepted.is_empty() {
            return results;
        }
        let count = accepted.len();
        let outcomes = match self.log().enqueue(Command::DeleteGroups { groups: accepted }).await {
            Ok(Outcome::PerItem(items)) => items.into_iter().map(|item| item.map_err(GroupError::of_refusal)).collect(),
            Ok(Outcome::Refused(refusal)) => vec![Err(GroupError::of_refusal(refusal)); count],
            Ok(_) => vec![Err(GroupError::CoordinatorNotAvailable); count],
            Err(error) => vec![Err(GroupError::of_proposal(&error)); count],
        };
        let open = results.iter_mut().filter(|result| result.is_ok());
        open.zip(outcomes).for_each(|(result, outcome): (_, Result<(), GroupError>)| *result = outcome);
        results
    }

    fn check_deletable(&self, group: &str) -> Result<(), GroupError> {
        self.check_role(group)?;
        if !self.exists(group) {
            return Err(GroupError::GroupIdNotFound);
        }
        let has_members = self.look(group, Protocol::has_members)?;
        if has_members { Err(GroupError::NonEmptyGroup) } else { Ok(()) }
    }

    /// Deletes offsets of topics that no member is subscribed to. Gives the topics, by name, that are in use.
    pub async fn delete_offsets(
        &self,
        group: &str,
        partitions: BTreeMap<String, Vec<TopicPartition>>,
    ) -> Result<BTreeSet<String>, GroupError> {
        if group.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        self.check_role(group)?;
        if !self.exists(group) {
            return Err(GroupError::GroupIdNotFound);
        }
        let (used, queued) = self.look(group, |protocol| {
            let used: BTreeSet<_> = partitions.keys().filter(|topic| is_subscribed(protocol, topic)).cloned().collect();
            if has_opaque_members(protocol) {
                return Err(GroupError::NonEmptyGroup);
            }
            let free = partitions.iter().filter(|(topic, _)| !used.contains(*topic));
            let partitions: Vec<_> = free.flat_map(|(_, partitions)| partitions).copied().collect();
            let command = Command::DeleteOffsets { group: group.to_owned(), partitions };
            Ok((used, self.log().enqueue(command)))
        })??;
        match queued.await {
            Ok(Outcome::Refused(refusal)) => Err(GroupError::of_refusal(refusal)),
            Ok(_) => Ok(used),
            Err(error) => Err(GroupError::of_proposal(&error)),
        }
    }
}

fn described(group: &Membership) -> GroupDescription {
    let state = group.state();
    let protocol = group.protocol().filter(|_| state == GroupState::Stable).unwrap_or_default();
    let members = group.members().map(|(id, member)| MemberDescription {
        member_id: id.to_owned(),
        instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        metadata: if state == GroupState::Stable { member.metadata(Some(protocol)) } else { Bytes::new() },
        assignment: if state == GroupState::Stable { member.assignment.clone() } else { Bytes::new() },
    });
    GroupDescription {
        state,
        protocol_type: group.protocol_type().to_owned(),
        protocol: protocol.to_owned(),
        members: members.collect(),
    }
}

/// Whether members may be subscribed to anything, in a protocol that only they know.
pub(super) fn has_opaque_members(protocol: &Protocol) -> bool {
    match protocol {
        Protocol::Classic(group) => group.members().next().is_some() && group.protocol_type() != "consumer",
        Protocol::Consumer(_) => false,
    }
}

/// A consumer whose subscription cannot be read counts as subscribed to everything.
pub(super) fn is_subscribed(protocol: &Protocol, topic: &str) -> bool {
    let group = match protocol {
        Protocol::Consumer(keeper) => return keeper.is_subscribed_to(topic),
        Protocol::Classic(group) => group,
    };
    let names_it = |metadata: Bytes| match subscribed_topics(&metadata) {
        Ok(topics) => topics.iter().any(|named| named == topic),
        Err(_) => true,
    };
    group.protocol_type() == "consumer"
        && group.members().any(|(_, member)| names_it(member.metadata(group.protocol())))
}
