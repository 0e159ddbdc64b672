//! The groups that this broker coordinates, and what connects them with the log.
//!
//! Each group has a lock of its own, held while an event is handled and never across an `await`. Records enter the
//! log's queue under that lock, so their order is that of the events; offsets that were committed before go ahead of
//! them. One task (`run`) waits for records, alarms and changes of the brokers.
//!
//! Groups come into memory with their first request, or when this broker becomes their coordinator and they have
//! members, whose sessions then start anew. They leave it when they are empty, when a record could not be written (what
//! the log knows is then read again), or when another broker becomes their coordinator; whoever waits is told.

mod consumer;
mod protocol;
mod roles;
mod run;

pub(super) use protocol::Protocol;

use super::alarms::Alarms;
use super::consumer::{ConsumerSettings, LogOutlook, Outlook};
use super::membership::{
    Answer, Committing, Effect, Join, JoinRefused, Joined, Leaver, LeftMember, RecordId, Sync, Synced, WaiterId,
};
use super::offsets::Committer;
use super::{Commit, GroupError, GroupSettings};
use crate::stopping::Stopping;
use frazil_base::Seq;
use frazil_log::{Log, ProposeError};
use frazil_meta::record::{Command, GroupCommit, GroupFence};
use frazil_meta::state::{CoordinatorKind, Outcome, State};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// A broker's groups. Clones share them.
#[derive(Clone)]
pub(crate) struct GroupCoordinator(Arc<Inner>);

pub(super) struct Inner {
    pub log: Log,
    pub settings: GroupSettings,
    outlook: Arc<dyn Outlook>,
    pub committer: Committer,
    alarms: Alarms,
    /// Locked before the state, never while a group is locked.
    groups: Mutex<BTreeMap<String, Arc<Slot>>>,
    records: mpsc::UnboundedSender<BoxFuture<'static, Recorded>>,
    /// Until the task takes it.
    recorded: Mutex<Option<mpsc::UnboundedReceiver<BoxFuture<'static, Recorded>>>>,
}

/// A group's place in memory.
pub(super) struct Slot {
    group: String,
    /// The last record that was applied when the group came into memory.
    seen: Seq,
    kept: Mutex<Kept>,
}

/// What is kept of a group, and who waits.
pub(super) struct Kept {
    pub protocol: Protocol,
    waiters: BTreeMap<WaiterId, oneshot::Sender<Answer>>,
    last_waiter: u64,
    alarm_ms: Option<u64>,
    /// It left the memory: look again.
    is_gone: bool,
}

/// A record of a group that has an outcome.
struct Recorded {
    slot: Arc<Slot>,
    id: RecordId,
    result: Result<Outcome, ProposeError>,
}

/// Whether an event may have changed when the group has something to do next. Heartbeats only put it off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alarm {
    Check,
    Keep,
}

impl GroupCoordinator {
    /// No group is in memory yet. [`GroupCoordinator::run`] has to run for records to have outcomes.
    pub fn new(log: Log, settings: GroupSettings, consumer: ConsumerSettings) -> GroupCoordinator {
        let (records, recorded) = mpsc::unbounded_channel();
        GroupCoordinator(Arc::new(Inner {
            committer: Committer::new(log.clone()),
            outlook: Arc::new(LogOutlook::new(log.clone(), consumer)),
            log,
            settings,
            alarms: Alarms::new(),
            groups: Mutex::default(),
            records,
            recorded: Mutex::new(Some(recorded)),
        }))
    }

    /// JoinGroup: waits until the group's next generation begins.
    pub async fn join(&self, group: &str, join: Join, stopping: &Stopping) -> Result<Joined, JoinRefused> {
        let refuse = |error| JoinRefused { error, member_id: join.member_id.clone() };
        let (least_ms, most_ms) = self.0.settings.session_timeout_ms;
        if group.is_empty() {
            return Err(refuse(GroupError::InvalidGroupId));
        }
        if !(least_ms..=most_ms).contains(&join.session_timeout_ms) {
            return Err(refuse(GroupError::InvalidSessionTimeout));
        }
        let event = |protocol: &mut Protocol, now_ms, waiter| protocol.join(now_ms, waiter, join.clone());
        match self.ask(group, stopping, event).await.map_err(refuse)? {
            Answer::Join(joined) => joined,
            other => Err(refuse(mismatched(group, &other))),
        }
    }

    /// SyncGroup: waits for the assignment of the generation.
    pub async fn sync(&self, group: &str, sync: Sync, stopping: &Stopping) -> Result<Synced, GroupError> {
        check_group_id(group)?;
        match self.ask(group, stopping, |protocol, now_ms, waiter| protocol.sync(now_ms, waiter, sync)).await? {
            Answer::Sync(synced) => synced,
            other => Err(mismatched(group, &other)),
        }
    }

    /// Heartbeat. Nothing is recorded.
    pub fn heartbeat(
        &self,
        group: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), GroupError> {
        check_group_id(group)?;
        let now_ms = self.0.alarms.now_ms();
        self.with(group, Alarm::Keep, |_, kept| kept.protocol.heartbeat(now_ms, member_id, instance_id, generation))?
    }

    /// LeaveGroup: one result per leaver, in order.
    pub async fn leave(
        &self,
        group: &str,
        leavers: Vec<Leaver>,
        stopping: &Stopping,
    ) -> Result<Vec<LeftMember>, GroupError> {
        check_group_id(group)?;
        match self.ask(group, stopping, |protocol, now_ms, waiter| protocol.leave(now_ms, waiter, leavers)).await? {
            Answer::Leave(left) => left,
            other => Err(mismatched(group, &other)),
        }
    }

    /// OffsetCommit and TxnOffsetCommit: checks the member, then waits for the record. `GroupIdNotFound` when a member
    /// is named of a group that does not exist.
    pub async fn commit(&self, commit: Commit) -> Result<(), GroupError> {
        if commit.txn.is_some() {
            check_group_id(&commit.group)?;
        }
        let now_ms = self.0.alarms.now_ms();
        if commit.by.generation >= 0 && !self.exists(&commit.group) {
            self.check_role(&commit.group)?;
            return Err(GroupError::GroupIdNotFound);
        }
        let committing = Committing {
            member_id: &commit.by.member_id,
            instance_id: commit.by.instance_id.as_deref(),
            generation: commit.by.generation,
            is_transactional: commit.txn.is_some(),
        };
        let pending = self.with(&commit.group, Alarm::Keep, |_, kept| {
            let fence = kept.protocol.check_commit(now_ms, &committing)?;
            let Commit { group, txn, offsets, .. } = commit.clone();
            if txn.is_none() && offsets.is_empty() {
                // Nothing is to take effect, so what the log has said already is answer enough.
                let checked = self.0.log.state().check_fence(&group, &fence);
                return checked.map(|()| None).map_err(GroupError::of_commit_refusal);
            }
            Ok(Some(self.0.committer.submit(GroupCommit { group, fence, txn, offsets })))
        })??;
        match pending {
            Some(pending) => pending.settled().await,
            None => Ok(()),
        }
    }

    /// Waits until the log has confirmed that this broker keeps the group, and knows of it what was decided before.
    pub async fn confirm(&self, group: &str) -> Result<(), GroupError> {
        self.check_role(group)?;
        let (fence, txn, offsets) = (GroupFence::Transactional, None, Vec::new());
        self.0.committer.submit(GroupCommit { group: group.to_owned(), fence, txn, offsets }).settled().await
    }

    /// Whether offsets may be read as this member of a consumer group (KIP-848; OffsetFetch 9). Anybody may otherwise.
    pub fn check_fetch(&self, group: &str, member_id: Option<&str>, member_epoch: i32) -> Result<(), GroupError> {
        self.with(group, Alarm::Keep, |_, kept| match &kept.protocol {
            Protocol::Consumer(keeper) => keeper.check_fetch(member_id, member_epoch),
            Protocol::Classic(_) => Ok(()),
        })?
    }

    /// Whether the group has members or offsets, or is about to have members.
    pub fn exists(&self, group: &str) -> bool {
        self.0.groups.lock().contains_key(group) || self.0.log.state().group(group).is_some()
    }

    /// Whether this broker coordinates the group, as far as it knows.
    pub fn check_role(&self, group: &str) -> Result<(), GroupError> {
        let is_ours = self.0.is_coordinator(&self.0.log.state(), group);
        if is_ours { Ok(()) } else { Err(GroupError::NotCoordinator) }
    }

    /// Hands an event with a new waiter to a group, and waits for the answer.
    pub(super) async fn ask(
        &self,
        group: &str,
        stopping: &Stopping,
        event: impl FnOnce(&mut Protocol, u64, WaiterId) -> Vec<Effect>,
    ) -> Result<Answer, GroupError> {
        let (answer, answered) = oneshot::channel();
        let now_ms = self.0.alarms.now_ms();
        self.with(group, Alarm::Check, |slot, kept| {
            kept.last_waiter += 1;
            let waiter = WaiterId(kept.last_waiter);
            kept.waiters.insert(waiter, answer);
            let effects = event(&mut kept.protocol, now_ms, waiter);
            self.perform(slot, kept, effects);
        })?;
        let mut stopping = stopping.clone();
        tokio::select! {
            biased;
            answer = answered => answer.map_err(|_| GroupError::NotCoordinator),
            () = stopping.stopped() => Err(GroupError::NotCoordinator),
        }
    }

    /// Locks a group, which comes into memory if need be, and leaves it again if there is nothing to keep.
    fn with<T>(
        &self,
        group: &str,
        alarm: Alarm,
        event: impl FnOnce(&Arc<Slot>, &mut Kept) -> T,
    ) -> Result<T, GroupError> {
        loop {
            let slot = self.slot(group)?;
            let mut kept = slot.kept.lock();
            if kept.is_gone {
                drop(kept);
                self.forget(&slot);
                continue;
            }
            let value = event(&slot, &mut kept);
            self.tidy(&slot, kept, alarm);
            return Ok(value);
        }
    }

    /// The same without an effect, for questions.
    pub(super) fn look<T>(&self, group: &str, question: impl FnOnce(&Protocol) -> T) -> Result<T, GroupError> {
        self.with(group, Alarm::Keep, |_, kept| question(&kept.protocol))
    }

    fn slot(&self, group: &str) -> Result<Arc<Slot>, GroupError> {
        let mut groups = self.0.groups.lock();
        let state = self.0.log.state();
        if !self.0.is_coordinator(&state, group) {
            return Err(GroupError::NotCoordinator);
        }
        if let Some(slot) = groups.get(group) {
            return Ok(slot.clone());
        }
        // A keeper looks at the log itself.
        let (known, seen) = (state.group(group).cloned(), state.applied());
        drop(state);
        let protocol =
            Protocol::load(group, known.as_ref(), self.0.settings.rules, &self.0.outlook, self.0.alarms.now_ms());
        let (waiters, last_waiter, alarm_ms, is_gone) = (BTreeMap::new(), 0, None, false);
        let kept = Mutex::new(Kept { protocol, waiters, last_waiter, alarm_ms, is_gone });
        let slot = Arc::new(Slot { group: group.to_owned(), seen, kept });
        groups.insert(group.to_owned(), slot.clone());
        Ok(slot)
    }

    fn forget(&self, slot: &Arc<Slot>) {
        let mut groups = self.0.groups.lock();
        if groups.get(&slot.group).is_some_and(|known| Arc::ptr_eq(known, slot)) {
            groups.remove(&slot.group);
        }
    }

    fn perform(&self, slot: &Arc<Slot>, kept: &mut Kept, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Answer(waiter, answer) => {
                    if let Some(waiter) = kept.waiters.remove(&waiter) {
                        // A client that went away needs no answer.
                        let _ = waiter.send(answer);
                    }
                }
                Effect::Record(id, command) => self.record(slot, id, command),
            }
        }
    }

    /// Queues a record behind the offsets that were committed before it.
    fn record(&self, slot: &Arc<Slot>, id: RecordId, mut command: Command) {
        match &mut command {
            Command::GroupGeneration(generation) => generation.seen = slot.seen,
            Command::ConsumerGroup(update) => update.seen = slot.seen,
            _ => (),
        }
        self.0.committer.flush();
        let (slot, outcome) = (slot.clone(), self.0.log.enqueue(command));
        let recorded = async move { Recorded { slot, id, result: outcome.await } };
        // Nobody takes it when the broker is stopping; the waiters are told that by others.
        let _ = self.0.records.send(recorded.boxed());
    }

    /// Sets the alarm that a group needs after an event; one that has nothing to keep leaves the memory.
    fn tidy(&self, slot: &Arc<Slot>, mut kept: MutexGuard<'_, Kept>, alarm: Alarm) {
        kept.is_gone |= kept.protocol.is_disposable();
        let is_gone = kept.is_gone;
        let new_ms = match alarm {
            _ if is_gone => None,
            Alarm::Keep if kept.alarm_ms.is_some() => kept.alarm_ms,
            Alarm::Keep | Alarm::Check => kept.protocol.next_deadline_ms(),
        };
        let old_ms = std::mem::replace(&mut kept.alarm_ms, new_ms);
        self.0.alarms.set(&slot.group, old_ms, new_ms);
        drop(kept);
        if is_gone {
            self.forget(slot);
        }
    }

    /// Tells everybody who waits, and forgets what is not in the log.
    fn abandon(&self, slot: &Arc<Slot>, mut kept: MutexGuard<'_, Kept>, error: GroupError) {
        let effects = kept.protocol.abandon(error);
        self.perform(slot, &mut kept, effects);
        kept.is_gone = true;
        self.tidy(slot, kept, Alarm::Check);
    }
}

/// For the other modules of groups.
impl GroupCoordinator {
    pub fn settings(&self) -> &GroupSettings {
        &self.0.settings
    }

    pub(super) fn log(&self) -> &Log {
        &self.0.log
    }

    /// Whether this broker coordinates the group in this state.
    pub(super) fn is_coordinator(&self, state: &State, group: &str) -> bool {
        self.0.is_coordinator(state, group)
    }

    /// The groups in memory, by name.
    pub(super) fn in_memory(&self) -> Vec<String> {
        self.0.groups.lock().keys().cloned().collect()
    }

    /// How many groups have something to do at some time.
    #[cfg(test)]
    pub(super) fn alarm_count(&self) -> usize {
        self.0.alarms.count()
    }

    /// Does something with a group while no commit of its is on the way; `None` if one is.
    pub(super) fn while_no_commit<T>(&self, group: &str, action: impl FnOnce(&Protocol) -> T) -> Option<T> {
        let done = self.with(group, Alarm::Keep, |_, kept| {
            (!self.0.committer.is_busy_with(group)).then(|| action(&kept.protocol))
        });
        done.ok().flatten()
    }

    /// Does something with a group while nobody joins it or commits for it; `None` if somebody does or has.
    pub(super) fn with_idle<T>(&self, group: &str, action: impl FnOnce() -> T) -> Option<T> {
        let done = self.with(group, Alarm::Keep, |_, kept| {
            let is_idle = kept.protocol.is_disposable() && !self.0.committer.is_busy_with(group);
            is_idle.then(action)
        });
        done.ok().flatten()
    }
}

impl Inner {
    fn is_coordinator(&self, state: &State, group: &str) -> bool {
        state.may_coordinate(CoordinatorKind::Group, group, self.log.epoch())
    }
}

/// Members need a group id that is not empty; offsets alone may be committed for the empty one, as in Kafka.
fn check_group_id(group: &str) -> Result<(), GroupError> {
    if group.is_empty() { Err(GroupError::InvalidGroupId) } else { Ok(()) }
}

fn mismatched(group: &str, answer: &Answer) -> GroupError {
    tracing::error!(group, ?answer, "a request was given the answer of another, which is a bug");
    GroupError::CoordinatorNotAvailable
}
