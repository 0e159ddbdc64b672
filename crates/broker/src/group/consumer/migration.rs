//! From a classic group to a consumer group and back, while its members run (KIP-848, "online migration").
//!
//! The first heartbeat of the consumer protocol turns a classic group of consumers into a consumer group whose members
//! own what their leader gave them; they go on with the classic protocol until they are restarted. When the last member
//! of the consumer protocol goes, the group turns back.

use super::assignment::{difference, union};
use super::classic::subscription_version;
use super::embedded::{self, PROTOCOL_TYPE};
use super::members::{Members, Rules, new_member};
use super::subscription::TopicMap;
use super::{Assignment, ClassicMember, ClassicProtocols, ConsumerMember, GroupGeneration, MemberState};
use frazil_base::Seq;
use std::collections::BTreeSet;

/// Why a classic group stays one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UpgradeError {
    #[error("Cannot upgrade classic group {group} to consumer group because online upgrade is disabled.")]
    Disabled { group: String },
    #[error(
        "Cannot upgrade classic group {group} to consumer group because the group does not use the consumer \
             embedded protocol."
    )]
    NotOfConsumers { group: String },
    #[error(
        "Cannot upgrade classic group {group} to consumer group because the group size exceeds the consumer group \
             maximum size."
    )]
    TooLarge { group: String },
    #[error(
        "Cannot upgrade classic group {group} to consumer group because the embedded consumer protocol is malformed."
    )]
    Malformed { group: String },
    #[error(
        "Cannot upgrade classic group {group} to consumer group because an unsupported custom assignor is in use. \
             Please refer to the documentation or switch to a default assignor before re-attempting the upgrade."
    )]
    CustomAssignor { group: String },
}

/// The consumer group that a classic group becomes.
pub(crate) fn upgrade(classic: &GroupGeneration, topics: &TopicMap, rules: &Rules) -> Result<Members, UpgradeError> {
    let group = || classic.group.clone();
    if !rules.allows_upgrade {
        return Err(UpgradeError::Disabled { group: group() });
    }
    if classic.protocol_type != PROTOCOL_TYPE {
        return Err(UpgradeError::NotOfConsumers { group: group() });
    }
    if classic.members.len() > rules.members_max {
        return Err(UpgradeError::TooLarge { group: group() });
    }
    let mut members = Members::empty(&classic.group, classic.generation);
    let mut dealt = Assignment::new();
    for member in &classic.members {
        let mut row = upgraded(classic, member, topics)?;
        // A leader may have dealt a partition out twice; here it has one owner.
        row.assigned = difference(&row.assigned, &dealt);
        row.target = row.assigned.clone();
        dealt = union(&dealt, &row.assigned);
        members.put(row);
    }
    Ok(members)
}

fn upgraded(
    classic: &GroupGeneration,
    member: &ClassicMember,
    topics: &TopicMap,
) -> Result<ConsumerMember, UpgradeError> {
    let malformed = || UpgradeError::Malformed { group: classic.group.clone() };
    let chosen = member.protocols.iter().find(|(name, _)| classic.protocol.as_ref() == Some(name));
    let (_, metadata) = chosen.or(member.protocols.first()).ok_or_else(malformed)?;
    let subscription = embedded::read_subscription(metadata).map_err(|_| malformed())?;
    let assignment = embedded::read_assignment(&member.assignment).map_err(|_| malformed())?;
    if assignment.has_user_data {
        return Err(UpgradeError::CustomAssignor { group: classic.group.clone() });
    }
    let mut names = subscription.topics;
    names.sort_unstable();
    names.dedup();
    Ok(ConsumerMember {
        instance_id: member.instance_id.clone(),
        rack: subscription.rack,
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        topics: names,
        classic: Some(ClassicProtocols {
            session_timeout_ms: member.session_timeout_ms,
            protocols: member.protocols.clone(),
        }),
        member_epoch: classic.generation,
        previous_member_epoch: classic.generation,
        state: MemberState::Stable,
        assigned: embedded::by_id(&assignment.partitions, topics),
        ..new_member(&member.member_id)
    })
}

/// Whether the group turns classic when `leaving` are gone, or when a classic member has taken the place of one of them.
pub(crate) fn may_downgrade(members: &Members, leaving: &BTreeSet<String>, rules: &Rules) -> bool {
    let mut staying = members.members().values().filter(|member| !leaving.contains(&member.member_id)).peekable();
    let has_members = staying.peek().is_some();
    let staying: Vec<_> = staying.collect();
    has_members
        && staying.iter().all(|member| member.classic.is_some())
        && rules.allows_downgrade
        && staying.len() <= rules.classic_members_max
}

/// The classic group that a consumer group becomes whose members all speak the classic protocol. Its generation is the
/// group's epoch; members keep what they were to own.
pub(crate) fn downgrade(group: &Members, topics: &TopicMap) -> GroupGeneration {
    let members: Vec<_> = group.members().values().map(|member| downgraded(member, topics)).collect();
    let knows = |member: &ClassicMember, name: &String| member.protocols.iter().any(|(known, _)| known == name);
    let candidates = members.first().map(|member| member.protocols.as_slice()).unwrap_or_default();
    let common = candidates.iter().find(|(name, _)| members.iter().all(|member| knows(member, name)));
    GroupGeneration {
        group: group.group().to_owned(),
        generation: group.group_epoch(),
        protocol_type: PROTOCOL_TYPE.to_owned(),
        protocol: common.map(|(name, _)| name.clone()),
        leader: members.first().map(|member| member.member_id.clone()),
        members,
        // The coordinator knows.
        seen: Seq::ZERO,
    }
}

fn downgraded(member: &ConsumerMember, topics: &TopicMap) -> ClassicMember {
    let classic = member.classic.clone();
    let ClassicProtocols { session_timeout_ms, protocols } =
        classic.unwrap_or(ClassicProtocols { session_timeout_ms: 0, protocols: Vec::new() });
    ClassicMember {
        member_id: member.member_id.clone(),
        instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        session_timeout_ms,
        protocols,
        assignment: embedded::write_assignment(subscription_version(member), &member.target, topics),
    }
}
