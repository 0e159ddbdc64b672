//! Groups of the consumer protocol (KIP-848): the coordinator assigns, members report and follow.
//!
//! `members` is the group as a pure state machine: a heartbeat changes a member, may bump the group epoch, has targets
//! computed by an `assignor` from what `subscription` resolves, and takes the member's next step (`reconcile`).
//! `keeper` puts it behind the coordinator's lock, with deadlines (`watches`), answers on hold and one record under way.
//! `classic` lets members of the classic protocol take part, `migration` turns groups into the other kind and back,
//! `embedded` reads what classic members say. `outlook` is where topics and settings come from.

mod assignment;
mod assignor;
mod classic;
mod embedded;
mod heartbeat;
mod keeper;
mod members;
mod migration;
mod outlook;
mod reconcile;
mod subscription;
mod watches;

#[cfg(test)]
mod tests;

pub(crate) use assignment::from_partitions;
pub(crate) use heartbeat::{Heartbeat, HeartbeatError, HeartbeatRefused, InvalidHeartbeat, JOIN_EPOCH, Reply};
pub(crate) use keeper::Keeper;
pub(crate) use members::state_name;
pub(crate) use outlook::{ConsumerSettings, LogOutlook, Outlook};

use frazil_meta::record::{
    Assignment, ClassicMember, ClassicProtocols, ConsumerGroupUpdate, ConsumerMember, GroupGeneration, MemberState,
};
