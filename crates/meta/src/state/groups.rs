//! Groups: their last finished rebalance, their members, and the offsets they committed.
//!
//! Records of a group count only from its coordinator, and commits only from a member of the present generation or
//! epoch; so whatever is late or repeated never touches a later one. Offsets of an open transaction wait beside the
//! others until it ends. A group that never had members is there as long as it has offsets.

use super::outcome::Refusal;
use super::{CoordinatorKind, Mutation, State};
use crate::record::{
    ClassicMember, ConsumerGroupUpdate, ConsumerMember, GroupCommit, GroupFence, GroupGeneration, OffsetCommit, Record,
};
use frazil_base::{Epoch, Seq, TopicId, TopicPartition};
use std::collections::BTreeMap;

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Which protocol it speaks, and its members.
    pub kind: GroupKind,
    /// The committed offsets.
    pub offsets: BTreeMap<TopicPartition, CommittedOffset>,
    /// Offsets that take effect when a transaction commits, by its producer id.
    pub pending: BTreeMap<i64, BTreeMap<TopicPartition, CommittedOffset>>,
    /// Record time of the last change of its members, or of its creation; milliseconds since 1970.
    pub changed_ms: i64,
    /// The record that changed its members last, and the registration that wrote it; zero if none has.
    pub changed_at: Seq,
    /// See `changed_at`.
    pub changed_by: Epoch,
}

/// Which protocol a group speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupKind {
    /// None: it only has offsets.
    Offsets,
    /// The classic one (JoinGroup, SyncGroup).
    Classic(ClassicGroup),
    /// The consumer protocol (KIP-848).
    Consumer(ConsumerGroup),
}

/// A classic group after its last rebalance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicGroup {
    /// Counts the rebalances.
    pub generation: i32,
    /// What the members do together: `consumer`, `connect`, …
    pub protocol_type: String,
    /// The protocol chosen.
    pub protocol: Option<String>,
    /// The member that assigns.
    pub leader: Option<String>,
    /// By member id.
    pub members: BTreeMap<String, ClassicMember>,
}

impl From<GroupGeneration> for ClassicGroup {
    fn from(new: GroupGeneration) -> ClassicGroup {
        let members = new.members.into_iter().map(|member| (member.member_id.clone(), member)).collect();
        let GroupGeneration { generation, protocol_type, protocol, leader, .. } = new;
        ClassicGroup { generation, protocol_type, protocol, leader, members }
    }
}

/// A group of the consumer protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroup {
    /// Grows when members, subscriptions or topics change.
    pub group_epoch: i32,
    /// The group epoch for which the targets were computed.
    pub target_epoch: i32,
    /// The server-side assignor in force.
    pub assignor: String,
    /// By member id.
    pub members: BTreeMap<String, ConsumerMember>,
}

/// An offset that a group committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: i64,
    /// Leader epoch of the record before it; -1 if unknown.
    pub leader_epoch: i32,
    /// The client's note.
    pub metadata: String,
    /// Record time of the commit, then of its transaction's end; milliseconds since 1970.
    pub committed_ms: i64,
    /// The record that brought it. When a transaction ends, what was committed after its own offset stays (as in Kafka).
    pub(super) recorded: Seq,
}

impl CommittedOffset {
    fn new(commit: &OffsetCommit, committed_ms: i64, recorded: Seq) -> CommittedOffset {
        let OffsetCommit { offset, leader_epoch, metadata } = commit.clone();
        CommittedOffset { offset, leader_epoch, metadata, committed_ms, recorded }
    }
}

impl Group {
    fn new(now_ms: i64) -> Group {
        Group {
            kind: GroupKind::Offsets,
            offsets: BTreeMap::new(),
            pending: BTreeMap::new(),
            changed_ms: now_ms,
            changed_at: Seq::ZERO,
            changed_by: Epoch::default(),
        }
    }

    /// The generation of a classic group, the epoch of a consumer group; 0 if it never had members. What follows in
    /// either protocol goes on from here.
    pub fn epoch(&self) -> i32 {
        match &self.kind {
            GroupKind::Offsets => 0,
            GroupKind::Classic(group) => group.generation,
            GroupKind::Consumer(group) => group.group_epoch,
        }
    }

    /// How many members it has.
    pub fn member_count(&self) -> usize {
        match &self.kind {
            GroupKind::Offsets => 0,
            GroupKind::Classic(group) => group.members.len(),
            GroupKind::Consumer(group) => group.members.len(),
        }
    }

    /// Whether offsets of an open transaction wait for this partition.
    pub fn is_pending(&self, partition: TopicPartition) -> bool {
        self.pending.values().any(|offsets| offsets.contains_key(&partition))
    }

    /// The members were changed by this record.
    fn note_change(&mut self, seq: Seq, record: &Record) {
        self.changed_ms = record.time_ms;
        self.changed_at = seq;
        self.changed_by = record.epoch;
    }

    fn is_void(&self) -> bool {
        self.kind == GroupKind::Offsets && self.offsets.is_empty() && self.pending.is_empty()
    }

    fn check(&self, fence: &GroupFence) -> Result<(), Refusal> {
        match fence {
            GroupFence::None if self.member_count() > 0 => Err(Refusal::NonEmptyGroup),
            GroupFence::None | GroupFence::Transactional => Ok(()),
            GroupFence::Classic { member_id, generation } => self.check_classic(member_id, *generation),
            GroupFence::Consumer { member_id, member_epoch } => self.check_consumer(member_id, *member_epoch),
        }
    }

    fn check_classic(&self, member_id: &str, generation: i32) -> Result<(), Refusal> {
        let is_current = match &self.kind {
            GroupKind::Offsets => return Err(Refusal::UnknownMember),
            GroupKind::Classic(group) if !group.members.contains_key(member_id) => return Err(Refusal::UnknownMember),
            GroupKind::Classic(group) => group.generation == generation,
            // While a group is upgraded or downgraded, a classic member's generation is its epoch.
            GroupKind::Consumer(group) => {
                let member = group.members.get(member_id).ok_or(Refusal::UnknownMember)?;
                member.classic.as_ref().ok_or(Refusal::GroupKind)?;
                member.member_epoch == generation
            }
        };
        if is_current { Ok(()) } else { Err(Refusal::StaleGeneration) }
    }

    fn check_consumer(&self, member_id: &str, member_epoch: i32) -> Result<(), Refusal> {
        let member = match &self.kind {
            GroupKind::Classic(group) if group.members.contains_key(member_id) => return Err(Refusal::GroupKind),
            GroupKind::Offsets | GroupKind::Classic(_) => None,
            GroupKind::Consumer(group) => group.members.get(member_id),
        };
        let member = member.ok_or(Refusal::UnknownMember)?;
        if member.member_epoch == member_epoch { Ok(()) } else { Err(Refusal::StaleMemberEpoch) }
    }

    /// The transaction of this producer ended: its offsets take effect, or vanish.
    fn end_transaction(&mut self, producer_id: i64, commit: bool, now_ms: i64) {
        let offsets = self.pending.remove(&producer_id).unwrap_or_default();
        for (partition, offset) in offsets.into_iter().filter(|_| commit) {
            let later = self.offsets.get(&partition).is_some_and(|present| present.recorded > offset.recorded);
            if !later {
                self.offsets.insert(partition, CommittedOffset { committed_ms: now_ms, ..offset });
            }
        }
    }

    fn forget_topic(&mut self, topic: TopicId) {
        self.offsets.retain(|partition, _| partition.topic != topic);
        self.pending.values_mut().for_each(|offsets| offsets.retain(|partition, _| partition.topic != topic));
        self.pending.retain(|_, offsets| !offsets.is_empty());
    }
}

/// All groups, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Groups(BTreeMap<String, Group>);

impl Groups {
    pub(super) fn get(&self, group: &str) -> Option<&Group> {
        self.0.get(group)
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Group)> {
        self.0.iter().map(|(id, group)| (id.as_str(), group))
    }

    /// From a snapshot. Returns whether it was not there and is not void.
    pub(super) fn restore(&mut self, id: String, group: Group) -> bool {
        !group.is_void() && self.0.insert(id, group).is_none()
    }

    fn get_or_create(&mut self, group: &str, now_ms: i64) -> &mut Group {
        self.0.entry(group.to_owned()).or_insert_with(|| Group::new(now_ms))
    }

    /// Changes a group, which then vanishes if nothing is left of it.
    fn change(&mut self, id: &str, change: impl FnOnce(&mut Group)) -> Result<(), Refusal> {
        let group = self.0.get_mut(id).ok_or(Refusal::UnknownGroup)?;
        change(group);
        if group.is_void() {
            self.0.remove(id);
        }
        Ok(())
    }

    fn delete(&mut self, id: &str) -> Result<(), Refusal> {
        let group = self.0.get(id).ok_or(Refusal::UnknownGroup)?;
        if group.member_count() > 0 || !group.pending.is_empty() {
            return Err(Refusal::NonEmptyGroup);
        }
        self.0.remove(id);
        Ok(())
    }

    pub(super) fn end_transaction(&mut self, id: &str, producer_id: i64, commit: bool, now_ms: i64) {
        // A group whose topics were all deleted may be gone.
        let _ = self.change(id, |group| group.end_transaction(producer_id, commit, now_ms));
    }

    pub(super) fn forget_topic(&mut self, topic: TopicId) {
        self.0.values_mut().for_each(|group| group.forget_topic(topic));
        self.0.retain(|_, group| !group.is_void());
    }

    fn check_fence(&self, group: &str, fence: &GroupFence) -> Result<(), Refusal> {
        match (self.get(group), fence) {
            (Some(group), fence) => group.check(fence),
            (None, GroupFence::None | GroupFence::Transactional) => Ok(()),
            (None, GroupFence::Classic { .. } | GroupFence::Consumer { .. }) => Err(Refusal::UnknownGroup),
        }
    }
}

impl State {
    /// Refuses a record about the members of a group that does not come from its coordinator, or comes from one that was
    /// it before another one and has become it again while the record was on its way.
    fn check_members_writer(&self, group: &str, seen: Seq, record: &Record) -> Result<(), Refusal> {
        self.check_coordinator(CoordinatorKind::Group, group, record)?;
        let is_past = |group: &Group| group.changed_by != record.epoch && group.changed_at > seen;
        let is_past = self.groups.get(group).is_some_and(is_past);
        let is_accepted = !is_past || self.rules.broken(Mutation::IgnoreCoordinator);
        if is_accepted { Ok(()) } else { Err(Refusal::NotCoordinator) }
    }

    pub(super) fn group_generation(&mut self, seq: Seq, record: &Record, new: &GroupGeneration) -> Result<(), Refusal> {
        self.check_members_writer(&new.group, new.seen, record)?;
        let epoch = self.groups.get(&new.group).map_or(0, Group::epoch);
        if new.generation < epoch && !self.rules.broken(Mutation::AcceptStaleGeneration) {
            return Err(Refusal::StaleGeneration);
        }
        let group = self.groups.get_or_create(&new.group, record.time_ms);
        group.kind = GroupKind::Classic(ClassicGroup::from(new.clone()));
        group.note_change(seq, record);
        Ok(())
    }

    pub(super) fn consumer_group(
        &mut self,
        seq: Seq,
        record: &Record,
        update: &ConsumerGroupUpdate,
    ) -> Result<(), Refusal> {
        self.check_members_writer(&update.group, update.seen, record)?;
        let is_newer = match self.groups.get(&update.group).map(|group| &group.kind) {
            None | Some(GroupKind::Offsets) => update.group_epoch >= 0,
            Some(GroupKind::Classic(group)) => update.group_epoch > group.generation,
            Some(GroupKind::Consumer(group)) => update.group_epoch >= group.group_epoch,
        };
        if !is_newer && !self.rules.broken(Mutation::AcceptStaleGeneration) {
            return Err(Refusal::StaleGeneration);
        }
        let group = self.groups.get_or_create(&update.group, record.time_ms);
        let mut members = match std::mem::replace(&mut group.kind, GroupKind::Offsets) {
            GroupKind::Consumer(group) => group.members,
            GroupKind::Offsets | GroupKind::Classic(_) => BTreeMap::new(),
        };
        update.removed.iter().for_each(|member| drop(members.remove(member)));
        members.extend(update.upserted.iter().map(|member| (member.member_id.clone(), member.clone())));
        let ConsumerGroupUpdate { group_epoch, target_epoch, ref assignor, .. } = *update;
        let assignor = assignor.clone();
        group.kind = GroupKind::Consumer(ConsumerGroup { group_epoch, target_epoch, assignor, members });
        group.note_change(seq, record);
        Ok(())
    }

    pub(super) fn delete_group(&mut self, record: &Record, group: &str) -> Result<(), Refusal> {
        self.check_coordinator(CoordinatorKind::Group, group, record)?;
        self.groups.delete(group)
    }

    pub(super) fn delete_offsets(
        &mut self,
        record: &Record,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<(), Refusal> {
        self.check_coordinator(CoordinatorKind::Group, group, record)?;
        self.groups.change(group, |group| partitions.iter().for_each(|partition| drop(group.offsets.remove(partition))))
    }

    /// What the group says to a commit with this fence.
    pub fn check_fence(&self, group: &str, fence: &GroupFence) -> Result<(), Refusal> {
        self.groups.check_fence(group, fence)
    }

    pub(super) fn commit_offsets(&mut self, seq: Seq, record: &Record, commit: &GroupCommit) -> Result<(), Refusal> {
        self.check_coordinator(CoordinatorKind::Group, &commit.group, record)?;
        match self.check_fence(&commit.group, &commit.fence) {
            Err(Refusal::StaleGeneration | Refusal::StaleMemberEpoch | Refusal::UnknownMember)
                if self.rules.broken(Mutation::AcceptStaleGeneration) => {}
            checked => checked?,
        }
        let producer_id = match &commit.txn {
            // Without offsets it asks only whether its writer coordinates the group.
            None if commit.offsets.is_empty() => None,
            None if commit.fence == GroupFence::Transactional => return Err(Refusal::InvalidTxnState),
            None => None,
            Some(fence) => Some(self.join_group(seq, record, &commit.group, fence)?),
        };
        let known = commit.offsets.iter().filter(|(partition, _)| self.topics.partition(*partition).is_some());
        let committed = |(partition, commit): &(TopicPartition, OffsetCommit)| {
            (*partition, CommittedOffset::new(commit, record.time_ms, seq))
        };
        let offsets: Vec<_> = known.map(committed).collect();
        if offsets.is_empty() {
            return Ok(());
        }
        let group = self.groups.get_or_create(&commit.group, record.time_ms);
        match producer_id {
            Some(producer_id) => group.pending.entry(producer_id).or_default().extend(offsets),
            None => group.offsets.extend(offsets),
        }
        Ok(())
    }
}
