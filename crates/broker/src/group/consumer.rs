//! The seam for groups of the consumer protocol (KIP-848).
//!
//! The coordinator keeps a [`Keeper`] in the place of a classic group's membership, behind the same lock and with the
//! same events and effects: requests come in with a waiter and the time, answers and records go out, `recorded` follows
//! when a record was applied, `due` when time is up, `abandon` when the group goes to another broker.

use super::GroupError;
use super::membership::{Answer, Committing, Effect, Join, JoinRefused, Leaver, RecordId, Sync, WaiterId};
use frazil_meta::record::GroupFence;
use frazil_meta::state::ConsumerGroup;

/// The memory of one group of the consumer protocol.
#[derive(Debug)]
pub(crate) struct Keeper;

impl Keeper {
    /// A group as it was recorded. Sessions start anew.
    pub fn restore(_group: &str, _recorded: &ConsumerGroup, _now_ms: u64) -> Keeper {
        Keeper
    }

    /// A member of the classic protocol joins.
    pub fn join(&mut self, _now_ms: u64, waiter: WaiterId, join: Join) -> Vec<Effect> {
        let refused = JoinRefused { error: GroupError::InconsistentGroupProtocol, member_id: join.member_id };
        vec![Effect::Answer(waiter, Answer::Join(Err(refused)))]
    }

    /// A member of the classic protocol asks for its assignment.
    pub fn sync(&mut self, _now_ms: u64, waiter: WaiterId, _sync: Sync) -> Vec<Effect> {
        vec![Effect::Answer(waiter, Answer::Sync(Err(GroupError::UnknownMember)))]
    }

    /// A sign of life of a member of the classic protocol.
    pub fn heartbeat(
        &mut self,
        _now_ms: u64,
        _member_id: &str,
        _instance_id: Option<&str>,
        _generation: i32,
    ) -> Result<(), GroupError> {
        Err(GroupError::UnknownMember)
    }

    /// Members leave by LeaveGroup.
    pub fn leave(&mut self, _now_ms: u64, waiter: WaiterId, _leavers: Vec<Leaver>) -> Vec<Effect> {
        vec![Effect::Answer(waiter, Answer::Leave(Err(GroupError::UnknownMember)))]
    }

    /// Whether offsets may be committed so, and the fence for the record. The generation is a member epoch.
    pub fn check_commit(&mut self, _now_ms: u64, _commit: &Committing<'_>) -> Result<GroupFence, GroupError> {
        Err(GroupError::UnknownMember)
    }

    /// Whether offsets may be read so: an unknown member or a stale epoch may not.
    pub fn check_fetch(&self, _member_id: Option<&str>, _member_epoch: i32) -> Result<(), GroupError> {
        Ok(())
    }

    /// Whether a member is subscribed to the topic, so that its offsets may not be deleted.
    pub fn is_subscribed_to(&self, _topic: &str) -> bool {
        true
    }

    /// The group's state as ListGroups names it.
    pub fn state_name(&self) -> &'static str {
        "Stable"
    }

    /// Whether it has a member.
    pub fn has_members(&self) -> bool {
        true
    }

    /// A record was applied.
    pub fn recorded(&mut self, _now_ms: u64, _record: RecordId) -> Vec<Effect> {
        Vec::new()
    }

    /// When `due` has something to do.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        None
    }

    /// Does whatever is due.
    pub fn due(&mut self, _now_ms: u64) -> Vec<Effect> {
        Vec::new()
    }

    /// Answers everybody who waits.
    pub fn abandon(&mut self, _error: GroupError) -> Vec<Effect> {
        Vec::new()
    }

    /// Whether the metadata log knows as much as this memory, and nobody is in the group.
    pub fn is_disposable(&self) -> bool {
        false
    }
}
