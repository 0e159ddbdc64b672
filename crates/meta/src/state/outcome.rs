//! What applying a record did.

use super::State;
use frazil_base::{Epoch, TopicPartition};

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
        first: i64,
    },
    /// A commit; per part and run what became of it, in the record's order.
    Committed(Vec<Vec<RunOutcome>>),
    /// Groups were deleted or offsets committed; per group or commit, in the record's order.
    PerItem(Vec<Result<(), Refusal>>),
    /// A transactional id was taken over: what its producer uses from now on.
    Producer {
        /// Producer id.
        id: i64,
        /// Producer epoch.
        epoch: i16,
        /// Partitions of the transaction that was open and is aborted now.
        aborted: Vec<TopicPartition>,
    },
    /// A transaction ended, now or (the record is a retry) before: what its producer uses from now on.
    TransactionEnded {
        /// Producer id.
        producer_id: i64,
        /// Producer epoch.
        epoch: i16,
        /// Partitions that got a marker; none if it had ended before.
        partitions: Vec<TopicPartition>,
    },
    /// Nothing changed.
    Refused(Refusal),
}

/// Why a record, or an item of it, changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The registration that wrote it is closed or unknown, or the object it commits was written under another one.
    ClosedEpoch,
    /// A record of this number was applied already, or this object was committed already.
    Repeated,
    /// A topic of this name (or id) exists.
    TopicExists,
    /// No such topic.
    UnknownTopic,
    /// A topic cannot lose partitions, nor get the number it has, nor none, nor more than the limit.
    InvalidPartitions,
    /// Another broker coordinates the group or the transactional id, at this point of the log.
    NotCoordinator,
    /// No such group.
    UnknownGroup,
    /// The group has members, or offsets of an open transaction.
    NonEmptyGroup,
    /// The member belongs to the other group protocol.
    GroupKind,
    /// The group is at another generation, or at a later epoch.
    StaleGeneration,
    /// The member is at another epoch.
    StaleMemberEpoch,
    /// The group has no such member.
    UnknownMember,
    /// The transactional id is not known, or has another producer id.
    InvalidProducerIdMapping,
    /// The transactional id has another producer epoch: its producer is fenced.
    StaleProducerEpoch,
    /// There is no such transaction, or it ended otherwise.
    InvalidTxnState,
    /// Its producer ends another transaction than the one that is open: the writer's view was old. It may try again.
    ConcurrentTransactions,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunOutcome {
    /// Its first record has this offset.
    Accepted {
        /// First offset.
        base_offset: i64,
    },
    /// Stored before: its first record has this offset. -1 if that is no longer remembered.
    Duplicate {
        /// First offset.
        base_offset: i64,
    },
    /// The partition does not exist (any more).
    UnknownPartition,
    /// A sequence is missing before it.
    OutOfOrderSequence,
    /// A newer epoch of the producer has written, or its transactional id has another one.
    StaleProducerEpoch,
    /// It belongs to no open transaction of its partition, or to none although one is open there.
    InvalidTxnState,
    /// It is transactional and its producer id belongs to no transactional id.
    InvalidProducerIdMapping,
}

pub(super) fn done(result: Result<(), Refusal>) -> Outcome {
    result.map_or_else(Outcome::Refused, |()| Outcome::Done)
}

impl State {
    /// Applies each item by itself.
    pub(super) fn per_item<T>(
        &mut self,
        items: &[T],
        mut apply: impl FnMut(&mut State, &T) -> Result<(), Refusal>,
    ) -> Outcome {
        Outcome::PerItem(items.iter().map(|item| apply(self, item)).collect())
    }
}
