//! A group's members, as their coordinator knows them: the synchronous machine behind every request.
//!
//! A heartbeat does three things in turn (KIP-848). It creates or changes the member, which may bump the group epoch;
//! if the group epoch is ahead, it computes new targets for everybody; and it takes the member's next step towards its
//! target. Nothing here waits, reads a clock or writes: changes gather, and [`Members::take_update`] hands them out
//! as one record. What stands here may therefore be ahead of the metadata log, and no answer may leave before it is not.
//!
//! A coordinator that takes a group over starts from the rows in the log. It bumps no epoch: whether topics have
//! changed meanwhile shows in the targets, which cover exactly the partitions subscribed to.

use super::assignment::{is_subset, partitions};
use super::assignor::{Assignor, PartitionCounts, Subscriber};
use super::heartbeat::{Heartbeat, HeartbeatError, JOIN_EPOCH, Reply, STATIC_LEAVE_EPOCH};
use super::subscription::{Pattern, TopicMap};
use super::{Assignment, ConsumerGroupUpdate, ConsumerMember, MemberState, reconcile};
use frazil_base::{Seq, TopicId, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};

/// What an operator may set about groups, as far as this machine asks.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// `group.consumer.max.size`.
    pub members_max: usize,
    /// `group.consumer.assignors`: what members may ask for, the default first.
    pub assignors: Vec<Assignor>,
    /// `group.consumer.migration.policy`: whether classic groups may become consumer groups, and back.
    pub allows_upgrade: bool,
    pub allows_downgrade: bool,
    /// `group.max.size`, of classic groups.
    pub classic_members_max: usize,
}

/// The members of one group.
#[derive(Clone, Debug)]
pub(crate) struct Members {
    group: String,
    group_epoch: i32,
    target_epoch: i32,
    assignor: String,
    members: BTreeMap<String, ConsumerMember>,
    /// Static members by their instance ids.
    instances: BTreeMap<String, String>,
    /// How many members own a partition or have yet to give it up: one at most.
    owners: BTreeMap<TopicPartition, usize>,
    /// The topics that each expression matches, as of `topics_seen`.
    resolved: BTreeMap<String, BTreeSet<TopicId>>,
    topics_seen: Option<Seq>,
    changes: Changes,
}

/// What the next record has to say.
#[derive(Clone, Debug, Default)]
struct Changes {
    upserted: BTreeSet<String>,
    removed: BTreeSet<String>,
    epochs: bool,
}

/// The member that a heartbeat is of.
struct Admitted {
    before: ConsumerMember,
    /// The static member whose place it takes.
    replaces: Option<String>,
}

/// A member that has not said anything yet.
pub(crate) fn new_member(member_id: &str) -> ConsumerMember {
    ConsumerMember {
        member_id: member_id.to_owned(),
        instance_id: None,
        rack: None,
        client_id: String::new(),
        client_host: String::new(),
        rebalance_timeout_ms: -1,
        topics: Vec::new(),
        regex: None,
        server_assignor: None,
        classic: None,
        member_epoch: 0,
        previous_member_epoch: -1,
        state: MemberState::Stable,
        assigned: Assignment::new(),
        revoking: Assignment::new(),
        target: Assignment::new(),
    }
}

impl Members {
    /// A group without members whose epochs go on from `epoch`: 0 for a new one.
    pub fn empty(group: &str, epoch: i32) -> Members {
        Members {
            group: group.to_owned(),
            group_epoch: epoch,
            target_epoch: epoch,
            assignor: String::new(),
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            owners: BTreeMap::new(),
            resolved: BTreeMap::new(),
            topics_seen: None,
            changes: Changes::default(),
        }
    }

    /// A group as the metadata log has it.
    pub fn load(
        group: &str,
        (group_epoch, target_epoch): (i32, i32),
        assignor: &str,
        members: impl IntoIterator<Item = ConsumerMember>,
    ) -> Members {
        let empty = Members::empty(group, group_epoch);
        let mut loaded = Members { target_epoch, assignor: assignor.to_owned(), ..empty };
        members.into_iter().for_each(|member| loaded.put(member));
        loaded.changes = Changes::default();
        loaded
    }

    /// The group's id.
    pub fn group(&self) -> &str {
        &self.group
    }

    pub fn group_epoch(&self) -> i32 {
        self.group_epoch
    }

    pub fn members(&self) -> &BTreeMap<String, ConsumerMember> {
        &self.members
    }

    pub fn member(&self, member_id: &str) -> Option<&ConsumerMember> {
        self.members.get(member_id)
    }

    /// The static member of this instance id.
    pub fn static_member(&self, instance_id: &str) -> Option<&ConsumerMember> {
        self.members.get(self.instances.get(instance_id)?)
    }

    /// Kafka's name of the group's state.
    pub fn state_name(&self) -> &'static str {
        state_name(self.group_epoch, self.target_epoch, self.members.values())
    }

    /// Whether anything stands here that the metadata log has not been told.
    pub fn has_changes(&self) -> bool {
        let Changes { upserted, removed, epochs } = &self.changes;
        *epochs || !upserted.is_empty() || !removed.is_empty()
    }

    /// The record of everything that has changed since the last one; `None` if nothing has.
    pub fn take_update(&mut self) -> Option<ConsumerGroupUpdate> {
        if !self.has_changes() {
            return None;
        }
        let Changes { upserted, removed, .. } = std::mem::take(&mut self.changes);
        Some(ConsumerGroupUpdate {
            group: self.group.clone(),
            group_epoch: self.group_epoch,
            target_epoch: self.target_epoch,
            assignor: self.assignor.clone(),
            upserted: upserted.iter().filter_map(|member| self.members.get(member)).cloned().collect(),
            removed: removed.into_iter().collect(),
            // The coordinator knows.
            seen: Seq::ZERO,
        })
    }

    /// A heartbeat that joins or stays. Changes nothing if it is refused.
    pub fn heartbeat(
        &mut self,
        heartbeat: &Heartbeat,
        topics: &TopicMap,
        rules: &Rules,
    ) -> Result<Reply, HeartbeatError> {
        self.check_room(&heartbeat.member_id, rules)?;
        let Admitted { before, replaces } = self.admit(heartbeat)?;
        let after = heartbeat.applied_to(&before);
        if let Some(expression) = after.regex.as_ref().filter(|_| after.regex != before.regex) {
            check_expression(expression)?;
        }
        let is_new_subscription = after.topics != before.topics || after.regex != before.regex;
        if let Some(replaced) = replaces {
            self.remove(&replaced);
        }
        self.put(after);
        self.retarget_if_due(is_new_subscription || self.group_epoch == 0, topics, rules);
        let has_moved = self.reconcile(&heartbeat.member_id, heartbeat.owned.as_ref());
        let member = &self.members[&heartbeat.member_id];
        let tells = heartbeat.is_full() || heartbeat.member_epoch == JOIN_EPOCH || member.assigned != before.assigned;
        Ok(Reply {
            member_id: member.member_id.clone(),
            member_epoch: member.member_epoch,
            assignment: tells.then(|| member.assigned.clone()),
            has_moved,
        })
    }

    pub(super) fn check_room(&self, member_id: &str, rules: &Rules) -> Result<(), HeartbeatError> {
        match self.members.len() >= rules.members_max && !self.members.contains_key(member_id) {
            true => Err(HeartbeatError::GroupFull { most: rules.members_max }),
            false => Ok(()),
        }
    }

    fn admit(&self, heartbeat: &Heartbeat) -> Result<Admitted, HeartbeatError> {
        match &heartbeat.instance_id {
            None => self.admit_dynamic(heartbeat),
            Some(instance) => self.admit_static(heartbeat, instance),
        }
    }

    fn admit_dynamic(&self, heartbeat: &Heartbeat) -> Result<Admitted, HeartbeatError> {
        let before = match self.members.get(&heartbeat.member_id) {
            Some(member) => {
                check_epoch(member, heartbeat)?;
                member.clone()
            }
            None if heartbeat.member_epoch == JOIN_EPOCH => new_member(&heartbeat.member_id),
            None => return Err(self.unknown_member(&heartbeat.member_id)),
        };
        Ok(Admitted { before, replaces: None })
    }

    fn admit_static(&self, heartbeat: &Heartbeat, instance: &str) -> Result<Admitted, HeartbeatError> {
        let known = self.static_member(instance);
        if heartbeat.member_epoch == JOIN_EPOCH {
            return self.admit_joining_static(heartbeat, instance, known);
        }
        let member = known.ok_or_else(|| HeartbeatError::UnknownInstance { instance: instance.to_owned() })?;
        check_instance_holder(member, &heartbeat.member_id, instance)?;
        check_epoch(member, heartbeat)?;
        Ok(Admitted { before: member.clone(), replaces: None })
    }

    /// A static member takes the place of the one before it once that has left. One that joins again by itself, after a
    /// lost answer for instance, is let in; Kafka would tell it that its own instance id is taken, which ends a client.
    fn admit_joining_static(
        &self,
        heartbeat: &Heartbeat,
        instance: &str,
        known: Option<&ConsumerMember>,
    ) -> Result<Admitted, HeartbeatError> {
        let Some(known) = known else { return self.admit_dynamic(heartbeat) };
        if known.member_id == heartbeat.member_id && known.member_epoch != STATIC_LEAVE_EPOCH {
            return Ok(Admitted { before: known.clone(), replaces: None });
        }
        if known.classic.is_none() && known.member_epoch != STATIC_LEAVE_EPOCH {
            return Err(HeartbeatError::UnreleasedInstance {
                member: heartbeat.member_id.clone(),
                instance: instance.to_owned(),
                holder: known.member_id.clone(),
            });
        }
        Ok(Admitted { before: successor(known, &heartbeat.member_id), replaces: Some(known.member_id.clone()) })
    }

    pub(super) fn unknown_member(&self, member: &str) -> HeartbeatError {
        HeartbeatError::UnknownMember { member: member.to_owned(), group: self.group.clone() }
    }

    /// A heartbeat that leaves for good, or for a static member: until it comes back.
    pub fn check_leave(&self, heartbeat: &Heartbeat) -> Result<String, HeartbeatError> {
        let Heartbeat { member_id, instance_id, .. } = heartbeat;
        let Some(instance) = instance_id else {
            let member = self.members.get(member_id).ok_or_else(|| self.unknown_member(member_id))?;
            return Ok(member.member_id.clone());
        };
        let member = self.static_member(instance);
        let member = member.ok_or_else(|| HeartbeatError::UnknownInstance { instance: instance.clone() })?;
        check_instance_holder(member, member_id, instance)?;
        Ok(member.member_id.clone())
    }

    /// A static member left for a while: it keeps its place and its partitions until its session ends.
    pub fn leave_for_a_while(&mut self, member_id: &str) {
        let Some(member) = self.members.get(member_id) else { return };
        let state = if member.state == MemberState::Unrevoked { MemberState::Unreleased } else { member.state };
        let (member_epoch, revoking) = (STATIC_LEAVE_EPOCH, Assignment::new());
        self.put(ConsumerMember { member_epoch, revoking, state, ..member.clone() });
    }

    /// Members are gone for good. New targets are computed with the next heartbeat of another.
    pub fn fence(&mut self, members: &BTreeSet<String>) {
        let before = self.members.len();
        members.iter().for_each(|member| self.remove(member));
        if self.members.len() < before {
            self.bump();
        }
    }

    fn bump(&mut self) {
        self.group_epoch = self.group_epoch.saturating_add(1);
        self.changes.epochs = true;
    }

    /// Bumps the group epoch if subscriptions changed (`is_due`) or topics did; computes targets if they are behind.
    pub(super) fn retarget_if_due(&mut self, is_due: bool, topics: &TopicMap, rules: &Rules) {
        let have_topics_changed = self.topics_seen != Some(topics.version);
        if have_topics_changed {
            self.topics_seen = Some(topics.version);
            self.resolved.clear();
        }
        self.resolve(topics);
        let is_behind = self.group_epoch > self.target_epoch;
        if is_due || have_topics_changed && !is_behind && !self.targets_cover(topics) {
            self.bump();
        }
        if self.group_epoch > self.target_epoch {
            self.retarget(topics, rules);
        }
    }

    /// Looks up the topics of expressions that are new, and forgets those of expressions that nobody has any more.
    fn resolve(&mut self, topics: &TopicMap) {
        let expressions: BTreeSet<_> = self.members.values().filter_map(|member| member.regex.as_ref()).collect();
        self.resolved.retain(|expression, _| expressions.contains(expression));
        for expression in expressions {
            if !self.resolved.contains_key(expression) {
                // It was compiled before the member was let in.
                let pattern = Pattern::new(expression).ok();
                let ids = pattern.iter().flat_map(|pattern| topics.matching(pattern)).map(|topic| topic.id).collect();
                self.resolved.insert(expression.clone(), ids);
            }
        }
    }

    fn subscribed(&self, member: &ConsumerMember, topics: &TopicMap) -> BTreeSet<TopicId> {
        let named = member.topics.iter().filter_map(|name| topics.by_name(name)).map(|topic| topic.id);
        let matched = member.regex.as_ref().and_then(|expression| self.resolved.get(expression));
        named.chain(matched.into_iter().flatten().copied()).collect()
    }

    /// Whether the targets consist of exactly the partitions subscribed to.
    fn targets_cover(&self, topics: &TopicMap) -> bool {
        let (mut wanted, mut targeted) = (BTreeSet::new(), 0);
        for member in self.members.values() {
            let subscribed = self.subscribed(member, topics);
            if !member.target.keys().all(|topic| subscribed.contains(topic)) {
                return false;
            }
            targeted += member.target.values().map(Vec::len).sum::<usize>();
            wanted.extend(subscribed);
        }
        let partitions: usize = partition_counts(&wanted, topics).values().map(|count| *count as usize).sum();
        partitions == targeted
    }

    fn retarget(&mut self, topics: &TopicMap, rules: &Rules) {
        let subscribers: BTreeMap<String, Subscriber> = self
            .members
            .iter()
            .map(|(id, member)| {
                let topics = self.subscribed(member, topics);
                (id.clone(), Subscriber { topics, held: member.target.clone() })
            })
            .collect();
        let wanted = subscribers.values().flat_map(|subscriber| &subscriber.topics).copied().collect();
        let assignor = self.preferred_assignor(rules);
        for (id, target) in assignor.assign(&subscribers, &partition_counts(&wanted, topics)) {
            let member = &self.members[&id];
            if member.target != target {
                self.put(ConsumerMember { target, ..member.clone() });
            }
        }
        self.assignor = assignor.name().to_owned();
        self.target_epoch = self.group_epoch;
        self.changes.epochs = true;
    }

    /// What most members ask for, the first by name of several; the default where nobody asks.
    fn preferred_assignor(&self, rules: &Rules) -> Assignor {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for name in self.members.values().filter_map(|member| member.server_assignor.as_deref()) {
            *votes.entry(name).or_default() += 1;
        }
        let most = votes.into_iter().max_by_key(|(name, votes)| (*votes, std::cmp::Reverse(*name)));
        let preferred = most.and_then(|(name, _)| Assignor::named(name));
        preferred.or(rules.assignors.first().copied()).unwrap_or(Assignor::Uniform)
    }

    /// Takes the member's next step, if there is one; says whether there was.
    pub(super) fn reconcile(&mut self, member_id: &str, owned: Option<&Assignment>) -> bool {
        let Some(member) = self.members.get(member_id) else { return false };
        let is_taken = |topic, partition| self.owners.contains_key(&TopicPartition { topic, partition });
        let Some(next) = reconcile::step(member, self.target_epoch, owned, is_taken) else { return false };
        self.put(next);
        true
    }

    /// Whether a member owns the partition or has yet to give it up.
    pub(super) fn is_owned(&self, partition: TopicPartition) -> bool {
        self.owners.contains_key(&partition)
    }

    /// Puts a row in, in place of the member's earlier one.
    pub(super) fn put(&mut self, member: ConsumerMember) {
        let id = member.member_id.clone();
        if self.members.get(&id) == Some(&member) {
            return;
        }
        if let Some(before) = self.members.remove(&id) {
            self.release(&before);
        }
        self.changes.removed.remove(&id);
        self.changes.upserted.insert(id.clone());
        for partition in partitions(&member.assigned).chain(partitions(&member.revoking)) {
            *self.owners.entry(partition).or_default() += 1;
        }
        if let Some(instance) = &member.instance_id {
            self.instances.insert(instance.clone(), id.clone());
        }
        self.members.insert(id, member);
    }

    pub(super) fn remove(&mut self, member_id: &str) {
        let Some(member) = self.members.remove(member_id) else { return };
        self.release(&member);
        self.changes.upserted.remove(member_id);
        self.changes.removed.insert(member_id.to_owned());
    }

    fn release(&mut self, member: &ConsumerMember) {
        for partition in partitions(&member.assigned).chain(partitions(&member.revoking)) {
            if let Some(owners) = self.owners.get_mut(&partition) {
                *owners -= 1;
                if *owners == 0 {
                    self.owners.remove(&partition);
                }
            }
        }
        let Some(instance) = &member.instance_id else { return };
        if self.instances.get(instance) == Some(&member.member_id) {
            self.instances.remove(instance);
        }
    }
}

/// Kafka's name of the state of a group with these epochs and members.
pub(crate) fn state_name<'a>(
    group_epoch: i32,
    target_epoch: i32,
    members: impl Iterator<Item = &'a ConsumerMember>,
) -> &'static str {
    let mut members = members.peekable();
    let is_settled =
        |member: &ConsumerMember| member.state == MemberState::Stable && member.member_epoch == target_epoch;
    match () {
        () if members.peek().is_none() => "Empty",
        () if group_epoch > target_epoch => "Assigning",
        () if members.all(is_settled) => "Stable",
        () => "Reconciling",
    }
}

/// The member that goes on where a static member left.
pub(super) fn successor(left: &ConsumerMember, member_id: &str) -> ConsumerMember {
    let (member_epoch, previous_member_epoch) = (JOIN_EPOCH, JOIN_EPOCH);
    ConsumerMember { member_id: member_id.to_owned(), member_epoch, previous_member_epoch, ..left.clone() }
}

fn partition_counts(topics: &BTreeSet<TopicId>, map: &TopicMap) -> PartitionCounts {
    let named = topics.iter().filter_map(|topic| map.by_name(map.name(*topic)?));
    named.map(|shape| (shape.id, shape.partitions)).collect()
}

fn check_expression(expression: &str) -> Result<(), HeartbeatError> {
    match Pattern::new(expression) {
        Ok(_) => Ok(()),
        Err(cause) => Err(HeartbeatError::InvalidExpression { expression: expression.to_owned(), cause }),
    }
}

/// The epoch has to be the member's; or the one before, if the client only owns what the member has: the answer with the
/// new one was lost. Whoever joins again is welcome.
fn check_epoch(member: &ConsumerMember, heartbeat: &Heartbeat) -> Result<(), HeartbeatError> {
    let (received, known) = (heartbeat.member_epoch, member.member_epoch);
    if received == JOIN_EPOCH || received == known {
        return Ok(());
    }
    let owns_no_more = heartbeat.owned.as_ref().is_some_and(|owned| is_subset(owned, &member.assigned));
    if received < known && received == member.previous_member_epoch && owns_no_more {
        return Ok(());
    }
    Err(HeartbeatError::FencedEpoch { received, known })
}

pub(super) fn check_instance_holder(
    holder: &ConsumerMember,
    member: &str,
    instance: &str,
) -> Result<(), HeartbeatError> {
    if holder.member_id == member {
        return Ok(());
    }
    Err(HeartbeatError::FencedInstance {
        member: member.to_owned(),
        instance: instance.to_owned(),
        holder: holder.member_id.clone(),
    })
}
