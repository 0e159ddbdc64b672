//! Test doubles and the conformance suite of the port.

mod bucket_policy;
mod conformance;
mod faults;

pub use bucket_policy::{allow_anonymous_reads, allow_anonymous_writes};
pub use conformance::conformance;
pub use faults::{Fault, FaultControls, FaultPlan, Faults, Gate, Mode, Point};
