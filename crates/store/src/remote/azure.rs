//! Azure Blob Storage. Credentials come from `AZURE_STORAGE_ACCOUNT_NAME` and `AZURE_STORAGE_ACCOUNT_KEY`, a client secret, or a managed identity.

use super::exchange::{Header, WatchedConnector};
use super::{Bucket, client_options, no_retries};
use crate::open::Options;
use crate::port::{Payload, Reason};
use async_trait::async_trait;
use object_store::azure::{MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::list::PaginatedListStore;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::fmt;

/// The container.
pub struct AzureBucket {
    name: String,
    objects: MicrosoftAzure,
}

impl fmt::Debug for AzureBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "az://{}", self.name)
    }
}

impl AzureBucket {
    /// Prepares the client; sends nothing.
    pub fn new(
        name: String,
        account: Option<String>,
        endpoint: Option<String>,
        options: &Options,
    ) -> object_store::Result<AzureBucket> {
        let plain = endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let builder = MicrosoftAzureBuilder::from_env()
            .with_container_name(&name)
            .with_retry(no_retries())
            .with_client_options(client_options(options, plain))
            .with_http_connector(WatchedConnector);
        let builder = match account {
            Some(account) => builder.with_account(account),
            None => builder,
        };
        let builder = match endpoint {
            Some(endpoint) => builder.with_endpoint(endpoint),
            None => builder,
        };
        Ok(AzureBucket { name, objects: builder.build()? })
    }
}

#[async_trait]
impl Bucket for AzureBucket {
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
