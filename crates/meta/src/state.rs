//! The pure state machine. (Being written.)


use frazil_base::{Epoch, ObjectId, Seq};


/// Where a segment's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BodyId {
    /// In the body of this log entry.
    Log(Seq),
    /// In an object of its own.
    Object(ObjectId),
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

/// What applying a record did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it says.
    Done,
    /// The broker's registration; its epoch.
    Registered(Epoch),
    /// First of the producer ids set apart.
    ProducerIds { 
        /// First id.
        first: i64 
    },
    /// A commit; per part and run what became of it, in the record's order.
    Committed(Vec<Vec<RunOutcome>>),
    /// Nothing changed.
    Refused(Refusal),
}

/// Why a record changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The registration that wrote it is closed or unknown.
    ClosedEpoch,
    /// A record of this number was applied already.
    Repeated,
    /// A topic of this name exists.
    TopicExists,
    /// No such topic.
    UnknownTopic,
    /// A topic cannot lose partitions, nor get the number it has.
    InvalidPartitions,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunOutcome {
    /// Its first record has this offset.
    Accepted { 
        /// First offset.
        base_offset: i64 
    },
    /// Stored before: its first record has this offset. -1 if that is no longer remembered.
    Duplicate { 
        /// First offset.
        base_offset: i64 
    },
    /// The partition does not exist (any more).
    UnknownPartition,
    /// A sequence is missing before it.
    OutOfOrderSequence,
    /// A newer epoch of the producer has written.
    StaleProducerEpoch,
}
