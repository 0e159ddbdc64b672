//! What goes out of the state machine.

use crate::group::GroupError;
use crate::group::consumer::{HeartbeatRefused, Reply};
use bytes::Bytes;
use frazil_meta::record::Command;

/// A request that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WaiterId(pub u64);

/// A record that was asked for; ascending within a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RecordId(pub u64);

/// What has to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The request is answered.
    Answer(WaiterId, Answer),
    /// The record goes to the metadata log, in the order of the effects; `recorded` or `abandon` follows.
    Record(RecordId, Command),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Join(Result<Joined, JoinRefused>),
    Sync(Result<Synced, GroupError>),
    Leave(Result<Vec<LeftMember>, GroupError>),
    ConsumerHeartbeat(Result<Reply, HeartbeatRefused>),
}

/// A member of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    pub member_id: String,
    pub generation: i32,
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub leader: String,
    /// A leader that need not assign: the generation has its assignment (KIP-814).
    pub skip_assignment: bool,
    /// For the leader: everybody.
    pub members: Vec<JoinedMember>,
}

/// What the leader is told of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinedMember {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub metadata: Bytes,
}

/// Not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinRefused {
    pub error: GroupError,
    /// For `MemberIdRequired` the id to come back with, else the one of the request or none.
    pub member_id: String,
}

/// A member's assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Synced {
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub assignment: Bytes,
}

/// Who wants to leave: by member id, or a static member by its instance id and perhaps its member id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leaver {
    pub member_id: String,
    pub instance_id: Option<String>,
}

/// What became of a leaver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeftMember {
    pub leaver: Leaver,
    pub result: Result<(), GroupError>,
}
