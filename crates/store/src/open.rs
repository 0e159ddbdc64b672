//! From a URL to an adapter.
//!
//! | URL | store | parameters |
//! |---|---|---|
//! | `file:///path` | a local directory | |
//! | `memory://` | memory, gone with the process | |
//! | `s3://bucket/prefix` | S3 and what speaks its protocol | `region` `endpoint` `path_style` `profile` `credentials_file` `anonymous` `checksum` `create_bucket` |
//! | `gs://bucket/prefix` | Google Cloud Storage | `endpoint` |
//! | `az://container/prefix` | Azure Blob Storage | `account` `endpoint` |
//!
//! All buckets also know `timeout` and `connect_timeout` (`30s`, `500ms`). Secrets never stand in a URL. Opening sends
//! no request: a store that is away delays nothing but the first request, and the client says what is wrong then.

use crate::directory::DirectoryStorage;
use crate::memory::MemoryStorage;
use crate::port::{Key, ObjectStorage};
use crate::remote::credentials::CredentialSource;
use crate::remote::s3::{S3Bucket, S3Settings};
use crate::remote::{azure, gcs, storage};
use frazil_base::Env;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

#[cfg(test)]
mod tests;

/// The region that is signed for when nothing names one; other stores than AWS do not care.
const REGION_DEFAULT: &str = "us-east-1";

/// What a URL does not say.
#[derive(Clone, Debug)]
pub struct Options {
    /// Clock and randomness.
    pub env: Env,
    /// Make a missing S3 bucket when the first request finds it missing. Off for tools that only look.
    pub create_bucket: bool,
    /// A request without an answer fails after this. Longer: slow links survive; shorter: outages are seen sooner.
    pub request_timeout: Duration,
    /// A connection that does not come about fails after this.
    pub connect_timeout: Duration,
}

impl Options {
    /// The defaults: buckets are made, requests may take 30 s, connections 5 s.
    pub fn new(env: Env) -> Options {
        Options {
            env,
            create_bucket: true,
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
        }
    }
}

/// Why a URL names no usable store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not a URL, or not complete. The URL is not repeated: a secret may stand in it.
    #[error("the store's URL is malformed: {detail}")]
    Malformed {
        /// What is wrong with it.
        detail: String,
    },
    /// A scheme that no adapter knows.
    #[error("the store's URL begins with {scheme:?}; known are file, s3, gs, az and memory")]
    UnknownScheme {
        /// Before the colon.
        scheme: String,
    },
    /// A parameter that this store does not know.
    #[error("the store's URL has an unknown parameter {name:?}; known are {known}")]
    UnknownParameter {
        /// Its name.
        name: String,
        /// The names that are known.
        known: String,
    },
    /// A password, key or token in the URL, where logs and process lists would show it.
    #[error(
        "the store's URL holds a secret ({name}); give it by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, \
         or credentials_file="
    )]
    Secret {
        /// Which part.
        name: String,
    },
    /// The local directory cannot be used.
    #[error("the store's directory {path} cannot be used: {source}")]
    Directory {
        /// The directory.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The client of a bucket cannot be made.
    #[error("the store's client cannot be made: {detail}")]
    Client {
        /// What is wrong.
        detail: String,
    },
}

fn malformed(detail: impl Into<String>) -> OpenError {
    OpenError::Malformed { detail: detail.into() }
}

/// The adapter that `url` names, bare; [`crate::decorate`] adds counting and retries.
pub async fn open(url: &str, options: Options) -> Result<Arc<dyn ObjectStorage>, OpenError> {
    let (url, parameters) = parse(url)?;
    match url.scheme() {
        "memory" => {
            parameters.expect_no_others()?;
            Ok(Arc::new(MemoryStorage::new(options.env)))
        }
        "file" => {
            parameters.expect_no_others()?;
            open_directory(&url, options)
        }
        "s3" => open_s3(&url, parameters, options).await,
        "gs" => open_gcs(&url, parameters, options),
        "az" => open_azure(&url, parameters, options),
        scheme => Err(OpenError::UnknownScheme { scheme: scheme.to_owned() }),
    }
}

fn parse(url: &str) -> Result<(Url, Parameters), OpenError> {
    let url = Url::parse(url).map_err(|error| malformed(error.to_string()))?;
    if url.password().is_some() || !url.username().is_empty() {
        return Err(OpenError::Secret { name: "user name or password".to_owned() });
    }
    let parameters = Parameters::of(&url)?;
    Ok((url, parameters))
}

fn open_directory(url: &Url, options: Options) -> Result<Arc<dyn ObjectStorage>, OpenError> {
    let path = url.to_file_path().map_err(|()| malformed("a directory is written file:///absolute/path"))?;
    match DirectoryStorage::open(&path, options.env) {
        Ok(storage) => Ok(Arc::new(storage)),
        Err(source) => Err(OpenError::Directory { path: path.display().to_string(), source }),
    }
}

async fn open_s3(url: &Url, parameters: Parameters, options: Options) -> Result<Arc<dyn ObjectStorage>, OpenError> {
    let (settings, options) = read_s3_settings(url, parameters, options).await?;
    Ok(storage(S3Bucket::new(settings, &options).map_err(client_error)?, prefix(url)?))
}

/// What an `s3://` URL says, for clients other than the adapter.
#[cfg(any(test, feature = "testing"))]
pub async fn s3_settings(url: &str, options: Options) -> Result<(S3Settings, Options), OpenError> {
    let (url, parameters) = parse(url)?;
    read_s3_settings(&url, parameters, options).await
}

async fn read_s3_settings(
    url: &Url,
    mut parameters: Parameters,
    options: Options,
) -> Result<(S3Settings, Options), OpenError> {
    let mut options = parameters.client_options(options)?;
    options.create_bucket = parameters.flag("create_bucket")?.unwrap_or(options.create_bucket);
    let endpoint = parameters.take("endpoint").or_else(|| variable("AWS_ENDPOINT_URL_S3"));
    let endpoint = endpoint.or_else(|| variable("AWS_ENDPOINT_URL")).map(checked_endpoint).transpose()?;
    let profile = parameters.take("profile");
    let credentials = match (parameters.flag("anonymous")?, parameters.take("credentials_file")) {
        (Some(true), _) => CredentialSource::Anonymous,
        (_, Some(path)) => CredentialSource::File { path: path.into(), profile: profile.clone() },
        (_, None) => CredentialSource::Chain { profile: profile.clone() },
    };
    let bucket = bucket(url)?;
    let path_style = parameters.flag("path_style")?.unwrap_or(endpoint.is_some() || bucket.contains('.'));
    let checksum = parameters.choice("checksum", &["crc32c", "none"])? != Some("none");
    let region = parameters.take("region");
    parameters.expect_no_others()?;
    let region = match region {
        Some(region) => region,
        None => find_region(endpoint.is_some(), profile).await,
    };
    Ok((S3Settings { bucket, region, endpoint, path_style, credentials, checksum }, options))
}

fn open_gcs(url: &Url, mut parameters: Parameters, options: Options) -> Result<Arc<dyn ObjectStorage>, OpenError> {
    let options = parameters.client_options(options)?;
    let endpoint = parameters.take("endpoint").map(checked_endpoint).transpose()?;
    parameters.expect_no_others()?;
    Ok(storage(gcs::bucket(&bucket(url)?, endpoint, &options).map_err(client_error)?, prefix(url)?))
}

fn open_azure(url: &Url, mut parameters: Parameters, options: Options) -> Result<Arc<dyn ObjectStorage>, OpenError> {
    let options = parameters.client_options(options)?;
    let endpoint = parameters.take("endpoint").map(checked_endpoint).transpose()?;
    let account = parameters.take("account");
    parameters.expect_no_others()?;
    Ok(storage(azure::container(&bucket(url)?, account, endpoint, &options).map_err(client_error)?, prefix(url)?))
}

/// Where other AWS tools look. Only AWS itself is worth asking the instance metadata, which may take a second.
async fn find_region(other_store: bool, profile: Option<String>) -> String {
    if let Some(region) = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION")) {
        return region;
    }
    if other_store {
        return REGION_DEFAULT.to_owned();
    }
    let mut chain = aws_config::default_provider::region::DefaultRegionChain::builder();
    if let Some(profile) = profile {
        chain = chain.profile_name(&profile);
    }
    let region = chain.build().region().await;
    region.map_or_else(|| REGION_DEFAULT.to_owned(), |region| region.to_string())
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn client_error(error: object_store::Error) -> OpenError {
    OpenError::Client { detail: crate::remote::exchange::causes(&error) }
}

fn checked_endpoint(endpoint: String) -> Result<String, OpenError> {
    let url = Url::parse(&endpoint).map_err(|error| malformed(format!("endpoint: {error}")))?;
    let plain = matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none();
    if url.password().is_some() || !url.username().is_empty() {
        return Err(OpenError::Secret { name: "user name or password of the endpoint".to_owned() });
    }
    if plain { Ok(endpoint) } else { Err(malformed("an endpoint is written http://host:port or https://host")) }
}

fn bucket(url: &Url) -> Result<String, OpenError> {
    let bucket = url.host_str().unwrap_or_default();
    if bucket.is_empty() {
        return Err(malformed(format!("a bucket is missing: {}://bucket/prefix", url.scheme())));
    }
    Ok(bucket.to_owned())
}

/// The path of a bucket's URL: empty, or a key with a slash behind it.
fn prefix(url: &Url) -> Result<String, OpenError> {
    let path = url.path().trim_matches('/');
    match (path, Key::parse(path)) {
        ("", _) => Ok(String::new()),
        (_, Some(key)) => Ok(format!("{key}/")),
        (_, None) => Err(malformed("a prefix consists of letters, digits and ._=~- between slashes")),
    }
}

/// The query part of a URL; what nobody took is unknown.
struct Parameters {
    values: BTreeMap<String, String>,
    known: Vec<&'static str>,
}

impl Parameters {
    fn of(url: &Url) -> Result<Parameters, OpenError> {
        let mut values = BTreeMap::new();
        for (name, value) in url.query_pairs() {
            if is_secret(&name) {
                return Err(OpenError::Secret { name: name.into_owned() });
            }
            if values.insert(name.to_string(), value.into_owned()).is_some() {
                return Err(malformed(format!("the parameter {name:?} stands twice")));
            }
        }
        Ok(Parameters { values, known: Vec::new() })
    }

    fn take(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        self.values.remove(name)
    }

    fn flag(&mut self, name: &'static str) -> Result<Option<bool>, OpenError> {
        Ok(self.choice(name, &["true", "false"])?.map(|value| value == "true"))
    }

    fn choice(&mut self, name: &'static str, choices: &[&'static str]) -> Result<Option<&'static str>, OpenError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let choice = choices.iter().find(|choice| **choice == value);
        choice.map(|choice| Some(*choice)).ok_or_else(|| malformed(format!("{name} is one of {}", choices.join(", "))))
    }

    fn duration(&mut self, name: &'static str) -> Result<Option<Duration>, OpenError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let parsed = match (value.strip_suffix("ms"), value.strip_suffix('s')) {
            (Some(number), _) => number.parse().ok().map(Duration::from_millis),
            (None, Some(number)) => number.parse().ok().map(Duration::from_secs),
            (None, None) => None,
        };
        let positive = parsed.filter(|duration| !duration.is_zero());
        positive.map(Some).ok_or_else(|| malformed(format!("{name} is written like 30s or 500ms")))
    }

    fn client_options(&mut self, mut options: Options) -> Result<Options, OpenError> {
        options.request_timeout = self.duration("timeout")?.unwrap_or(options.request_timeout);
        options.connect_timeout = self.duration("connect_timeout")?.unwrap_or(options.connect_timeout);
        Ok(options)
    }

    fn expect_no_others(&self) -> Result<(), OpenError> {
        let Some(name) = self.values.keys().next() else { return Ok(()) };
        let known = if self.known.is_empty() { "none".to_owned() } else { self.known.join(", ") };
        Err(OpenError::UnknownParameter { name: name.clone(), known })
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["secret", "password", "token", "access_key", "accesskey", "account_key", "sas"]
        .iter()
        .any(|part| name.contains(part))
}
