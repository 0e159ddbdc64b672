//! S3 credentials, and signing with them.
//!
//! Credentials come from where every AWS tool takes them: `AWS_*` variables, shared files and profiles, web identity,
//! container and instance metadata. They are first asked for when the first request is signed, so that nothing is
//! waited for at start, and asked for again before they expire.

use async_trait::async_trait;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::profile::ProfileFileCredentialsProvider;
#[expect(deprecated, reason = "the new names stand in a crate that nothing else here needs")]
use aws_config::profile::profile_file::{ProfileFileKind, ProfileFiles};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::{Credentials, ProvideCredentials, SharedCredentialsProvider};
use frazil_base::Env;
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{CredentialProvider, HttpRequest};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::UNIX_EPOCH;
use tokio::sync::{Mutex, OnceCell};

/// Credentials are renewed this long before they expire.
const RENEW_BEFORE_EXPIRY_MS: i64 = 5 * 60 * 1_000;

/// Where S3 credentials come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialSource {
    /// The chain that AWS tools share, with the profile of this name if one is named.
    Chain {
        /// Name of a profile in the shared files.
        profile: Option<String>,
    },
    /// A file in the format of `~/.aws/credentials`.
    File {
        /// The file.
        path: PathBuf,
        /// Name of a profile in it; `default` otherwise.
        profile: Option<String>,
    },
    /// None: requests are not signed.
    Anonymous,
}

/// Why there are no credentials. Never holds one.
#[derive(Debug, thiserror::Error)]
#[error(
    "no S3 credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or credentials_file= in the \
     store's URL"
)]
pub struct NoCredentials {
    source: CredentialsError,
}

impl NoCredentials {
    /// Whether whoever gives them was only away, so that there may be some later.
    pub fn is_passing(&self) -> bool {
        matches!(self.source, CredentialsError::ProviderTimedOut(_) | CredentialsError::ProviderError(_))
    }
}

/// Fetches credentials when they are needed and keeps them while they are valid.
#[derive(Debug)]
pub struct CredentialCache {
    source: CredentialSource,
    env: Env,
    provider: OnceCell<SharedCredentialsProvider>,
    held: Mutex<Option<Held>>,
}

#[derive(Clone, Debug)]
struct Held {
    credential: Arc<AwsCredential>,
    expires_ms: Option<i64>,
}

impl CredentialCache {
    /// A cache that has not asked yet.
    pub fn new(source: CredentialSource, env: Env) -> CredentialCache {
        CredentialCache { source, env, provider: OnceCell::new(), held: Mutex::new(None) }
    }

    /// What the AWS SDK takes.
    pub async fn provider(&self) -> SharedCredentialsProvider {
        self.provider.get_or_init(|| provider(self.source.clone())).await.clone()
    }

    /// Valid credentials.
    async fn credential(&self) -> Result<Arc<AwsCredential>, NoCredentials> {
        let mut held = self.held.lock().await;
        let now_ms = self.env.clock.now_ms();
        let valid_until = |margin_ms: i64, held: &Held| held.expires_ms.is_none_or(|end| now_ms < end - margin_ms);
        if let Some(held) = held.as_ref().filter(|held| valid_until(RENEW_BEFORE_EXPIRY_MS, held)) {
            return Ok(held.credential.clone());
        }
        match self.provider().await.provide_credentials().await {
            Ok(credentials) => Ok(held.insert(Held::from(credentials)).credential.clone()),
            Err(error) => match held.as_ref().filter(|held| valid_until(0, held)) {
                Some(held) => Ok(held.credential.clone()), // the old ones still do
                None => Err(NoCredentials { source: error }),
            },
        }
    }

    /// Forgets what is held: the store refused it.
    pub async fn forget(&self) {
        *self.held.lock().await = None;
    }
}

impl From<Credentials> for Held {
    fn from(credentials: Credentials) -> Held {
        let expiry = credentials.expiry().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Held {
            credential: Arc::new(AwsCredential {
                key_id: credentials.access_key_id().to_owned(),
                secret_key: credentials.secret_access_key().to_owned(),
                token: credentials.session_token().map(str::to_owned),
            }),
            expires_ms: expiry.map(|since| since.as_millis() as i64),
        }
    }
}

#[expect(deprecated, reason = "see the import")]
async fn provider(source: CredentialSource) -> SharedCredentialsProvider {
    match source {
        CredentialSource::Chain { profile: None } => {
            SharedCredentialsProvider::new(DefaultCredentialsChain::builder().build().await)
        }
        CredentialSource::Chain { profile: Some(profile) } => {
            let chain = DefaultCredentialsChain::builder().profile_name(&profile);
            SharedCredentialsProvider::new(chain.build().await)
        }
        CredentialSource::File { path, profile } => {
            let files = ProfileFiles::builder().with_file(ProfileFileKind::Credentials, path).build();
            let profile = profile.unwrap_or_else(|| "default".to_owned());
            let file = ProfileFileCredentialsProvider::builder().profile_files(files).profile_name(profile);
            SharedCredentialsProvider::new(file.build())
        }
        // Never signed with.
        CredentialSource::Anonymous => {
            SharedCredentialsProvider::new(Credentials::new("", "", None, None, "anonymous"))
        }
    }
}

#[async_trait]
impl CredentialProvider for CredentialCache {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let credential = self.credential().await;
        credential.map_err(|error| object_store::Error::Generic { store: "S3", source: error.into() })
    }
}

/// Signs S3 requests (AWS Signature Version 4) without reading their bodies; see `checksum` for what protects those.
#[derive(Debug)]
pub struct Signer {
    /// Whose requests they are.
    pub credentials: Arc<CredentialCache>,
    /// The region that is signed for.
    pub region: String,
}

impl Signer {
    /// Adds the headers that authorize `request`; nothing for an anonymous one.
    pub async fn sign(&self, request: &mut HttpRequest) -> Result<(), NoCredentials> {
        if self.credentials.source == CredentialSource::Anonymous {
            return Ok(());
        }
        let credential = self.credentials.credential().await?;
        AwsAuthorizer::new(&credential, "s3", &self.region).with_sign_payload(false).authorize(request, None);
        Ok(())
    }
}
