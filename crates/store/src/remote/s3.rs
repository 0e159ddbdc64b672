//! S3 and what speaks its protocol (MinIO, R2, Ceph).

use super::checksum::crc32c_header;
use super::credentials::{CredentialCache, CredentialSource, Signer};
use super::exchange::{Header, SharedConnector, causes, watched_client};
use super::{Bucket, client_options, no_retries};
use crate::open::Options;
use crate::port::{Payload, Reason};
use async_trait::async_trait;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::create_bucket::CreateBucketError;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use object_store::ObjectStore;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use object_store::list::PaginatedListStore;
use object_store::path::Path;
use std::fmt;
use std::sync::Arc;

/// Which bucket, and how to reach it.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// Its name.
    pub bucket: String,
    /// Region that is signed for.
    pub region: String,
    /// `http://host:port` or `https://…` of a store other than AWS.
    pub endpoint: Option<String>,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`.
    pub path_style: bool,
    /// Where credentials come from.
    pub credentials: CredentialSource,
    /// Whether uploads carry a CRC32C.
    pub checksum: bool,
}

/// The bucket.
pub struct S3Bucket {
    settings: S3Settings,
    create_missing: bool,
    objects: AmazonS3,
    /// For deletes: `object_store` knows only bulk deletes, which are neither free nor as plain.
    http: HttpClient,
    credentials: Arc<CredentialCache>,
}

impl fmt::Debug for S3Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.settings.bucket)
    }
}

impl S3Bucket {
    /// Prepares the client; sends nothing.
    pub fn new(settings: S3Settings, options: &Options) -> object_store::Result<S3Bucket> {
        let credentials = Arc::new(CredentialCache::new(settings.credentials.clone(), options.env.clone()));
        let signer = Signer { credentials: credentials.clone(), region: settings.region.clone() };
        let client = client_options(options, settings.base_url().starts_with("http://"));
        let http = watched_client(&client, Some(signer))?;
        let objects = AmazonS3Builder::new()
            .with_bucket_name(&settings.bucket)
            .with_region(&settings.region)
            .with_endpoint(settings.object_store_endpoint())
            .with_virtual_hosted_style_request(!settings.path_style)
            .with_credentials(credentials.clone())
            .with_skip_signature(true) // the HTTP client signs
            .with_retry(no_retries())
            .with_client_options(client)
            .with_http_connector(SharedConnector(http.clone()))
            .build()?;
        Ok(S3Bucket { settings, create_missing: options.create_bucket, objects, http, credentials })
    }

    /// A client for what `object_store` cannot do.
    pub async fn sdk_client(&self) -> aws_sdk_s3::Client {
        let settings = &self.settings;
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(settings.region.clone()))
            .credentials_provider(self.credentials.provider().await)
            .force_path_style(settings.path_style);
        config.set_endpoint_url(settings.endpoint.clone());
        aws_sdk_s3::Client::from_conf(config.build())
    }

    async fn create_bucket(&self) -> Result<(), (Reason, String)> {
        // us-east-1 must not be named.
        let constraint = (self.settings.region != "us-east-1").then(|| {
            let region = BucketLocationConstraint::from(self.settings.region.as_str());
            CreateBucketConfiguration::builder().location_constraint(region).build()
        });
        let request = self.sdk_client().await.create_bucket().bucket(&self.settings.bucket);
        match request.set_create_bucket_configuration(constraint).send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(CreateBucketError::BucketAlreadyOwnedByYou(_)) => Ok(()),
                _ => Err(refusal(&error)),
            },
        }
    }
}

fn refusal<R: fmt::Debug + Send + Sync + 'static>(
    error: &aws_sdk_s3::error::SdkError<CreateBucketError, R>,
) -> (Reason, String) {
    let code = error.code().unwrap_or_default();
    let cause = match error.message() {
        Some(message) => format!("{code}: {message}"),
        None => causes(error),
    };
    match code {
        "" | "InternalError" | "ServiceUnavailable" | "SlowDown" | "OperationAborted" => (Reason::Unavailable, cause),
        "AccessDenied" | "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "AllAccessDisabled" => {
            (Reason::Denied, format!("{cause}; make it, or give the credentials s3:CreateBucket"))
        }
        "BucketAlreadyExists" => (Reason::Denied, format!("{cause}; the name belongs to another account")),
        _ => (Reason::Invalid, cause),
    }
}

impl S3Settings {
    /// Where keys are appended, without a slash at the end.
    fn base_url(&self) -> String {
        let bucket = &self.bucket;
        let (scheme, host) = match &self.endpoint {
            None => ("https", format!("s3.{}.amazonaws.com", self.region)),
            Some(endpoint) => {
                let (scheme, host) = endpoint.split_once("://").unwrap_or(("https", endpoint));
                (scheme, host.trim_end_matches('/').to_owned())
            }
        };
        if self.path_style { format!("{scheme}://{host}/{bucket}") } else { format!("{scheme}://{bucket}.{host}") }
    }

    /// What `object_store` calls the endpoint: with the bucket in it unless in path style.
    fn object_store_endpoint(&self) -> String {
        let base = self.base_url();
        match self.path_style {
            true => base[..base.len() - self.bucket.len() - 1].to_owned(),
            false => base,
        }
    }
}

#[async_trait]
impl Bucket for S3Bucket {
    fn objects(&self) -> &dyn ObjectStore {
        &self.objects
    }

    fn pages(&self) -> &dyn PaginatedListStore {
        &self.objects
    }

    fn checksum(&self, payload: &Payload) -> Option<Header> {
        self.settings.checksum.then(|| crc32c_header(payload))
    }

    async fn delete(&self, path: &Path) -> object_store::Result<()> {
        let generic = |source| object_store::Error::Generic { store: "S3", source };
        // `=` is the only character of keys that a URL's path must escape for S3.
        let url = format!("{}/{}", self.settings.base_url(), path.as_ref().replace('=', "%3D"));
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = "DELETE".parse().expect("a method");
        *request.uri_mut() = url.parse().map_err(|error| generic(Box::new(error)))?;
        let response = self.http.execute(request).await.map_err(|error| generic(error.into()))?;
        match response.status().is_success() {
            true => Ok(()),
            false => Err(generic(format!("status {}", response.status()).into())),
        }
    }

    async fn create(&self) -> Option<Result<(), (Reason, String)>> {
        let may = self.create_missing && self.settings.credentials != CredentialSource::Anonymous;
        if may { Some(self.create_bucket().await) } else { None }
    }

    async fn renew_credentials(&self) -> bool {
        self.credentials.forget().await;
        self.settings.credentials != CredentialSource::Anonymous
    }
}
