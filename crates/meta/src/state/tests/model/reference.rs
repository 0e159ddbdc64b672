//! The reference model of topics, partitions, segments and brokers.

use super::super::*;
use super::coordinated::Coordinated;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// A run that was accepted, or a marker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    pub(super) base_offset: i64,
    pub(super) run: Run,
    pub(super) body: BodyId,
    pub(super) position: u32,
    /// The transaction it belongs to, by the record that opened it, with its producer id.
    pub(super) txn: Option<(Seq, i64)>,
}

impl Stored {
    /// For a marker: whether it commits.
    fn marker(&self) -> Option<bool> {
        match self.body {
            BodyId::Marker(marker) => Some(marker.commit),
            BodyId::Log(_) | BodyId::Object(_) => None,
        }
    }
}

/// A transaction as a partition saw it.
struct Written {
    txn: Seq,
    producer_id: i64,
    first: i64,
    /// Offset of its marker, and whether that commits.
    end: Option<(i64, bool)>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct ModelPartition {
    pub(super) stored: Vec<Stored>,
    pub(super) next_offset: i64,
    pub(super) log_start: i64,
}

impl ModelPartition {
    pub(super) fn store(&mut self, run: Run, body: BodyId, position: u32, txn: Option<(Seq, i64)>) -> i64 {
        let base_offset = self.next_offset;
        self.next_offset += i64::from(run.records);
        self.stored.push(Stored { base_offset, run, body, position, txn });
        base_offset
    }

    /// The transactions that wrote here.
    fn transactions(&self) -> Vec<Written> {
        let mut found: Vec<Written> = Vec::new();
        for stored in &self.stored {
            let Some((txn, producer_id)) = stored.txn else { continue };
            // One commit may open several transactions.
            let known = found.iter_mut().find(|written| (written.txn, written.producer_id) == (txn, producer_id));
            match (known, stored.marker()) {
                (Some(written), Some(commit)) => written.end = Some((stored.base_offset, commit)),
                (None, None) => found.push(Written { txn, producer_id, first: stored.base_offset, end: None }),
                (Some(_), None) | (None, Some(_)) => {}
            }
        }
        found
    }

    pub(super) fn last_stable_offset(&self) -> i64 {
        let open = self.transactions().into_iter().filter(|written| written.end.is_none());
        open.map(|written| written.first.max(self.log_start)).min().unwrap_or(self.next_offset)
    }

    /// Producer, first and last offset of the aborted transactions that matter to readers of these offsets.
    pub(super) fn aborted_in(&self, offsets: &Range<i64>) -> Vec<(i64, i64, i64)> {
        let aborted = |Written { producer_id, first, end, .. }| match end {
            Some((last, false)) if last >= offsets.start.max(self.log_start) && first < offsets.end => {
                Some((producer_id, first, last))
            }
            _ => None,
        };
        let mut found: Vec<_> = self.transactions().into_iter().filter_map(aborted).collect();
        found.sort_by_key(|(.., last)| *last);
        found
    }

    fn has_written(&self, producer_id: i64) -> bool {
        self.stored.iter().any(|stored| stored.run.producer.is_some_and(|producer| producer.id == producer_id))
    }

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
    pub(super) fn row(&self, id: i64, epoch: i16) -> Vec<(i64, Stored)> {
        let of_row = |stored: &&Stored| stored.run.producer.is_some_and(|batch| (batch.id, batch.epoch) == (id, epoch));
        let mut start = 0;
        let place = |stored: &Stored| {
            start += i64::from(stored.run.records);
            (start - i64::from(stored.run.records), *stored)
        };
        self.stored.iter().filter(of_row).map(place).collect()
    }

    pub(super) fn extents(&self) -> Vec<Extent> {
        let mut extents: Vec<Extent> = Vec::new();
        for Stored { base_offset, run, body, position, .. } in &self.stored {
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
pub(super) struct ModelTopic {
    pub(super) id: TopicId,
    pub(super) name: String,
    pub(super) is_there: bool,
    pub(super) partitions: Vec<ModelPartition>,
    pub(super) configs: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
pub(super) struct ModelRegistration {
    pub(super) epoch: Epoch,
    broker: i32,
    pub(super) is_open: bool,
    last_number: u64,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) registrations: Vec<ModelRegistration>,
    pub(super) topics: Vec<ModelTopic>,
    pub(super) objects: BTreeSet<ObjectId>,
    forgotten: BTreeSet<ObjectId>,
    pub(super) broker_configs: BTreeMap<i32, BTreeMap<String, String>>,
    pub(super) next_producer_id: i64,
    pub(super) coordinated: Coordinated,
}

impl Model {
    /// `coordinates` says whether the record's writer coordinates a group or a transactional id now.
    pub(super) fn apply(
        &mut self,
        seq: Seq,
        record: &Record,
        coordinates: &dyn Fn(CoordinatorKind, &str) -> bool,
    ) -> Outcome {
        if let Command::RegisterBroker(register) = &record.command {
            return Outcome::Registered(self.register(seq, register));
        }
        let registration = self.registrations.iter_mut().find(|registration| registration.epoch == record.epoch);
        match registration {
            Some(open) if open.is_open && record.number > open.last_number => open.last_number = record.number,
            Some(open) if open.is_open => return Outcome::Refused(Refusal::Repeated),
            _ => return Outcome::Refused(Refusal::ClosedEpoch),
        }
        let outcome = self.execute(seq, record, coordinates).unwrap_or_else(Outcome::Refused);
        self.forget_void_groups();
        outcome
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

    pub(super) fn partition(&mut self, at: TopicPartition) -> Option<&mut ModelPartition> {
        let topic = self.topic(at.topic).ok()?;
        topic.partitions.get_mut(usize::try_from(at.partition).ok()?)
    }

    pub(super) fn has(&self, at: TopicPartition) -> bool {
        let topic = self.topics.iter().find(|topic| topic.id == at.topic && topic.is_there);
        topic.is_some_and(|topic| usize::try_from(at.partition).is_ok_and(|index| index < topic.partitions.len()))
    }

    fn execute(
        &mut self,
        seq: Seq,
        record: &Record,
        coordinates: &dyn Fn(CoordinatorKind, &str) -> bool,
    ) -> Result<Outcome, Refusal> {
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
            _ => return self.execute_coordinated(seq, record, coordinates),
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
                let outcome = self.commit_run(seq, part.partition, body, position, run);
                position += run.bytes;
                outcome
            };
            part.runs.iter().map(commit_run).collect()
        };
        Ok(Outcome::Committed(commit.parts.iter().map(commit_part).collect()))
    }

    fn commit_run(&mut self, seq: Seq, at: TopicPartition, body: BodyId, position: u32, run: &Run) -> RunOutcome {
        if !self.has(at) {
            return RunOutcome::UnknownPartition;
        }
        if let Some(outcome) = run.producer.and_then(|batch| self.judge_run(at, batch, run.records)) {
            return outcome;
        }
        let txn = run.producer.and_then(|batch| self.coordinated.join(seq, at, batch));
        accepted(self.partition(at).expect("it is there").store(*run, body, position, txn))
    }

    fn judge_run(&mut self, at: TopicPartition, batch: BatchProducer, records: u32) -> Option<RunOutcome> {
        if let Err(outcome) = self.coordinated.check_producer(batch) {
            return Some(outcome);
        }
        let partition = self.partition(at).expect("it is there");
        let judged = partition.judge(batch, records);
        let lacks_first = batch.transactional == Some(Joining::Implicit)
            && batch.first_sequence != 0
            && !partition.has_written(batch.id);
        match judged {
            Some(RunOutcome::Duplicate { .. }) => judged,
            _ if !self.coordinated.admits(at, batch) => Some(RunOutcome::InvalidTxnState),
            None if lacks_first => Some(RunOutcome::OutOfOrderSequence),
            judged => judged,
        }
    }

    pub(super) fn live(&self) -> BTreeMap<BodyId, (u32, u64)> {
        let mut live = BTreeMap::new();
        let partitions = self.topics.iter().filter(|topic| topic.is_there).flat_map(|topic| &topic.partitions);
        let is_stored = |extent: &Extent| !matches!(extent.body, BodyId::Marker(_));
        for extent in partitions.flat_map(ModelPartition::extents).filter(is_stored) {
            let (extents, bytes) = live.entry(extent.body).or_insert((0, 0));
            *extents += 1;
            *bytes += u64::from(extent.bytes);
        }
        live
    }

    pub(super) fn dead(&self) -> BTreeSet<ObjectId> {
        let live = self.live();
        let is_dead = |object: &&ObjectId| !live.contains_key(&BodyId::Object(**object));
        self.objects.iter().filter(is_dead).filter(|object| !self.forgotten.contains(object)).copied().collect()
    }
}
