//! The reference model of groups and transactions.
//!
//! A transactional id is the list of its lives, one per producer id and epoch, each with the transactions it opened; a
//! group is the list of what was committed for it. Offsets are read off that list, in the order in which they took effect.

use super::super::*;
use super::reference::Model;
use crate::record::{
    AddToTransaction, ClassicMember, ClassicProtocols, ConsumerGroupUpdate, ConsumerMember, EndReason, EndTransaction,
    GroupCommit, GroupFence, GroupGeneration, InitTransactions, MemberState, TxnFence,
};
use std::collections::{BTreeMap, BTreeSet};

/// A transaction that was opened.
#[derive(Clone, Debug)]
pub(super) struct Txn {
    pub(super) started: Seq,
    pub(super) partitions: BTreeSet<TopicPartition>,
    pub(super) groups: BTreeSet<String>,
    /// Whether it was committed, and by which record.
    pub(super) end: Option<(bool, Seq)>,
}

/// A producer id and epoch of a transactional id.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) producer_id: i64,
    pub(super) epoch: i16,
    /// The life that asked for this one, and may ask again.
    asked_by: Option<(i64, i16)>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Id {
    pub(super) lives: Vec<Life>,
    pub(super) txns: Vec<Txn>,
    /// What its producer ended last and how; forgotten when somebody else steps in.
    last_end: Option<(i64, i16, Seq, bool)>,
    /// Nothing was opened since this record took the id over.
    taken: bool,
}

impl Id {
    pub(super) fn present(&self) -> (i64, i16) {
        self.lives.last().map_or((-1, -1), |life| (life.producer_id, life.epoch))
    }

    pub(super) fn open(&self) -> Option<&Txn> {
        self.txns.last().filter(|txn| txn.end.is_none())
    }

    pub(super) fn phase(&self) -> &'static str {
        match self.txns.last().map(|txn| txn.end) {
            Some(None) => "open",
            _ if self.taken => "empty",
            Some(Some((true, _))) => "committed",
            Some(Some((false, _))) | None => "aborted",
        }
    }

    fn check(&self, producer_id: i64, epoch: i16) -> Result<(), Refusal> {
        match self.present() {
            (id, _) if id != producer_id => Err(Refusal::InvalidProducerIdMapping),
            (_, present) if present != epoch => Err(Refusal::StaleProducerEpoch),
            _ => Ok(()),
        }
    }

    fn opened(&mut self, seq: Seq) -> &mut Txn {
        if self.open().is_none() {
            self.txns.push(Txn { started: seq, partitions: BTreeSet::new(), groups: BTreeSet::new(), end: None });
            self.taken = false;
        }
        self.txns.last_mut().expect("just opened")
    }

    /// Whether an end ends something now; `false`: it did before.
    fn judge(&self, end: &EndTransaction) -> Result<bool, Refusal> {
        let asked = (end.producer_id, end.epoch);
        let is_client = matches!(end.reason, EndReason::Client { .. });
        let means = |started: Seq| end.started.is_none_or(|named| named == started);
        if asked == self.present() && self.open().is_some_and(|txn| means(txn.started)) && (is_client || !end.commit) {
            return Ok(true);
        }
        if asked == self.present() && self.open().is_some() && is_client {
            return Err(Refusal::ConcurrentTransactions);
        }
        if let Some((producer_id, epoch, started, commit)) = self.last_end
            && asked == (producer_id, epoch)
            && means(started)
        {
            return if is_client && commit == end.commit { Ok(false) } else { Err(Refusal::InvalidTxnState) };
        }
        self.check(end.producer_id, end.epoch)?;
        let aborts_nothing = end.reason == EndReason::Client { bump: true } && !end.commit && end.started.is_none();
        if aborts_nothing && self.open().is_none() { Ok(true) } else { Err(Refusal::InvalidTxnState) }
    }
}

/// Something that happened to a group's offset of a partition.
#[derive(Clone, Debug)]
struct Event {
    at: Seq,
    partition: TopicPartition,
    /// `None`: it was deleted.
    offset: Option<i64>,
    /// The transaction with whose end it takes effect.
    txn: Option<(i64, Seq)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Offsets,
    Classic,
    Consumer,
}

#[derive(Clone, Debug)]
pub(super) struct ModelGroup {
    pub(super) kind: Kind,
    pub(super) epoch: i32,
    /// Epoch of each member (of a consumer group), and whether it speaks the classic protocol.
    pub(super) members: BTreeMap<String, (i32, bool)>,
    /// The last change of members, and who wrote it.
    pub(super) changed: Option<(Seq, Epoch)>,
    events: Vec<Event>,
}

impl ModelGroup {
    fn new() -> ModelGroup {
        ModelGroup { kind: Kind::Offsets, epoch: 0, members: BTreeMap::new(), changed: None, events: Vec::new() }
    }

    fn check(&self, fence: &GroupFence) -> Result<(), Refusal> {
        let (member_id, named, is_classic) = match fence {
            GroupFence::None if self.members.is_empty() => return Ok(()),
            GroupFence::None => return Err(Refusal::NonEmptyGroup),
            GroupFence::Transactional => return Ok(()),
            GroupFence::Classic { member_id, generation } => (member_id, *generation, true),
            GroupFence::Consumer { member_id, member_epoch } => (member_id, *member_epoch, false),
        };
        let (epoch, speaks_classic) = *self.members.get(member_id).ok_or(Refusal::UnknownMember)?;
        let (present, fits) = match self.kind {
            Kind::Classic => (self.epoch, is_classic),
            _ => (epoch, !is_classic || speaks_classic),
        };
        match (fits, named == present) {
            (false, _) => Err(Refusal::GroupKind),
            (true, true) => Ok(()),
            (true, false) if is_classic => Err(Refusal::StaleGeneration),
            (true, false) => Err(Refusal::StaleMemberEpoch),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Coordinated {
    pub(super) ids: BTreeMap<String, Id>,
    pub(super) groups: BTreeMap<String, ModelGroup>,
    /// Which transaction (producer id, and record that opened it) wrote to which partition.
    written: BTreeSet<((i64, Seq), TopicPartition)>,
}

impl Coordinated {
    fn owner(&self, producer_id: i64) -> Option<&Id> {
        self.ids.values().find(|id| id.present().0 == producer_id)
    }

    fn txn(&self, (producer_id, started): (i64, Seq)) -> Option<&Txn> {
        let had = |id: &&Id| id.lives.iter().any(|life| life.producer_id == producer_id);
        self.ids.values().find(had)?.txns.iter().find(|txn| txn.started == started)
    }

    pub(super) fn check_producer(&self, batch: BatchProducer) -> Result<(), RunOutcome> {
        let is_transactional = batch.transactional.is_some();
        match self.owner(batch.id).map(|id| id.present().1) {
            None if is_transactional => Err(RunOutcome::InvalidProducerIdMapping),
            Some(epoch) if batch.epoch < epoch || batch.epoch > epoch && is_transactional => {
                Err(RunOutcome::StaleProducerEpoch)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn admits(&self, at: TopicPartition, batch: BatchProducer) -> bool {
        let open = self.owner(batch.id).and_then(Id::open);
        let holds = open.is_some_and(|txn| txn.partitions.contains(&at));
        match batch.transactional {
            Some(Joining::Implicit) => true,
            Some(Joining::Explicit) => holds,
            None => !self.wrote(at, batch.id),
        }
    }

    fn wrote(&self, at: TopicPartition, producer_id: i64) -> bool {
        self.written.iter().any(|(txn, partition)| {
            *partition == at && txn.0 == producer_id && self.txn(*txn).is_some_and(|txn| txn.end.is_none())
        })
    }

    /// A batch was accepted. Returns its transaction.
    pub(super) fn join(&mut self, seq: Seq, at: TopicPartition, batch: BatchProducer) -> Option<(Seq, i64)> {
        batch.transactional?;
        let id = self.ids.values_mut().find(|id| id.present().0 == batch.id).expect("it has an owner");
        let txn = id.opened(seq);
        txn.partitions.insert(at);
        let started = txn.started;
        self.written.insert(((batch.id, started), at));
        Some((started, batch.id))
    }
}

impl Model {
    pub(super) fn execute_coordinated(
        &mut self,
        seq: Seq,
        record: &Record,
        coordinates: &dyn Fn(CoordinatorKind, &str) -> bool,
    ) -> Result<Outcome, Refusal> {
        let check = |kind, key: &str| if coordinates(kind, key) { Ok(()) } else { Err(Refusal::NotCoordinator) };
        let of_group = |group: &str| check(CoordinatorKind::Group, group);
        let of_id = |id: &str| check(CoordinatorKind::Transaction, id);
        match &record.command {
            Command::InitTransactions(init) => {
                of_id(&init.transactional_id)?;
                self.init(seq, record.time_ms, init)
            }
            Command::AddToTransaction(add) => of_id(&add.transactional_id).and_then(|()| self.add(seq, add)),
            Command::EndTransaction(end) => {
                if end.reason != EndReason::Admin {
                    of_id(&end.transactional_id)?;
                }
                self.end(seq, record.time_ms, end)
            }
            Command::GroupGeneration(new) => {
                of_group(&new.group)?;
                self.check_seen(&new.group, new.seen, record.epoch)?;
                let outcome = self.generation(new)?;
                self.note_change(&new.group, seq, record.epoch);
                Ok(outcome)
            }
            Command::ConsumerGroup(update) => {
                of_group(&update.group)?;
                self.check_seen(&update.group, update.seen, record.epoch)?;
                let outcome = self.update(update)?;
                self.note_change(&update.group, seq, record.epoch);
                Ok(outcome)
            }
            Command::CommitOffsets { commits } => {
                let commit = |commit: &GroupCommit| {
                    of_group(&commit.group)?;
                    let committed = self.commit_offsets(seq, commit);
                    self.forget_void_groups();
                    committed
                };
                Ok(Outcome::PerItem(commits.iter().map(commit).collect()))
            }
            Command::DeleteGroups { groups } => {
                let delete = |group: &String| of_group(group).and_then(|()| self.delete_group(group));
                Ok(Outcome::PerItem(groups.iter().map(delete).collect()))
            }
            Command::DeleteOffsets { group, partitions } => {
                of_group(group)?;
                let group = self.coordinated.groups.get_mut(group).ok_or(Refusal::UnknownGroup)?;
                let deleted =
                    |partition: &TopicPartition| Event { at: seq, partition: *partition, offset: None, txn: None };
                group.events.extend(partitions.iter().map(deleted));
                Ok(Outcome::Done)
            }
            other => panic!("the model has no {other:?}"),
        }
    }

    fn init(&mut self, seq: Seq, time_ms: i64, init: &InitTransactions) -> Result<Outcome, Refusal> {
        let mut id = self.coordinated.ids.get(&init.transactional_id).cloned().unwrap_or_default();
        let answer = |(id, epoch), aborted| Ok(Outcome::Producer { id, epoch, aborted });
        let is_new = id.lives.is_empty();
        if let (Some(expected), false) = (init.expected, is_new) {
            if id.lives.last().is_some_and(|life| life.asked_by == Some(expected)) {
                return answer(id.present(), vec![]);
            }
            if expected != id.present() {
                return Err(Refusal::StaleProducerEpoch);
            }
        }
        let aborted = self.finish(seq, time_ms, &mut id, false, true);
        match id.present() {
            _ if is_new => {
                id.lives.push(Life { producer_id: self.next_producer_id, epoch: 0, asked_by: init.expected });
                self.next_producer_id += 1;
            }
            (producer_id, epoch) => {
                id.lives.push(Life { producer_id, epoch: epoch + 1, asked_by: init.expected });
            }
        }
        (id.last_end, id.taken) = (None, true);
        let present = id.present();
        self.coordinated.ids.insert(init.transactional_id.clone(), id);
        answer(present, aborted)
    }

    fn add(&mut self, seq: Seq, add: &AddToTransaction) -> Result<Outcome, Refusal> {
        let there: Vec<_> = add.partitions.iter().copied().filter(|at| self.has(*at)).collect();
        let id = self.coordinated.ids.get_mut(&add.transactional_id).ok_or(Refusal::InvalidProducerIdMapping)?;
        id.check(add.producer_id, add.epoch)?;
        if !there.is_empty() || !add.groups.is_empty() {
            let txn = id.opened(seq);
            txn.partitions.extend(there);
            txn.groups.extend(add.groups.iter().cloned());
        }
        Ok(Outcome::Done)
    }

    fn end(&mut self, seq: Seq, time_ms: i64, end: &EndTransaction) -> Result<Outcome, Refusal> {
        let id = self.coordinated.ids.get(&end.transactional_id).ok_or(Refusal::InvalidProducerIdMapping)?;
        let mut id = id.clone();
        let mut partitions = vec![];
        if id.judge(end)? {
            let raises = end.reason != EndReason::Client { bump: false };
            let is_client = matches!(end.reason, EndReason::Client { .. });
            let started = id.txns.last().map_or(Seq::ZERO, |txn| txn.started);
            if id.open().is_none() {
                // An abort of nothing counts as a transaction that ended at once.
                id.taken = false;
                let nothing = Txn { started, partitions: BTreeSet::new(), groups: BTreeSet::new(), end: None };
                id.txns.push(nothing);
            }
            partitions = self.finish(seq, time_ms, &mut id, end.commit, raises);
            let (producer_id, epoch) = id.present();
            id.last_end = is_client.then_some((producer_id, epoch, started, end.commit));
            if raises {
                let asked_by = is_client.then_some((producer_id, epoch));
                id.lives.push(Life { producer_id, epoch: epoch + 1, asked_by });
            }
        }
        let (producer_id, epoch) = id.present();
        self.coordinated.ids.insert(end.transactional_id.clone(), id);
        Ok(Outcome::TransactionEnded { producer_id, epoch, partitions })
    }

    /// Ends what is open. Returns the partitions that got a marker.
    fn finish(&mut self, seq: Seq, time_ms: i64, id: &mut Id, commit: bool, raises: bool) -> Vec<TopicPartition> {
        let (producer_id, epoch) = id.present();
        let Some(txn) = id.txns.last_mut().filter(|txn| txn.end.is_none()) else { return vec![] };
        txn.end = Some((commit, seq));
        let marked: Vec<_> = txn.partitions.iter().copied().filter(|at| self.has(*at)).collect();
        let epoch = if raises { epoch + 1 } else { epoch };
        let marker = BodyId::Marker(ControlMarker { producer_id, epoch, commit });
        let run = Run { bytes: 78, records: 1, max_timestamp: time_ms, producer: None };
        for at in &marked {
            let partition = self.partition(*at).expect("it is there");
            partition.store(run, marker, 0, Some((txn.started, producer_id)));
        }
        marked
    }

    /// Whether nobody else changed the members since the writer looked.
    fn check_seen(&self, group: &str, seen: Seq, writer: Epoch) -> Result<(), Refusal> {
        let changed = self.coordinated.groups.get(group).and_then(|group| group.changed);
        match changed {
            Some((at, by)) if at > seen && by != writer => Err(Refusal::NotCoordinator),
            _ => Ok(()),
        }
    }

    fn note_change(&mut self, group: &str, seq: Seq, writer: Epoch) {
        self.coordinated.groups.get_mut(group).expect("just changed").changed = Some((seq, writer));
    }

    fn generation(&mut self, new: &GroupGeneration) -> Result<Outcome, Refusal> {
        let group = self.coordinated.groups.entry(new.group.clone()).or_insert_with(ModelGroup::new);
        if new.generation < group.epoch {
            return Err(Refusal::StaleGeneration);
        }
        let members = new.members.iter().map(|member| (member.member_id.clone(), (new.generation, true))).collect();
        (group.kind, group.epoch, group.members) = (Kind::Classic, new.generation, members);
        Ok(Outcome::Done)
    }

    fn update(&mut self, update: &ConsumerGroupUpdate) -> Result<Outcome, Refusal> {
        let group = self.coordinated.groups.entry(update.group.clone()).or_insert_with(ModelGroup::new);
        let least = match group.kind {
            Kind::Offsets => 0,
            Kind::Classic => group.epoch + 1,
            Kind::Consumer => group.epoch,
        };
        if update.group_epoch < least {
            return Err(Refusal::StaleGeneration);
        }
        if group.kind != Kind::Consumer {
            group.members.clear();
        }
        group.members.retain(|member, _| !update.removed.contains(member));
        for ConsumerMember { member_id, member_epoch, classic, .. } in &update.upserted {
            group.members.insert(member_id.clone(), (*member_epoch, classic.is_some()));
        }
        (group.kind, group.epoch) = (Kind::Consumer, update.group_epoch);
        Ok(Outcome::Done)
    }

    fn commit_offsets(&mut self, seq: Seq, commit: &GroupCommit) -> Result<(), Refusal> {
        match self.coordinated.groups.get(&commit.group) {
            Some(group) => group.check(&commit.fence)?,
            None if matches!(commit.fence, GroupFence::None | GroupFence::Transactional) => {}
            None => return Err(Refusal::UnknownGroup),
        }
        let txn = match &commit.txn {
            None if matches!(commit.fence, GroupFence::Transactional) && !commit.offsets.is_empty() => {
                return Err(Refusal::InvalidTxnState);
            }
            None => None,
            Some(TxnFence { transactional_id, producer_id, epoch, implicit }) => {
                let id = self.coordinated.ids.get_mut(transactional_id).ok_or(Refusal::InvalidProducerIdMapping)?;
                id.check(*producer_id, *epoch)?;
                if *implicit {
                    id.opened(seq).groups.insert(commit.group.clone());
                }
                let open = id.open().filter(|txn| txn.groups.contains(&commit.group));
                Some((*producer_id, open.ok_or(Refusal::InvalidTxnState)?.started))
            }
        };
        let there: Vec<_> = commit.offsets.iter().filter(|(at, _)| self.has(*at)).collect();
        let event = |(partition, offset): &(TopicPartition, OffsetCommit)| {
            let (partition, offset) = (*partition, Some(offset.offset));
            Event { at: seq, partition, offset, txn }
        };
        let events: Vec<_> = there.into_iter().map(event).collect();
        let group = self.coordinated.groups.entry(commit.group.clone()).or_insert_with(ModelGroup::new);
        group.events.extend(events);
        Ok(())
    }

    fn delete_group(&mut self, group: &str) -> Result<(), Refusal> {
        let known = self.coordinated.groups.get(group).ok_or(Refusal::UnknownGroup)?;
        if !known.members.is_empty() || !self.pending(known).is_empty() {
            return Err(Refusal::NonEmptyGroup);
        }
        self.coordinated.groups.remove(group);
        Ok(())
    }

    /// Committed offsets of a group, in the order in which they took effect.
    pub(super) fn offsets(&self, group: &ModelGroup) -> BTreeMap<TopicPartition, i64> {
        let effect = |event: &Event| match event.txn {
            None => Some((event.at, event.clone())),
            Some(txn) => match self.coordinated.txn(txn)?.end? {
                (true, ended) => Some((ended, event.clone())),
                (false, _) => None,
            },
        };
        let mut effects: Vec<_> = group.events.iter().filter_map(effect).collect();
        effects.sort_by_key(|(at, _)| *at);
        // With the record that brought each: when a transaction ends, what was committed after its own offset stays.
        let mut offsets: BTreeMap<TopicPartition, (Seq, i64)> = BTreeMap::new();
        for (_, Event { partition, offset, at, .. }) in effects {
            match (offset, offsets.get(&partition)) {
                (None, _) => drop(offsets.remove(&partition)),
                (Some(_), Some((later, _))) if *later > at => {}
                (Some(offset), _) => drop(offsets.insert(partition, (at, offset))),
            }
        }
        let there = offsets.into_iter().filter(|(partition, _)| self.has(*partition));
        there.map(|(partition, (_, offset))| (partition, offset)).collect()
    }

    /// Offsets of open transactions, by producer id.
    pub(super) fn pending(&self, group: &ModelGroup) -> BTreeMap<i64, BTreeMap<TopicPartition, i64>> {
        let mut pending: BTreeMap<i64, BTreeMap<TopicPartition, i64>> = BTreeMap::new();
        for event in group.events.iter().filter(|event| self.has(event.partition)) {
            let open = event.txn.filter(|txn| self.coordinated.txn(*txn).is_some_and(|txn| txn.end.is_none()));
            if let (Some((producer_id, _)), Some(offset)) = (open, event.offset) {
                pending.entry(producer_id).or_default().insert(event.partition, offset);
            }
        }
        pending
    }

    /// Groups of which nothing is left are not there.
    pub(super) fn forget_void_groups(&mut self) {
        let is_void = |group: &ModelGroup| {
            group.kind == Kind::Offsets && self.offsets(group).is_empty() && self.pending(group).is_empty()
        };
        let void: Vec<String> =
            self.coordinated.groups.iter().filter(|(_, group)| is_void(group)).map(|(id, _)| id.clone()).collect();
        void.iter().for_each(|id| drop(self.coordinated.groups.remove(id)));
    }
}

pub(super) fn classic_member(member: u8) -> ClassicMember {
    ClassicMember {
        member_id: format!("member-{member}"),
        instance_id: None,
        client_id: "client".into(),
        client_host: "/host".into(),
        rebalance_timeout_ms: 1,
        session_timeout_ms: 2,
        protocols: vec![("range".into(), "subscription".into())],
        assignment: "assignment".into(),
    }
}

fn consumer_member(member: u8, member_epoch: i32, is_classic: bool) -> ConsumerMember {
    let classic = ClassicProtocols { session_timeout_ms: 1, protocols: vec![] };
    ConsumerMember {
        member_id: format!("member-{member}"),
        instance_id: None,
        rack: None,
        client_id: "client".into(),
        client_host: "/host".into(),
        rebalance_timeout_ms: 1,
        topics: vec![],
        regex: None,
        server_assignor: None,
        classic: is_classic.then_some(classic),
        member_epoch,
        previous_member_epoch: member_epoch - 1,
        state: MemberState::Stable,
        assigned: Assignment::from([(TopicId(1), vec![0, 1])]),
        revoking: Assignment::new(),
        target: Assignment::new(),
    }
}

/// Members are bits.
pub(super) fn consumer_update(group: String, epoch: i32, bits: (u8, u8, u8), seen: Seq) -> ConsumerGroupUpdate {
    let (upserted, removed, classic) = bits;
    let of = |bits: u8| (0u8..3).filter(move |member| bits & (1 << member) != 0);
    ConsumerGroupUpdate {
        group,
        group_epoch: epoch,
        target_epoch: epoch,
        assignor: "uniform".into(),
        upserted: of(upserted).map(|member| consumer_member(member, epoch, classic & (1 << member) != 0)).collect(),
        removed: of(removed).map(|member| format!("member-{member}")).collect(),
        seen,
    }
}
