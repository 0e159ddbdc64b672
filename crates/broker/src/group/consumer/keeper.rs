//! A group of the consumer protocol in its coordinator's memory: members, deadlines, and answers on hold.
//!
//! At most one record of a group is under way. What changes meanwhile gathers for the next, so a hundred members that
//! join at once cost a few records; an answer leaves when the record with everything it tells has been applied. So what
//! a member has heard is always in the log, and whoever takes the group over starts from no less.
//!
//! It stands where a classic group's membership would, behind the same lock and with the same events and effects.

use super::classic::{ClassicClaim, ClassicError, ClassicIdentity, ClassicJoin};
use super::embedded::PROTOCOL_TYPE;
use super::heartbeat::{Heartbeat, HeartbeatError, Reply, STATIC_LEAVE_EPOCH};
use super::members::Members;
use super::migration::{self, UpgradeError};
use super::outlook::Outlook;
use super::subscription::Pattern;
use super::watches::Watches;
use super::{ConsumerMember, GroupGeneration, HeartbeatRefused};
use crate::group::GroupError;
use crate::group::membership::{
    Answer, Committing, Effect, Join, JoinRefused, Joined, Leaver, LeftMember, RecordId, Sync, Synced, WaiterId,
};
use frazil_meta::record::{Command, GroupFence};
use frazil_meta::state::ConsumerGroup;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The memory of one group.
#[derive(Debug)]
pub(crate) struct Keeper {
    members: Members,
    outlook: Arc<dyn Outlook>,
    watches: Watches,
    downgrade: Option<Downgrade>,
    /// The record under way, and who hears of it.
    under_way: Option<(RecordId, Vec<(WaiterId, Answer)>)>,
    /// Answers that tell of something that no record says yet.
    held: Vec<(WaiterId, Answer)>,
    last_record: u64,
    effects: Vec<Effect>,
}

/// The group is about to speak the classic protocol again.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Downgrade {
    classic: GroupGeneration,
    rebalances: bool,
    progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Waiting,
    UnderWay,
    Done,
}

impl Keeper {
    fn new(members: Members, outlook: Arc<dyn Outlook>, now_ms: u64) -> Keeper {
        let session_ms = session_ms(outlook.as_ref(), members.group());
        let watches = Watches::start(now_ms, members.members().values(), session_ms);
        Keeper {
            members,
            outlook,
            watches,
            downgrade: None,
            under_way: None,
            held: Vec::new(),
            last_record: 0,
            effects: Vec::new(),
        }
    }

    /// A group as it was recorded. Sessions start anew.
    pub fn restore(group: &str, recorded: &ConsumerGroup, outlook: Arc<dyn Outlook>, now_ms: u64) -> Keeper {
        let epochs = (recorded.group_epoch, recorded.target_epoch);
        let members = recorded.members.values().cloned();
        Keeper::new(Members::load(group, epochs, &recorded.assignor, members), outlook, now_ms)
    }

    /// A group without members that goes on from `epoch`.
    pub fn empty(group: &str, epoch: i32, outlook: Arc<dyn Outlook>, now_ms: u64) -> Keeper {
        Keeper::new(Members::empty(group, epoch), outlook, now_ms)
    }

    /// The group that a classic one becomes.
    pub fn upgrade(classic: &GroupGeneration, outlook: Arc<dyn Outlook>, now_ms: u64) -> Result<Keeper, UpgradeError> {
        let members = migration::upgrade(classic, &outlook.topics(), outlook.rules())?;
        Ok(Keeper::new(members, outlook, now_ms))
    }

    /// The group with its first member of the consumer protocol, or nothing if that member is refused.
    pub fn with_first(
        mut self,
        now_ms: u64,
        waiter: WaiterId,
        heartbeat: &Heartbeat,
    ) -> Result<(Keeper, Vec<Effect>), HeartbeatRefused> {
        let reply = self.beat(now_ms, heartbeat)?;
        self.reply(waiter, true, Answer::ConsumerHeartbeat(Ok(reply)));
        let effects = self.take_effects();
        Ok((self, effects))
    }

    /// A ConsumerGroupHeartbeat.
    pub fn consumer_heartbeat(&mut self, now_ms: u64, waiter: WaiterId, heartbeat: &Heartbeat) -> Vec<Effect> {
        let reply = match self.downgrade {
            Some(_) => Err(HeartbeatRefused::Group(GroupError::CoordinatorNotAvailable)),
            None if heartbeat.leaves() => self.leave_by_heartbeat(heartbeat).map_err(HeartbeatRefused::from),
            None => self.beat(now_ms, heartbeat).map_err(HeartbeatRefused::from),
        };
        self.reply(waiter, reply.is_ok(), Answer::ConsumerHeartbeat(reply));
        self.take_effects()
    }

    fn beat(&mut self, now_ms: u64, heartbeat: &Heartbeat) -> Result<Reply, HeartbeatError> {
        let reply = self.members.heartbeat(heartbeat, &self.outlook.topics(), self.outlook.rules())?;
        let session_ms = session_ms(self.outlook.as_ref(), self.members.group());
        if let Some(member) = self.members.member(&reply.member_id) {
            self.watches.beaten(now_ms, member, &reply, session_ms);
        }
        self.watch_members_only();
        Ok(reply)
    }

    fn leave_by_heartbeat(&mut self, heartbeat: &Heartbeat) -> Result<Reply, HeartbeatError> {
        let member_id = self.members.check_leave(heartbeat)?;
        if heartbeat.member_epoch == STATIC_LEAVE_EPOCH {
            self.members.leave_for_a_while(&member_id);
            self.watches.left_for_a_while(&member_id);
        } else {
            self.remove(&BTreeSet::from([member_id.clone()]));
        }
        Ok(Reply { member_id, member_epoch: heartbeat.member_epoch, assignment: None, has_moved: false })
    }

    /// A member of the classic protocol joins.
    pub fn join(&mut self, now_ms: u64, waiter: WaiterId, join: Join) -> Vec<Effect> {
        let member_id = join.member_id.clone();
        let joined = self.join_classic(now_ms, join);
        let joined = joined.map_err(|error| match error {
            JoinError::Refused(refused) => refused,
            JoinError::Classic(error) => JoinRefused { error: GroupError::from(error), member_id },
        });
        self.reply(waiter, joined.is_ok(), Answer::Join(joined));
        self.take_effects()
    }

    fn join_classic(&mut self, now_ms: u64, join: Join) -> Result<Joined, JoinError> {
        let refuse = |error, member_id| Err(JoinError::Refused(JoinRefused { error, member_id }));
        // The log is about to know the group as empty, or as a classic one.
        if self.downgrade.is_some() || self.members.members().is_empty() {
            return refuse(GroupError::CoordinatorNotAvailable, join.member_id);
        }
        let is_new = join.member_id.is_empty();
        if is_new && join.instance_id.is_none() && join.requires_member_id {
            return refuse(GroupError::MemberIdRequired, join.fresh_id);
        }
        let replaced = join.instance_id.as_ref().and_then(|instance| self.members.static_member(instance));
        let replaces_consumer = replaced.is_some_and(|member| member.classic.is_none());
        let join = classic_join(join, is_new);
        let joined = self.members.classic_join(&join, &self.outlook.topics(), self.outlook.rules())?;
        if let Some(member) = self.members.member(&joined.member_id) {
            self.watches.joined(now_ms, member);
        }
        self.watch_members_only();
        if replaces_consumer {
            self.downgrade_if_due(joined.has_new_subscription);
        }
        Ok(Joined {
            member_id: joined.member_id,
            generation: joined.generation,
            protocol_type: Some(PROTOCOL_TYPE.to_owned()),
            protocol: Some(joined.protocol),
            leader: String::new(),
            skip_assignment: false,
            members: Vec::new(),
        })
    }

    /// A member of the classic protocol asks for its assignment.
    pub fn sync(&mut self, now_ms: u64, waiter: WaiterId, sync: Sync) -> Vec<Effect> {
        let synced = self.sync_classic(now_ms, &sync);
        self.reply(waiter, synced.is_ok(), Answer::Sync(synced));
        self.take_effects()
    }

    fn sync_classic(&mut self, now_ms: u64, sync: &Sync) -> Result<Synced, GroupError> {
        self.check_serving()?;
        let claim = ClassicClaim {
            identity: ClassicIdentity { member_id: &sync.member_id, instance_id: sync.instance_id.as_deref() },
            generation: sync.generation,
            protocol_type: sync.protocol_type.as_deref(),
            protocol: sync.protocol.as_deref(),
        };
        let assignment = self.members.classic_sync(claim, &self.outlook.topics())?;
        let member = self.members.classic_member(claim.identity)?;
        self.watches.synced(now_ms, member);
        let protocol = super::classic::first_protocol(member).map(|(name, _)| name.clone());
        Ok(Synced { protocol_type: Some(PROTOCOL_TYPE.to_owned()), protocol, assignment })
    }

    /// A sign of life of a member of the classic protocol.
    pub fn heartbeat(
        &mut self,
        now_ms: u64,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), GroupError> {
        if self.downgrade.is_some() {
            return Err(GroupError::RebalanceInProgress);
        }
        let identity = ClassicIdentity { member_id, instance_id };
        let claim = ClassicClaim { identity, generation, protocol_type: None, protocol: None };
        let beat = self.members.classic_heartbeat(claim);
        if matches!(beat, Ok(()) | Err(ClassicError::RebalanceInProgress)) {
            let member = self.members.classic_member(identity)?;
            self.watches.heard(now_ms, member, beat.is_err());
        }
        Ok(beat?)
    }

    /// Members leave by LeaveGroup.
    pub fn leave(&mut self, _now_ms: u64, waiter: WaiterId, leavers: Vec<Leaver>) -> Vec<Effect> {
        let left = self.check_serving().map(|()| self.leave_classic(leavers));
        self.reply(waiter, left.is_ok(), Answer::Leave(left));
        self.take_effects()
    }

    fn leave_classic(&mut self, leavers: Vec<Leaver>) -> Vec<LeftMember> {
        let mut leaving = BTreeSet::new();
        let mut left = |leaver: Leaver| {
            let identity = ClassicIdentity { member_id: &leaver.member_id, instance_id: leaver.instance_id.as_deref() };
            let member = self.members.leaving_member(identity).map(|member| member.member_id.clone());
            let result = member.map(|member| leaving.extend([member])).map_err(GroupError::from);
            LeftMember { leaver, result }
        };
        let left: Vec<_> = leavers.into_iter().map(&mut left).collect();
        if !leaving.is_empty() {
            self.remove(&leaving);
        }
        left
    }

    /// Whether offsets may be committed so, and the fence for the record. The generation is a member epoch. Whether it
    /// is the member's is for the log to say: the record goes ahead of those that change it here already.
    pub fn check_commit(&mut self, _now_ms: u64, commit: &Committing<'_>) -> Result<GroupFence, GroupError> {
        let Committing { member_id, instance_id, generation, is_transactional } = *commit;
        if generation < 0 && self.members.members().is_empty() {
            return Ok(if is_transactional { GroupFence::Transactional } else { GroupFence::None });
        }
        if is_transactional && generation < 0 && member_id.is_empty() && instance_id.is_none() {
            return Ok(GroupFence::Transactional);
        }
        let member = self.members.member(member_id).ok_or(GroupError::UnknownMember)?;
        let member_id = member_id.to_owned();
        Ok(match member.classic {
            Some(_) => GroupFence::Classic { member_id, generation },
            None => GroupFence::Consumer { member_id, member_epoch: generation },
        })
    }

    /// Whether this member speaks the consumer protocol.
    pub fn is_consumer(&self, member_id: &str) -> bool {
        self.members.member(member_id).is_some_and(|member| member.classic.is_none())
    }

    /// Whether offsets may be read so: an unknown member or a stale epoch may not.
    pub fn check_fetch(&self, member_id: Option<&str>, member_epoch: i32) -> Result<(), GroupError> {
        if member_id.is_none() && member_epoch < 0 {
            return Ok(());
        }
        let member = self.members.member(member_id.unwrap_or_default()).ok_or(GroupError::UnknownMember)?;
        // A member cannot know of an epoch that its record has not made true.
        let is_ahead = self.under_way.is_some() || self.members.has_changes();
        let is_known = member_epoch == member.member_epoch || is_ahead && member_epoch == member.previous_member_epoch;
        match &member.classic {
            _ if is_known => Ok(()),
            Some(_) => Err(GroupError::IllegalGeneration),
            None => Err(GroupError::StaleMemberEpoch),
        }
    }

    /// Whether a member is subscribed to the topic, so that its offsets may not be deleted.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        let matches = |expression: &String| Pattern::new(expression).is_ok_and(|pattern| pattern.matches(topic));
        let wants = |member: &ConsumerMember| {
            member.topics.iter().any(|name| name == topic) || member.regex.as_ref().is_some_and(matches)
        };
        self.members.members().values().any(wants)
    }

    /// The group's state as ListGroups names it.
    pub fn state_name(&self) -> &'static str {
        self.members.state_name()
    }

    /// Whether it has a member.
    pub fn has_members(&self) -> bool {
        !self.members.members().is_empty()
    }

    /// A record was applied.
    pub fn recorded(&mut self, _now_ms: u64, record: RecordId) -> Vec<Effect> {
        let Some((_, answers)) = self.under_way.take_if(|(id, _)| *id == record) else { return Vec::new() };
        self.effects.extend(answers.into_iter().map(|(waiter, answer)| Effect::Answer(waiter, answer)));
        if let Some(downgrade) = self.downgrade.as_mut().filter(|downgrade| downgrade.progress == Progress::UnderWay) {
            downgrade.progress = Progress::Done;
        }
        self.pump();
        self.take_effects()
    }

    /// The classic group in whose place this one stands no longer, and whether its members have to join again.
    pub fn take_downgraded(&mut self) -> Option<(GroupGeneration, bool)> {
        let done = self.downgrade.take_if(|downgrade| downgrade.progress == Progress::Done)?;
        Some((done.classic, done.rebalances))
    }

    /// When `due` has something to do.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        if self.downgrade.is_some() { None } else { self.watches.earliest_ms() }
    }

    /// Removes members whose time is up.
    pub fn due(&mut self, now_ms: u64) -> Vec<Effect> {
        let due = self.watches.due(now_ms);
        if !due.is_empty() && self.downgrade.is_none() {
            tracing::debug!(group = self.members.group(), members = ?due, "members were not heard of in time");
            self.remove(&due);
            self.pump();
        }
        self.take_effects()
    }

    /// The coordinator was held up, so silence means nothing: everybody's time starts now.
    pub fn postpone(&mut self, now_ms: u64) {
        let session_ms = session_ms(self.outlook.as_ref(), self.members.group());
        self.watches.postpone(now_ms, self.members.members().values(), session_ms);
    }

    /// Answers everybody who waits.
    pub fn abandon(&mut self, error: GroupError) -> Vec<Effect> {
        let told = self.under_way.take().into_iter().flat_map(|(_, answers)| answers);
        let waiting = told.chain(std::mem::take(&mut self.held));
        self.effects.extend(waiting.map(|(waiter, answer)| Effect::Answer(waiter, refused(answer, error))));
        self.take_effects()
    }

    /// Whether the metadata log knows as much as this memory, and nobody is in the group.
    pub fn is_disposable(&self) -> bool {
        !self.has_members() && self.under_way.is_none() && !self.members.has_changes()
    }

    fn check_serving(&self) -> Result<(), GroupError> {
        if self.downgrade.is_some() { Err(GroupError::CoordinatorNotAvailable) } else { Ok(()) }
    }

    /// Members are gone for good.
    fn remove(&mut self, leaving: &BTreeSet<String>) {
        if migration::may_downgrade(&self.members, leaving, self.outlook.rules()) {
            // The classic group goes on in the generation that its members know.
            leaving.iter().for_each(|member| self.members.remove(member));
            self.downgrade_if_due(true);
        } else {
            self.members.fence(leaving);
        }
        self.watch_members_only();
    }

    fn downgrade_if_due(&mut self, rebalances: bool) {
        if migration::may_downgrade(&self.members, &BTreeSet::new(), self.outlook.rules()) {
            let classic = migration::downgrade(&self.members, &self.outlook.topics());
            self.downgrade = Some(Downgrade { classic, rebalances, progress: Progress::Waiting });
        }
    }

    fn watch_members_only(&mut self) {
        self.watches.retain(|member| self.members.member(member).is_some());
    }

    /// A refusal leaves at once; anything else when the log has all of it.
    fn reply(&mut self, waiter: WaiterId, is_success: bool, answer: Answer) {
        match is_success {
            true => self.held.push((waiter, answer)),
            false => self.effects.push(Effect::Answer(waiter, answer)),
        }
        self.pump();
    }

    /// Asks for the next record if there is one to write, and sends answers that wait for none.
    fn pump(&mut self) {
        if self.under_way.is_some() {
            return;
        }
        let told = std::mem::take(&mut self.held);
        let Some(command) = self.next_command() else {
            return self.effects.extend(told.into_iter().map(|(waiter, answer)| Effect::Answer(waiter, answer)));
        };
        self.last_record += 1;
        let id = RecordId(self.last_record);
        self.under_way = Some((id, told));
        self.effects.push(Effect::Record(id, command));
    }

    /// A downgrade says everything anew; nothing else is to be said before it.
    fn next_command(&mut self) -> Option<Command> {
        match &mut self.downgrade {
            Some(downgrade) if downgrade.progress == Progress::Waiting => {
                downgrade.progress = Progress::UnderWay;
                Some(Command::GroupGeneration(downgrade.classic.clone()))
            }
            Some(_) => None,
            None => self.members.take_update().map(Command::ConsumerGroup),
        }
    }

    fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }
}

enum JoinError {
    Refused(JoinRefused),
    Classic(ClassicError),
}

impl From<ClassicError> for JoinError {
    fn from(error: ClassicError) -> JoinError {
        JoinError::Classic(error)
    }
}

impl From<ClassicError> for GroupError {
    fn from(error: ClassicError) -> GroupError {
        match error {
            ClassicError::Member(error) => GroupError::from(error),
            ClassicError::InconsistentProtocol => GroupError::InconsistentGroupProtocol,
            ClassicError::IllegalGeneration { .. } => GroupError::IllegalGeneration,
            ClassicError::RebalanceInProgress => GroupError::RebalanceInProgress,
        }
    }
}

impl From<HeartbeatError> for GroupError {
    /// For members of the classic protocol, which know fewer errors.
    fn from(error: HeartbeatError) -> GroupError {
        match error {
            HeartbeatError::GroupFull { .. } => GroupError::GroupMaxSizeReached,
            HeartbeatError::UnknownMember { .. }
            | HeartbeatError::UnknownInstance { .. }
            | HeartbeatError::FencedEpoch { .. }
            | HeartbeatError::InvalidExpression { .. } => GroupError::UnknownMember,
            HeartbeatError::FencedInstance { .. } | HeartbeatError::UnreleasedInstance { .. } => {
                GroupError::FencedInstanceId
            }
        }
    }
}

fn refused(answer: Answer, error: GroupError) -> Answer {
    match answer {
        Answer::Join(_) => Answer::Join(Err(JoinRefused { error, member_id: String::new() })),
        Answer::Sync(_) => Answer::Sync(Err(error)),
        Answer::Leave(_) => Answer::Leave(Err(error)),
        Answer::ConsumerHeartbeat(_) => Answer::ConsumerHeartbeat(Err(HeartbeatRefused::Group(error))),
    }
}

fn classic_join(join: Join, is_new: bool) -> ClassicJoin {
    ClassicJoin {
        member_id: if is_new { join.fresh_id } else { join.member_id },
        is_new,
        instance_id: join.instance_id,
        client_id: join.client_id,
        client_host: join.client_host,
        session_timeout_ms: join.session_timeout_ms,
        rebalance_timeout_ms: join.rebalance_timeout_ms,
        protocol_type: join.protocol_type,
        protocols: join.protocols,
    }
}

fn session_ms(outlook: &dyn Outlook, group: &str) -> u64 {
    u64::try_from(outlook.timeouts(group).session_ms).unwrap_or(0)
}
