//! The port: what Frazil asks of a store, and how a store answers.

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
        assert!(Key::is_wellformed(&key), "malformed object key {key:?}");
        Key(key)
    }

    /// A key from a foreign name; none when it is no key of Frazil's.
    pub fn parse(key: &str) -> Option<Key> {
        Key::is_wellformed(key).then(|| Key(key.to_owned()))
    }

    fn is_wellformed(key: &str) -> bool {
        key.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._=~-/".contains(&byte))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Content to write, as slices that are sent one after the other without being joined.
///
/// A store that has answered keeps no reference to the slices, so that the caller can have its buffers back.
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

/// What is asked of a store; names errors, metrics and faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// [`ObjectStorage::put`].
    Put,
    /// [`ObjectStorage::put_if_absent`].
    PutIfAbsent,
    /// [`ObjectStorage::get`].
    Get,
    /// [`ObjectStorage::list`].
    List,
    /// [`ObjectStorage::delete`].
    Delete,
}

impl Operation {
    /// Its name in errors and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Put => "put",
            Operation::PutIfAbsent => "put_if_absent",
            Operation::Get => "get",
            Operation::List => "list",
            Operation::Delete => "delete",
        }
    }

    /// Whether it changes the store, so that a lost answer leaves its outcome unknown.
    pub fn is_write(self) -> bool {
        !matches!(self, Operation::Get | Operation::List)
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
        /// [`Operation::as_str`].
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
        /// [`Operation::as_str`].
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
    /// A failure that certainly had no effect.
    pub fn not_done(operation: Operation, key: impl fmt::Display, reason: Reason, cause: impl Into<Arc<str>>) -> Self {
        StoreError::NotDone { operation: operation.as_str(), key: key.to_string(), reason, cause: cause.into() }
    }

    /// A failure that may have had its effect.
    pub fn unknown(operation: Operation, key: impl fmt::Display, reason: Reason, cause: impl Into<Arc<str>>) -> Self {
        StoreError::Unknown { operation: operation.as_str(), key: key.to_string(), reason, cause: cause.into() }
    }

    /// The kind of failure; none when the store plainly answered that an object is, or is not, there.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            StoreError::AlreadyExists { .. } | StoreError::NotFound { .. } => None,
            StoreError::NotDone { reason, .. } | StoreError::Unknown { reason, .. } => Some(*reason),
        }
    }

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
    /// An empty range gives an empty result; whether the object exists is then not looked at.
    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Bytes, StoreError>;

    /// Objects whose key starts with `prefix` and is greater than `start_after`, in ascending order, at most `most`.
    async fn list(&self, prefix: &str, start_after: Option<&Key>, most: usize) -> Result<Vec<ObjectMeta>, StoreError>;

    /// Deletes an object; one that does not exist counts as deleted.
    async fn delete(&self, key: &Key) -> Result<(), StoreError>;
}
