//! Metadata: an ordered, durable log of small records and a pure state machine.
//!
//! The log (`CommitLog`) decides the order; `State::apply` decides what each record means. Every broker applies the
//! same records and so knows the same offsets, without asking anybody. The crate knows no Kafka API, no segment
//! format and no cache.

mod codec;
pub mod engine;
pub mod port;
pub mod record;
pub mod state;

pub use port::{AppendError, Appended, Body, CommitLog, Entry, LiveBodies, ReadError};
pub use record::{Command, Record};
pub use state::{BodyId, Extent, Outcome, State};
