//! Retries requests that failed for a passing reason.
//!
//! Waits double from attempt to attempt up to a limit and vary at random, so that brokers do not come back all at
//! once. What matters is the outcome afterwards. If any attempt of a write may have had its effect, the whole may
//! have had it: a later certain failure does not make it "not done". And `put_if_absent` may report `AlreadyExists`
//! for the caller's own object, when the answer to an earlier attempt was lost: the caller reads the object to know.

use crate::port::{Key, ObjectMeta, ObjectStorage, Operation, Payload, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use frazil_base::Env;
use futures::future::BoxFuture;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// How often, and how long between.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// Attempts in all; none means that an outage is waited out however long it lasts.
    pub attempts_max: Option<u32>,
    /// Longest wait after the first attempt; it doubles with each. Longer: gentler on the store, slower to come back.
    pub first_wait: Duration,
    /// Waits do not grow beyond this.
    pub longest_wait: Duration,
}

impl RetryPolicy {
    /// Waits out any outage, asking at least every two seconds.
    pub fn endless() -> RetryPolicy {
        RetryPolicy { attempts_max: None, first_wait: Duration::from_millis(50), longest_wait: Duration::from_secs(2) }
    }

    /// Gives up after this many attempts.
    pub fn bounded(attempts: u32) -> RetryPolicy {
        RetryPolicy { attempts_max: Some(attempts), ..RetryPolicy::endless() }
    }

    /// The wait after `attempt` (from 1): between half and all of what the attempt allows.
    fn wait(&self, attempt: u32, random: u64) -> Duration {
        let doublings = (attempt - 1).min(20);
        let whole = self.first_wait.saturating_mul(1 << doublings).min(self.longest_wait);
        let half_us = whole.as_micros() as u64 / 2;
        Duration::from_micros(half_us + random % (half_us + 1))
    }
}

/// A decorator; see the module.
#[derive(Debug)]
pub struct Retry {
    inner: Arc<dyn ObjectStorage>,
    policy: RetryPolicy,
    env: Env,
}

impl Retry {
    /// Retries requests to `inner`; `env` gives the randomness of waits.
    pub fn new(inner: Arc<dyn ObjectStorage>, policy: RetryPolicy, env: Env) -> Retry {
        Retry { inner, policy, env }
    }

    async fn repeat<'a, T>(
        &'a self,
        operation: Operation,
        key: &str,
        send: impl Fn() -> BoxFuture<'a, Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let mut maybe_done = false;
        let mut attempt = 1;
        loop {
            let error = match send().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            maybe_done |= matches!(error, StoreError::Unknown { .. });
            if !error.is_transient() || self.policy.attempts_max.is_some_and(|most| attempt >= most) {
                return Err(if maybe_done { as_unknown(error) } else { error });
            }
            let wait = self.policy.wait(attempt, self.env.entropy.bits64());
            if attempt.is_power_of_two() {
                tracing::warn!(operation = operation.as_str(), key, attempt, %error, "store request failed, trying again");
            }
            tokio::time::sleep(wait).await;
            attempt = attempt.saturating_add(1);
        }
    }
}

/// The same failure, when an earlier attempt may have had the effect. That an object exists stays what it is.
fn as_unknown(error: StoreError) -> StoreError {
    match error {
        StoreError::NotDone { operation, key, reason, cause } => StoreError::Unknown { operation, key, reason, cause },
        other => other,
    }
}

#[async_trait]
impl ObjectStorage for Retry {
    async fn put(&self, key: &Key, payload: Payload) -> Result<(), StoreError> {
        let send = || -> BoxFuture<'_, _> {
            let (key, payload) = (key.clone(), payload.clone());
            Box::pin(async move { self.inner.put(&key, payload).await })
        };
        self.repeat(Operation::Put, key.as_str(), send).await
    }

    async fn put_if_absent(&self, key: &Key, payload: Payload) -> Result<(), StoreError> {
        let send = || -> BoxFuture<'_, _> {
            let (key, payload) = (key.clone(), payload.clone());
            Box::pin(async move { self.inner.put_if_absent(&key, payload).await })
        };
        self.repeat(Operation::PutIfAbsent, key.as_str(), send).await
    }

    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
        let send = || -> BoxFuture<'_, _> {
            let (key, range) = (key.clone(), range.clone());
            Box::pin(async move { self.inner.get(&key, range).await })
        };
        self.repeat(Operation::Get, key.as_str(), send).await
    }

    async fn list(&self, prefix: &str, start_after: Option<&Key>, most: usize) -> Result<Vec<ObjectMeta>, StoreError> {
        let send = || -> BoxFuture<'_, _> {
            let (prefix, start_after) = (prefix.to_owned(), start_after.cloned());
            Box::pin(async move { self.inner.list(&prefix, start_after.as_ref(), most).await })
        };
        self.repeat(Operation::List, prefix, send).await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let send = || -> BoxFuture<'_, _> {
            let key = key.clone();
            Box::pin(async move { self.inner.delete(&key).await })
        };
        self.repeat(Operation::Delete, key.as_str(), send).await
    }
}
