//! SyncGroup: the leader's assignment, recorded before anybody hears of it.

use super::answers::{Answer, Synced, WaiterId};
use super::{Effect, GROUP_ASSIGNMENT_BYTES_MAX, Membership, Phase, Recording};
use crate::group::GroupError;
use bytes::Bytes;
use std::collections::BTreeMap;

/// A SyncGroup request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sync {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub generation: i32,
    /// From version 5 on; has to be the group's.
    pub protocol_type: Option<String>,
    /// From version 5 on; has to be the generation's.
    pub protocol: Option<String>,
    /// The leader's: member ids and what they get. Members that are not named get nothing.
    pub assignment: Vec<(String, Bytes)>,
}

impl Membership {
    /// A member asks for its assignment; the leader brings everybody's.
    pub fn sync(&mut self, _now_ms: u64, waiter: WaiterId, sync: Sync) -> Vec<Effect> {
        if let Err(error) = self.accept_sync(waiter, sync) {
            self.answer(waiter, Answer::Sync(Err(error)));
        }
        self.take_effects()
    }

    fn accept_sync(&mut self, waiter: WaiterId, sync: Sync) -> Result<(), GroupError> {
        self.validated(&sync.member_id, sync.instance_id.as_deref())?;
        if sync.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        let differs = |asked: &Option<String>, own: &Option<String>| asked.is_some() && own.is_some() && asked != own;
        if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol, &self.protocol) {
            return Err(GroupError::InconsistentGroupProtocol);
        }
        match self.phase {
            Phase::Empty => Err(GroupError::UnknownMember),
            Phase::Preparing { .. } => Err(GroupError::RebalanceInProgress),
            Phase::Completing { recording } => self.await_assignment(waiter, sync, recording.is_some()),
            Phase::Stable => {
                self.has_synced(&sync.member_id);
                self.answer_synced(waiter, &sync.member_id);
                Ok(())
            }
        }
    }

    fn await_assignment(&mut self, waiter: WaiterId, sync: Sync, is_recording: bool) -> Result<(), GroupError> {
        let brings_assignment = self.is_leader(&sync.member_id) && !is_recording;
        let bytes: usize = sync.assignment.iter().map(|(_, assignment)| assignment.len()).sum();
        if brings_assignment && bytes > GROUP_ASSIGNMENT_BYTES_MAX {
            return Err(GroupError::AssignmentTooLarge);
        }
        self.has_synced(&sync.member_id);
        if let Some(member) = self.members.get_mut(&sync.member_id) {
            member.syncing.push(waiter);
        }
        if brings_assignment {
            let assignment = sync.assignment.into_iter().filter(|(id, _)| self.members.contains_key(id)).collect();
            let recording = Recording::Assignment { generation: self.generation, assignment };
            self.phase = Phase::Completing { recording: Some(self.record(recording)) };
        }
        Ok(())
    }

    /// The assignment is durable: the group is stable, and whoever asked gets its part.
    pub(super) fn settle(&mut self, now_ms: u64, mut assignment: BTreeMap<String, Bytes>) {
        self.phase = Phase::Stable;
        let mut waiting = Vec::new();
        for (id, member) in &mut self.members {
            member.assignment = assignment.remove(id).unwrap_or_default();
            if !member.syncing.is_empty() {
                member.stays_until(now_ms);
                waiting.extend(member.syncing.drain(..).map(|waiter| (waiter, id.clone())));
            }
        }
        waiting.into_iter().for_each(|(waiter, id)| self.answer_synced(waiter, &id));
    }

    fn has_synced(&mut self, member_id: &str) {
        let Some(wait) = &mut self.sync_wait else { return };
        wait.members.remove(member_id);
        if wait.members.is_empty() {
            self.sync_wait = None;
        }
    }

    fn answer_synced(&mut self, waiter: WaiterId, member_id: &str) {
        let synced = Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self.members.get(member_id).map(|member| member.assignment.clone()).unwrap_or_default(),
        };
        self.answer(waiter, Answer::Sync(Ok(synced)));
    }
}
