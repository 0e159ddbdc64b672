//! A ConsumerGroupHeartbeat, checked, and what comes back (KIP-848).

use super::assignor::Assignor;
use super::migration::UpgradeError;
use super::subscription::PatternError;
use super::{Assignment, ConsumerMember};
use crate::group::GroupError;

/// Epoch with which a member joins.
pub(crate) const JOIN_EPOCH: i32 = 0;
/// Epoch with which a member leaves.
pub(crate) const LEAVE_EPOCH: i32 = -1;
/// Epoch with which a static member leaves and promises to come back.
pub(crate) const STATIC_LEAVE_EPOCH: i32 = -2;

/// A heartbeat. `None` means "as before".
#[derive(Clone, Debug, Default)]
pub(crate) struct Heartbeat {
    pub member_id: String,
    pub member_epoch: i32,
    pub instance_id: Option<String>,
    pub rack: Option<String>,
    pub rebalance_timeout_ms: Option<i32>,
    pub topics: Option<Vec<String>>,
    /// An empty expression takes the one before back.
    pub regex: Option<String>,
    pub server_assignor: Option<String>,
    /// The partitions that the client has at this moment.
    pub owned: Option<Assignment>,
    pub client_id: String,
    pub client_host: String,
}

impl Heartbeat {
    /// Whether it says everything, as a client does that joins or is unsure what the coordinator knows.
    pub fn is_full(&self) -> bool {
        let subscribes = self.topics.is_some() || self.regex.is_some();
        self.rebalance_timeout_ms.is_some() && subscribes && self.owned.is_some()
    }

    /// Whether the member leaves, for good or for a while.
    pub fn leaves(&self) -> bool {
        matches!(self.member_epoch, LEAVE_EPOCH | STATIC_LEAVE_EPOCH)
    }

    /// The member with what this heartbeat says of it. Whoever sends one speaks the consumer protocol from here on.
    pub fn applied_to(&self, member: &ConsumerMember) -> ConsumerMember {
        let or = |new: &Option<String>, old: &Option<String>| new.clone().or_else(|| old.clone());
        let mut topics = self.topics.clone().unwrap_or_else(|| member.topics.clone());
        topics.sort_unstable();
        topics.dedup();
        ConsumerMember {
            instance_id: or(&self.instance_id, &member.instance_id),
            rack: or(&self.rack, &member.rack),
            rebalance_timeout_ms: self.rebalance_timeout_ms.unwrap_or(member.rebalance_timeout_ms),
            topics,
            regex: or(&self.regex, &member.regex).filter(|expression| !expression.is_empty()),
            server_assignor: or(&self.server_assignor, &member.server_assignor),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            classic: None,
            ..member.clone()
        }
    }

    /// What a request must have, whatever the group. `has_member_id` is off for the version that let the coordinator
    /// choose it.
    pub fn check(&self, group: &str, needs_member_id: bool, assignors: &[Assignor]) -> Result<(), InvalidHeartbeat> {
        let refuse = |message: &str| Err(InvalidHeartbeat::Request(message.to_owned()));
        let is_blank = |text: &Option<String>| text.as_ref().is_some_and(|text| text.trim().is_empty());
        if (needs_member_id || self.member_epoch != JOIN_EPOCH) && self.member_id.trim().is_empty() {
            return refuse("MemberId can't be empty.");
        }
        if group.trim().is_empty() {
            return refuse("GroupId can't be empty.");
        }
        if is_blank(&self.instance_id) {
            return refuse("InstanceId can't be empty.");
        }
        if is_blank(&self.rack) {
            return refuse("RackId can't be empty.");
        }
        match self.member_epoch {
            JOIN_EPOCH => self.check_joining()?,
            STATIC_LEAVE_EPOCH if self.instance_id.is_none() => return refuse("InstanceId can't be null."),
            epoch if epoch < STATIC_LEAVE_EPOCH => {
                return refuse(&format!("MemberEpoch is {epoch}, but must be >= -2."));
            }
            _ => {}
        }
        self.check_assignor(assignors)
    }

    fn check_joining(&self) -> Result<(), InvalidHeartbeat> {
        let refuse = |message: &str| Err(InvalidHeartbeat::Request(message.to_owned()));
        if self.rebalance_timeout_ms.is_none() {
            return refuse("RebalanceTimeoutMs must be provided in first request.");
        }
        if self.owned.as_ref().is_none_or(|owned| !owned.is_empty()) {
            return refuse("TopicPartitions must be empty when (re-)joining.");
        }
        // A member may be subscribed to nothing, as long as it says so.
        if self.topics.is_none() && self.regex.is_none() {
            return refuse("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.");
        }
        Ok(())
    }

    fn check_assignor(&self, assignors: &[Assignor]) -> Result<(), InvalidHeartbeat> {
        let Some(wanted) = &self.server_assignor else { return Ok(()) };
        let names = || assignors.iter().map(|assignor| assignor.name());
        if names().any(|name| name == wanted) {
            return Ok(());
        }
        let supported = names().collect::<Vec<_>>().join(", ");
        Err(InvalidHeartbeat::Assignor { wanted: wanted.clone(), supported })
    }
}

/// What came of a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub member_id: String,
    pub member_epoch: i32,
    /// `None`: as told before.
    pub assignment: Option<Assignment>,
    /// Whether the member took a step towards its target, which ends or starts the time it has to give partitions up.
    pub has_moved: bool,
}

/// Why a heartbeat is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidHeartbeat {
    #[error("{0}")]
    Request(String),
    #[error("ServerAssignor {wanted} is not supported. Supported assignors: {supported}.")]
    Assignor { wanted: String, supported: String },
}

/// Why a heartbeat is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeartbeatError {
    #[error("The consumer group has reached its maximum capacity of {most} members.")]
    GroupFull { most: usize },
    #[error("Member {member} is not a member of group {group}.")]
    UnknownMember { member: String, group: String },
    #[error("Instance id {instance} is unknown.")]
    UnknownInstance { instance: String },
    #[error("The consumer group member has a {} member epoch ({received}) than the one known by the group coordinator \
             ({known}). The member must abandon all its partitions and rejoin.",
            if received > known { "greater" } else { "smaller" })]
    FencedEpoch { received: i32, known: i32 },
    #[error("Static member {member} with instance id {instance} was fenced by member {holder}.")]
    FencedInstance { member: String, instance: String, holder: String },
    #[error(
        "Static member {member} with instance id {instance} cannot join the group because the instance id is owned \
             by {holder} member."
    )]
    UnreleasedInstance { member: String, instance: String, holder: String },
    #[error("SubscribedTopicRegex `{expression}` is not a valid regular expression: {cause}.")]
    InvalidExpression { expression: String, cause: PatternError },
}

/// Why a heartbeat is answered with an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeartbeatRefused {
    #[error(transparent)]
    Invalid(#[from] InvalidHeartbeat),
    #[error(transparent)]
    Member(#[from] HeartbeatError),
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
    #[error("Consumer group {0} not found.")]
    UnknownGroup(String),
    #[error("Group {0} is not a consumer group.")]
    NotOfThisProtocol(String),
    #[error(transparent)]
    Group(#[from] GroupError),
}
