//! Kafka frames, versions, batch v2 headers and CRC; bytes in, values out, no I/O.
//!
//! A request arrives as a frame: `frame` reads its length and header, `api` says whether the broker speaks that API and
//! version. Produce and fetch, the hot paths, are read and written here by hand around [`bytes::Bytes`] slices, so
//! that record bytes are never copied (`produce`, `fetch`); everything else goes through `control`, which checks every
//! array count against the bytes that are there before the generated code of `kafka-protocol` may allocate for it.
//!
//! A record batch is looked at from outside (`batch`: header, CRC, the fields that may be patched in place) and, only
//! where somebody needs its records, from inside (`record`, with `compression` capped).
//!
//! Nothing here panics on bytes from a client, and nothing allocates more than a small multiple of what it was given,
//! up to the limits in `frazil_base::limits`.

pub mod api;
pub mod batch;
pub mod compression;
pub mod consumer_protocol;
pub mod control;
pub mod fetch;
pub mod frame;
pub mod produce;
pub mod read;
pub mod record;
mod write;

pub use batch::{BatchBuilder, BatchError, BatchHeader, BatchRules, Batches};
pub use compression::Compression;
pub use frame::{FrameError, RequestHeader};
pub use read::DecodeError;
pub use record::{Record, RecordError, Records};

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod noise;
