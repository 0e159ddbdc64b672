//! The data path: how a batch gets into an object and back.
//!
//! A batch goes down through `writer` (which closes segments), `segment` (which lays them out in the `format`),
//! `sequencer` (which appends to the metadata log) and `replica` (which applies what the log says, gives the outcome
//! to whoever waits and wakes long polls). It comes back through `fetch` (which plans from the replica's state),
//! `reader` (which loads what is not in memory) and `cache`. `times` finds offsets by timestamp. In the background,
//! `maintenance` moves log starts (`retention`), writes snapshots and trims the log (`snapshot`, `graveyard`), and
//! deletes what nobody needs (`collector`).
//!
//! [`Log`] is the handle on all of it. The crate knows record batches from outside, through `frazil-wire`, and no Kafka
//! API; what is durable where is decided by the engine behind `frazil_meta::CommitLog` and the store behind
//! `frazil_store::ObjectStorage`.

mod agreement;
mod arrivals;
mod cache;
mod collector;
mod fetch;
pub mod format;
mod graveyard;
mod health;
mod invariant;
pub mod layout;
mod log;
mod maintenance;
mod metrics;
mod open;
mod options;
mod pauses;
mod polls;
mod produce;
mod producer_ids;
mod reader;
mod replica;
mod retention;
mod segment;
mod sequencer;
mod snapshot;
mod times;
mod writer;

pub use fetch::{AbortedTransaction, FetchError, FetchPartition, FetchPlan, FetchedPartition, Isolation};
pub use health::Health;
pub use log::Log;
pub use open::OpenError;
pub use options::{BrokerIdentity, LogOptions};
pub use produce::{NewBatch, Placed, Placements, ProduceError, Ticket};
pub use retention::{KeepEverything, Retention, RetentionPolicy};
pub use segment::LEADER_EPOCH;
pub use sequencer::ProposeError;
pub use times::TimedOffset;

#[cfg(test)]
mod tests;
