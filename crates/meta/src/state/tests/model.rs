//! The state machine against a reference model that keeps all history and derives everything else from it, slowly.

mod coordinated;
mod reference;
mod step;

use super::*;
use crate::record::{
    AddToTransaction, EndTransaction, GroupCommit, GroupFence, GroupGeneration, InitTransactions, TxnFence,
};
use coordinated::{Kind, ModelGroup, classic_member, consumer_update};
use proptest::collection::vec;
use proptest::prelude::*;
use reference::{Model, ModelPartition};
use std::collections::{BTreeMap, BTreeSet};
use step::{CommitStep, Fence, Named, PartStep, RunStep, Sequence, Source, Step, Who, any_step};

/// The model and the real one side by side.
struct Pair {
    cluster: Cluster,
    model: Model,
    writer: usize,
}

impl Pair {
    fn new() -> Pair {
        Pair { cluster: Cluster::new(), model: Model::default(), writer: 0 }
    }

    fn apply(&mut self, record: Record) {
        let seq = self.cluster.state.applied().next();
        let state = &self.cluster.state;
        let coordinates = |kind, key: &str| state.coordinator(kind, key).is_some_and(|own| own.epoch == record.epoch);
        let expected = self.model.apply(seq, &record, &coordinates);
        let outcome = self.cluster.apply(record.clone());
        assert_eq!(outcome, expected, "{record:?}");
    }

    /// A registration, mostly the newest, sometimes an older, perhaps closed one.
    fn writer(&mut self) -> Epoch {
        self.writer += 1;
        let registrations = &self.model.registrations;
        let back = if self.writer.is_multiple_of(7) { self.writer % 5 } else { 0 };
        registrations.iter().rev().nth(back).map_or(Epoch(0), |registration| registration.epoch)
    }

    /// Mostly the coordinator.
    fn writer_about(&mut self, kind: CoordinatorKind, key: &str) -> Epoch {
        let anybody = self.writer();
        let coordinator = self.cluster.state.coordinator(kind, key).map(|broker| broker.epoch);
        coordinator.filter(|_| !self.writer.is_multiple_of(11)).unwrap_or(anybody)
    }

    fn places(&self, places: &[(usize, i32)]) -> Vec<TopicPartition> {
        places.iter().map(|(topic, partition)| at(self.topic_id(*topic), *partition)).collect()
    }

    /// Producer id and epoch.
    fn who(&self, id: u8, who: Who) -> (i64, i16) {
        let Some(id) = self.model.coordinated.ids.get(&transactional_id(id)) else { return (0, 0) };
        let back = match who {
            Who::Present => 0,
            Who::Before(back) => back,
            Who::Nobody => return (id.present().0 + 1, id.present().1),
        };
        id.lives.iter().rev().nth(back).map_or(id.present(), |life| (life.producer_id, life.epoch))
    }

    fn topic_id(&self, index: usize) -> TopicId {
        self.model.topics.iter().rev().nth(index).map_or(TopicId(99), |topic| topic.id)
    }

    fn step(&mut self, step: &Step) {
        self.cluster.now_ms += 20_000;
        if let Some((writer, command)) = self.coordinated_step(step) {
            let record = self.cluster.record(writer, command);
            return self.apply(record);
        }
        let writer = self.writer();
        let command = match step.clone() {
            Step::Join { broker, exclusive } => {
                let incarnation = u128::from(self.cluster.state.applied().0);
                let command =
                    Command::RegisterBroker(RegisterBroker { incarnation, exclusive, ..registration(broker) });
                return self.apply(Record { epoch: Epoch(0), number: 0, time_ms: self.cluster.now_ms, command });
            }
            Step::Repeat { back } => {
                let repeated = self.cluster.log.iter().rev().nth(back).map(|(_, record)| record.clone());
                let is_register = |record: &Record| matches!(record.command, Command::RegisterBroker(_));
                return repeated.filter(|record| !is_register(record)).map_or((), |record| self.apply(record));
            }
            Step::Close { registration } => {
                let epoch = self.model.registrations.iter().rev().nth(registration).map_or(Epoch(5), |open| open.epoch);
                Command::CloseBroker { epoch }
            }
            Step::Create { name, partitions } => {
                create(TopicId(1000 + u128::from(self.cluster.state.applied().0)), &format!("topic-{name}"), partitions)
            }
            Step::Delete { topic } => Command::DeleteTopic { topic: self.topic_id(topic) },
            Step::Grow { topic, total } => Command::CreatePartitions { topic: self.topic_id(topic), total },
            Step::Configure { topic, replace, name, value } => {
                alter(ConfigResource::Topic(self.topic_id(topic)), replace, name, value)
            }
            Step::ConfigureBroker { broker, name, value } => {
                let one = ConfigResource::Broker(BrokerId(broker));
                alter(if broker == 0 { ConfigResource::Cluster } else { one }, false, name, value)
            }
            Step::Allocate { count } => Command::AllocateProducerIds { count },
            Step::Commit { in_log, parts } => Command::Commit(self.segment(writer, in_log, &parts)),
            Step::Forget { count } => {
                let live = self.model.objects.iter().take(1).copied();
                Command::ForgetObjects { objects: self.model.dead().into_iter().take(count).chain(live).collect() }
            }
            Step::Truncate { topic, partition, percent } => {
                let at = at(self.topic_id(topic), partition);
                let next_offset = self.model.partition(at).map_or(0, |partition| partition.next_offset);
                Command::MoveLogStart { starts: vec![(at, next_offset * percent / 100)] }
            }
            other => unreachable!("{other:?} is about groups and transactions"),
        };
        let record = self.cluster.record(writer, command);
        self.apply(record);
    }

    /// A record about a group or a transactional id, and its writer.
    fn coordinated_step(&mut self, step: &Step) -> Option<(Epoch, Command)> {
        let (kind, key, command) = match step {
            Step::Init { id, expected } => {
                let expected = expected.map(|who| self.who(*id, who));
                let init = InitTransactions { transactional_id: transactional_id(*id), timeout_ms: 1, expected };
                (CoordinatorKind::Transaction, transactional_id(*id), Command::InitTransactions(init))
            }
            Step::Add { id, who, partitions, group } => {
                let ((producer_id, epoch), transactional_id) = (self.who(*id, *who), transactional_id(*id));
                let (partitions, groups) = (self.places(partitions), group.iter().map(|group| group_id(*group)));
                let (key, groups) = (transactional_id.clone(), groups.collect());
                let add = AddToTransaction { transactional_id, producer_id, epoch, partitions, groups };
                (CoordinatorKind::Transaction, key, Command::AddToTransaction(add))
            }
            Step::End { id, who, commit, reason, named } => {
                let ((producer_id, epoch), transactional_id) = (self.who(*id, *who), transactional_id(*id));
                let known = self.model.coordinated.ids.get(&transactional_id);
                let started = match named {
                    Named::None => None,
                    Named::Back(back) => known.and_then(|id| id.txns.iter().rev().nth(*back)).map(|txn| txn.started),
                };
                let (key, commit, reason) = (transactional_id.clone(), *commit, *reason);
                let end = EndTransaction { transactional_id, producer_id, epoch, commit, reason, started };
                (CoordinatorKind::Transaction, key, Command::EndTransaction(end))
            }
            step => {
                let (key, command) = self.group_step(step)?;
                (CoordinatorKind::Group, key, command)
            }
        };
        Some((self.writer_about(kind, &key), command))
    }

    fn group_step(&self, step: &Step) -> Option<(String, Command)> {
        let epoch_of = |group: u8| self.model.coordinated.groups.get(&group_id(group)).map_or(0, |group| group.epoch);
        let changed = |group: u8| self.model.coordinated.groups.get(&group_id(group))?.changed;
        let everything = self.cluster.state.applied();
        // A late one was written before the last change of the members.
        let seen = |group: u8, is_late: bool| {
            changed(group).filter(|_| is_late).map_or(everything, |(at, _)| Seq(at.0.saturating_sub(1)))
        };
        Some(match step {
            Step::Generation { group, ahead, members, is_late } => {
                let members = (0u8..3).filter(|member| members & (1 << member) != 0).map(classic_member).collect();
                let generation = GroupGeneration {
                    group: group_id(*group),
                    generation: epoch_of(*group) + ahead,
                    protocol_type: "consumer".into(),
                    protocol: None,
                    leader: None,
                    members,
                    seen: seen(*group, *is_late),
                };
                (group_id(*group), Command::GroupGeneration(generation))
            }
            Step::Consumers { group, ahead, upserted, removed, classic, is_late } => {
                let epoch = epoch_of(*group) + ahead;
                let update =
                    consumer_update(group_id(*group), epoch, (*upserted, *removed, *classic), seen(*group, *is_late));
                (group_id(*group), Command::ConsumerGroup(update))
            }
            Step::CommitOffsets(commits) => {
                let commits: Vec<_> = commits.iter().map(|commit| self.group_commit(commit)).collect();
                (commits[0].group.clone(), Command::CommitOffsets { commits })
            }
            Step::DeleteGroups(groups) => {
                let groups: Vec<_> = groups.iter().map(|group| group_id(*group)).collect();
                (groups.first().cloned().unwrap_or_default(), Command::DeleteGroups { groups })
            }
            Step::DeleteOffsets { group, partitions } => {
                let (group, partitions) = (group_id(*group), self.places(partitions));
                (group.clone(), Command::DeleteOffsets { group, partitions })
            }
            _ => return None,
        })
    }

    fn group_commit(&self, step: &CommitStep) -> GroupCommit {
        let group = self.model.coordinated.groups.get(&group_id(step.group));
        let member_epoch = |member: &str, back| {
            let epoch_of = |group: &ModelGroup| group.members.get(member).map_or(group.epoch, |(epoch, _)| *epoch);
            group.map_or(0, epoch_of) - back
        };
        let name = |member: u8| classic_member(member).member_id;
        let fence = match step.fence {
            Fence::None => GroupFence::None,
            Fence::Transactional => GroupFence::Transactional,
            Fence::Classic { member, back } => {
                GroupFence::Classic { member_id: name(member), generation: member_epoch(&name(member), back) }
            }
            Fence::Consumer { member, back } => {
                GroupFence::Consumer { member_id: name(member), member_epoch: member_epoch(&name(member), back) }
            }
        };
        let txn = step.txn.map(|(id, who, implicit)| {
            let ((producer_id, epoch), transactional_id) = (self.who(id, who), transactional_id(id));
            TxnFence { transactional_id, producer_id, epoch, implicit }
        });
        let offset = |number: usize| OffsetCommit {
            offset: (self.cluster.number * 10) as i64 + number as i64,
            leader_epoch: 0,
            metadata: String::new(),
        };
        let offsets = self.places(&step.offsets).into_iter().zip((0..).map(offset)).collect();
        GroupCommit { group: group_id(step.group), fence, txn, offsets }
    }

    fn segment(&mut self, writer: Epoch, in_log: bool, parts: &[PartStep]) -> Commit {
        let mut end = 0;
        let mut place = |part: &PartStep| {
            let partition = at(self.topic_id(part.topic), part.partition);
            let position = end + part.gap;
            let runs: Vec<Run> = part.runs.iter().map(|run| self.run(partition, run)).collect();
            end = position + runs.iter().map(|run| run.bytes).sum::<u32>();
            CommitPart { partition, position, runs }
        };
        let parts = parts.iter().map(&mut place).collect();
        let object = ObjectId { epoch: writer, number: self.cluster.number };
        Commit { object, in_log, bytes: end, parts }
    }

    fn run(&mut self, at: TopicPartition, step: &RunStep) -> Run {
        let RunStep { bytes, records, producer } = *step;
        let max_timestamp = i64::from(bytes) - 5;
        let plain = Run { bytes, records, max_timestamp, producer: None };
        let Some((source, sequence)) = producer else { return plain };
        let (id, epoch, transactional) = match source {
            Source::Idempotent { id, epoch } => (id, epoch, None),
            Source::Transactional { id, who, joining } => {
                let (id, epoch) = self.who(id, who);
                (id, epoch, joining)
            }
        };
        let row = self.model.partition(at).map(|partition| partition.row(id, epoch)).unwrap_or_default();
        let next = row.last().map_or(0, |(_, last)| {
            sequence_after(last.run.producer.expect("of a producer").first_sequence, last.run.records)
        });
        let with = |first_sequence| Run {
            producer: Some(BatchProducer { id, epoch, first_sequence, transactional }),
            ..plain
        };
        match sequence {
            Sequence::Next => with(next),
            Sequence::Retry { back } => row.iter().rev().nth(back - 1).map_or(with(next), |(_, stored)| stored.run),
            Sequence::Skip { ahead } => with(next.saturating_add(ahead).max(0)),
            Sequence::At(first_sequence) => with(first_sequence),
        }
    }

    /// Everything that can be asked, compared.
    fn compare(&self) {
        let state = &self.cluster.state;
        let there = self.model.topics.iter().filter(|topic| topic.is_there);
        assert_eq!(state.topics().count(), there.clone().count());
        for topic in there {
            let real = state.topic(topic.id).expect("the model has it");
            assert_eq!(state.topic_by_name(&topic.name).map(|topic| topic.id), Some(topic.id));
            assert_eq!((real.partitions.len(), &real.configs), (topic.partitions.len(), &topic.configs));
            for (real, model) in real.partitions.iter().zip(&topic.partitions) {
                assert_eq!((real.next_offset, real.log_start), (model.next_offset, model.log_start));
                assert_eq!(real.extents, model.extents());
                compare_transactions(real, model);
                check_offsets(real);
            }
        }
        self.compare_coordinated();
        let live: BTreeMap<_, _> =
            state.bodies().map(|(id, live)| (id, (live.live_extents, live.live_bytes))).collect();
        assert_eq!(live, self.model.live());
        assert_eq!(state.dead_objects().map(|(object, _)| object).collect::<BTreeSet<_>>(), self.model.dead());
        for registration in &self.model.registrations {
            assert_eq!(state.is_open(registration.epoch), registration.is_open);
        }
        for (broker, configs) in &self.model.broker_configs {
            let resource = ConfigResource::Broker(BrokerId(*broker));
            assert_eq!(state.configs(if *broker < 0 { &ConfigResource::Cluster } else { &resource }), configs);
        }
    }
}

impl Pair {
    fn compare_coordinated(&self) {
        let (state, coordinated) = (&self.cluster.state, &self.model.coordinated);
        assert_eq!(state.transactions().count(), coordinated.ids.len());
        for (name, id) in &coordinated.ids {
            let real = state.transaction(name).expect("the model has it");
            assert_eq!((real.producer_id, real.epoch), id.present());
            let phase = match real.phase {
                TransactionPhase::Empty => "empty",
                TransactionPhase::Ongoing { .. } => "open",
                TransactionPhase::Committed => "committed",
                TransactionPhase::Aborted => "aborted",
            };
            assert_eq!(phase, id.phase());
            assert_eq!(state.transaction_of(real.producer_id), Some(real));
            let open = id.open();
            let partitions = open.map(|txn| txn.partitions.iter().copied().filter(|at| self.model.has(*at)).collect());
            assert_eq!(real.partitions, partitions.unwrap_or_default());
            assert_eq!(real.groups, open.map(|txn| txn.groups.clone()).unwrap_or_default());
        }
        let groups: Vec<_> = state.groups().map(|(id, _)| id.to_owned()).collect();
        assert_eq!(groups, coordinated.groups.keys().cloned().collect::<Vec<_>>());
        for (name, group) in &coordinated.groups {
            compare_group(&self.model, state.group(name).expect("the model has it"), group);
        }
    }
}

fn compare_group(model: &Model, real: &Group, group: &ModelGroup) {
    let kind = match real.kind {
        GroupKind::Offsets => Kind::Offsets,
        GroupKind::Classic(_) => Kind::Classic,
        GroupKind::Consumer(_) => Kind::Consumer,
    };
    assert_eq!((kind, real.epoch()), (group.kind.clone(), group.epoch));
    assert_eq!(real.member_count(), group.members.len());
    let offsets_of = |offsets: &BTreeMap<TopicPartition, CommittedOffset>| {
        offsets.iter().map(|(at, committed)| (*at, committed.offset)).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(offsets_of(&real.offsets), model.offsets(group));
    let pending: BTreeMap<_, _> = real.pending.iter().map(|(id, offsets)| (*id, offsets_of(offsets))).collect();
    assert_eq!(pending, model.pending(group));
}

fn compare_transactions(real: &Partition, model: &ModelPartition) {
    assert_eq!(real.last_stable_offset(), model.last_stable_offset());
    let (start, end) = (real.log_start, real.next_offset);
    for offsets in [0..i64::MAX, start..(start + end) / 2, (start + end) / 2..end, end - 1..end] {
        let aborted = real.aborted_in(offsets.clone());
        let aborted: Vec<_> = aborted.iter().map(|one| (one.producer_id, one.first_offset, one.last_offset)).collect();
        assert_eq!(aborted, model.aborted_in(&offsets), "{offsets:?}");
    }
}

fn transactional_id(number: u8) -> String {
    format!("txn-{number}")
}

fn group_id(number: u8) -> String {
    format!("group-{number}")
}

/// The records of a history.
pub(super) fn records(steps: &[Step]) -> Vec<(Seq, Record)> {
    let mut pair = Pair::new();
    steps.iter().for_each(|step| pair.step(step));
    pair.cluster.log
}

fn alter(resource: ConfigResource, replace: bool, name: u8, value: Option<u8>) -> Command {
    let value = value.map(|value| value.to_string());
    Command::AlterConfigs { resource, replace, changes: vec![(format!("setting-{name}"), value)] }
}

/// Extents are dense from the log start (or below) to the next offset.
fn check_offsets(partition: &Partition) {
    let mut expected = partition.extents.front().map_or(partition.next_offset, |first| first.base_offset);
    assert!(expected <= partition.log_start);
    for extent in &partition.extents {
        assert_eq!(extent.base_offset, expected);
        expected = extent.end_offset();
    }
    assert_eq!(expected, partition.next_offset);
}

/// A broker, a topic, two transactional producers, and then anything.
pub(super) fn history() -> impl Strategy<Value = Vec<Step>> {
    let init = |id| Step::Init { id, expected: None };
    let join = Step::Join { broker: 0, exclusive: false };
    let start = vec![join, Step::Create { name: 0, partitions: 3 }, init(0), init(1)];
    vec(any_step(), 1..80).prop_map(move |steps| [start.clone(), steps].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_state_does_what_the_model_says(steps in history()) {
        let mut pair = Pair::new();
        for step in &steps {
            pair.step(step);
            pair.compare();
        }
    }

    #[test]
    fn replay_and_snapshot_with_tail_give_the_same_state(steps in history(), cut in any::<prop::sample::Index>()) {
        let mut pair = Pair::new();
        steps.iter().for_each(|step| pair.step(step));
        let whole = &pair.cluster.state;
        let log = &pair.cluster.log;
        let (before, tail) = log.split_at(cut.index(log.len() + 1));
        let mut replayed = State::new();
        for (seq, record) in before {
            replayed.apply_encoded(*seq, &record.encode()).expect("just encoded");
        }
        let snapshot = replayed.snapshot();
        let mut restored = State::from_snapshot(&snapshot).expect("just written");
        prop_assert_eq!(&restored.snapshot()[..], &snapshot[..]);
        for (seq, record) in tail {
            let outcome = restored.apply(*seq, record);
            prop_assert_eq!(replayed.apply(*seq, record), outcome);
        }
        for state in [&replayed, &restored] {
            prop_assert_eq!(state.applied(), whole.applied());
            prop_assert_eq!(state.hash(), whole.hash());
            prop_assert_eq!(state.content_hash(), whole.content_hash());
        }
    }

    #[test]
    fn whatever_decodes_can_be_applied(records in vec(crate::record::tests::arbitrary_record(), 1..20)) {
        let (mut cluster, epoch, _) = Cluster::with_topic();
        for mut record in records {
            record.epoch = epoch;
            cluster.number += 1;
            record.number = cluster.number;
            if let Command::Commit(commit) = &mut record.command {
                commit.object.epoch = epoch;
            }
            cluster.apply(record);
        }
        let restored = State::from_snapshot(&cluster.state.snapshot()).expect("just written");
        prop_assert_eq!(restored.content_hash(), cluster.state.content_hash());
    }
}
