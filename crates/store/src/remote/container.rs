//! A bucket for which `object_store` does everything: credentials, their renewal, deletes. TLS protects what is sent.

use super::Bucket;
use super::exchange::Header;
use crate::port::{Payload, Reason};
use async_trait::async_trait;
use object_store::list::PaginatedListStore;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::fmt;

/// The bucket, whose client is `S`.
pub struct Container<S> {
    url: String,
    objects: S,
}

impl<S> Container<S> {
    /// The bucket at `url`, as messages name it.
    pub(super) fn new(url: String, objects: S) -> Container<S> {
        Container { url, objects }
    }
}

impl<S> fmt::Debug for Container<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

#[async_trait]
impl<S: ObjectStore + PaginatedListStore> Bucket for Container<S> {
    fn objects(&self) -> &dyn ObjectStore {
        &self.objects
    }

    fn pages(&self) -> &dyn PaginatedListStore {
        &self.objects
    }

    fn checksum(&self, _payload: &Payload) -> Option<Header> {
        None
    }

    async fn delete(&self, path: &Path) -> object_store::Result<()> {
        self.objects.delete(path).await
    }

    async fn create(&self) -> Option<Result<(), (Reason, String)>> {
        None
    }

    async fn renew_credentials(&self) -> bool {
        false // `object_store` renews them by itself
    }
}
