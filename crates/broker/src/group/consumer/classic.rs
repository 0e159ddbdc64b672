//! Members that speak the classic protocol in a consumer group, while its members move from one to the other.
//!
//! Such a member's JoinGroup stands for a full heartbeat, its generation is its member epoch, and SyncGroup fetches what
//! the coordinator assigned. Nobody leads; nobody waits for the others. A heartbeat answers REBALANCE_IN_PROGRESS when
//! there is something to give up or to take, so that the member joins again.

use super::assignment::{difference, partitions};
use super::embedded::{self, PROTOCOL_TYPE, Subscription};
use super::heartbeat::HeartbeatError;
use super::members::{Members, Rules, check_instance_holder, new_member, successor};
use super::subscription::TopicMap;
use super::{ClassicProtocols, ConsumerMember, MemberState};
use bytes::Bytes;

/// A JoinGroup.
#[derive(Clone, Debug)]
pub(crate) struct ClassicJoin {
    /// The client's, or one that the coordinator made up for it.
    pub member_id: String,
    /// Whether it was made up.
    pub is_new: bool,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub protocol_type: String,
    /// Best first.
    pub protocols: Vec<(String, Bytes)>,
}

/// What came of a JoinGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    pub member_id: String,
    pub generation: i32,
    pub protocol: String,
    /// Whether a static member of the consumer protocol was replaced by it, or its subscription changed meanwhile.
    pub has_new_subscription: bool,
}

/// Who a classic request says it is from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClassicIdentity<'a> {
    pub member_id: &'a str,
    pub instance_id: Option<&'a str>,
}

/// A SyncGroup's or Heartbeat's claims.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClassicClaim<'a> {
    pub identity: ClassicIdentity<'a>,
    pub generation: i32,
    /// SyncGroup only.
    pub protocol_type: Option<&'a str>,
    pub protocol: Option<&'a str>,
}

/// Why a classic request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClassicError {
    #[error(transparent)]
    Member(#[from] HeartbeatError),
    #[error("the member's protocols are not those of the group")]
    InconsistentProtocol,
    #[error("generation {received} is not the member's, which is {known}")]
    IllegalGeneration { received: i32, known: i32 },
    #[error("the member has to join again")]
    RebalanceInProgress,
}

impl Members {
    /// A member joins with the classic protocol. Changes nothing if it is refused.
    pub fn classic_join(
        &mut self,
        join: &ClassicJoin,
        topics: &TopicMap,
        rules: &Rules,
    ) -> Result<Joined, ClassicError> {
        self.check_room(&join.member_id, rules)?;
        let (protocol, subscription) = self.check_protocols(join)?;
        let (before, replaces) = self.admit_classic(join)?;
        let after = joined(&before, join, &subscription);
        let has_new_subscription = after.topics != before.topics || after.regex != before.regex;
        if let Some(replaced) = replaces {
            self.remove(&replaced);
        }
        self.put(after);
        self.retarget_if_due(has_new_subscription || self.group_epoch() == 0, topics, rules);
        let owned = embedded::by_id(&subscription.owned, topics);
        self.reconcile(&join.member_id, Some(&owned));
        let generation = self.members()[&join.member_id].member_epoch;
        Ok(Joined { member_id: join.member_id.clone(), generation, protocol, has_new_subscription })
    }

    /// Whether every classic member knows one of the protocols; the first of them and what it says.
    fn check_protocols(&self, join: &ClassicJoin) -> Result<(String, Subscription), ClassicError> {
        let Some((name, metadata)) = join.protocols.first() else { return Err(ClassicError::InconsistentProtocol) };
        let others = self.members().values().filter(|member| member.member_id != join.member_id);
        let others: Vec<_> = others.filter_map(|member| member.classic.as_ref()).collect();
        let is_known = |name: &str| others.iter().all(|other| other.protocols.iter().any(|(known, _)| known == name));
        if join.protocol_type != PROTOCOL_TYPE || !join.protocols.iter().any(|(name, _)| is_known(name)) {
            return Err(ClassicError::InconsistentProtocol);
        }
        let subscription = embedded::read_subscription(metadata).map_err(|_| ClassicError::InconsistentProtocol)?;
        Ok((name.clone(), subscription))
    }

    fn admit_classic(&self, join: &ClassicJoin) -> Result<(ConsumerMember, Option<String>), ClassicError> {
        let dynamic = || self.member(&join.member_id).cloned().unwrap_or_else(|| new_member(&join.member_id));
        let Some(instance) = &join.instance_id else { return Ok((dynamic(), None)) };
        let Some(known) = self.static_member(instance) else {
            let unknown = HeartbeatError::UnknownInstance { instance: instance.clone() };
            return if join.is_new { Ok((dynamic(), None)) } else { Err(unknown.into()) };
        };
        if join.is_new {
            return Ok((successor(known, &join.member_id), Some(known.member_id.clone())));
        }
        check_instance_holder(known, &join.member_id, instance)?;
        Ok((known.clone(), None))
    }

    /// The classic member that a request is from.
    pub fn classic_member(&self, identity: ClassicIdentity<'_>) -> Result<&ConsumerMember, ClassicError> {
        let member = self.leaving_member(identity)?;
        let unknown = || self.unknown_member(identity.member_id);
        if member.classic.is_some() { Ok(member) } else { Err(unknown().into()) }
    }

    /// The member that is to leave, whichever protocol it speaks: tools send all of them away alike.
    pub fn leaving_member(&self, identity: ClassicIdentity<'_>) -> Result<&ConsumerMember, ClassicError> {
        let ClassicIdentity { member_id, instance_id } = identity;
        Ok(match instance_id {
            Some(instance) => {
                let instance = instance.to_owned();
                let holder = self.static_member(&instance).ok_or(HeartbeatError::UnknownInstance { instance })?;
                // LeaveGroup may name the instance alone.
                if !member_id.is_empty() {
                    check_instance_holder(holder, member_id, instance_id.unwrap_or_default())?;
                }
                holder
            }
            None => self.member(member_id).ok_or_else(|| self.unknown_member(member_id))?,
        })
    }

    fn check_claim(&self, claim: ClassicClaim<'_>) -> Result<&ConsumerMember, ClassicError> {
        let member = self.classic_member(claim.identity)?;
        if claim.generation != member.member_epoch {
            return Err(ClassicError::IllegalGeneration { received: claim.generation, known: member.member_epoch });
        }
        Ok(member)
    }

    /// What the member was assigned, in its own protocol's version.
    pub fn classic_sync(&self, claim: ClassicClaim<'_>, topics: &TopicMap) -> Result<Bytes, ClassicError> {
        let member = self.check_claim(claim)?;
        let chosen = first_protocol(member);
        let is_other = |claimed: Option<&str>, own: Option<&str>| claimed.is_some_and(|claimed| Some(claimed) != own);
        if is_other(claim.protocol_type, Some(PROTOCOL_TYPE))
            || is_other(claim.protocol, chosen.map(|(name, _)| name.as_str()))
        {
            return Err(ClassicError::InconsistentProtocol);
        }
        if self.group_epoch() > member.member_epoch && member.state != MemberState::Unrevoked {
            return Err(ClassicError::RebalanceInProgress);
        }
        Ok(embedded::write_assignment(subscription_version(member), &member.assigned, topics))
    }

    /// Whether the member may go on, or has to join again.
    pub fn classic_heartbeat(&self, claim: ClassicClaim<'_>) -> Result<(), ClassicError> {
        let member = self.check_claim(claim)?;
        let has_to_join = member.member_epoch < self.group_epoch()
            || member.state == MemberState::Unrevoked
            || member.state == MemberState::Unreleased && !self.waits_for_others(member);
        if has_to_join { Err(ClassicError::RebalanceInProgress) } else { Ok(()) }
    }

    fn waits_for_others(&self, member: &ConsumerMember) -> bool {
        partitions(&difference(&member.target, &member.assigned)).any(|partition| self.is_owned(partition))
    }
}

fn joined(before: &ConsumerMember, join: &ClassicJoin, subscription: &Subscription) -> ConsumerMember {
    let mut topics = subscription.topics.clone();
    topics.sort_unstable();
    topics.dedup();
    ConsumerMember {
        instance_id: join.instance_id.clone().or_else(|| before.instance_id.clone()),
        rack: subscription.rack.clone().or_else(|| before.rack.clone()),
        client_id: join.client_id.clone(),
        client_host: join.client_host.clone(),
        rebalance_timeout_ms: join.rebalance_timeout_ms,
        topics,
        regex: None,
        classic: Some(ClassicProtocols {
            session_timeout_ms: join.session_timeout_ms,
            protocols: join.protocols.clone(),
        }),
        ..before.clone()
    }
}

/// The protocol that a classic member was told.
pub(super) fn first_protocol(member: &ConsumerMember) -> Option<&(String, Bytes)> {
    member.classic.as_ref()?.protocols.first()
}

/// The version in which a classic member reads assignments.
pub(super) fn subscription_version(member: &ConsumerMember) -> i16 {
    let subscription = first_protocol(member).and_then(|(_, metadata)| embedded::read_subscription(metadata).ok());
    subscription.map_or(0, |subscription| subscription.version)
}
