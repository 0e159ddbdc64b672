//! The whole state as bytes, and back.
//!
//! Start-up is the newest snapshot plus the records after it. What follows from other values is not written: an
//! extent's first offset follows from the lengths behind it, a body's live bytes from the extents that point into it.
//! So a snapshot that decodes is consistent. It ends in a checksum; `docs/format/metadata.md` shows every byte.
//!
//! Snapshots of the version before are read, not written.

mod coordinated;
mod read;
mod write;

use super::State;
use super::digest::digest;
use crate::codec::DecodeError;
use bytes::Bytes;

/// The first bytes of every snapshot.
const MAGIC: &[u8; 8] = b"FRAZSNAP";

/// Version of the format that is written. Version 1 had no groups, transactions, quotas and credentials.
const VERSION: u8 = 2;

/// The checksum at the end.
const CHECKSUM_BYTES: usize = 8;

/// Why bytes are no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// They do not start like one, or are too short.
    #[error("these {bytes} bytes are no snapshot")]
    NotASnapshot {
        /// How many.
        bytes: usize,
    },
    /// They are not what was written.
    #[error("the snapshot's checksum is {stored:016x}, its bytes give {computed:016x}")]
    Checksum {
        /// At the end of the snapshot.
        stored: u64,
        /// Of what precedes it.
        computed: u64,
    },
    /// A newer Frazil wrote it, or a wrong one.
    #[error("the snapshot cannot be read: {0}")]
    Malformed(#[from] DecodeError),
}

impl State {
    /// The whole state. Equal states give equal bytes.
    pub fn snapshot(&self) -> Bytes {
        let mut writer = write::body(self);
        writer.raw(&digest(writer.as_slice()).to_be_bytes());
        Bytes::from(writer.into_vec())
    }

    /// The state that `snapshot` wrote down.
    pub fn from_snapshot(bytes: &[u8]) -> Result<State, SnapshotError> {
        let not_a_snapshot = SnapshotError::NotASnapshot { bytes: bytes.len() };
        let (covered, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(not_a_snapshot)?;
        let body = covered.strip_prefix(MAGIC).ok_or(not_a_snapshot)?;
        let (stored, computed) = (u64::from_be_bytes(*checksum), digest(covered));
        if stored != computed {
            return Err(SnapshotError::Checksum { stored, computed });
        }
        Ok(read::body(body)?)
    }
}
