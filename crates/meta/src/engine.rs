//! Engines: implementations of the [`CommitLog`](crate::CommitLog) port.
//!
//! | engine | where | bodies | handles |
//! |---|---|---|---|
//! | [`memory`] | this process | as asked | several, or one when asked |
//! | [`file`] | a journal of chunk files in a local directory | yes | one; the directory is locked |
//! | [`object`] | numbered objects in a bucket | yes | one; a later one fences the earlier |
//!
//! To an engine a record is opaque bytes and a body is slices. All of them pass the suite in `testing`.

mod checksum;
pub mod file;
pub mod inspect;
pub mod memory;
pub mod object;
mod recent;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use file::{FileLog, FileOptions};
pub use memory::MemoryLog;
pub use object::{ObjectLog, ObjectOptions};
