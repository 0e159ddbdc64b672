//! Test doubles and the conformance suite of the [`CommitLog`](crate::CommitLog) port.
//!
//! [`FaultyLog`] wraps any engine and makes its appends late, lost, refused or stuck; [`conformance`] is the suite that
//! every engine (and the decorator) passes.

mod conformance;
mod faulty;

pub use conformance::{Site, conformance};
pub use faulty::{Faults, FaultyLog, Hold, Outage, Point, Rates};
