//! From what went wrong inside to Kafka's error codes. The only place that chooses codes for errors of other crates;
//! every match is exhaustive, so a new error cannot go out unnoticed.

use crate::group::GroupError;
use crate::group::consumer::{HeartbeatError, HeartbeatRefused, InvalidHeartbeat};
use frazil_log::{FetchError, ProduceError, ProposeError};
use frazil_meta::state::Refusal;
use frazil_wire::batch::BatchError;
use frazil_wire::record::RecordError;
use kafka_protocol::error::ResponseError;

/// Of a batch that was not stored. Outages are retriable; if the batch may have been stored, the code says so, and an
/// idempotent producer's retry finds it.
pub(crate) fn of_produce(error: &ProduceError) -> ResponseError {
    match error {
        ProduceError::UnknownPartition => ResponseError::UnknownTopicOrPartition,
        ProduceError::OutOfOrderSequence => ResponseError::OutOfOrderSequenceNumber,
        ProduceError::StaleProducerEpoch => ResponseError::InvalidProducerEpoch,
        ProduceError::InvalidTxnState => ResponseError::InvalidTxnState,
        ProduceError::InvalidProducerIdMapping => ResponseError::InvalidProducerIdMapping,
        ProduceError::DuplicateForgotten => ResponseError::DuplicateSequenceNumber,
        ProduceError::Fenced { .. } => ResponseError::NotLeaderOrFollower,
        ProduceError::Storage { outcome_known: true, .. } => ResponseError::KafkaStorageError,
        ProduceError::Storage { outcome_known: false, .. } => ResponseError::NotEnoughReplicasAfterAppend,
    }
}

/// Of a partition that could not be read.
pub(crate) fn of_fetch(error: &FetchError) -> ResponseError {
    match error {
        FetchError::OffsetOutOfRange => ResponseError::OffsetOutOfRange,
        FetchError::UnknownPartition => ResponseError::UnknownTopicOrPartition,
        FetchError::Storage { .. } => ResponseError::KafkaStorageError,
    }
}

/// Of a change to the metadata that was not made.
pub(crate) fn of_propose(error: &ProposeError) -> ResponseError {
    match error {
        ProposeError::Fenced { .. } => ResponseError::NotController,
        ProposeError::NotDone { .. } => ResponseError::KafkaStorageError,
        ProposeError::Unknown { .. } => ResponseError::RequestTimedOut,
    }
}

/// Of a coordinator's record that was not written: clients look for the coordinator and try again.
pub(crate) fn of_coordination(error: &ProposeError) -> ResponseError {
    match error {
        ProposeError::Fenced { .. } => ResponseError::NotCoordinator,
        ProposeError::NotDone { .. } | ProposeError::Unknown { .. } => ResponseError::CoordinatorNotAvailable,
    }
}

/// Of a change to the metadata that the state refused.
pub(crate) fn of_refusal(refusal: Refusal) -> ResponseError {
    match refusal {
        Refusal::ClosedEpoch => ResponseError::NotController,
        Refusal::Repeated => ResponseError::RequestTimedOut,
        Refusal::TopicExists => ResponseError::TopicAlreadyExists,
        Refusal::UnknownTopic => ResponseError::UnknownTopicOrPartition,
        Refusal::InvalidPartitions => ResponseError::InvalidPartitions,
        Refusal::NotCoordinator => ResponseError::NotCoordinator,
        Refusal::UnknownGroup => ResponseError::GroupIdNotFound,
        Refusal::NonEmptyGroup => ResponseError::NonEmptyGroup,
        Refusal::GroupKind => ResponseError::InconsistentGroupProtocol,
        Refusal::StaleGeneration => ResponseError::IllegalGeneration,
        Refusal::StaleMemberEpoch => ResponseError::StaleMemberEpoch,
        Refusal::UnknownMember => ResponseError::UnknownMemberId,
        Refusal::InvalidProducerIdMapping => ResponseError::InvalidProducerIdMapping,
        Refusal::StaleProducerEpoch => ResponseError::ProducerFenced,
        Refusal::InvalidTxnState => ResponseError::InvalidTxnState,
        Refusal::ConcurrentTransactions => ResponseError::ConcurrentTransactions,
    }
}

/// Of a group that does not do what it was asked for.
pub(crate) fn of_group(error: GroupError) -> ResponseError {
    match error {
        GroupError::NotCoordinator => ResponseError::NotCoordinator,
        GroupError::CoordinatorNotAvailable => ResponseError::CoordinatorNotAvailable,
        GroupError::InvalidGroupId => ResponseError::InvalidGroupId,
        GroupError::InvalidSessionTimeout => ResponseError::InvalidSessionTimeout,
        GroupError::UnknownMember => ResponseError::UnknownMemberId,
        GroupError::MemberIdRequired => ResponseError::MemberIdRequired,
        GroupError::IllegalGeneration => ResponseError::IllegalGeneration,
        GroupError::RebalanceInProgress => ResponseError::RebalanceInProgress,
        GroupError::InconsistentGroupProtocol => ResponseError::InconsistentGroupProtocol,
        GroupError::FencedInstanceId => ResponseError::FencedInstanceId,
        GroupError::GroupMaxSizeReached => ResponseError::GroupMaxSizeReached,
        GroupError::GroupIdNotFound => ResponseError::GroupIdNotFound,
        GroupError::NonEmptyGroup => ResponseError::NonEmptyGroup,
        GroupError::StaleMemberEpoch => ResponseError::StaleMemberEpoch,
        GroupError::AssignmentTooLarge => ResponseError::UnknownServerError,
        GroupError::StaleProducerEpoch => ResponseError::InvalidProducerEpoch,
        GroupError::InvalidProducerIdMapping => ResponseError::InvalidProducerIdMapping,
        GroupError::InvalidTxnState => ResponseError::InvalidTxnState,
    }
}

/// Of a heartbeat or a description of a group of the consumer protocol.
pub(crate) fn of_consumer_group(refused: &HeartbeatRefused) -> ResponseError {
    match refused {
        HeartbeatRefused::Invalid(InvalidHeartbeat::Request(_)) => ResponseError::InvalidRequest,
        HeartbeatRefused::Invalid(InvalidHeartbeat::Assignor { .. }) => ResponseError::UnsupportedAssignor,
        HeartbeatRefused::Member(error) => of_heartbeat(error),
        HeartbeatRefused::Upgrade(_) | HeartbeatRefused::UnknownGroup(_) | HeartbeatRefused::NotOfThisProtocol(_) => {
            ResponseError::GroupIdNotFound
        }
        HeartbeatRefused::Group(error) => of_group(*error),
    }
}

fn of_heartbeat(error: &HeartbeatError) -> ResponseError {
    match error {
        HeartbeatError::GroupFull { .. } => ResponseError::GroupMaxSizeReached,
        HeartbeatError::UnknownMember { .. } | HeartbeatError::UnknownInstance { .. } => ResponseError::UnknownMemberId,
        HeartbeatError::FencedEpoch { .. } => ResponseError::FencedMemberEpoch,
        HeartbeatError::FencedInstance { .. } => ResponseError::FencedInstanceId,
        HeartbeatError::UnreleasedInstance { .. } => ResponseError::UnreleasedInstanceId,
        HeartbeatError::InvalidExpression { .. } => ResponseError::InvalidRegularExpression,
    }
}

/// Of a batch that may not be produced.
pub(crate) fn of_batch(error: &BatchError) -> ResponseError {
    match error {
        // Kafka looks for whole batches first, and misses one.
        BatchError::Length { claimed, present } if *claimed > *present as i64 => ResponseError::InvalidRecord,
        BatchError::Length { .. } | BatchError::Crc { .. } => ResponseError::CorruptMessage,
        // Older formats are known and not taken.
        BatchError::Magic(0 | 1) => ResponseError::InvalidRecord,
        BatchError::Magic(_) => ResponseError::CorruptMessage,
        BatchError::TooLarge { .. } => ResponseError::MessageTooLarge,
        BatchError::UnknownCompression(_) | BatchError::CompressionNotAllowed(_) => {
            ResponseError::UnsupportedCompressionType
        }
        BatchError::Truncated(_)
        | BatchError::Trailing(_)
        | BatchError::BaseOffset(_)
        | BatchError::Counts { .. }
        | BatchError::Control
        | BatchError::Producer { .. } => ResponseError::InvalidRecord,
    }
}

/// Of a batch whose records were looked at.
pub(crate) fn of_record(error: &RecordError) -> ResponseError {
    match error {
        RecordError::Batch(error) => of_batch(error),
        RecordError::Decompress(_) => ResponseError::CorruptMessage,
        RecordError::Malformed { .. } | RecordError::Count { .. } | RecordError::OffsetDelta { .. } => {
            ResponseError::InvalidRecord
        }
    }
}
