//! Google Cloud Storage. Credentials come from `GOOGLE_SERVICE_ACCOUNT`, `GOOGLE_APPLICATION_CREDENTIALS`, or the metadata server.

use super::exchange::{Header, WatchedConnector};
use super::{Bucket, client_options, no_retries};
use crate::open::Options;
use crate::port::{Payload, Reason};
use async_trait::async_trait;
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::list::PaginatedListStore;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::fmt;

/// The bucket.
pub struct GcsBucket {
    name: String,
    objects: GoogleCloudStorage,
}

impl fmt::Debug for GcsBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gs://{}", self.name)
    }
}

impl GcsBucket {
    /// Prepares the client; sends nothing.
    pub fn new(name: String, endpoint: Option<String>, options: &Options) -> object_store::Result<GcsBucket> {
        let plain = endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let builder = GoogleCloudStorageBuilder::from_env()
            .with_bucket_name(&name)
            .with_retry(no_retries())
            .with_client_options(client_options(options, plain))
            .with_http_connector(WatchedConnector);
        let builder = match endpoint {
            Some(endpoint) => builder.with_base_url(&endpoint),
            None => builder,
        };
        Ok(GcsBucket { name, objects: builder.build()? })
    }
}

#[async_trait]
impl Bucket for GcsBucket {
    fn objects(&self) -> &dyn ObjectStore {
        &self.objects
    }

    fn pages(&self) -> &dyn PaginatedListStore {
        &self.objects
    }

    fn checksum(&self, _payload: &Payload) -> Option<Header> {
        None // TLS protects the body
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
