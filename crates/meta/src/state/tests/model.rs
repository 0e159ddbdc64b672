//! The state machine against a reference model that keeps all history and derives everything else from it, slowly.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// A step of a random history. Indexes pick among what exists, or existed, by then.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Join { broker: i32, exclusive: bool },
    Close { registration: usize },
    Create { name: u8, partitions: i32 },
    Delete { topic: usize },
    Grow { topic: usize, total: i32 },
    Configure { topic: usize, replace: bool, name: u8, value: Option<u8> },
    ConfigureBroker { broker: i32, name: u8, value: Option<u8> },
    Allocate { count: u32 },
    Commit { in_log: bool, parts: Vec<PartStep> },
    Forget { count: usize },
    Truncate { topic: usize, partition: i32, percent: i64 },
    Repeat { back: usize },
}

#[derive(Clone, Debug)]
pub(super) struct PartStep {
    topic: usize,
    partition: i32,
    gap: u32,
    runs: Vec<RunStep>,
}

#[derive(Clone, Debug)]
pub(super) struct RunStep {
    bytes: u32,
    records: u32,
    producer: Option<(i64, i16, Sequence)>,
}

/// How a batch relates to what its producer sent before.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sequence {
    Next,
    Retry { back: usize },
    Skip { ahead: i32 },
    At(i32),
}

fn any_run() -> impl Strategy<Value = RunStep> {
    let sequence = prop_oneof![
        4 => Just(Sequence::Next),
        3 => (1usize..9).prop_map(|back| Sequence::Retry { back }),
        1 => (-4i32..4).prop_map(|ahead| Sequence::Skip { ahead }),
        1 => prop_oneof![Just(0), (i32::MAX - 6)..=i32::MAX].prop_map(Sequence::At),
    ];
    let producer = proptest::option::weighted(0.8, (0i64..3, prop_oneof![6 => Just(0i16), 1 => 0i16..3], sequence));
    (1u32..50, 1u32..4, producer).prop_map(|(bytes, records, producer)| RunStep { bytes, records, producer })
}

fn any_step() -> impl Strategy<Value = Step> {
    let part = (0usize..4, 0i32..3, prop_oneof![Just(0u32), 0u32..9], vec(any_run(), 0..5))
        .prop_map(|(topic, partition, gap, runs)| PartStep { topic, partition, gap, runs });
    let value = proptest::option::of(0u8..3);
    prop_oneof![
        3 => (0i32..3, proptest::bool::weighted(0.1)).prop_map(|(broker, exclusive)| Step::Join { broker, exclusive }),
        1 => (0usize..9).prop_map(|registration| Step::Close { registration }),
        4 => (0u8..3, 0i32..4).prop_map(|(name, partitions)| Step::Create { name, partitions }),
        1 => (0usize..4).prop_map(|topic| Step::Delete { topic }),
        1 => (0usize..4, 0i32..5).prop_map(|(topic, total)| Step::Grow { topic, total }),
        1 => (0usize..4, any::<bool>(), 0u8..3, value.clone())
            .prop_map(|(topic, replace, name, value)| Step::Configure { topic, replace, name, value }),
        1 => (0i32..2, 0u8..3, value).prop_map(|(broker, name, value)| Step::ConfigureBroker { broker, name, value }),
        1 => (0u32..1000).prop_map(|count| Step::Allocate { count }),
        20 => (any::<bool>(), vec(part, 0..4)).prop_map(|(in_log, parts)| Step::Commit { in_log, parts }),
        1 => (0usize..4).prop_map(|count| Step::Forget { count }),
        2 => (0usize..4, 0i32..3, -20i64..120)
            .prop_map(|(topic, partition, percent)| Step::Truncate { topic, partition, percent }),
        2 => (0usize..12).prop_map(|back| Step::Repeat { back }),
    ]
}

/// A run that was accepted.
#[derive(Clone, Copy, Debug)]
struct Stored {
    base_offset: i64,
    run: Run,
    body: BodyId,
    position: u32,
}

#[derive(Clone, Debug, Default)]
struct ModelPartition {
    stored: Vec<Stored>,
    next_offset: i64,
    log_start: i64,
}

impl ModelPartition {
    /// What the rules say about a batch, from the whole history.
    fn judge(&self, batch: BatchProducer, records: u32) -> Option<RunOutcome> {
        let of_producer = |stored: &Stored| stored.run.producer.filter(|producer| producer.id == batch.id);
        let epoch = self.stored.iter().filter_map(of_producer).map(|producer| producer.epoch).max()?;
        if batch.epoch != epoch {
            let starts = batch.epoch > epoch && batch.first_sequence == 0;
            let wrong =
                if batch.epoch < epoch { RunOutcome::StaleProducerEpoch } else { RunOutcome::OutOfOrderSequence };
            return if starts { None } else { Some(wrong) };
        }
        let row: Vec<(i64, Stored)> = self.row(batch.id, epoch);
        let first = row[0].1.run.producer.expect("of a producer").first_sequence;
        let distance = (i64::from(batch.first_sequence) - i64::from(first)).rem_euclid(1 << 31);
        let remembered = &row[row.len().saturating_sub(5)..];
        let same = |(start, stored): &&(i64, Stored)| *start == distance && stored.run.records == records;
        if let Some((_, stored)) = remembered.iter().find(same) {
            return Some(duplicate(stored.base_offset));
        }
        let total: i64 = row.iter().map(|(_, stored)| i64::from(stored.run.records)).sum();
        let is_old = distance + i64::from(records) <= remembered[0].0;
        match distance == total {
            true => None,
            false if is_old => Some(duplicate(-1)),
            false => Some(RunOutcome::OutOfOrderSequence),
        }
    }

    /// A producer's batches of an epoch, each with the number of its records before it.
    fn row(&self, id: i64, epoch: i16) -> Vec<(i64, Stored)> {
        let of_row = |stored: &&Stored| stored.run.producer.is_some_and(|batch| (batch.id, batch.epoch) == (id, epoch));
        let mut start = 0;
        let place = |stored: &Stored| {
            start += i64::from(stored.run.records);
            (start - i64::from(stored.run.records), *stored)
        };
        self.stored.iter().filter(of_row).map(place).collect()
    }

    fn extents(&self) -> Vec<Extent> {
        let mut extents: Vec<Extent> = Vec::new();
        for Stored { base_offset, run, body, position } in &self.stored {
            match extents.last_mut() {
                Some(last) if last.body == *body && last.position + last.bytes == *position => {
                    last.records += run.records;
                    last.bytes += run.bytes;
                    last.max_timestamp = last.max_timestamp.max(run.max_timestamp);
                }
                _ => extents.push(Extent {
                    base_offset: *base_offset,
                    records: run.records,
                    body: *body,
                    position: *position,
                    bytes: run.bytes,
                    max_timestamp: run.max_timestamp,
                }),
            }
        }
        extents.retain(|extent| extent.end_offset() > self.log_start);
        extents
    }
}

#[derive(Clone, Debug)]
struct ModelTopic {
    id: TopicId,
    name: String,
    is_there: bool,
    partitions: Vec<ModelPartition>,
    configs: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
struct ModelRegistration {
    epoch: Epoch,
    broker: i32,
    is_open: bool,
    last_number: u64,
}

#[derive(Debug, Default)]
struct Model {
    registrations: Vec<ModelRegistration>,
    topics: Vec<ModelTopic>,
    objects: BTreeSet<ObjectId>,
    forgotten: BTreeSet<ObjectId>,
    broker_configs: BTreeMap<i32, BTreeMap<String, String>>,
    next_producer_id: i64,
}

impl Model {
    fn apply(&mut self, seq: Seq, record: &Record) -> Outcome {
        if let Command::RegisterBroker(register) = &record.command {
            return Outcome::Registered(self.register(seq, register));
        }
        let registration = self.registrations.iter_mut().find(|registration| registration.epoch == record.epoch);
        match registration {
            Some(open) if open.is_open && record.number > open.last_number => open.last_number = record.number,
            Some(open) if open.is_open => return Outcome::Refused(Refusal::Repeated),
            _ => return Outcome::Refused(Refusal::ClosedEpoch),
        }
        self.execute(seq, record).unwrap_or_else(Outcome::Refused)
    }

    fn register(&mut self, seq: Seq, register: &RegisterBroker) -> Epoch {
        for registration in &mut self.registrations {
            registration.is_open &= !register.exclusive && registration.broker != register.broker.0;
        }
        let (epoch, broker) = (Epoch(seq.0), register.broker.0);
        self.registrations.push(ModelRegistration { epoch, broker, is_open: true, last_number: 0 });
        epoch
    }

    fn topic(&mut self, id: TopicId) -> Result<&mut ModelTopic, Refusal> {
        let topic = self.topics.iter_mut().find(|topic| topic.id == id && topic.is_there);
        topic.ok_or(Refusal::UnknownTopic)
    }

    fn partition(&mut self, at: TopicPartition) -> Option<&mut ModelPartition> {
        let topic = self.topic(at.topic).ok()?;
        topic.partitions.get_mut(usize::try_from(at.partition).ok()?)
    }

    fn execute(&mut self, seq: Seq, record: &Record) -> Result<Outcome, Refusal> {
        match &record.command {
            Command::CloseBroker { epoch } => {
                let closed = self.registrations.iter_mut().filter(|registration| registration.epoch == *epoch);
                closed.for_each(|registration| registration.is_open = false);
            }
            Command::CreateTopic(create) => self.create(create)?,
            Command::DeleteTopic { topic } => self.topic(*topic)?.is_there = false,
            Command::CreatePartitions { topic, total } => {
                let partitions = &mut self.topic(*topic)?.partitions;
                let missing = usize::try_from(*total).ok().and_then(|total| total.checked_sub(partitions.len()));
                let missing = missing.filter(|missing| *missing > 0).ok_or(Refusal::InvalidPartitions)?;
                partitions.extend((0..missing).map(|_| ModelPartition::default()));
            }
            Command::AlterConfigs { resource, replace, changes } => self.configure(resource, *replace, changes)?,
            Command::AllocateProducerIds { count } => {
                let first = self.next_producer_id;
                self.next_producer_id += i64::from(*count);
                return Ok(Outcome::ProducerIds { first });
            }
            Command::Commit(commit) => return self.commit(seq, commit),
            Command::ForgetObjects { objects } => {
                let dead: BTreeSet<ObjectId> = self.dead();
                self.forgotten.extend(objects.iter().filter(|object| dead.contains(object)));
            }
            Command::MoveLogStart { starts } => {
                for (at, start) in starts {
                    let Some(partition) = self.partition(*at) else { continue };
                    partition.log_start = partition.log_start.max((*start).min(partition.next_offset));
                }
            }
            other => panic!("the model has no {other:?}"),
        }
        Ok(Outcome::Done)
    }

    fn create(&mut self, create: &CreateTopic) -> Result<(), Refusal> {
        if create.partitions < 1 {
            return Err(Refusal::InvalidPartitions);
        }
        if self.topics.iter().any(|topic| topic.is_there && topic.name == create.name) {
            return Err(Refusal::TopicExists);
        }
        let partitions = (0..create.partitions).map(|_| ModelPartition::default()).collect();
        let configs = create.configs.iter().cloned().collect();
        self.topics.push(ModelTopic {
            id: create.topic,
            name: create.name.clone(),
            is_there: true,
            partitions,
            configs,
        });
        Ok(())
    }

    fn configure(
        &mut self,
        resource: &ConfigResource,
        replace: bool,
        changes: &[(String, Option<String>)],
    ) -> Result<(), Refusal> {
        let configs = match resource {
            ConfigResource::Topic(topic) => &mut self.topic(*topic)?.configs,
            ConfigResource::Broker(broker) => self.broker_configs.entry(broker.0).or_default(),
            ConfigResource::Cluster => self.broker_configs.entry(-1).or_default(),
            other => panic!("the model has no {other:?}"),
        };
        let old = if replace { BTreeMap::new() } else { configs.clone() };
        let changed: BTreeMap<String, Option<String>> = changes.iter().cloned().collect();
        let kept = old.into_iter().filter(|(name, _)| !changed.contains_key(name));
        let set = changed.clone().into_iter().filter_map(|(name, value)| value.map(|value| (name, value)));
        *configs = kept.chain(set).collect();
        Ok(())
    }

    fn commit(&mut self, seq: Seq, commit: &Commit) -> Result<Outcome, Refusal> {
        let body = if commit.in_log { BodyId::Log(seq) } else { BodyId::Object(commit.object) };
        if !commit.in_log && !self.objects.insert(commit.object) {
            return Err(Refusal::Repeated);
        }
        let commit_part = |part: &CommitPart| {
            let mut position = part.position;
            let commit_run = |run: &Run| {
                let outcome = self.commit_run(part.partition, body, position, run);
                position += run.bytes;
                outcome
            };
            part.runs.iter().map(commit_run).collect()
        };
        Ok(Outcome::Committed(commit.parts.iter().map(commit_part).collect()))
    }

    fn commit_run(&mut self, at: TopicPartition, body: BodyId, position: u32, run: &Run) -> RunOutcome {
        let Some(partition) = self.partition(at) else { return RunOutcome::UnknownPartition };
        if let Some(outcome) = run.producer.and_then(|batch| partition.judge(batch, run.records)) {
            return outcome;
        }
        let base_offset = partition.next_offset;
        partition.next_offset += i64::from(run.records);
        partition.stored.push(Stored { base_offset, run: *run, body, position });
        accepted(base_offset)
    }

    fn live(&self) -> BTreeMap<BodyId, (u32, u64)> {
        let mut live = BTreeMap::new();
        let partitions = self.topics.iter().filter(|topic| topic.is_there).flat_map(|topic| &topic.partitions);
        for extent in partitions.flat_map(ModelPartition::extents) {
            let (extents, bytes) = live.entry(extent.body).or_insert((0, 0));
            *extents += 1;
            *bytes += u64::from(extent.bytes);
        }
        live
    }

    fn dead(&self) -> BTreeSet<ObjectId> {
        let live = self.live();
        let is_dead = |object: &&ObjectId| !live.contains_key(&BodyId::Object(**object));
        self.objects.iter().filter(is_dead).filter(|object| !self.forgotten.contains(object)).copied().collect()
    }
}

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
        let expected = self.model.apply(seq, &record);
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

    fn topic_id(&self, index: usize) -> TopicId {
        self.model.topics.iter().rev().nth(index).map_or(TopicId(99), |topic| topic.id)
    }

    fn step(&mut self, step: &Step) {
        self.cluster.now_ms += 20_000;
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
        };
        let record = self.cluster.record(writer, command);
        self.apply(record);
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
        let Some((id, epoch, sequence)) = producer else { return plain };
        let row = self.model.partition(at).map(|partition| partition.row(id, epoch)).unwrap_or_default();
        let next = row.last().map_or(0, |(_, last)| {
            sequence_after(last.run.producer.expect("of a producer").first_sequence, last.run.records)
        });
        let with = |first_sequence| Run {
            producer: Some(BatchProducer { id, epoch, first_sequence, transactional: None }),
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
                check_offsets(real);
            }
        }
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

/// A broker, a topic, and then anything.
pub(super) fn history() -> impl Strategy<Value = Vec<Step>> {
    let start = vec![Step::Join { broker: 0, exclusive: false }, Step::Create { name: 0, partitions: 3 }];
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
