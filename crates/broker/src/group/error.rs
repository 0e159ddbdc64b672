//! Why a group does not do what it was asked for. `error_code` gives each its Kafka code.

use frazil_log::ProposeError;
use frazil_meta::state::Refusal;

/// An error of group membership, or of a group's offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub(crate) enum GroupError {
    /// Another broker keeps the group, or this one has just lost it.
    #[error("another broker coordinates the group")]
    NotCoordinator,
    /// The record may or may not have been written; asking again will tell.
    #[error("the coordinator cannot write to the metadata log now")]
    CoordinatorNotAvailable,
    #[error("the group id is empty")]
    InvalidGroupId,
    #[error("the session timeout is outside of what the broker allows")]
    InvalidSessionTimeout,
    #[error("the group has no such member")]
    UnknownMember,
    #[error("a new member has to join with the id it was given")]
    MemberIdRequired,
    #[error("the generation is not the group's")]
    IllegalGeneration,
    #[error("the group rebalances")]
    RebalanceInProgress,
    #[error("the protocols do not fit the group's")]
    InconsistentGroupProtocol,
    #[error("another member has taken the instance id over")]
    FencedInstanceId,
    #[error("the group is full")]
    GroupMaxSizeReached,
    #[error("the group does not exist")]
    GroupIdNotFound,
    #[error("the group has members")]
    NonEmptyGroup,
    /// A member of the consumer protocol is behind its group (KIP-848).
    #[error("the member epoch is not the member's")]
    StaleMemberEpoch,
    #[error("the assignment does not fit into a record")]
    AssignmentTooLarge,
    /// The producer of a transactional commit was fenced.
    #[error("a newer producer of the transactional id has taken over")]
    StaleProducerEpoch,
    #[error("the producer id does not belong to the transactional id")]
    InvalidProducerIdMapping,
    #[error("no transaction is open that the offsets could belong to")]
    InvalidTxnState,
}

impl GroupError {
    /// Of a group's record that the state refused.
    pub fn of_refusal(refusal: Refusal) -> GroupError {
        match refusal {
            Refusal::NotCoordinator | Refusal::ClosedEpoch => GroupError::NotCoordinator,
            Refusal::UnknownGroup => GroupError::GroupIdNotFound,
            Refusal::NonEmptyGroup => GroupError::NonEmptyGroup,
            Refusal::UnknownMember => GroupError::UnknownMember,
            Refusal::StaleMemberEpoch => GroupError::StaleMemberEpoch,
            Refusal::InvalidProducerIdMapping => GroupError::InvalidProducerIdMapping,
            Refusal::StaleProducerEpoch => GroupError::StaleProducerEpoch,
            Refusal::InvalidTxnState => GroupError::InvalidTxnState,
            // The memory was behind the log; asking again finds it where the log is.
            Refusal::StaleGeneration | Refusal::GroupKind | Refusal::ConcurrentTransactions => {
                GroupError::CoordinatorNotAvailable
            }
            Refusal::Repeated | Refusal::TopicExists | Refusal::UnknownTopic | Refusal::InvalidPartitions => {
                GroupError::CoordinatorNotAvailable
            }
        }
    }

    /// Of a commit that the state refused although its member was checked: something has overtaken it.
    pub fn of_commit_refusal(refusal: Refusal) -> GroupError {
        match refusal {
            Refusal::StaleGeneration => GroupError::IllegalGeneration,
            Refusal::NonEmptyGroup | Refusal::UnknownGroup | Refusal::GroupKind => GroupError::UnknownMember,
            other => GroupError::of_refusal(other),
        }
    }

    /// Of a record that was not written.
    pub fn of_proposal(error: &ProposeError) -> GroupError {
        match error {
            ProposeError::Fenced { .. } => GroupError::NotCoordinator,
            ProposeError::NotDone { .. } | ProposeError::Unknown { .. } => GroupError::CoordinatorNotAvailable,
        }
    }
}
