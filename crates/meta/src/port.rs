//! The port that a metadata engine implements: append in order, read, wait, trim. Nothing about Kafka.
//!
//! # Contract
//!
//! 1. **Order.** Entries have strictly ascending numbers (`Seq`, the first at least 1; gaps are allowed). What one
//!    reader saw at a number, every reader sees there for ever, until it is trimmed.
//! 2. **Durable before answered.** A successful `append` survives the death of any process.
//! 3. **Calls may overlap.** A call begins when the future is first polled; `append` calls of one handle take effect, and are
//!    answered, in the order in which they began. A call that fails with `NotDone` leaves no trace; calls behind it may
//!    still succeed. Dropping the future abandons the answer, not the append, and does not hold up the others.
//! 4. **Outages are waited out.** Transient faults are retried inside, without end; a call ends early only with
//!    `Fenced` (final for this handle), `NotDone` for a cause that time does not heal (disk full, access denied), or
//!    `Unknown` (for example when the handle is being closed). After `Unknown` the caller looks for its record in the log;
//!    it may still turn up there until a later append of this handle succeeds or the log is opened again.
//! 5. **Bodies.** On engines that carry bodies the record and its body become durable in one atomic step.
//! 6. **Fencing.** On exclusive engines opening a second handle fences the first: none of its later appends succeeds.

use async_trait::async_trait;
use bytes::Bytes;
use frazil_base::Seq;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// A segment on its way into the log: slices, written one after the other without being joined.
///
/// An engine drops every clone of the slices before it answers, so that the caller can have its buffer back.
/// A slice that starts on a `BLOCK_BYTES` boundary may be written with direct I/O without a copy.
#[derive(Clone, Debug, Default)]
pub struct Body {
    slices: Vec<Bytes>,
}

impl Body {
    /// The slices, in order.
    pub fn slices(&self) -> &[Bytes] {
        &self.slices
    }

    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.slices.iter().map(Bytes::len).sum()
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        Body { slices: vec![bytes] }
    }
}

impl From<Vec<Bytes>> for Body {
    fn from(slices: Vec<Bytes>) -> Body {
        Body { slices }
    }
}

/// What is appended: a small record for the state machine and, on engines that carry bodies, the segment it commits.
#[derive(Clone, Debug)]
pub struct Entry {
    /// An encoded [`crate::Record`], at most `META_RECORD_BYTES_MAX`.
    pub record: Bytes,
    /// The segment; `None` on engines that carry none.
    pub body: Option<Body>,
}

/// A successful append.
#[derive(Clone, Debug)]
pub struct Appended {
    /// Number of the call's first entry; the others follow, ascending.
    pub first: Seq,
    /// Every record after `known` up to and including the caller's own, ascending. Records that another call of the same
    /// handle returned may be left out or repeated; those of abandoned calls are among them.
    pub records: Vec<(Seq, Bytes)>,
}

/// Why an append has no (certain) success.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// Another handle took the log over; nothing this handle appends will ever succeed.
    #[error("fenced: {cause}")]
    Fenced {
        /// Who took over, for the operator.
        cause: Arc<str>,
    },
    /// It certainly did not happen.
    #[error("not appended: {cause}")]
    NotDone {
        /// For the operator: what failed and where.
        cause: Arc<str>,
    },
    /// It may have happened.
    #[error("the outcome of the append is unknown: {cause}")]
    Unknown {
        /// What was seen.
        cause: Arc<str>,
    },
}

/// Why a read failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The entry was trimmed, or never existed.
    #[error("log entry {seq} is not there (trimmed, or never written)")]
    NotFound {
        /// The entry.
        seq: Seq,
    },
    /// A checksum or a number does not fit: the bytes are not what was written.
    #[error("log entry {seq} is corrupt: {detail}")]
    Corrupt {
        /// The entry.
        seq: Seq,
        /// The values that disagree.
        detail: Arc<str>,
    },
    /// The engine cannot be reached now.
    #[error("the log cannot be read: {cause}")]
    Unavailable {
        /// What was seen.
        cause: Arc<str>,
    },
}

/// Which entries' bodies are still needed, as the state machine knows it. What is not in it and lies below the trim
/// point goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveBodies(BTreeSet<Seq>);

impl LiveBodies {
    /// Whether this entry's body is needed.
    pub fn contains(&self, seq: Seq) -> bool {
        self.0.contains(&seq)
    }

    /// Whether any body in `range` is needed.
    pub fn any_in(&self, range: Range<Seq>) -> bool {
        self.0.range(range).next().is_some()
    }
}

impl FromIterator<Seq> for LiveBodies {
    fn from_iter<I: IntoIterator<Item = Seq>>(iter: I) -> LiveBodies {
        LiveBodies(iter.into_iter().collect())
    }
}

/// An engine. See the module's contract; the conformance suite in `engine::testing` checks it.
#[async_trait]
pub trait CommitLog: Send + Sync + fmt::Debug {
    /// Whether one append makes a segment durable too (embedded engines); else segments are PUT to the object store first.
    fn carries_bodies(&self) -> bool;

    /// Whether only one handle at a time can append, so that nobody else's records can appear.
    fn is_exclusive(&self) -> bool;

    /// How many `append` calls of one handle are worth overlapping; 1 means: merge what is ready into one call.
    fn appends_in_flight(&self) -> usize;

    /// Appends all entries (at least one), atomically each and in order: after a crash a first part of them may be there.
    /// `known` is not below a point that was trimmed; else nothing is appended.
    async fn append(&self, known: Seq, entries: Vec<Entry>) -> Result<Appended, AppendError>;

    /// Records (not bodies) after `after`, ascending, about `max_bytes` of them and at least one if there is any. Nothing
    /// in between is left out: where a record was trimmed it is `NotFound`.
    async fn read(&self, after: Seq, max_bytes: usize) -> Result<Vec<(Seq, Bytes)>, ReadError>;

    /// Bytes `range` of an entry's body, to which `range` belongs. A body read whole is checked.
    async fn read_body(&self, seq: Seq, range: Range<u64>) -> Result<Bytes, ReadError>;

    /// Waits until an entry beyond `seq` is durable, at most `timeout`; returns the last number known.
    async fn wait_beyond(&self, seq: Seq, timeout: Duration) -> Result<Seq, ReadError>;

    /// The last number; `Seq::ZERO` for an empty log.
    async fn tail(&self) -> Result<Seq, ReadError>;

    /// Forgets entries below `below`, except those whose bodies are needed (their records may go). A later `read` from
    /// before `below` may fail with `NotFound`. The caller holds a snapshot at or beyond `below`, and will not start from an
    /// earlier one. Whoever trims lets entries grow old first: far older than a writer's pause (see the `object` engine).
    async fn trim(&self, below: Seq, live: &LiveBodies) -> Result<(), ReadError>;

    /// Stops appending, waits for what is under way (not for ever), frees locks. Reads still work. Idempotent.
    async fn close(&self);
}
