//! LeaveGroup: by member id, or an administrator's removal of static members by instance id.

use super::answers::{Answer, Leaver, LeftMember, WaiterId};
use super::{Effect, Membership, Phase, RecordId, Recording};
use crate::group::GroupError;

impl Membership {
    /// Members leave. If nobody is left the answer waits until that is recorded.
    pub fn leave(&mut self, now_ms: u64, waiter: WaiterId, leavers: Vec<Leaver>) -> Vec<Effect> {
        let leave = |leaver: Leaver| LeftMember { result: self.let_go(&leaver), leaver };
        let left: Vec<_> = leavers.into_iter().map(leave).collect();
        let records_before = self.last_record;
        if left.iter().any(|left| left.result.is_ok()) && self.phase != Phase::Empty {
            self.rebalance_or_complete(now_ms);
        }
        let recording = (self.last_record > records_before).then_some(RecordId(self.last_record));
        match recording.and_then(|id| self.records.get_mut(&id)) {
            Some(Recording::Emptying { leave }) => *leave = Some((waiter, left)),
            _ => self.answer(waiter, Answer::Leave(Ok(left))),
        }
        self.take_effects()
    }

    fn let_go(&mut self, leaver: &Leaver) -> Result<(), GroupError> {
        let member_id = if leaver.member_id.is_empty() {
            let instance = leaver.instance_id.as_ref().ok_or(GroupError::UnknownMember)?;
            self.instances.get(instance).cloned().ok_or(GroupError::UnknownMember)?
        } else if self.pending.remove(&leaver.member_id).is_some() {
            return Ok(());
        } else {
            self.validated(&leaver.member_id, leaver.instance_id.as_deref())?;
            leaver.member_id.clone()
        };
        // Should it still wait for a join, it may try again.
        self.refuse_waiters(&member_id, GroupError::UnknownMember);
        self.remove(&member_id);
        Ok(())
    }
}
