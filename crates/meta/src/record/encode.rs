//! Records to bytes; `docs/format/metadata.md` shows every one.

pub(crate) mod coordinated;

use super::{
    BatchProducer, Command, Commit, CommitPart, ConfigResource, CreateTopic, Joining, RECORD_VERSION, Record,
    RegisterBroker, Run,
};
use crate::codec::Writer;
use crate::state::{FEATURE_LEVEL_KNOWN, sequence_after};
use bytes::Bytes;
use frazil_base::TopicPartition;
use frazil_base::limits::META_RECORD_BYTES_MAX;

/// Tags of the commands. A number is never used again for something else.
pub(super) mod tag {
    pub(crate) const REGISTER_BROKER: u8 = 1;
    pub(crate) const CLOSE_BROKER: u8 = 2;
    pub(crate) const FEATURE_LEVEL: u8 = 3;
    pub(crate) const CREATE_TOPIC: u8 = 4;
    pub(crate) const DELETE_TOPIC: u8 = 5;
    pub(crate) const CREATE_PARTITIONS: u8 = 6;
    pub(crate) const ALTER_CONFIGS: u8 = 7;
    pub(crate) const ALLOCATE_PRODUCER_IDS: u8 = 8;
    pub(crate) const COMMIT: u8 = 9;
    pub(crate) const FORGET_OBJECTS: u8 = 10;
    pub(crate) const MOVE_LOG_START: u8 = 11;
    /// A commit in which at least one run belongs to a transaction.
    pub(crate) const TRANSACTIONAL_COMMIT: u8 = 12;
    pub(crate) const GROUP_GENERATION: u8 = 13;
    pub(crate) const CONSUMER_GROUP: u8 = 14;
    pub(crate) const DELETE_GROUPS: u8 = 15;
    pub(crate) const COMMIT_OFFSETS: u8 = 16;
    pub(crate) const DELETE_OFFSETS: u8 = 17;
    pub(crate) const INIT_TRANSACTIONS: u8 = 18;
    pub(crate) const ADD_TO_TRANSACTION: u8 = 19;
    pub(crate) const END_TRANSACTION: u8 = 20;
    pub(crate) const ALTER_QUOTAS: u8 = 21;
    pub(crate) const ALTER_SCRAM_USER: u8 = 22;
    /// `AlterConfigs` of a resource that is known by a name of its own.
    pub(crate) const ALTER_NAMED_CONFIGS: u8 = 23;
    pub(crate) const COMPARE_STATE: u8 = 24;
}

/// Bits of a part's head: what is as expected and therefore not written.
pub(super) mod part_bit {
    /// The topic of the part before.
    pub(crate) const SAME_TOPIC: u8 = 1;
    /// The partition after the one before; 0 for another topic.
    pub(crate) const NEXT_PARTITION: u8 = 2;
    /// The bytes follow those of the part before.
    pub(crate) const ADJACENT: u8 = 4;
    /// One run.
    pub(crate) const ONE_RUN: u8 = 8;
    /// All bits.
    pub(crate) const ALL: u8 = 15;
}

/// What a run is, in the low bits of its length. A transactional commit uses two bits, another one.
pub(super) mod run_kind {
    pub(crate) const PLAIN: u64 = 0;
    pub(crate) const IDEMPOTENT: u64 = 1;
    pub(crate) const EXPLICIT: u64 = 2;
    pub(crate) const IMPLICIT: u64 = 3;
}

/// What a part, run or producer is written in relation to: the one before it in the commit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before {
    /// Bits of a run's kind: 2 in a transactional commit.
    pub(super) kind_bits: u32,
    pub(super) partition: Option<TopicPartition>,
    /// End of the part before in the segment.
    pub(super) end: u32,
    pub(super) max_timestamp: i64,
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i16,
    pub(super) next_sequence: i32,
}

impl Before {
    pub(super) fn new(time_ms: i64, is_transactional: bool) -> Before {
        Before { kind_bits: 1 + u32::from(is_transactional), max_timestamp: time_ms, ..Before::default() }
    }

    /// The partition that needs no byte.
    pub(super) fn expected_partition(&self, is_same_topic: bool) -> i32 {
        match self.partition {
            Some(before) if is_same_topic => before.partition.wrapping_add(1),
            _ => 0,
        }
    }

    pub(super) fn pass_producer(&mut self, producer: BatchProducer, records: u32) {
        self.producer_id = producer.id;
        self.producer_epoch = producer.epoch;
        self.next_sequence = sequence_after(producer.first_sequence, records);
    }
}

impl Record {
    /// Its bytes: the same for the same record, always.
    ///
    /// Panics if it could not be decoded again: a commit whose parts overlap, do not ascend or exceed the segment, a
    /// run without records, an unknown feature level, or more than `META_RECORD_BYTES_MAX` bytes.
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::with_capacity(self.size_hint());
        writer.u8(RECORD_VERSION);
        writer.u8(self.command.tag());
        writer.varint(self.epoch.0);
        writer.varint(self.number);
        writer.zigzag(self.time_ms);
        write_command(&mut writer, self);
        let bytes = Bytes::from(writer.into_vec());
        assert!(bytes.len() <= META_RECORD_BYTES_MAX, "a record of {} bytes: {:?}", bytes.len(), self.command.tag());
        bytes
    }

    fn size_hint(&self) -> usize {
        match &self.command {
            Command::Commit(commit) => 64 + commit.parts.iter().map(|part| 4 + 16 * part.runs.len()).sum::<usize>(),
            _ => 128,
        }
    }
}

impl Command {
    pub(super) fn tag(&self) -> u8 {
        match self {
            Command::RegisterBroker(_) => tag::REGISTER_BROKER,
            Command::CloseBroker { .. } => tag::CLOSE_BROKER,
            Command::FeatureLevel { .. } => tag::FEATURE_LEVEL,
            Command::CreateTopic(_) => tag::CREATE_TOPIC,
            Command::DeleteTopic { .. } => tag::DELETE_TOPIC,
            Command::CreatePartitions { .. } => tag::CREATE_PARTITIONS,
            Command::AlterConfigs { resource, .. } => match resource {
                ConfigResource::Topic(_) | ConfigResource::Broker(_) | ConfigResource::Cluster => tag::ALTER_CONFIGS,
                ConfigResource::Group(_) | ConfigResource::ClientMetrics(_) => tag::ALTER_NAMED_CONFIGS,
            },
            Command::AllocateProducerIds { .. } => tag::ALLOCATE_PRODUCER_IDS,
            Command::Commit(commit) if commit.is_transactional() => tag::TRANSACTIONAL_COMMIT,
            Command::Commit(_) => tag::COMMIT,
            Command::ForgetObjects { .. } => tag::FORGET_OBJECTS,
            Command::MoveLogStart { .. } => tag::MOVE_LOG_START,
            Command::CompareState { .. } => tag::COMPARE_STATE,
            Command::GroupGeneration(_) => tag::GROUP_GENERATION,
            Command::ConsumerGroup(_) => tag::CONSUMER_GROUP,
            Command::DeleteGroups { .. } => tag::DELETE_GROUPS,
            Command::CommitOffsets { .. } => tag::COMMIT_OFFSETS,
            Command::DeleteOffsets { .. } => tag::DELETE_OFFSETS,
            Command::InitTransactions(_) => tag::INIT_TRANSACTIONS,
            Command::AddToTransaction(_) => tag::ADD_TO_TRANSACTION,
            Command::EndTransaction(_) => tag::END_TRANSACTION,
            Command::AlterQuotas { .. } => tag::ALTER_QUOTAS,
            Command::AlterScramUser { .. } => tag::ALTER_SCRAM_USER,
        }
    }
}

fn write_command(writer: &mut Writer, record: &Record) {
    match &record.command {
        Command::RegisterBroker(register) => write_register(writer, register),
        Command::CloseBroker { epoch } => writer.varint(epoch.0),
        Command::FeatureLevel { level } => {
            assert!(*level <= FEATURE_LEVEL_KNOWN, "feature level {level} of {FEATURE_LEVEL_KNOWN} known");
            writer.varint(u64::from(*level));
        }
        Command::CreateTopic(create) => write_create(writer, create),
        Command::DeleteTopic { topic } => writer.u128(topic.0),
        Command::CreatePartitions { topic, total } => {
            writer.u128(topic.0);
            writer.zigzag(i64::from(*total));
        }
        Command::AlterConfigs { resource, replace, changes } => {
            write_resource(writer, resource);
            writer.u8(u8::from(*replace));
            writer.count(changes.len());
            for (name, value) in changes {
                writer.string(name);
                writer.optional_string(value.as_deref());
            }
        }
        Command::AllocateProducerIds { count } => writer.varint(u64::from(*count)),
        Command::Commit(commit) => write_commit(writer, record, commit),
        Command::ForgetObjects { objects } => {
            writer.count(objects.len());
            for object in objects {
                writer.varint(object.epoch.0);
                writer.varint(object.number);
            }
        }
        Command::CompareState { seq, hash } => {
            writer.varint(seq.0);
            writer.raw(&hash.to_be_bytes());
        }
        Command::MoveLogStart { starts } => {
            writer.count(starts.len());
            for (partition, start) in starts {
                writer.u128(partition.topic.0);
                writer.zigzag(i64::from(partition.partition));
                writer.zigzag(*start);
            }
        }
        Command::GroupGeneration(generation) => coordinated::group_generation(writer, generation),
        Command::ConsumerGroup(update) => coordinated::consumer_group(writer, update),
        Command::DeleteGroups { groups } => coordinated::strings(writer, groups),
        Command::CommitOffsets { commits } => coordinated::list(writer, commits, coordinated::group_commit),
        Command::DeleteOffsets { group, partitions } => {
            writer.string(group);
            coordinated::partitions(writer, partitions.iter());
        }
        Command::InitTransactions(init) => coordinated::init_transactions(writer, init),
        Command::AddToTransaction(add) => coordinated::add_to_transaction(writer, add),
        Command::EndTransaction(end) => coordinated::end_transaction(writer, end),
        Command::AlterQuotas { entity, changes } => {
            coordinated::quota_entity(writer, entity);
            coordinated::list(writer, changes, coordinated::quota_change);
        }
        Command::AlterScramUser { user, mechanism, credential } => {
            writer.string(user);
            writer.u8(*mechanism);
            coordinated::optional_credential(writer, credential.as_ref());
        }
    }
}

fn write_register(writer: &mut Writer, register: &RegisterBroker) {
    writer.zigzag(i64::from(register.broker.0));
    writer.u128(register.incarnation);
    writer.string(&register.host);
    writer.varint(u64::from(register.port));
    writer.optional_string(register.zone.as_deref());
    writer.u8(u8::from(register.exclusive));
}

fn write_create(writer: &mut Writer, create: &CreateTopic) {
    writer.u128(create.topic.0);
    writer.string(&create.name);
    writer.zigzag(i64::from(create.partitions));
    writer.zigzag(i64::from(create.replication_factor));
    writer.count(create.configs.len());
    for (name, value) in &create.configs {
        writer.string(name);
        writer.string(value);
    }
}

pub(crate) fn write_resource(writer: &mut Writer, resource: &ConfigResource) {
    match resource {
        ConfigResource::Topic(topic) => {
            writer.u8(0);
            writer.u128(topic.0);
        }
        ConfigResource::Broker(broker) => {
            writer.u8(1);
            writer.zigzag(i64::from(broker.0));
        }
        ConfigResource::Cluster => writer.u8(2),
        ConfigResource::Group(group) => {
            writer.u8(3);
            writer.string(group);
        }
        ConfigResource::ClientMetrics(name) => {
            writer.u8(4);
            writer.string(name);
        }
    }
}

fn write_commit(writer: &mut Writer, record: &Record, commit: &Commit) {
    writer.u8(u8::from(commit.in_log));
    writer.zigzag(record.epoch.0.wrapping_sub(commit.object.epoch.0) as i64);
    writer.varint(commit.object.number);
    writer.varint(u64::from(commit.bytes));
    writer.count(commit.parts.len());
    let mut before = Before::new(record.time_ms, commit.is_transactional());
    for part in &commit.parts {
        write_part(writer, &mut before, part);
    }
    assert!(before.end <= commit.bytes, "parts end at {} of {} bytes", before.end, commit.bytes);
}

fn write_part(writer: &mut Writer, before: &mut Before, part: &CommitPart) {
    let TopicPartition { topic, partition } = part.partition;
    let is_same_topic = before.partition.is_some_and(|before| before.topic == topic);
    let expected_partition = before.expected_partition(is_same_topic);
    let gap = part.position.checked_sub(before.end);
    let gap = gap.unwrap_or_else(|| panic!("{:?} at {} before {}", part.partition, part.position, before.end));
    let bit = |bit, is_set| if is_set { bit } else { 0 };
    writer.u8(bit(part_bit::SAME_TOPIC, is_same_topic)
        | bit(part_bit::NEXT_PARTITION, partition == expected_partition)
        | bit(part_bit::ADJACENT, gap == 0)
        | bit(part_bit::ONE_RUN, part.runs.len() == 1));
    if !is_same_topic {
        writer.u128(topic.0);
    }
    if partition != expected_partition {
        writer.zigzag(i64::from(partition.wrapping_sub(expected_partition)));
    }
    if gap > 0 {
        writer.varint(u64::from(gap));
    }
    if part.runs.len() != 1 {
        writer.count(part.runs.len());
    }
    let runs_bytes: u64 = part.runs.iter().map(|run| write_run(writer, before, run)).sum();
    let end = u64::from(part.position) + runs_bytes;
    before.end = u32::try_from(end).unwrap_or_else(|_| panic!("{:?} ends at {end}", part.partition));
    before.partition = Some(part.partition);
}

/// Returns the run's bytes.
fn write_run(writer: &mut Writer, before: &mut Before, run: &Run) -> u64 {
    assert!(run.records > 0, "a run without records: {run:?}");
    writer.varint(u64::from(run.bytes) << before.kind_bits | kind_of(run));
    writer.varint(u64::from(run.records) - 1);
    writer.zigzag(run.max_timestamp.wrapping_sub(before.max_timestamp));
    before.max_timestamp = run.max_timestamp;
    if let Some(producer) = run.producer {
        writer.zigzag(producer.id.wrapping_sub(before.producer_id));
        writer.zigzag(i64::from(producer.epoch.wrapping_sub(before.producer_epoch)));
        writer.zigzag(i64::from(producer.first_sequence.wrapping_sub(before.next_sequence)));
        before.pass_producer(producer, run.records);
    }
    u64::from(run.bytes)
}

fn kind_of(run: &Run) -> u64 {
    match run.producer.map(|producer| producer.transactional) {
        None => run_kind::PLAIN,
        Some(None) => run_kind::IDEMPOTENT,
        Some(Some(Joining::Explicit)) => run_kind::EXPLICIT,
        Some(Some(Joining::Implicit)) => run_kind::IMPLICIT,
    }
}
