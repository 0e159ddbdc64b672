//! What an HTTP exchange means for the caller: done, not done, or unknown; and why.

use super::exchange::{Answered, Seen, causes};
use crate::port::{Key, Operation, Reason, StoreError};

/// What a request that did not plainly succeed comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The store said yes, although the rest of the answer was not understood.
    Done,
    /// The object is there already.
    Exists,
    /// The object is not there.
    Missing,
    /// The range starts at or beyond the object's end.
    BeyondEnd,
    /// None of these.
    Failed {
        /// Whether the request certainly had no effect.
        certain: bool,
        /// Its kind.
        reason: Reason,
        /// For the operator: what was seen, and the fix where it is known.
        cause: String,
    },
}

impl Verdict {
    /// The error for an operation on one object.
    pub fn into_error(self, operation: Operation, key: &Key) -> StoreError {
        match self {
            Verdict::Exists => StoreError::AlreadyExists { key: key.clone() },
            Verdict::Missing => StoreError::NotFound { key: key.clone() },
            Verdict::Failed { certain: false, reason, cause } => StoreError::unknown(operation, key, reason, cause),
            Verdict::Failed { certain: true, reason, cause } => StoreError::not_done(operation, key, reason, cause),
            Verdict::Done | Verdict::BeyondEnd => {
                StoreError::not_done(operation, key, Reason::Unavailable, "the store's answer makes no sense")
            }
        }
    }

    /// The error for a listing.
    pub fn into_list_error(self, prefix: &str) -> StoreError {
        let (reason, cause) = match self {
            Verdict::Failed { reason, cause, .. } => (reason, cause),
            other => (Reason::Unavailable, format!("the store's answer makes no sense: {other:?}")),
        };
        StoreError::not_done(Operation::List, prefix, reason, cause)
    }
}

/// Judges a request that failed for `object_store` by what was seen of it.
pub fn judge(operation: Operation, seen: &Seen, error: &object_store::Error) -> Verdict {
    let failed = |certain: bool, reason, cause: &str| {
        let certain = certain || !operation.is_write();
        Verdict::Failed { certain, reason, cause: cause.to_owned() }
    };
    match seen {
        Seen::Nothing => failed(true, reason_without_request(error), &causes(error)),
        Seen::NoCredentials { cause, passing: false } => failed(true, Reason::Denied, cause),
        Seen::NoCredentials { cause, passing: true } => failed(true, Reason::Unavailable, cause),
        Seen::NotConnected(cause) => failed(true, Reason::Unavailable, cause),
        Seen::TimedOut(cause) | Seen::Torn(cause) => failed(false, Reason::Unavailable, cause),
        Seen::Answered(answered) if (200..300).contains(&answered.status) => match operation.is_write() {
            true => Verdict::Done,
            false => failed(true, Reason::Unavailable, &causes(error)),
        },
        Seen::Answered(answered) => refused(operation, answered),
    }
}

/// Nothing was sent: `object_store` itself refused.
fn reason_without_request(error: &object_store::Error) -> Reason {
    match error {
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => Reason::Denied,
        object_store::Error::Generic { .. } => Reason::Unavailable, // credentials that cannot be fetched now
        _ => Reason::Invalid,
    }
}

fn refused(operation: Operation, answered: &Answered) -> Verdict {
    match (operation, answered.status, answered.code.as_str()) {
        (Operation::PutIfAbsent, 412 | 304, _) | (Operation::PutIfAbsent, 409, "BlobAlreadyExists") => Verdict::Exists,
        (Operation::Get | Operation::Delete, 404, code) if !names_bucket(code) => Verdict::Missing,
        (Operation::Get, 416, _) => Verdict::BeyondEnd,
        _ => {
            let certain = !operation.is_write() || certainly_no_effect(answered);
            let reason = reason(operation, answered);
            Verdict::Failed { certain, reason, cause: cause(operation, answered, reason) }
        }
    }
}

fn names_bucket(code: &str) -> bool {
    matches!(code, "NoSuchBucket" | "ContainerNotFound")
}

/// A client error is found before anything is written. Of the server errors only those that say "come back later"
/// are: a 503 without such a code may come from a proxy that lost the connection to the store in the middle.
fn certainly_no_effect(answered: &Answered) -> bool {
    match answered.status {
        300..=499 | 501 | 507 => true,
        503 => matches!(
            answered.code.as_str(),
            "SlowDown" | "SlowDownRead" | "ServiceUnavailable" | "ServerBusy" | "XMinioServerNotInitialized"
        ),
        _ => false,
    }
}

fn reason(operation: Operation, answered: &Answered) -> Reason {
    match answered.code.as_str() {
        "SlowDown" | "SlowDownRead" | "SlowDownWrite" | "ServerBusy" | "TooManyRequests" => return Reason::Throttled,
        "QuotaExceeded" | "XMinioStorageFull" | "XMinioAdminBucketQuotaExceeded" => return Reason::Full,
        "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => return Reason::Denied,
        // The body did not arrive whole, or not as it was sent.
        "RequestTimeout" | "IncompleteBody" | "BadDigest" | "XAmzContentChecksumMismatch" => {
            return Reason::Unavailable;
        }
        "InvalidBucketState" => return Reason::Invalid,
        _ => {}
    }
    match answered.status {
        401 | 403 => Reason::Denied,
        // Another conditional request is in flight, and may fail: only a repetition tells whether the object is there.
        409 if operation == Operation::PutIfAbsent => Reason::Unavailable,
        408 => Reason::Unavailable,
        429 => Reason::Throttled,
        507 => Reason::Full,
        501 => Reason::Invalid,
        500..=599 => Reason::Unavailable,
        _ => Reason::Invalid,
    }
}

fn cause(operation: Operation, answered: &Answered, reason: Reason) -> String {
    let mut cause = format!("the store answered {}", answered.status);
    for (separator, text) in [(" ", &answered.code), (": ", &answered.message)] {
        if !text.is_empty() {
            cause.push_str(separator);
            cause.push_str(text);
        }
    }
    if let Some(fix) = fix(operation, answered, reason) {
        cause.push_str("; ");
        cause.push_str(&fix);
    }
    cause
}

/// What an operator can do about it.
fn fix(operation: Operation, answered: &Answered, reason: Reason) -> Option<String> {
    let fix = match (answered.code.as_str(), &answered.region) {
        ("PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException", Some(region)) => {
            return Some(format!("the bucket is in another region: set region={region} in the store's URL"));
        }
        ("InvalidAccessKeyId" | "SignatureDoesNotMatch", _) => {
            "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the credentials file"
        }
        ("RequestTimeTooSkewed", _) => "set this machine's clock",
        ("ExpiredToken" | "InvalidToken", _) => "renew the credentials",
        ("NoSuchBucket" | "ContainerNotFound", _) => "make the bucket, or check its name in the store's URL",
        ("NotImplemented", _) if operation == Operation::PutIfAbsent => {
            "this store knows no conditional writes (If-None-Match), which Frazil needs"
        }
        _ => match (reason, operation) {
            (Reason::Denied, Operation::Get) => "the credentials need s3:GetObject on the bucket's objects",
            (Reason::Denied, Operation::List) => "the credentials need s3:ListBucket on the bucket",
            (Reason::Denied, Operation::Delete) => "the credentials need s3:DeleteObject on the bucket's objects",
            (Reason::Denied, _) => "the credentials need s3:PutObject on the bucket's objects",
            (Reason::Full, _) => "free space, or raise the quota",
            _ => return None,
        },
    };
    Some(fix.to_owned())
}

#[cfg(test)]
mod tests;
