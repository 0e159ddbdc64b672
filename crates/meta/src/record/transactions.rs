//! Records of transactions: who may produce under a transactional id, what belongs to its transaction, how it ended.
//!
//! A transaction is named by the sequence number of the record that opened it. An end that names it never touches a
//! later one, whatever the epochs say.

use frazil_base::{Seq, TopicPartition};

/// How a batch comes to belong to its producer's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joining {
    /// Its partition must have been added before (`AddPartitionsToTxn`).
    Explicit,
    /// It adds its partition, and opens the transaction if none is open (KIP-890, Produce from version 12 on).
    Implicit,
}

/// A producer takes a transactional id over (`InitProducerId`).
///
/// Aborts an open transaction in the same step, and raises the epoch; a fresh producer id comes from the state when the
/// transactional id is new or its epochs are exhausted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitTransactions {
    /// The transactional id.
    pub transactional_id: String,
    /// How long its transactions may stay open, milliseconds.
    pub timeout_ms: i32,
    /// Producer id and epoch of a producer that wants to go on (KIP-360). They must be the current ones, or the last
    /// ones: then the answer of the first attempt was lost, and the current ones are answered.
    pub expected: Option<(i64, i16)>,
}

/// Partitions and groups join the transaction, which is opened if need be (`AddPartitionsToTxn`, `AddOffsetsToTxn`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddToTransaction {
    /// The transactional id.
    pub transactional_id: String,
    /// Its producer id.
    pub producer_id: i64,
    /// Its producer epoch.
    pub epoch: i16,
    /// Partitions to be written to. Those that do not exist are passed over.
    pub partitions: Vec<TopicPartition>,
    /// Groups for which offsets are to be committed.
    pub groups: Vec<String>,
}

/// A transaction ends, on all its partitions and groups at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndTransaction {
    /// The transactional id.
    pub transactional_id: String,
    /// Its producer id.
    pub producer_id: i64,
    /// Its producer epoch.
    pub epoch: i16,
    /// Committed, or aborted. Only a client commits.
    pub commit: bool,
    /// Who ends it.
    pub reason: EndReason,
    /// The record that opened the transaction which is meant; `None`: whichever is open under this id and epoch.
    /// A client of the old protocol keeps its epoch, so its coordinator names what was open when it asked.
    pub started: Option<Seq>,
}

/// Who ends a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Its producer.
    Client {
        /// Whether the epoch is raised (KIP-890, EndTxn from version 5 on).
        bump: bool,
    },
    /// Its coordinator, because it was open for too long. Raises the epoch, so that its producer is fenced.
    Timeout,
    /// An administrator. Raises the epoch. May be written by any broker.
    Admin,
}
