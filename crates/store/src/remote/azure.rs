//! Azure Blob Storage. Credentials come from `AZURE_STORAGE_ACCOUNT_NAME` and `AZURE_STORAGE_ACCOUNT_KEY`, a client secret, or a managed identity.

use super::container::Container;
use super::exchange::WatchedConnector;
use super::{client_options, no_retries};
use crate::open::Options;
use object_store::azure::{MicrosoftAzure, MicrosoftAzureBuilder};

/// Prepares the client of the container `name`; sends nothing.
pub fn container(
    name: &str,
    account: Option<String>,
    endpoint: Option<String>,
    options: &Options,
) -> object_store::Result<Container<MicrosoftAzure>> {
    let plain = endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_container_name(name)
        .with_retry(no_retries())
        .with_client_options(client_options(options, plain))
        .with_http_connector(WatchedConnector);
    if let Some(account) = account {
        builder = builder.with_account(account);
    }
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    Ok(Container::new(format!("az://{name}"), builder.build()?))
}
