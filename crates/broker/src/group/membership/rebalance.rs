//! From one generation to the next.

use super::answers::{Answer, Effect, Joined, RecordId};
use super::{GroupError, Member, Membership, Opening, Phase, Recording, SyncWait};
use std::collections::BTreeMap;

impl Membership {
    /// A rebalance begins, or one that is under way may be complete now.
    pub(super) fn rebalance_or_complete(&mut self, now_ms: u64) {
        match self.phase {
            Phase::Preparing { .. } => self.complete_if_all_joined(now_ms),
            Phase::Empty | Phase::Completing { .. } | Phase::Stable => self.prepare(now_ms),
        }
    }

    /// A rebalance begins: everybody has to join again.
    pub(super) fn prepare(&mut self, now_ms: u64) {
        if matches!(self.phase, Phase::Completing { .. }) {
            self.refuse_syncs(now_ms, GroupError::RebalanceInProgress);
        }
        self.sync_wait = None;
        let timeout_ms = self.rebalance_timeout_ms();
        if self.phase == Phase::Empty {
            let round_ms = self.rules.initial_delay_ms;
            let opening = Opening { round_ms, remaining_ms: timeout_ms.saturating_sub(round_ms), has_grown: false };
            self.phase = Phase::Preparing { until_ms: now_ms.saturating_add(round_ms), opening: Some(opening) };
            return;
        }
        self.phase = Phase::Preparing { until_ms: now_ms.saturating_add(timeout_ms), opening: None };
        self.complete_if_all_joined(now_ms);
    }

    fn refuse_syncs(&mut self, now_ms: u64, error: GroupError) {
        let mut waiters = Vec::new();
        for member in self.members.values_mut() {
            member.assignment.clear();
            if !member.syncing.is_empty() {
                member.stays_until(now_ms);
                waiters.append(&mut member.syncing);
            }
        }
        waiters.into_iter().for_each(|waiter| self.answer(waiter, Answer::Sync(Err(error))));
    }

    /// Goes on once all members have joined again and nobody is about to. An opening group waits all the same.
    pub(super) fn complete_if_all_joined(&mut self, now_ms: u64) {
        let is_waiting = matches!(self.phase, Phase::Preparing { opening: None, .. });
        if is_waiting && self.pending.is_empty() && self.members.values().all(Member::is_joining) {
            self.complete(now_ms);
        }
    }

    /// The time to join is over.
    pub(super) fn join_time_is_up(&mut self, now_ms: u64) {
        let Phase::Preparing { until_ms, opening: Some(opening) } = &mut self.phase else {
            return self.complete(now_ms);
        };
        if !opening.has_grown || opening.remaining_ms == 0 {
            return self.complete(now_ms);
        }
        opening.has_grown = false;
        let ended_round_ms = opening.round_ms;
        opening.round_ms = self.rules.initial_delay_ms.min(opening.remaining_ms);
        opening.remaining_ms = opening.remaining_ms.saturating_sub(ended_round_ms);
        *until_ms = now_ms.saturating_add(opening.round_ms);
    }

    /// The next generation: those who joined, and static members even if they did not.
    fn complete(&mut self, now_ms: u64) {
        let is_missing = |member: &Member| !member.is_joining() && member.instance_id.is_none();
        let missing: Vec<_> =
            self.members.iter().filter(|(_, member)| is_missing(member)).map(|(id, _)| id.clone()).collect();
        missing.iter().for_each(|id| self.remove(id));
        if !self.members.is_empty() && !self.elect_among_joined() {
            // Only static members are left, and none of them has joined: their sessions decide.
            let until_ms = now_ms.saturating_add(self.rebalance_timeout_ms().max(1));
            self.phase = Phase::Preparing { until_ms, opening: None };
            return;
        }
        self.generation = self.generation.saturating_add(1);
        self.sync_wait = None;
        self.protocol = self.chosen_protocol();
        if self.members.is_empty() {
            self.phase = Phase::Empty;
            self.leader = None;
            self.record(Recording::Emptying { leave: None });
        } else {
            self.phase = Phase::Completing { recording: None };
            self.announce(now_ms);
        }
    }

    /// The leader stays if it joined; else another that did leads. Whether there is one.
    fn elect_among_joined(&mut self) -> bool {
        let leads = |id: &String| self.members.get(id).is_some_and(Member::is_joining);
        if !self.leader.as_ref().is_some_and(leads) {
            let joined = self.members.iter().find(|(_, member)| member.is_joining()).map(|(id, _)| id.clone());
            match joined {
                Some(leader) => self.leader = Some(leader),
                None => return false,
            }
        }
        true
    }

    /// Tells the members their generation. They have the rebalance timeout to ask for their assignments.
    fn announce(&mut self, now_ms: u64) {
        let until_ms = now_ms.saturating_add(self.rebalance_timeout_ms().max(1));
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in &ids {
            let joined = self.joined(id, self.is_leader(id));
            let Some(member) = self.members.get_mut(id) else { continue };
            member.is_new = false;
            member.stays_until(now_ms);
            for waiter in std::mem::take(&mut member.joining) {
                self.answer(waiter, Answer::Join(Ok(joined.clone())));
            }
        }
        self.sync_wait = Some(SyncWait { until_ms, members: ids.into_iter().collect() });
    }

    /// Each member votes for the first of its protocols that all support. With equal votes the leader's order decides.
    pub(super) fn chosen_protocol(&self) -> Option<String> {
        let is_common = |name: &str| self.members.values().all(|member| member.supports(name));
        let mut votes = BTreeMap::<&str, usize>::new();
        for member in self.members.values() {
            if let Some((name, _)) = member.protocols.iter().find(|(name, _)| is_common(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        let leader = self.leader.as_ref().and_then(|leader| self.members.get(leader));
        let rank = |name: &str| leader.and_then(|leader| leader.protocols.iter().position(|(own, _)| own == name));
        let best = votes.iter().max_by_key(|(name, votes)| (**votes, std::cmp::Reverse(rank(name))));
        best.map(|(name, _)| (*name).to_owned())
    }

    /// The record was applied: what waited for it goes on.
    pub fn recorded(&mut self, now_ms: u64, record: RecordId) -> Vec<Effect> {
        match self.records.remove(&record) {
            None => (),
            Some(Recording::Assignment { generation, assignment }) => {
                let is_current = self.phase == Phase::Completing { recording: Some(record) };
                if is_current && generation == self.generation {
                    self.settle(now_ms, assignment);
                }
            }
            Some(Recording::Replacement { member_id, joined }) => self.replaced(now_ms, &member_id, joined),
            Some(Recording::Emptying { leave: None }) => (),
            Some(Recording::Emptying { leave: Some((waiter, left)) }) => self.answer(waiter, Answer::Leave(Ok(left))),
        }
        self.take_effects()
    }

    /// A static member's new id is durable. If a rebalance has begun meanwhile, its join counts for that.
    fn replaced(&mut self, now_ms: u64, member_id: &str, joined: Joined) {
        if self.phase != Phase::Stable || self.generation != joined.generation {
            return;
        }
        let Some(member) = self.members.get_mut(member_id) else { return };
        member.stays_until(now_ms);
        for waiter in std::mem::take(&mut member.joining) {
            self.answer(waiter, Answer::Join(Ok(joined.clone())));
        }
    }
}
