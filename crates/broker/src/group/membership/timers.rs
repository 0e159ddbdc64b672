//! What happens when nothing happens: sessions end, joins and syncs are waited for no longer.

use super::{Effect, GroupError, Member, Membership, Phase};

/// Within this time clients that wait for an answer ask again, or are heard because they wait.
const HEARD_AGAIN_MS: u64 = 10_000;

impl Member {
    /// When it is taken for dead. Waiting for others keeps a member alive, except in its first join.
    fn deadline_ms(&self) -> Option<u64> {
        let is_waiting = self.is_joining() || !self.syncing.is_empty();
        (self.is_new || !is_waiting).then_some(self.expires_ms)
    }

    fn is_due(&self, now_ms: u64) -> bool {
        self.deadline_ms().is_some_and(|deadline_ms| deadline_ms <= now_ms)
    }
}

impl Membership {
    /// When [`Membership::due`] has something to do, unless somebody shows signs of life before.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let joins = match self.phase {
            Phase::Preparing { until_ms, .. } => Some(until_ms),
            Phase::Empty | Phase::Completing { .. } | Phase::Stable => None,
        };
        let syncs = self.sync_wait.as_ref().map(|wait| wait.until_ms);
        let members = self.members.values().filter_map(Member::deadline_ms).min();
        let pending = self.pending.values().copied().min();
        [joins, syncs, members, pending].into_iter().flatten().min()
    }

    /// Does whatever is due.
    pub fn due(&mut self, now_ms: u64) -> Vec<Effect> {
        self.expire_pending(now_ms);
        self.expire_members(now_ms);
        if let Phase::Preparing { until_ms, .. } = self.phase
            && until_ms <= now_ms
        {
            self.join_time_is_up(now_ms);
        }
        self.expire_sync_wait(now_ms);
        self.take_effects()
    }

    /// The coordinator was held up for `by_ms`, so silence means nothing: sessions start anew, everything else that is due
    /// at some time is due so much later, and not before clients had the time to be heard.
    pub fn postpone(&mut self, now_ms: u64, by_ms: u64) {
        let not_before_ms = now_ms.saturating_add(HEARD_AGAIN_MS);
        let later = |at_ms: &mut u64| *at_ms = at_ms.saturating_add(by_ms).max(not_before_ms);
        for member in self.members.values_mut() {
            let session_ms = member.session_timeout_ms.max(0) as u64;
            member.expires_ms = member.expires_ms.max(now_ms.saturating_add(session_ms));
        }
        self.pending.values_mut().for_each(later);
        self.sync_wait.iter_mut().for_each(|wait| later(&mut wait.until_ms));
        if let Phase::Preparing { until_ms, .. } = &mut self.phase {
            later(until_ms);
        }
    }

    fn expire_pending(&mut self, now_ms: u64) {
        let count = self.pending.len();
        self.pending.retain(|_, lapses_ms| *lapses_ms > now_ms);
        if self.pending.len() < count {
            self.complete_if_all_joined(now_ms);
        }
    }

    fn expire_members(&mut self, now_ms: u64) {
        let due: Vec<_> =
            self.members.iter().filter(|(_, member)| member.is_due(now_ms)).map(|(id, _)| id.clone()).collect();
        if due.is_empty() {
            return;
        }
        for id in &due {
            // A client that is still there tries again.
            self.refuse_waiters(id, GroupError::UnknownMember);
            self.remove(id);
        }
        tracing::debug!(group = self.group, members = ?due, "members have not been heard of and were removed");
        self.rebalance_or_complete(now_ms);
    }

    /// Members that know their generation and do not ask for their assignment are not there.
    fn expire_sync_wait(&mut self, now_ms: u64) {
        let Some(wait) = self.sync_wait.take_if(|wait| wait.until_ms <= now_ms) else { return };
        for id in &wait.members {
            self.refuse_waiters(id, GroupError::UnknownMember);
            self.remove(id);
        }
        if !wait.members.is_empty() {
            self.prepare(now_ms);
        }
    }
}
