//! Consumer groups: who belongs to them, and where they have got to.
//!
//! Membership and heartbeats are in the memory of a group's coordinator, the broker that a rendezvous hash over the
//! open brokers picks (`State::coordinator`). What must survive is a record: each finished rebalance, each commit. A
//! record that names a group is refused by `State::apply` unless its writer is the coordinator at that point of the log,
//! so a broker that has lost a group without knowing cannot do harm: it finds out with its next record.
//!
//! `membership` is a classic group as a pure state machine, `coordinator` keeps one per group and connects it with the
//! log, `alarms` wakes it when time is up, `offsets` merges commits into few records, `expiry` forgets what nobody has
//! used for long, `describe` shows groups to tools. `consumer` is the new protocol (KIP-848).

mod alarms;
pub(crate) mod consumer;
mod coordinator;
mod describe;
mod error;
mod expiry;
pub(crate) mod membership;
mod offsets;
mod settings;

pub(crate) use consumer::ConsumerSettings;
pub(crate) use coordinator::GroupCoordinator;
pub(crate) use describe::{GroupDescription, ListedGroup};
pub(crate) use error::GroupError;
pub(crate) use offsets::{Commit, CommittedBy};
pub(crate) use settings::GroupSettings;

#[cfg(test)]
mod tests;
