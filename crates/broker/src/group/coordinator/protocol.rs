//! A group's members, by the protocol they speak.

use crate::group::GroupError;
use crate::group::consumer::{Keeper, Outlook};
use crate::group::membership::{
    Committing, Effect, GroupState, Join, Leaver, Membership, RecordId, Rules, Sync, WaiterId,
};
use frazil_meta::record::GroupFence;
use frazil_meta::state::{ClassicGroup, Group, GroupKind};
use std::sync::Arc;

/// What is kept of a group's members.
#[derive(Debug)]
pub(crate) enum Protocol {
    /// JoinGroup and SyncGroup, or no members at all.
    Classic(Membership),
    /// KIP-848.
    Consumer(Keeper),
}

impl Protocol {
    /// What the log knows of a group. A group without members speaks the classic protocol until somebody joins.
    pub fn load(group: &str, known: Option<&Group>, rules: Rules, outlook: &Arc<dyn Outlook>, now_ms: u64) -> Protocol {
        let Some(recorded) = known else {
            return Protocol::Classic(Membership::empty(group, 0, None, rules));
        };
        match &recorded.kind {
            GroupKind::Classic(classic) => Protocol::Classic(Membership::restore(group, classic, rules, now_ms)),
            GroupKind::Consumer(consumer) if !consumer.members.is_empty() => {
                Protocol::Consumer(Keeper::restore(group, consumer, outlook.clone(), now_ms))
            }
            GroupKind::Offsets | GroupKind::Consumer(_) => {
                Protocol::Classic(Membership::empty(group, recorded.epoch(), None, rules))
            }
        }
    }

    pub fn join(&mut self, now_ms: u64, waiter: WaiterId, join: Join) -> Vec<Effect> {
        match self {
            Protocol::Classic(group) => group.join(now_ms, waiter, join),
            Protocol::Consumer(group) => group.join(now_ms, waiter, join),
        }
    }

    pub fn sync(&mut self, now_ms: u64, waiter: WaiterId, sync: Sync) -> Vec<Effect> {
        match self {
            Protocol::Classic(group) => group.sync(now_ms, waiter, sync),
            Protocol::Consumer(group) => group.sync(now_ms, waiter, sync),
        }
    }

    pub fn heartbeat(
        &mut self,
        now_ms: u64,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), GroupError> {
        match self {
            Protocol::Classic(group) => group.heartbeat(now_ms, member_id, instance_id, generation),
            Protocol::Consumer(group) => group.heartbeat(now_ms, member_id, instance_id, generation),
        }
    }

    pub fn leave(&mut self, now_ms: u64, waiter: WaiterId, leavers: Vec<Leaver>) -> Vec<Effect> {
        match self {
            Protocol::Classic(group) => group.leave(now_ms, waiter, leavers),
            Protocol::Consumer(group) => group.leave(now_ms, waiter, leavers),
        }
    }

    /// Whether offsets may be committed so, and how the record is fenced.
    pub fn check_commit(&mut self, now_ms: u64, commit: &Committing<'_>) -> Result<GroupFence, GroupError> {
        let group = match self {
            Protocol::Consumer(group) => return group.check_commit(now_ms, commit),
            Protocol::Classic(group) => group,
        };
        group.check_commit(now_ms, commit)?;
        let names_a_member = commit.generation >= 0 && group.state() != GroupState::Empty;
        Ok(match group.state() {
            // The generation is not in the log yet. The record goes ahead of the next one that is, so the check stands.
            GroupState::CompletingRebalance => GroupFence::Transactional,
            _ if names_a_member => {
                GroupFence::Classic { member_id: commit.member_id.to_owned(), generation: commit.generation }
            }
            _ if commit.is_transactional => GroupFence::Transactional,
            _ => GroupFence::None,
        })
    }

    pub fn recorded(&mut self, now_ms: u64, record: RecordId, rules: Rules) -> Vec<Effect> {
        let group = match self {
            Protocol::Classic(group) => return group.recorded(now_ms, record),
            Protocol::Consumer(group) => group,
        };
        let mut effects = group.recorded(now_ms, record);
        if let Some((classic, rebalances)) = group.take_downgraded() {
            let id = classic.group.clone();
            let mut members = Membership::restore(&id, &ClassicGroup::from(classic), rules, now_ms);
            effects.extend(rebalances.then(|| members.rebalance(now_ms)).into_iter().flatten());
            *self = Protocol::Classic(members);
        }
        effects
    }

    pub fn next_deadline_ms(&self) -> Option<u64> {
        match self {
            Protocol::Classic(group) => group.next_deadline_ms(),
            Protocol::Consumer(group) => group.next_deadline_ms(),
        }
    }

    pub fn due(&mut self, now_ms: u64) -> Vec<Effect> {
        match self {
            Protocol::Classic(group) => group.due(now_ms),
            Protocol::Consumer(group) => group.due(now_ms),
        }
    }

    /// This broker stood still for so long, and heard nobody meanwhile.
    pub fn postpone(&mut self, now_ms: u64, by_ms: u64) {
        match self {
            Protocol::Classic(group) => group.postpone(now_ms, by_ms),
            Protocol::Consumer(group) => group.postpone(now_ms),
        }
    }

    pub fn abandon(&mut self, error: GroupError) -> Vec<Effect> {
        match self {
            Protocol::Classic(group) => group.abandon(error),
            Protocol::Consumer(group) => group.abandon(error),
        }
    }

    pub fn is_disposable(&self) -> bool {
        match self {
            Protocol::Classic(group) => group.is_disposable(),
            Protocol::Consumer(group) => group.is_disposable(),
        }
    }

    pub fn has_members(&self) -> bool {
        match self {
            Protocol::Classic(group) => group.members().next().is_some(),
            Protocol::Consumer(group) => group.has_members(),
        }
    }
}
