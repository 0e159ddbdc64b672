//! Rights on a bucket, for tests with a store that denies.

use crate::open::{OpenError, Options, s3_settings};
use crate::remote::s3::S3Bucket;
use aws_sdk_s3::error::DisplayErrorContext;
use frazil_base::Env;

/// Lets everybody, also without credentials, list and read the bucket of an `s3://` URL, which must exist. Nobody but
/// the owner may write.
pub async fn allow_anonymous_reads(url: &str) -> Result<(), OpenError> {
    allow(url, r#""s3:GetBucketLocation","s3:ListBucket","s3:GetObject""#).await
}

/// As [`allow_anonymous_reads`], and lets everybody write and delete objects.
pub async fn allow_anonymous_writes(url: &str) -> Result<(), OpenError> {
    allow(url, r#""s3:GetBucketLocation","s3:ListBucket","s3:GetObject","s3:PutObject","s3:DeleteObject""#).await
}

async fn allow(url: &str, actions: &str) -> Result<(), OpenError> {
    let failed = |detail| OpenError::Client { detail };
    let (settings, options) = s3_settings(url, Options::new(Env::system())).await?;
    let name = settings.bucket.clone();
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":["*"]}},
        "Action":[{actions}],"Resource":["arn:aws:s3:::{name}","arn:aws:s3:::{name}/*"]}}]}}"#
    );
    let bucket = S3Bucket::new(settings, &options).map_err(|error| failed(error.to_string()))?;
    let request = bucket.sdk_client().await.put_bucket_policy().bucket(name).policy(policy);
    request.send().await.map(drop).map_err(|error| failed(DisplayErrorContext(error).to_string()))
}
