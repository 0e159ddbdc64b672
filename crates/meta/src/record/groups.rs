//! Records of groups: finished rebalances, members, committed offsets.
//!
//! Heartbeats and unfinished rebalances are their coordinator's business and stand in no record.

use bytes::Bytes;
use frazil_base::{Seq, TopicId, TopicPartition};
use std::collections::BTreeMap;

/// A classic group as a rebalance left it, after a static member was replaced (same generation), or empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupGeneration {
    /// The group's id.
    pub group: String,
    /// Counts the rebalances.
    pub generation: i32,
    /// What the members do together: `consumer`, `connect`, `sr`, …
    pub protocol_type: String,
    /// The protocol (assignor) that all members know and that was chosen.
    pub protocol: Option<String>,
    /// The member that assigns.
    pub leader: Option<String>,
    /// All members; none if the group is empty now.
    pub members: Vec<ClassicMember>,
    /// The last record that its coordinator had applied when it took the group over. If another coordinator has changed
    /// the group since, this record comes from what is past.
    pub seen: Seq,
}

/// A member of a classic group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicMember {
    /// Given by the coordinator.
    pub member_id: String,
    /// Kafka's `group.instance.id` (KIP-345).
    pub instance_id: Option<String>,
    /// As the client calls itself.
    pub client_id: String,
    /// Where it connected from.
    pub client_host: String,
    /// How long it may take to join again, milliseconds.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent, milliseconds.
    pub session_timeout_ms: i32,
    /// Protocols it knows, best first, with its opaque subscription for each.
    pub protocols: Vec<(String, Bytes)>,
    /// What the leader gave it, opaque.
    pub assignment: Bytes,
}

/// Partitions per topic, as a group's assignor deals them out.
pub type Assignment = BTreeMap<TopicId, Vec<i32>>;

/// Changes of a group of the consumer protocol (KIP-848).
///
/// Creates the group, or converts a classic or offsets-only group of the name; committed offsets stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupUpdate {
    /// The group's id.
    pub group: String,
    /// Grows when members, subscriptions or topics change.
    pub group_epoch: i32,
    /// The group epoch for which the targets were computed.
    pub target_epoch: i32,
    /// The server-side assignor in force.
    pub assignor: String,
    /// Members that are new or changed, whole.
    pub upserted: Vec<ConsumerMember>,
    /// Ids of members that are gone. Whoever is upserted too stays.
    pub removed: Vec<String>,
    /// As in [`GroupGeneration`].
    pub seen: Seq,
}

/// A member of a group of the consumer protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerMember {
    /// Chosen by the client, or by the coordinator for old ones.
    pub member_id: String,
    /// Kafka's `group.instance.id`.
    pub instance_id: Option<String>,
    /// Where it runs.
    pub rack: Option<String>,
    /// As the client calls itself.
    pub client_id: String,
    /// Where it connected from.
    pub client_host: String,
    /// How long it may take to give partitions up, milliseconds.
    pub rebalance_timeout_ms: i32,
    /// Topics it names.
    pub topics: Vec<String>,
    /// Topics it wants by a regular expression.
    pub regex: Option<String>,
    /// The assignor it prefers.
    pub server_assignor: Option<String>,
    /// Set for a member that speaks the classic protocol while its group is upgraded or downgraded.
    pub classic: Option<ClassicProtocols>,
    /// The epoch it has reached.
    pub member_epoch: i32,
    /// The epoch it had before; a heartbeat with it is a retry.
    pub previous_member_epoch: i32,
    /// How far its reconciliation is.
    pub state: MemberState,
    /// Partitions it owns or may take now.
    pub assigned: Assignment,
    /// Partitions it was told to give up and has not yet.
    pub revoking: Assignment,
    /// Partitions it shall own in the end.
    pub target: Assignment,
}

/// What a member of the classic protocol sent when it joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicProtocols {
    /// How long it may be silent, milliseconds.
    pub session_timeout_ms: i32,
    /// Protocols it knows, best first, with its opaque subscription for each.
    pub protocols: Vec<(String, Bytes)>,
}

/// How far a member's reconciliation is (KIP-848).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberState {
    /// It owns what it shall own.
    #[default]
    Stable,
    /// It must give up partitions first.
    Unrevoked,
    /// Others must give up partitions that it waits for.
    Unreleased,
}

/// Offsets that one member or tool commits for a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupCommit {
    /// The group's id. It is created if it does not exist and the fence allows that.
    pub group: String,
    /// As whom.
    pub fence: GroupFence,
    /// The transaction with whose end the offsets take effect; `None`: at once.
    pub txn: Option<TxnFence>,
    /// The offsets. Partitions that do not exist are passed over.
    pub offsets: Vec<(TopicPartition, OffsetCommit)>,
}

/// As whom offsets are committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupFence {
    /// A simple consumer or a tool: only while the group has no members.
    None,
    /// A member of a classic group, in this generation.
    Classic {
        /// The member.
        member_id: String,
        /// Its generation.
        generation: i32,
    },
    /// A member of a consumer group, at this epoch.
    Consumer {
        /// The member.
        member_id: String,
        /// Its epoch.
        member_epoch: i32,
    },
    /// A transactional producer that names no member: only the transaction's own fence counts. Without transaction and
    /// offsets the commit only asks whether its writer coordinates the group.
    Transactional,
}

/// Whose transaction offsets belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnFence {
    /// The transactional id.
    pub transactional_id: String,
    /// Its producer id.
    pub producer_id: i64,
    /// Its producer epoch.
    pub epoch: i16,
    /// Adds the group to the transaction and opens it if need be (KIP-890); else the group must have been added.
    pub implicit: bool,
}

/// An offset to commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetCommit {
    /// The next offset to read.
    pub offset: i64,
    /// Leader epoch of the record before it; -1 if unknown.
    pub leader_epoch: i32,
    /// The client's note.
    pub metadata: String,
}
