//! Object storage as a narrow port.
//!
//! Frazil asks five things of a store: put, put-if-absent, ranged get, list, delete. Objects are immutable: a key is
//! written once. What makes the port worth having is its errors: a failed write says whether it certainly had no
//! effect or may have had one, because the metadata log must know.

use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Name of an object below the store's prefix: segments of `[A-Za-z0-9._=~-]` joined by `/`, no leading slash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// A key from parts that the program made itself; panics on a malformed one, which is a bug.
    pub fn new(key: impl Into<String>) -> Key {
        let key = key.into();
        let wellformed = !key.is_empty()
            && key.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._=~-/".contains(&byte));
        assert!(wellformed, "malformed object key {key:?}");
        Key(key)
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Content to write, as slices that are sent one after the other without being joined.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    parts: Vec<Bytes>,
}

impl Payload {
    /// The slices, in order.
    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All slices joined; copies when there are several.
    pub fn to_bytes(&self) -> Bytes {
        match self.parts.as_slice() {
            [one] => one.clone(),
            parts => parts.concat().into(),
        }
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Payload {
        Payload { parts: vec![bytes] }
    }
}

impl From<Vec<Bytes>> for Payload {
    fn from(parts: Vec<Bytes>) -> Payload {
        Payload { parts }
    }
}

/// What a listing tells of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Its name.
    pub key: Key,
    /// Its length.
    pub bytes: u64,
    /// When the store says it was written, in milliseconds since 1970.
    pub modified_ms: i64,
}

/// Why a request had no (certain) success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Credentials are missing, wrong, or do not allow this (read-only bucket, read-only file system).
    Denied,
    /// No space, or a quota is used up.
    Full,
    /// The store asks to slow down.
    Throttled,
    /// The store cannot be reached or failed (5xx, torn connection, timeout).
    Unavailable,
    /// The request can never succeed (bucket does not exist, malformed).
    Invalid,
}

impl Reason {
    /// Whether the same request may succeed later without anybody changing anything.
    pub fn is_transient(self) -> bool {
        matches!(self, Reason::Throttled | Reason::Unavailable)
    }
}

/// Outcome of a request that did not plainly succeed. `Display` prints the operation, the key and the cause.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// `put_if_absent` found an object there. It may be the caller's own, when an earlier attempt's answer was lost:
    /// the caller reads it to know.
    #[error("object {key} exists already")]
    AlreadyExists {
        /// The object.
        key: Key,
    },
    /// There is no such object.
    #[error("object {key} does not exist")]
    NotFound {
        /// The object.
        key: Key,
    },
    /// The request certainly had no effect.
    #[error("{operation} of {key} failed ({reason:?}): {cause}")]
    NotDone {
        /// `put`, `get`, `list` or `delete`.
        operation: &'static str,
        /// The object or prefix.
        key: String,
        /// Its kind.
        reason: Reason,
        /// What the store said, without secrets.
        cause: Arc<str>,
    },
    /// The request may have had its effect: the answer was lost.
    #[error("{operation} of {key} has an unknown outcome ({reason:?}): {cause}")]
    Unknown {
        /// `put` or `delete`.
        operation: &'static str,
        /// The object.
        key: String,
        /// Its kind.
        reason: Reason,
        /// What was seen, without secrets.
        cause: Arc<str>,
    },
}

impl StoreError {
    /// Whether the same request may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            StoreError::AlreadyExists { .. } | StoreError::NotFound { .. } => false,
            StoreError::NotDone { reason, .. } | StoreError::Unknown { reason, .. } => reason.is_transient(),
        }
    }
}

/// The port. Every adapter and every decorator passes the conformance suite in `testing`.
///
/// Read after write, list after write, and put-if-absent under races are strong: what was answered is seen by all.
#[async_trait]
pub trait ObjectStorage: Send + Sync + fmt::Debug {
    /// Writes an object that nobody else writes. Durable when answered. Repeating it with the same content is safe.
    async fn put(&self, key: &Key, payload: Payload) -> Result<(), StoreError>;

    /// Writes an object unless one of that name exists; of several at once exactly one succeeds. Durable when answered.
    async fn put_if_absent(&self, key: &Key, payload: Payload) -> Result<(), StoreError>;

    /// Reads a whole object, or the part of `range` that exists (an empty result when it starts at or beyond the end).
    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Bytes, StoreError>;

    /// Objects whose key starts with `prefix` and is greater than `start_after`, in ascending order, at most `most`.
    async fn list(&self, prefix: &str, start_after: Option<&Key>, most: usize) -> Result<Vec<ObjectMeta>, StoreError>;

    /// Deletes an object; one that does not exist counts as deleted.
    async fn delete(&self, key: &Key) -> Result<(), StoreError>;
}
