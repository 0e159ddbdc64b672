//! The members of one classic group, as a synchronous state machine.
//!
//! ```text
//!            join                   all joined, or time is up            the leader's assignment
//!  Empty ------------> Preparing ------------------------------> Completing -------------------> Stable
//!    ^                  ^  |  ^                                      |      (once it is durable)   |
//!    |  nobody is left  |  |  +--- joins, leaves, dies --------------+-----------------------------+
//!    +---------------------+
//! ```
//!
//! It does no I/O and reads no clock: events come in with the time, effects go out. An effect answers a waiter, or asks
//! for a record; whatever depends on the record is answered when [`Membership::recorded`] says that it was applied.
//! Every waiter is answered once. The rules, down to the codes, are those of Kafka 4.1 (`GroupMetadataManager`), with
//! KIP-394 (a member id before the first join), KIP-345 (static members) and KIP-814 (static leaders skip the assignment).
//!
//! A generation becomes visible to its members (their JoinGroup is answered) before it is recorded, as in Kafka: it has
//! no assignment yet, so losing it costs one more join. An assignment is handed out only after its record was applied.
//!
//! `join` lets members in, `rebalance` moves from generation to generation, `sync` hands assignments out, `leave` and
//! `timers` let members go.

mod answers;
mod join;
mod leave;
mod rebalance;
mod sync;
mod timers;

#[cfg(test)]
mod tests;

pub(crate) use answers::{Answer, Effect, JoinRefused, Joined, Leaver, LeftMember, RecordId, Synced, WaiterId};
pub(crate) use join::Join;
pub(crate) use sync::Sync;

use super::GroupError;
use bytes::Bytes;
use frazil_base::Seq;
use frazil_base::limits::{GROUP_ASSIGNMENT_BYTES_MAX, GROUP_METADATA_BYTES_MAX};
use frazil_meta::record::{ClassicMember, Command, GroupGeneration};
use frazil_meta::state::ClassicGroup;
use std::collections::{BTreeMap, BTreeSet};

/// What an operator may set about classic groups, under Kafka's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// `group.initial.rebalance.delay.ms`. Longer: fewer rebalances while a fleet starts, a later first record.
    pub initial_delay_ms: u64,
    /// `group.max.size`, in members.
    pub members_max: usize,
}

/// Where a group stands, as DescribeGroups names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum GroupState {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
    Dead,
}

impl GroupState {
    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
            GroupState::Dead => "Dead",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Empty,
    /// Members join until all have, or until this time.
    Preparing {
        until_ms: u64,
        /// The first rebalance of an empty group waits for more members, whoever has joined.
        opening: Option<Opening>,
    },
    /// Members know the generation and wait for the leader's assignment, or for its record.
    Completing {
        recording: Option<RecordId>,
    },
    Stable,
}

/// The initial delay of an empty group: begun again for each round in which somebody joined, within the rebalance timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Opening {
    round_ms: u64,
    remaining_ms: u64,
    has_grown: bool,
}

/// A member of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// In the member's order of preference, with its metadata for each.
    pub protocols: Vec<(String, Bytes)>,
    pub assignment: Bytes,
    /// Without a sign of life until then it is taken for dead.
    expires_ms: u64,
    /// In its first join: it cannot send heartbeats yet, so waiting does not keep it alive for ever.
    is_new: bool,
    joining: Vec<WaiterId>,
    syncing: Vec<WaiterId>,
}

impl Member {
    fn is_joining(&self) -> bool {
        !self.joining.is_empty()
    }

    /// Its metadata for the protocol.
    pub fn metadata(&self, protocol: Option<&str>) -> Bytes {
        let own = self.protocols.iter().find(|(name, _)| Some(name.as_str()) == protocol);
        own.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }

    fn metadata_bytes(&self) -> usize {
        self.protocols.iter().map(|(name, metadata)| name.len() + metadata.len()).sum()
    }

    fn stays_until(&mut self, now_ms: u64) {
        self.expires_ms = now_ms.saturating_add(self.session_timeout_ms.max(0) as u64);
    }
}

/// Members that were told a generation and have not asked for their assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SyncWait {
    until_ms: u64,
    members: BTreeSet<String>,
}

/// What waits for a record.
#[derive(Debug)]
enum Recording {
    /// The assignment of the generation it carries, by member.
    Assignment { generation: i32, assignment: BTreeMap<String, Bytes> },
    /// A static member's replacement, and what its join is answered.
    Replacement { member_id: String, joined: Joined },
    /// The group has no members any more; who asked for that, and what they are answered.
    Emptying { leave: Option<(WaiterId, Vec<LeftMember>)> },
}

/// One classic group.
#[derive(Debug)]
pub(crate) struct Membership {
    group: String,
    rules: Rules,
    phase: Phase,
    generation: i32,
    protocol_type: Option<String>,
    protocol: Option<String>,
    leader: Option<String>,
    members: BTreeMap<String, Member>,
    /// Static members: instance id and member id.
    instances: BTreeMap<String, String>,
    /// Member ids that were given out and have not been used (KIP-394), and when they lapse.
    pending: BTreeMap<String, u64>,
    sync_wait: Option<SyncWait>,
    records: BTreeMap<RecordId, Recording>,
    last_record: u64,
    effects: Vec<Effect>,
}

impl Membership {
    /// A group without members that continues after `generation`.
    pub fn empty(group: &str, generation: i32, protocol_type: Option<String>, rules: Rules) -> Membership {
        Membership {
            group: group.to_owned(),
            rules,
            phase: Phase::Empty,
            generation,
            protocol_type,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            pending: BTreeMap::new(),
            sync_wait: None,
            records: BTreeMap::new(),
            last_record: 0,
            effects: Vec::new(),
        }
    }

    /// A group as it was recorded, perhaps by another coordinator: stable where it stood. Sessions start anew.
    pub fn restore(group: &str, recorded: &ClassicGroup, rules: Rules, now_ms: u64) -> Membership {
        let protocol_type = Some(recorded.protocol_type.clone()).filter(|name| !name.is_empty());
        let mut group = Membership::empty(group, recorded.generation, protocol_type, rules);
        for (id, member) in &recorded.members {
            if let Some(instance) = &member.instance_id {
                group.instances.insert(instance.clone(), id.clone());
            }
            group.members.insert(id.clone(), Member::restore(member, now_ms));
        }
        if !group.members.is_empty() {
            group.phase = Phase::Stable;
            group.protocol = recorded.protocol.clone();
            group.leader = recorded.leader.clone();
        }
        group
    }

    /// A sign of life. `RebalanceInProgress` tells the member to join again.
    pub fn heartbeat(
        &mut self,
        now_ms: u64,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), GroupError> {
        let is_preparing = matches!(self.phase, Phase::Preparing { .. });
        let current = self.generation;
        let member = self.validated(member_id, instance_id)?;
        if generation != current {
            return Err(GroupError::IllegalGeneration);
        }
        member.stays_until(now_ms);
        if is_preparing { Err(GroupError::RebalanceInProgress) } else { Ok(()) }
    }

    /// Whether a member (or, with a negative generation, somebody who is none) may commit offsets. Counts as a sign of life.
    pub fn check_commit(&mut self, now_ms: u64, commit: &Committing<'_>) -> Result<(), GroupError> {
        let Committing { member_id, instance_id, generation, is_transactional } = *commit;
        if generation < 0 && self.phase == Phase::Empty {
            return Ok(());
        }
        let names_a_member = generation >= 0 || !member_id.is_empty() || instance_id.is_some();
        if !names_a_member {
            return if is_transactional { Ok(()) } else { Err(GroupError::UnknownMember) };
        }
        let is_completing = matches!(self.phase, Phase::Completing { .. });
        let current = self.generation;
        let member = self.validated(member_id, instance_id)?;
        if generation != current {
            return Err(GroupError::IllegalGeneration);
        }
        if is_transactional {
            return Ok(());
        }
        if is_completing {
            return Err(GroupError::RebalanceInProgress);
        }
        member.stays_until(now_ms);
        Ok(())
    }

    /// Answers everybody who waits. The group's memory is worth nothing afterwards.
    pub fn abandon(&mut self, error: GroupError) -> Vec<Effect> {
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            self.refuse_waiters(&id, error);
        }
        for (_, recording) in std::mem::take(&mut self.records) {
            if let Recording::Emptying { leave: Some((waiter, _)) } = recording {
                self.answer(waiter, Answer::Leave(Err(error)));
            }
        }
        self.take_effects()
    }

    /// What becomes a group of the consumer protocol; `None` while the log is behind.
    pub fn to_upgrade(&self) -> Option<GroupGeneration> {
        self.records.is_empty().then(|| self.snapshot(None))
    }

    /// All members have to join again.
    pub fn rebalance(&mut self, now_ms: u64) -> Vec<Effect> {
        self.prepare(now_ms);
        self.take_effects()
    }

    pub fn state(&self) -> GroupState {
        match self.phase {
            Phase::Empty => GroupState::Empty,
            Phase::Preparing { .. } => GroupState::PreparingRebalance,
            Phase::Completing { .. } => GroupState::CompletingRebalance,
            Phase::Stable => GroupState::Stable,
        }
    }

    #[cfg(test)]
    pub fn generation(&self) -> i32 {
        self.generation
    }

    pub fn protocol_type(&self) -> &str {
        self.protocol_type.as_deref().unwrap_or_default()
    }

    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    pub fn members(&self) -> impl Iterator<Item = (&str, &Member)> {
        self.members.iter().map(|(id, member)| (id.as_str(), member))
    }

    /// Whether the metadata log knows as much as this memory.
    pub fn is_disposable(&self) -> bool {
        self.phase == Phase::Empty && self.pending.is_empty() && self.records.is_empty()
    }

    /// The member, if it is one, and the one that its instance id belongs to.
    fn validated(&mut self, member_id: &str, instance_id: Option<&str>) -> Result<&mut Member, GroupError> {
        if let Some(instance) = instance_id {
            match self.instances.get(instance) {
                None => return Err(GroupError::UnknownMember),
                Some(owner) if owner != member_id => return Err(GroupError::FencedInstanceId),
                Some(_) => (),
            }
        }
        self.members.get_mut(member_id).ok_or(GroupError::UnknownMember)
    }

    fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    /// The longest rebalance timeout of a member: how long a rebalance waits for the others.
    fn rebalance_timeout_ms(&self) -> u64 {
        self.members.values().map(|member| member.rebalance_timeout_ms.max(0) as u64).max().unwrap_or(0)
    }

    /// Takes a member out; a leader is followed by any other member.
    fn remove(&mut self, member_id: &str) {
        if let Some(instance) = self.members.remove(member_id).and_then(|member| member.instance_id) {
            self.instances.remove(&instance);
        }
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.pending.remove(member_id);
        if let Some(wait) = &mut self.sync_wait {
            wait.members.remove(member_id);
        }
    }

    fn refuse_waiters(&mut self, member_id: &str, error: GroupError) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        let refused = JoinRefused { error, member_id: String::new() };
        for waiter in member.joining.drain(..) {
            self.effects.push(Effect::Answer(waiter, Answer::Join(Err(refused.clone()))));
        }
        for waiter in member.syncing.drain(..) {
            self.effects.push(Effect::Answer(waiter, Answer::Sync(Err(error))));
        }
    }

    fn answer(&mut self, waiter: WaiterId, answer: Answer) {
        self.effects.push(Effect::Answer(waiter, answer));
    }

    /// Asks for a record of the group as it is, with these assignments where they differ from the members' own.
    fn record(&mut self, recording: Recording) -> RecordId {
        let assignment = match &recording {
            Recording::Assignment { assignment, .. } => Some(assignment),
            Recording::Replacement { .. } | Recording::Emptying { .. } => None,
        };
        let generation = self.snapshot(assignment);
        self.last_record += 1;
        let id = RecordId(self.last_record);
        self.records.insert(id, recording);
        self.effects.push(Effect::Record(id, Command::GroupGeneration(generation)));
        id
    }

    fn snapshot(&self, assignment: Option<&BTreeMap<String, Bytes>>) -> GroupGeneration {
        let members = self.members.iter().map(|(id, member)| {
            let assignment = match assignment {
                Some(assignment) => assignment.get(id).cloned().unwrap_or_default(),
                None => member.assignment.clone(),
            };
            member.to_record(id, assignment)
        });
        GroupGeneration {
            group: self.group.clone(),
            generation: self.generation,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            members: members.collect(),
            // The coordinator knows.
            seen: Seq::ZERO,
        }
    }

    fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }
}

impl Member {
    fn restore(recorded: &ClassicMember, now_ms: u64) -> Member {
        let mut member = Member {
            instance_id: recorded.instance_id.clone(),
            client_id: recorded.client_id.clone(),
            client_host: recorded.client_host.clone(),
            rebalance_timeout_ms: recorded.rebalance_timeout_ms,
            session_timeout_ms: recorded.session_timeout_ms,
            protocols: recorded.protocols.clone(),
            assignment: recorded.assignment.clone(),
            expires_ms: 0,
            is_new: false,
            joining: Vec::new(),
            syncing: Vec::new(),
        };
        member.stays_until(now_ms);
        member
    }

    fn to_record(&self, member_id: &str, assignment: Bytes) -> ClassicMember {
        ClassicMember {
            member_id: member_id.to_owned(),
            instance_id: self.instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
            protocols: self.protocols.clone(),
            assignment,
        }
    }
}

/// Who commits offsets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Committing<'a> {
    /// Empty for somebody who is no member.
    pub member_id: &'a str,
    pub instance_id: Option<&'a str>,
    /// Negative for somebody who is no member.
    pub generation: i32,
    /// By way of TxnOffsetCommit: the group's state does not matter, and old producers name no member.
    pub is_transactional: bool,
}
