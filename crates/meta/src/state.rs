//! The pure state machine: what every broker knows, as a function of the records of the log.
//!
//! `apply` takes the next record and says what it did. No clock, randomness, floats, hash iteration or I/O: equal
//! records give equal states, outcomes and hashes on every broker. It is total: whatever decodes can be applied, and a
//! record that may not take effect is refused and changes nothing but the hash.
//!
//! Before a command is looked at, its envelope is: a record of a closed or unknown registration is refused, and so is
//! one whose number is not beyond the last one applied of its registration (it was appended twice).
//!
//! `brokers` knows who may write and who leads, `topics` where every offset's bytes are, `producers` which batches of
//! idempotent producers are stored, `bodies` which segments are still needed, `commit` gives offsets out, `snapshot`
//! writes all of it down and reads it back.

mod aborted;
mod bodies;
mod brokers;
mod commit;
mod digest;
mod groups;
mod mutation;
mod outcome;
mod producers;
mod queries;
mod snapshot;
mod topics;
mod transactions;

#[cfg(test)]
mod tests;

pub use aborted::{AbortedTransaction, CONTROL_BATCH_BYTES, ControlMarker};
pub use bodies::BodyState;
pub use brokers::{Broker, CoordinatorKind};
pub use groups::{ClassicGroup, CommittedOffset, ConsumerGroup, Group, GroupKind};
pub use mutation::Mutation;
pub use outcome::{Outcome, Refusal, RunOutcome};
pub(crate) use producers::sequence_after;
pub use snapshot::SnapshotError;
pub use topics::{Partition, ProducerView, Topic};
pub use transactions::{Transaction, TransactionPhase};

use crate::codec::DecodeError;
use crate::record::{Command, ConfigResource, CreateTopic, QuotaEntity, Record, ScramCredential};
use bodies::Bodies;
use brokers::Brokers;
use frazil_base::limits::{
    PARTITIONS_PER_TOPIC_MAX, PRODUCER_EXPIRY_MS, PRODUCER_SWEEP_MS, TRANSACTIONAL_ID_EXPIRY_MS,
};
use frazil_base::{Epoch, ObjectId, Seq, TopicId, TopicPartition};
use groups::Groups;
use mutation::Rules;
use outcome::done;
use std::collections::BTreeMap;
use topics::Topics;
use transactions::Transactions;

/// The last feature level that this version implements. A `FeatureLevel` record beyond it does not decode.
pub const FEATURE_LEVEL_KNOWN: u16 = 1;

/// Where a segment's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BodyId {
    /// In the body of this log entry.
    Log(Seq),
    /// In an object of its own.
    Object(ObjectId),
    /// Nowhere: the end of a transaction, whose control batch follows from this. One offset, position 0.
    Marker(ControlMarker),
}

/// Contiguous offsets of one partition whose batches stand next to each other in one body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Its first offset.
    pub base_offset: i64,
    /// How many offsets.
    pub records: u32,
    /// Where its bytes are.
    pub body: BodyId,
    /// Where in the body.
    pub position: u32,
    /// How many bytes.
    pub bytes: u32,
    /// Greatest timestamp in it; -1 if none.
    pub max_timestamp: i64,
}

impl Extent {
    /// The offset after its last one.
    pub fn end_offset(&self) -> i64 {
        self.base_offset + i64::from(self.records)
    }

    /// Takes `next` in if its bytes follow in the same body. Offsets must follow anyway. Returns whether it did.
    fn widen(&mut self, next: &Extent) -> bool {
        let end = self.position.checked_add(self.bytes);
        if self.body != next.body || end != Some(next.position) {
            return false;
        }
        let Some(records) = self.records.checked_add(next.records) else { return false };
        let Some(bytes) = self.bytes.checked_add(next.bytes) else { return false };
        let max_timestamp = self.max_timestamp.max(next.max_timestamp);
        *self = Extent { records, bytes, max_timestamp, ..*self };
        true
    }
}

/// Everything the log says, up to one record.
#[derive(Clone, Debug)]
pub struct State {
    applied: Seq,
    hash: u64,
    feature_level: u16,
    next_producer_id: i64,
    /// The latest time that a commit carried. Producers age by it, so that a broker whose clock is behind or ahead of
    /// the others' does not make them look older.
    clock_ms: i64,
    /// When the clock says this, silent producers are looked for.
    sweep_due_ms: i64,
    brokers: Brokers,
    topics: Topics,
    /// The last record that created, deleted or widened a topic, or a later one.
    topics_changed: Seq,
    /// Settings of brokers and of the cluster; those of topics are in the topics.
    configs: BTreeMap<ConfigResource, BTreeMap<String, String>>,
    bodies: Bodies,
    groups: Groups,
    transactions: Transactions,
    quotas: BTreeMap<QuotaEntity, BTreeMap<String, u64>>,
    scram_users: BTreeMap<String, BTreeMap<u8, ScramCredential>>,
    rules: Rules,
}

impl Default for State {
    fn default() -> State {
        State::new()
    }
}

impl State {
    /// The state before the first record.
    pub fn new() -> State {
        State {
            applied: Seq::ZERO,
            hash: 0,
            feature_level: 1,
            next_producer_id: 0,
            clock_ms: i64::MIN,
            sweep_due_ms: i64::MIN,
            brokers: Brokers::default(),
            topics: Topics::default(),
            topics_changed: Seq::ZERO,
            configs: BTreeMap::new(),
            bodies: Bodies::default(),
            groups: Groups::default(),
            transactions: Transactions::default(),
            quotas: BTreeMap::new(),
            scram_users: BTreeMap::new(),
            rules: Rules::default(),
        }
    }

    /// The state before the first record, with one rule broken on purpose. For tests of checkers.
    #[cfg(any(test, feature = "testing"))]
    pub fn with_mutation(mutation: Mutation) -> State {
        State { rules: Rules::all_but(mutation), ..State::new() }
    }

    /// Breaks one rule from here on. For tests of checkers whose states come from snapshots.
    #[cfg(any(test, feature = "testing"))]
    pub fn mutate(&mut self, mutation: Mutation) {
        self.rules = Rules::all_but(mutation);
    }

    /// Applies the record that stands at `seq`. Records come in ascending order, each once; panics otherwise.
    pub fn apply(&mut self, seq: Seq, record: &Record) -> Outcome {
        self.apply_with_bytes(seq, record, &record.encode())
    }

    /// Decodes the record that stands at `seq` and applies it: `apply` without encoding the record for the hash.
    pub fn apply_encoded(&mut self, seq: Seq, bytes: &[u8]) -> Result<(Record, Outcome), DecodeError> {
        let record = Record::decode(bytes)?;
        let outcome = self.apply_with_bytes(seq, &record, bytes);
        Ok((record, outcome))
    }

    fn apply_with_bytes(&mut self, seq: Seq, record: &Record, bytes: &[u8]) -> Outcome {
        assert!(seq > self.applied, "record {seq} after record {}", self.applied);
        let outcome = match self.check_envelope(record) {
            Ok(()) => self.execute(seq, record),
            Err(refusal) => Outcome::Refused(refusal),
        };
        self.applied = seq;
        self.hash = digest::chain(self.hash, seq, bytes, &outcome);
        outcome
    }

    /// Whether the record's writer may write it, and did not before. If so, its number is used up.
    fn check_envelope(&mut self, record: &Record) -> Result<(), Refusal> {
        if matches!(record.command, Command::RegisterBroker(_)) {
            let is_unsigned = record.epoch == Epoch::default() && record.number == 0;
            return if is_unsigned { Ok(()) } else { Err(Refusal::ClosedEpoch) };
        }
        let Some(registration) = self.brokers.get_mut(record.epoch) else {
            let is_accepted = self.rules.broken(Mutation::AcceptClosedEpoch);
            return if is_accepted { Ok(()) } else { Err(Refusal::ClosedEpoch) };
        };
        if record.number <= registration.last_number && !self.rules.broken(Mutation::ForgetRepeatedNumber) {
            return Err(Refusal::Repeated);
        }
        registration.last_number = record.number;
        Ok(())
    }

    fn execute(&mut self, seq: Seq, record: &Record) -> Outcome {
        let now_ms = record.time_ms;
        match &record.command {
            Command::RegisterBroker(register) => Outcome::Registered(self.brokers.register(register, Epoch(seq.0))),
            Command::CloseBroker { epoch } => {
                self.brokers.close(*epoch);
                Outcome::Done
            }
            Command::FeatureLevel { level } => {
                self.feature_level = self.feature_level.max(*level);
                Outcome::Done
            }
            Command::CreateTopic(_) | Command::DeleteTopic { .. } | Command::CreatePartitions { .. } => {
                self.topics_changed = seq;
                done(self.change_topics(&record.command, now_ms))
            }
            Command::AlterConfigs { resource, replace, changes } => {
                done(self.alter_configs(resource, *replace, changes))
            }
            Command::AllocateProducerIds { count } => self.allocate_producer_ids(*count),
            Command::Commit(commit) => self.commit(seq, record, commit),
            Command::ForgetObjects { objects } => {
                objects.iter().for_each(|object| self.bodies.forget(*object));
                Outcome::Done
            }
            // Every broker's replica compares; the state stays as it is.
            Command::CompareState { .. } => Outcome::Done,
            Command::MoveLogStart { starts } => {
                starts.iter().for_each(|(partition, start)| self.move_log_start(*partition, *start, now_ms));
                Outcome::Done
            }
            Command::AlterQuotas { entity, changes } => {
                self.alter_quotas(entity, changes);
                Outcome::Done
            }
            Command::AlterScramUser { user, mechanism, credential } => {
                self.alter_scram_user(user, *mechanism, credential.as_ref());
                Outcome::Done
            }
            _ => self.execute_coordinated(seq, record).unwrap_or_else(Outcome::Refused),
        }
    }

    /// Commands of groups and transactions.
    fn execute_coordinated(&mut self, seq: Seq, record: &Record) -> Result<Outcome, Refusal> {
        match &record.command {
            Command::GroupGeneration(generation) => self.group_generation(seq, record, generation)?,
            Command::ConsumerGroup(update) => self.consumer_group(seq, record, update)?,
            Command::DeleteGroups { groups } => {
                return Ok(self.per_item(groups, |state, group| state.delete_group(record, group)));
            }
            Command::CommitOffsets { commits } => {
                return Ok(self.per_item(commits, |state, commit| state.commit_offsets(seq, record, commit)));
            }
            Command::DeleteOffsets { group, partitions } => self.delete_offsets(record, group, partitions)?,
            Command::InitTransactions(init) => return self.init_transactions(record, init),
            Command::AddToTransaction(add) => self.add_to_transaction(seq, record, add)?,
            Command::EndTransaction(end) => return self.end_transaction(record, end),
            other => unreachable!("{other:?} is no command of groups and transactions"),
        }
        Ok(Outcome::Done)
    }

    /// Refuses a record about a group or a transactional id that its coordinator did not write.
    fn check_coordinator(&self, kind: CoordinatorKind, key: &str, record: &Record) -> Result<(), Refusal> {
        if self.may_coordinate(kind, key, record.epoch) { Ok(()) } else { Err(Refusal::NotCoordinator) }
    }

    fn change_topics(&mut self, command: &Command, now_ms: i64) -> Result<(), Refusal> {
        match command {
            Command::CreateTopic(create) => self.create_topic(create, now_ms),
            Command::DeleteTopic { topic } => self.delete_topic(*topic, now_ms),
            Command::CreatePartitions { topic, total } => self.create_partitions(*topic, *total),
            other => unreachable!("{other:?} changes no topic"),
        }
    }

    fn create_topic(&mut self, create: &CreateTopic, now_ms: i64) -> Result<(), Refusal> {
        if !(1..=PARTITIONS_PER_TOPIC_MAX).contains(&create.partitions) {
            return Err(Refusal::InvalidPartitions);
        }
        let topic = Topic {
            id: create.topic,
            name: create.name.clone(),
            partitions: vec![Partition::default(); create.partitions as usize],
            replication_factor: create.replication_factor,
            configs: create.configs.iter().cloned().collect(),
            created_ms: now_ms,
        };
        if self.topics.insert(topic) { Ok(()) } else { Err(Refusal::TopicExists) }
    }

    fn delete_topic(&mut self, topic: TopicId, now_ms: i64) -> Result<(), Refusal> {
        let topic = self.topics.remove(topic).ok_or(Refusal::UnknownTopic)?;
        for extent in topic.partitions.iter().flat_map(|partition| &partition.extents) {
            self.bodies.release(extent, now_ms);
        }
        self.transactions.forget_topic(topic.id);
        self.groups.forget_topic(topic.id);
        Ok(())
    }

    fn create_partitions(&mut self, topic: TopicId, total: i32) -> Result<(), Refusal> {
        let topic = self.topics.get_mut(topic).ok_or(Refusal::UnknownTopic)?;
        let total = usize::try_from(total).map_err(|_| Refusal::InvalidPartitions)?;
        if total <= topic.partitions.len() || total > PARTITIONS_PER_TOPIC_MAX as usize {
            return Err(Refusal::InvalidPartitions);
        }
        topic.partitions.resize(total, Partition::default());
        Ok(())
    }

    fn alter_configs(
        &mut self,
        resource: &ConfigResource,
        replace: bool,
        changes: &[(String, Option<String>)],
    ) -> Result<(), Refusal> {
        let configs = match resource {
            ConfigResource::Topic(topic) => &mut self.topics.get_mut(*topic).ok_or(Refusal::UnknownTopic)?.configs,
            resource => self.configs.entry(resource.clone()).or_default(),
        };
        if replace {
            configs.clear();
        }
        for (name, value) in changes {
            match value {
                Some(value) => configs.insert(name.clone(), value.clone()),
                None => configs.remove(name),
            };
        }
        self.configs.retain(|_, configs| !configs.is_empty());
        Ok(())
    }

    fn alter_quotas(&mut self, entity: &QuotaEntity, changes: &[(String, Option<u64>)]) {
        let quotas = self.quotas.entry(entity.clone()).or_default();
        for (name, value) in changes {
            match value {
                Some(bits) => quotas.insert(name.clone(), *bits),
                None => quotas.remove(name),
            };
        }
        if quotas.is_empty() {
            self.quotas.remove(entity);
        }
    }

    fn alter_scram_user(&mut self, user: &str, mechanism: u8, credential: Option<&ScramCredential>) {
        let credentials = self.scram_users.entry(user.to_owned()).or_default();
        match credential {
            Some(credential) => credentials.insert(mechanism, credential.clone()),
            None => credentials.remove(&mechanism),
        };
        if credentials.is_empty() {
            self.scram_users.remove(user);
        }
    }

    fn allocate_producer_ids(&mut self, count: u32) -> Outcome {
        let first = self.next_producer_id;
        let next = first.checked_add(i64::from(count));
        self.next_producer_id = next.unwrap_or_else(|| panic!("{count} producer ids after {first}"));
        Outcome::ProducerIds { first }
    }

    /// Moves a log start forward, at most to the next offset. Unknown partitions and steps back are passed over.
    fn move_log_start(&mut self, partition: TopicPartition, start: i64, now_ms: i64) {
        let Some(partition) = self.topics.partition_mut(partition) else { return };
        partition.log_start = start.min(partition.next_offset).max(partition.log_start);
        while let Some(extent) = partition.pop_unreadable() {
            self.bodies.release(&extent, now_ms);
        }
        partition.forget_aborted();
    }

    /// Moves the producers' clock on and forgets silent producers and transactional ids, if that is due.
    fn advance_clock(&mut self, now_ms: i64) {
        self.clock_ms = self.clock_ms.max(now_ms);
        if self.clock_ms < self.sweep_due_ms {
            return;
        }
        self.sweep_due_ms = self.clock_ms.saturating_add(PRODUCER_SWEEP_MS);
        let before_ms = self.clock_ms.saturating_sub(PRODUCER_EXPIRY_MS);
        for partition in self.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            partition.producers.expire(before_ms);
        }
        self.transactions.expire(self.clock_ms.saturating_sub(TRANSACTIONAL_ID_EXPIRY_MS));
    }
}
