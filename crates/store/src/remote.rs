//! Objects in a bucket: S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage.
//!
//! `object_store` speaks the protocols. Its own retries are off (ours know the three outcomes), and its errors are not
//! asked what happened, because they fold things together that we must tell apart (a 409 is not a 412, a torn answer is
//! not a refused connection). Instead every HTTP exchange is watched where it happens (`exchange`), and what was seen
//! is judged in one pure function (`verdict`).

use crate::port::{Key, ObjectMeta, ObjectStorage, Operation, Payload, Reason, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use exchange::Seen;
use futures::future::BoxFuture;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, PutMode, PutOptions, PutPayload};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use verdict::{Verdict, judge};

pub(crate) mod azure;
mod checksum;
mod container;
pub mod credentials;
pub mod exchange;
pub(crate) mod gcs;
pub mod s3;
#[cfg(test)]
mod tests;
mod verdict;

/// Stores answer at most this many keys to one list request.
const LIST_PAGE_KEYS: usize = 1_000;

/// No object is this long. Stores misread ranges that end beyond 63 bits.
const OBJECT_BYTES_MAX: u64 = 1 << 50;

/// One bucket of one provider.
#[async_trait]
pub trait Bucket: fmt::Debug + Send + Sync {
    /// Puts and gets.
    fn objects(&self) -> &dyn ObjectStore;

    /// Lists.
    fn pages(&self) -> &dyn PaginatedListStore;

    /// Headers that let the store check that what it stores is what was sent.
    fn checksum(&self, payload: &Payload) -> Option<exchange::Header>;

    /// Deletes one object.
    async fn delete(&self, path: &Path) -> object_store::Result<()>;

    /// Makes the bucket; none when this adapter cannot, or may not, make buckets.
    async fn create(&self) -> Option<Result<(), (Reason, String)>>;

    /// Called when the store says that the credentials are no longer valid; false when there are no others to try.
    async fn renew_credentials(&self) -> bool;
}

/// The adapter over a [`Bucket`]. Keys live below a prefix.
pub struct RemoteStorage {
    bucket: Box<dyn Bucket>,
    prefix: String,
    creating: tokio::sync::Mutex<()>,
}

impl fmt::Debug for RemoteStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteStorage({:?}, prefix {:?})", self.bucket, self.prefix)
    }
}

/// What is asked, for errors.
struct Asked<'a> {
    operation: Operation,
    key: &'a str,
}

type Answer<'a, T> = BoxFuture<'a, object_store::Result<T>>;

impl RemoteStorage {
    /// Keeps objects below `prefix`, which is empty or ends with `/`.
    pub fn new(bucket: Box<dyn Bucket>, prefix: String) -> RemoteStorage {
        assert!(prefix.is_empty() || prefix.ends_with('/'), "a prefix ends with a slash: {prefix:?}");
        RemoteStorage { bucket, prefix, creating: tokio::sync::Mutex::new(()) }
    }

    fn path(&self, key: &Key) -> Path {
        // `Path::from` would escape `~`; the alphabet of keys needs no escapes.
        Path::parse(format!("{}{key}", self.prefix)).expect("a key is a valid path")
    }

    /// Sends a request, repairs what can be repaired (missing bucket, expired credentials) and sends it once more.
    async fn ask<'a, T>(
        &'a self,
        asked: &Asked<'_>,
        header: Option<exchange::Header>,
        send: impl Fn() -> Answer<'a, T> + Send,
    ) -> Result<T, Verdict> {
        let mut repaired = false;
        loop {
            let (answer, seen) = exchange::watch(header.clone(), send()).await;
            let error = match answer {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            if repaired || !self.repair(asked, &seen).await? {
                return Err(judge(asked.operation, &seen, &error));
            }
            repaired = true;
        }
    }

    /// Whether something was repaired, so that the request is worth sending again.
    async fn repair(&self, asked: &Asked<'_>, seen: &Seen) -> Result<bool, Verdict> {
        if seen.says_bucket_missing() {
            return self.create_bucket(asked).await;
        }
        Ok(seen.says_credentials_expired() && self.bucket.renew_credentials().await)
    }

    async fn create_bucket(&self, asked: &Asked<'_>) -> Result<bool, Verdict> {
        let _one_at_a_time = self.creating.lock().await;
        match self.bucket.create().await {
            None => Ok(false),
            Some(Ok(())) => {
                tracing::info!(bucket = ?self.bucket, "made the bucket, which did not exist");
                Ok(true)
            }
            Some(Err((reason, cause))) => {
                let cause = format!("the bucket does not exist and could not be made: {cause}");
                tracing::debug!(key = asked.key, "{cause}");
                Err(Verdict::Failed { certain: true, reason, cause })
            }
        }
    }

    async fn write(&self, operation: Operation, key: &Key, payload: Payload) -> Result<(), StoreError> {
        let path = self.path(key);
        let header = self.bucket.checksum(&payload);
        let body = PutPayload::from_iter(payload.parts().iter().filter(|part| !part.is_empty()).cloned());
        drop(payload);
        let mode = if operation == Operation::PutIfAbsent { PutMode::Create } else { PutMode::Overwrite };
        let send = || -> Answer<'_, ()> {
            let (path, body, options) = (path.clone(), body.clone(), PutOptions::from(mode.clone()));
            Box::pin(async move { self.bucket.objects().put_opts(&path, body, options).await.map(drop) })
        };
        let asked = Asked { operation, key: key.as_str() };
        match self.ask(&asked, header, send).await {
            Ok(()) | Err(Verdict::Done) => Ok(()),
            Err(verdict) => Err(verdict.into_error(operation, key)),
        }
    }

    /// One page of a listing: keys after `after` or from `token` on, and the token of the next page.
    async fn page(
        &self,
        prefix: &str,
        after: Option<String>,
        token: Option<String>,
        keys: usize,
    ) -> Result<(Vec<object_store::ObjectMeta>, Option<String>), StoreError> {
        let full = format!("{}{prefix}", self.prefix);
        let send = || -> Answer<'_, _> {
            let options = PaginatedListOptions {
                offset: after.clone(),
                max_keys: Some(keys),
                page_token: token.clone(),
                ..PaginatedListOptions::default()
            };
            let full = full.clone();
            Box::pin(async move {
                let wanted = (!full.is_empty()).then_some(full.as_str());
                self.bucket.pages().list_paginated(wanted, options).await
            })
        };
        let asked = Asked { operation: Operation::List, key: prefix };
        let page = self.ask(&asked, None, send).await;
        let page = page.map_err(|verdict| verdict.into_list_error(prefix))?;
        Ok((page.result.objects, page.page_token))
    }

    /// An object of a listing; none for what is not ours.
    fn listed(&self, object: object_store::ObjectMeta) -> Option<ObjectMeta> {
        let key = Key::parse(object.location.as_ref().strip_prefix(&self.prefix)?)?;
        Some(ObjectMeta { key, bytes: object.size, modified_ms: object.last_modified.timestamp_millis() })
    }
}

#[async_trait]
impl ObjectStorage for RemoteStorage {
    async fn put(&self, key: &Key, payload: Payload) -> Result<(), StoreError> {
        self.write(Operation::Put, key, payload).await
    }

    async fn put_if_absent(&self, key: &Key, payload: Payload) -> Result<(), StoreError> {
        self.write(Operation::PutIfAbsent, key, payload).await
    }

    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
        let range = range.map(|range| range.start..range.end.min(OBJECT_BYTES_MAX));
        if range.as_ref().is_some_and(Range::is_empty) {
            return Ok(Bytes::new());
        }
        let path = self.path(key);
        let send = || -> Answer<'_, Bytes> {
            let options = GetOptions { range: range.clone().map(GetRange::Bounded), ..GetOptions::default() };
            let path = path.clone();
            Box::pin(async move { self.bucket.objects().get_opts(&path, options).await?.bytes().await })
        };
        match self.ask(&Asked { operation: Operation::Get, key: key.as_str() }, None, send).await {
            Ok(bytes) => Ok(bytes),
            Err(Verdict::BeyondEnd) => Ok(Bytes::new()),
            Err(verdict) => Err(verdict.into_error(Operation::Get, key)),
        }
    }

    async fn list(&self, prefix: &str, start_after: Option<&Key>, most: usize) -> Result<Vec<ObjectMeta>, StoreError> {
        let after = start_after.map(|key| format!("{}{key}", self.prefix));
        let (mut found, mut token) = (Vec::new(), None);
        while found.len() < most {
            let keys = (most - found.len()).min(LIST_PAGE_KEYS);
            let (objects, next) = self.page(prefix, after.clone(), token, keys).await?;
            let objects = objects.into_iter().filter_map(|object| self.listed(object));
            found.extend(objects.filter(|object| start_after.is_none_or(|after| object.key > *after)));
            token = next;
            if token.is_none() {
                break;
            }
        }
        found.sort_unstable_by(|a, b| a.key.cmp(&b.key)); // already so, except on directory buckets
        found.truncate(most);
        Ok(found)
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let path = self.path(key);
        let send = || -> Answer<'_, ()> {
            let path = path.clone();
            Box::pin(async move { self.bucket.delete(&path).await })
        };
        match self.ask(&Asked { operation: Operation::Delete, key: key.as_str() }, None, send).await {
            Ok(()) | Err(Verdict::Done | Verdict::Missing) => Ok(()),
            Err(verdict) => Err(verdict.into_error(Operation::Delete, key)),
        }
    }
}

/// Client options that all providers share.
fn client_options(options: &crate::Options, allow_http: bool) -> object_store::ClientOptions {
    object_store::ClientOptions::new()
        .with_allow_http(allow_http)
        .with_timeout(options.request_timeout)
        .with_connect_timeout(options.connect_timeout)
}

/// No retries: those of [`crate::Retry`] keep the three outcomes apart.
fn no_retries() -> object_store::RetryConfig {
    object_store::RetryConfig { max_retries: 0, ..object_store::RetryConfig::default() }
}

/// Wraps a provider's client in the adapter.
pub fn storage(bucket: impl Bucket + 'static, prefix: String) -> Arc<dyn ObjectStorage> {
    Arc::new(RemoteStorage::new(Box::new(bucket), prefix))
}
