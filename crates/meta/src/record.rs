//! The records of the metadata log: what brokers tell each other. Declared in one place, encoded by hand, versioned.
//!
//! Everything the state machine needs travels inside the record: time, ids, who wrote it. `number` is the idempotency
//! key: it grows with every record of one registration, and `apply` ignores a record whose number it has seen, so a
//! record may be appended again after a lost answer.

mod access;
mod decode;
mod encode;
mod groups;
#[cfg(test)]
pub(crate) mod tests;
mod transactions;

pub use crate::codec::DecodeError;
pub use access::{QuotaEntity, ScramCredential};
pub(crate) use decode::coordinated as read;
pub(crate) use decode::{read_list, read_resource};
pub(crate) use encode::coordinated as write;
pub(crate) use encode::write_resource;
pub use groups::{
    Assignment, ClassicMember, ClassicProtocols, ConsumerGroupUpdate, ConsumerMember, GroupCommit, GroupFence,
    GroupGeneration, MemberState, OffsetCommit, TxnFence,
};
pub use transactions::{AddToTransaction, EndReason, EndTransaction, InitTransactions, Joining};

use frazil_base::{BrokerId, Epoch, ObjectId, Seq, TopicId, TopicPartition};

/// Version of the encoding. Commands get new tags and their fields never change; only another envelope needs another
/// version.
pub(crate) const RECORD_VERSION: u8 = 1;

/// One record: an envelope and a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Registration of the broker that wrote it; 0 only for `RegisterBroker`.
    pub epoch: Epoch,
    /// Counts the broker's records from 1, ascending, perhaps with gaps; 0 only for `RegisterBroker`.
    pub number: u64,
    /// The writer's wall clock, milliseconds since 1970.
    pub time_ms: i64,
    /// What is to happen.
    pub command: Command,
}

/// What a record does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A broker joins; its epoch is the record's sequence number. Closes earlier registrations of the same broker id,
    /// and all registrations when `exclusive`.
    RegisterBroker(RegisterBroker),
    /// A registration ends (the broker left, or its lease ran out). Its later records are refused.
    CloseBroker {
        /// The registration that ends.
        epoch: Epoch,
    },
    /// Behaviour up to this level may be used from here on. Never goes down.
    FeatureLevel {
        /// The level.
        level: u16,
    },
    /// A topic is created with its partitions.
    CreateTopic(CreateTopic),
    /// A topic and its data are deleted.
    DeleteTopic {
        /// The topic.
        topic: TopicId,
    },
    /// A topic gets more partitions.
    CreatePartitions {
        /// The topic.
        topic: TopicId,
        /// Partitions in all, afterwards.
        total: i32,
    },
    /// Settings of a topic, a broker or the cluster change.
    AlterConfigs {
        /// Whose.
        resource: ConfigResource,
        /// Forget all settings first (Kafka's AlterConfigs) or keep the others (IncrementalAlterConfigs).
        replace: bool,
        /// Name and new value; `None` takes the setting back to its default. Validated by the broker.
        changes: Vec<(String, Option<String>)>,
    },
    /// Sets a block of producer ids apart for the writing broker.
    AllocateProducerIds {
        /// How many.
        count: u32,
    },
    /// A segment's bytes belong to these partitions.
    Commit(Commit),
    /// Bodies that were dead have been deleted from the store; forget them.
    ForgetObjects {
        /// Which.
        objects: Vec<ObjectId>,
    },
    /// What the writer's state was: every broker compares its own, and stops if that is another one.
    CompareState {
        /// After this record.
        seq: Seq,
        /// The state's hash.
        hash: u64,
    },
    /// Earlier offsets of a partition are no longer readable.
    MoveLogStart {
        /// Partition and its new first offset.
        starts: Vec<(TopicPartition, i64)>,
    },
    /// A classic group finished a rebalance, replaced a static member, or became empty.
    GroupGeneration(GroupGeneration),
    /// A group of the consumer protocol changed.
    ConsumerGroup(ConsumerGroupUpdate),
    /// Groups without members are deleted, with their offsets.
    DeleteGroups {
        /// Their ids.
        groups: Vec<String>,
    },
    /// Offsets are committed: those of many members and groups in one record.
    CommitOffsets {
        /// Each is accepted or refused for itself.
        commits: Vec<GroupCommit>,
    },
    /// Committed offsets are deleted, or have expired.
    DeleteOffsets {
        /// The group's id.
        group: String,
        /// Of which partitions.
        partitions: Vec<TopicPartition>,
    },
    /// A producer takes a transactional id over.
    InitTransactions(InitTransactions),
    /// Partitions and groups join a transaction.
    AddToTransaction(AddToTransaction),
    /// A transaction ends.
    EndTransaction(EndTransaction),
    /// Quotas change.
    AlterQuotas {
        /// Whose.
        entity: QuotaEntity,
        /// Name and new value, the bits of an IEEE 754 double; `None` removes it.
        changes: Vec<(String, Option<u64>)>,
    },
    /// A user's credential for one mechanism is set or removed.
    AlterScramUser {
        /// The user.
        user: String,
        /// Kafka's number of the mechanism: 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
        mechanism: u8,
        /// `None` removes it.
        credential: Option<ScramCredential>,
    },
}

/// A broker's registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterBroker {
    /// Kafka's node id.
    pub broker: BrokerId,
    /// Random; tells two attempts of one start from two starts.
    pub incarnation: u128,
    /// Where clients reach it.
    pub host: String,
    /// Where clients reach it.
    pub port: u16,
    /// Zone, Kafka's `rack`.
    pub zone: Option<String>,
    /// Whether it is the only broker of this log.
    pub exclusive: bool,
}

/// A topic's creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTopic {
    /// Its id, chosen at random by the writer.
    pub topic: TopicId,
    /// Its name, valid.
    pub name: String,
    /// Number of partitions.
    pub partitions: i32,
    /// What the client asked for; shown to tools, without effect.
    pub replication_factor: i16,
    /// Settings that differ from the defaults. Validated by the broker.
    pub configs: Vec<(String, String)>,
}

/// Whose settings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigResource {
    /// A topic's.
    Topic(TopicId),
    /// One broker's.
    Broker(BrokerId),
    /// All brokers' (Kafka's cluster-wide default).
    Cluster,
    /// A group's.
    Group(String),
    /// A subscription to clients' metrics (KIP-714).
    ClientMetrics(String),
}

/// A segment's commit. Its parts ascend in the segment, do not overlap, and end within it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Name of the segment.
    pub object: ObjectId,
    /// Whether the bytes stand in this log entry's body, else in an object of their own.
    pub in_log: bool,
    /// Length of the whole segment.
    pub bytes: u32,
    /// Per partition, in the segment's order.
    pub parts: Vec<CommitPart>,
}

impl Commit {
    /// Whether any of its runs belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        let runs = self.parts.iter().flat_map(|part| &part.runs);
        runs.filter_map(|run| run.producer).any(|producer| producer.transactional.is_some())
    }
}

/// What a segment holds of one partition: one contiguous byte range of whole batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitPart {
    /// Whose.
    pub partition: TopicPartition,
    /// Where the range starts in the segment.
    pub position: u32,
    /// Runs of batches, in order; their lengths add up to the range.
    pub runs: Vec<Run>,
}

/// Batches that are accepted or rejected together: one batch of an idempotent producer, or neighbouring plain batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Bytes.
    pub bytes: u32,
    /// Offsets it takes (sum of `lastOffsetDelta + 1`); at least 1.
    pub records: u32,
    /// Greatest timestamp in it; -1 if none.
    pub max_timestamp: i64,
    /// Set when the run is one batch of an idempotent producer.
    pub producer: Option<BatchProducer>,
}

/// Producer fields of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchProducer {
    /// Producer id.
    pub id: i64,
    /// Producer epoch.
    pub epoch: i16,
    /// Sequence of its first record; the last one is this plus records - 1, wrapping past `i32::MAX` to 0.
    pub first_sequence: i32,
    /// Set when the batch belongs to a transaction: how it joins it.
    pub transactional: Option<Joining>,
}
