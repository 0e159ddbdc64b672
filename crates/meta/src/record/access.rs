//! Records of quotas and credentials.

use bytes::Bytes;
use std::fmt;

/// Whom quotas are for: pairs of a kind (`user`, `client-id`, `ip`) and a name, ascending; no name is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuotaEntity(pub Vec<(String, Option<String>)>);

/// What a broker keeps of a user's password (RFC 5802): enough to check it, not enough to log in elsewhere.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramCredential {
    /// Salt.
    pub salt: Bytes,
    /// `StoredKey`.
    pub stored_key: Bytes,
    /// `ServerKey`.
    pub server_key: Bytes,
    /// Rounds of hashing.
    pub iterations: i32,
}

impl fmt::Debug for ScramCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramCredential").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}
