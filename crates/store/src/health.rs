//! What the requests of late say about the store. Nobody asks the store for it: an idle broker sends no request.

use crate::port::{Reason, StoreError};
use parking_lot::Mutex;
use std::sync::Arc;

/// Remembers whether requests succeed. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct StoreHealth {
    status: Arc<Mutex<StoreStatus>>,
}

/// How the store answered lately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreStatus {
    /// When a request was last answered as it should be, in milliseconds since 1970; none before the first.
    pub succeeded_ms: Option<i64>,
    /// Set while the latest request failed.
    pub failing: Option<Failing>,
}

/// A failure that no success has followed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    /// When the first request failed, in milliseconds since 1970.
    pub since_ms: i64,
    /// Requests that failed since.
    pub requests: u64,
    /// Kind of the latest failure.
    pub reason: Reason,
    /// The latest failure, for the operator.
    pub cause: Arc<str>,
}

impl StoreHealth {
    /// The state after the latest request.
    pub fn status(&self) -> StoreStatus {
        self.status.lock().clone()
    }

    /// Notes how a request ended.
    pub(crate) fn note<T>(&self, now_ms: i64, result: &Result<T, StoreError>) {
        let failure = result.as_ref().err().and_then(|error| error.reason().map(|reason| (reason, error)));
        let mut status = self.status.lock();
        let Some((reason, error)) = failure else {
            *status = StoreStatus { succeeded_ms: Some(now_ms), failing: None };
            return;
        };
        let (since_ms, requests) = status.failing.as_ref().map_or((now_ms, 0), |old| (old.since_ms, old.requests));
        let cause = error.to_string().into();
        status.failing = Some(Failing { since_ms, requests: requests + 1, reason, cause });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::{Key, Operation};

    #[test]
    fn a_failure_lasts_until_the_store_answers_again() {
        let health = StoreHealth::default();
        let down = || StoreError::not_done(Operation::Get, "k", Reason::Unavailable, "connection refused");
        health.note::<()>(10, &Ok(()));
        health.note::<()>(20, &Err(down()));
        health.note::<()>(30, &Err(down()));
        let failing = health.status().failing.expect("two requests failed");
        assert_eq!((failing.since_ms, failing.requests, failing.reason), (20, 2, Reason::Unavailable));
        assert_eq!(health.status().succeeded_ms, Some(10));
        assert!(failing.cause.contains("connection refused"));
        // "There is no such object" is an answer as it should be.
        health.note::<()>(40, &Err(StoreError::NotFound { key: Key::new("k") }));
        assert_eq!(health.status(), StoreStatus { succeeded_ms: Some(40), failing: None });
    }
}
