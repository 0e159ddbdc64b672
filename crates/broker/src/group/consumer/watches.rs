//! Until when each member has to do what is expected of it.

use super::heartbeat::Reply;
use super::{ConsumerMember, MemberState};
use std::collections::{BTreeMap, BTreeSet};

/// One member's deadlines, milliseconds on the coordinator's clock. Those that are not set are not waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Watch {
    /// The next sign of life.
    session_ms: u64,
    /// Giving partitions up.
    revoked_ms: Option<u64>,
    /// A classic member's JoinGroup, after it was told to join again.
    joined_ms: Option<u64>,
    /// A classic member's SyncGroup, after it joined.
    synced_ms: Option<u64>,
}

impl Watch {
    fn new(session_ms: u64) -> Watch {
        Watch { session_ms, revoked_ms: None, joined_ms: None, synced_ms: None }
    }

    fn earliest_ms(&self) -> u64 {
        let others = [self.revoked_ms, self.joined_ms, self.synced_ms].into_iter().flatten();
        others.fold(self.session_ms, u64::min)
    }
}

/// The deadlines of a group's members. `session_ms` is the group's session timeout; classic members have their own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watches(BTreeMap<String, Watch>);

impl Watches {
    /// Everybody's time starts now.
    pub fn start<'a>(now_ms: u64, members: impl Iterator<Item = &'a ConsumerMember>, session_ms: u64) -> Watches {
        let watch = |member: &ConsumerMember| {
            let revokes = member.state == MemberState::Unrevoked && member.classic.is_none();
            let revoked_ms = revokes.then(|| after(now_ms, member.rebalance_timeout_ms));
            let watch = Watch { revoked_ms, ..Watch::new(session_end_ms(now_ms, member, session_ms)) };
            (member.member_id.clone(), watch)
        };
        Watches(members.map(watch).collect())
    }

    /// A heartbeat of the consumer protocol was answered.
    pub fn beaten(&mut self, now_ms: u64, member: &ConsumerMember, reply: &Reply, session_ms: u64) {
        let watch = self.alive(now_ms, member, session_ms);
        // It speaks the new protocol now.
        (watch.joined_ms, watch.synced_ms) = (None, None);
        if reply.has_moved {
            let revokes = member.state == MemberState::Unrevoked;
            watch.revoked_ms = revokes.then(|| after(now_ms, member.rebalance_timeout_ms));
        }
    }

    /// A classic member joined.
    pub fn joined(&mut self, now_ms: u64, member: &ConsumerMember) {
        let synced_ms = after(now_ms, member.rebalance_timeout_ms);
        let watch = self.alive(now_ms, member, 0);
        (watch.joined_ms, watch.revoked_ms, watch.synced_ms) = (None, None, Some(synced_ms));
    }

    /// A classic member has its assignment.
    pub fn synced(&mut self, now_ms: u64, member: &ConsumerMember) {
        self.alive(now_ms, member, 0).synced_ms = None;
    }

    /// A classic member showed that it lives; `has_to_join` if it was told to join again.
    pub fn heard(&mut self, now_ms: u64, member: &ConsumerMember, has_to_join: bool) {
        let joined_ms = after(now_ms, member.rebalance_timeout_ms);
        let watch = self.alive(now_ms, member, 0);
        if has_to_join {
            watch.joined_ms.get_or_insert(joined_ms);
        }
    }

    /// A static member left for a while: only its session counts.
    pub fn left_for_a_while(&mut self, member_id: &str) {
        if let Some(watch) = self.0.get_mut(member_id) {
            *watch = Watch::new(watch.session_ms);
        }
    }

    /// Watches nobody but these.
    pub fn retain(&mut self, is_member: impl Fn(&str) -> bool) {
        self.0.retain(|member, _| is_member(member));
    }

    /// Nobody was heard for a while through no fault of theirs: what is waited for has its whole time from now.
    pub fn postpone<'a>(&mut self, now_ms: u64, members: impl Iterator<Item = &'a ConsumerMember>, session_ms: u64) {
        for member in members {
            let Some(watch) = self.0.get_mut(&member.member_id) else { continue };
            watch.session_ms = session_end_ms(now_ms, member, session_ms);
            let others = [&mut watch.revoked_ms, &mut watch.joined_ms, &mut watch.synced_ms];
            let due_ms = after(now_ms, member.rebalance_timeout_ms);
            others.into_iter().flatten().for_each(|other_ms| *other_ms = due_ms);
        }
    }

    pub fn earliest_ms(&self) -> Option<u64> {
        self.0.values().map(Watch::earliest_ms).min()
    }

    /// Members whose time is up.
    pub fn due(&self, now_ms: u64) -> BTreeSet<String> {
        let due = self.0.iter().filter(|(_, watch)| watch.earliest_ms() <= now_ms);
        due.map(|(member, _)| member.clone()).collect()
    }

    fn alive(&mut self, now_ms: u64, member: &ConsumerMember, session_ms: u64) -> &mut Watch {
        let ends_ms = session_end_ms(now_ms, member, session_ms);
        let watch = self.0.entry(member.member_id.clone()).or_insert_with(|| Watch::new(ends_ms));
        watch.session_ms = ends_ms;
        watch
    }
}

fn session_end_ms(now_ms: u64, member: &ConsumerMember, session_ms: u64) -> u64 {
    match &member.classic {
        Some(classic) => after(now_ms, classic.session_timeout_ms),
        None => now_ms.saturating_add(session_ms),
    }
}

fn after(now_ms: u64, timeout_ms: i32) -> u64 {
    now_ms.saturating_add(u64::try_from(timeout_ms).unwrap_or(0))
}
