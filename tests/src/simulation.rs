//! A whole Frazil in one thread and in virtual time, driven by a seed.
//!
//! A run starts brokers over one bucket or one shared log, lets producers and readers work through them, and does to
//! them what a bad day does: store errors, lost answers, slow requests, brokers cut off for ever (`kill -9`) or for a
//! while (`SIGSTOP`), restarts, takeovers, jumping wall clocks. Everything that clients saw goes into a [`History`];
//! [`check`] finds in it what must never be: lost, duplicated, reordered, moved or invented records, gaps, reads that
//! change, clients that never get on. The same seed gives the same history to the letter, so a finding can be
//! looked at again: `FRAZIL_SEED=<n> cargo test -p frazil-tests simulation`.
//!
//! The clients stand where the Kafka server stands, at the door of `frazil_log::Log`: what lies behind is the real
//! thing, above the memory store or the memory log.

mod chance;
mod checker;
mod clients;
mod history;
mod link;
mod world;

pub use checker::{Violation, check};
pub use history::{Event, History, Value};
pub use world::{Engine, Plan, Report, run};
