//! A whole Frazil in one thread and in virtual time, driven by a seed.
//!
//! A run starts brokers over one bucket or one shared log, lets clients work through them, and does to them what a bad day
//! does: store errors, lost answers, slow requests, brokers cut off for ever (`kill -9`) or for a while (`SIGSTOP`, also
//! for so long that others take them for dead), restarts, takeovers, jumping wall clocks, requests that arrive late.
//! Everything that clients saw goes into a [`History`]; [`check`] finds in it what must never be. The same seed gives the
//! same history to the letter, so a finding can be looked at again: `FRAZIL_SEED=<n> cargo test -p frazil-tests simulation`.
//!
//! Plain producers and readers stand at the door of `frazil_log::Log` (`clients`). Transactional producers, copiers and
//! members of groups (`streams`) speak the Kafka protocol to the whole server, of which only the sockets are missing. What
//! lies behind is the real thing, above the memory store or the memory log.

mod caller;
mod chance;
mod chaos;
mod checker;
mod clients;
mod history;
mod link;
mod member;
mod plan;
mod streams;
mod transactional;
mod world;

pub use chance::Chance;
pub use checker::{Violation, check};
pub use clients::{Seen, visible};
pub use history::{Event, History, Value};
pub use plan::{Engine, Fault, Plan, Report, run};
