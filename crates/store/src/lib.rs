//! Object storage as a narrow port.
//!
//! Frazil asks five things of a store: put, put-if-absent, ranged get, list, delete. Objects are immutable: a key is
//! written once. What makes the port worth having is its errors: a failed write says whether it certainly had no
//! effect or may have had one, because the metadata log must know.
//!
//! [`open`] gives the adapter that a URL names: a local directory, a bucket, or memory. [`decorate`] wraps an adapter
//! with counting and retries. Every adapter and every decorator passes the conformance suite in `testing`.

mod counted;
mod directory;
mod health;
mod memory;
mod open;
mod port;
mod remote;
mod retry;
mod stack;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use counted::Counted;
pub use directory::DirectoryStorage;
pub use health::{Failing, StoreHealth, StoreStatus};
pub use memory::MemoryStorage;
pub use open::{OpenError, Options, open};
pub use port::{Key, ObjectMeta, ObjectStorage, Operation, Payload, Reason, StoreError};
pub use retry::{Retry, RetryPolicy};
pub use stack::{Decorated, decorate};
