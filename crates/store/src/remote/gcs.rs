//! Google Cloud Storage. Credentials come from `GOOGLE_SERVICE_ACCOUNT`, `GOOGLE_APPLICATION_CREDENTIALS`, or the metadata server.

use super::container::Container;
use super::exchange::WatchedConnector;
use super::{client_options, no_retries};
use crate::open::Options;
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder};

/// Prepares the client of the bucket `name`; sends nothing.
pub fn bucket(
    name: &str,
    endpoint: Option<String>,
    options: &Options,
) -> object_store::Result<Container<GoogleCloudStorage>> {
    let plain = endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(name)
        .with_retry(no_retries())
        .with_client_options(client_options(options, plain))
        .with_http_connector(WatchedConnector);
    if let Some(endpoint) = endpoint {
        builder = builder.with_base_url(&endpoint);
    }
    Ok(Container::new(format!("gs://{name}"), builder.build()?))
}
