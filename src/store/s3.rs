//! S3 as this machine is configured for it: region, endpoint and credentials are those of the AWS configuration
//! (environment, profile, container, instance), so that whatever works for the AWS command line works here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_ssm::config::{ProvideCredentials, SharedCredentialsProvider};
use object_store::aws::{AmazonS3Builder, AwsCredential};
use object_store::{CredentialProvider, ObjectStore, RetryConfig};

use super::{Kind, StoreError};
use crate::secret::aws::{configuration, install_tls};

pub(super) async fn connect(bucket: &str) -> Result<Arc<dyn ObjectStore>, StoreError> {
    install_tls();
    let found = configuration(None).await;
    let own_endpoint = std::env::var("AWS_ENDPOINT_URL_S3").ok().filter(|url| !url.is_empty());
    let endpoint = own_endpoint.or_else(|| found.endpoint_url().map(str::to_owned));
    let Some(region) =
        found.region().map(ToString::to_string).or_else(|| endpoint.as_ref().map(|_| "us-east-1".into()))
    else {
        let message = format!("`s3://{bucket}` needs a region, and none is configured");
        return Err(StoreError::new(
            Kind::Denied,
            format!("{message}: set AWS_REGION, or `region` in your AWS profile"),
        ));
    };
    let Some(provider) = found.credentials_provider() else { return Err(no_credentials(bucket)) };
    let retry = RetryConfig { max_retries: 6, retry_timeout: Duration::from_secs(120), ..RetryConfig::default() };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(region)
        .with_retry(retry)
        .with_credentials(Arc::new(Bridge { provider, bucket: bucket.to_owned() }));
    if let Some(endpoint) = endpoint {
        builder = builder.with_allow_http(endpoint.starts_with("http://")).with_endpoint(endpoint);
    }
    let store = builder.build().map_err(|error| explained("reach", &format!("s3://{bucket}"), &error))?;
    Ok(Arc::new(store))
}

fn no_credentials(bucket: &str) -> StoreError {
    let hint = "log in (`aws sso login`), set AWS_PROFILE, or give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
    StoreError::new(Kind::Denied, format!("no AWS credentials were found for `s3://{bucket}`: {hint}"))
}

/// The SDK's credentials, as the object store wants them.
#[derive(Debug)]
struct Bridge {
    provider: SharedCredentialsProvider,
    bucket: String,
}

#[async_trait]
impl CredentialProvider for Bridge {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let found = self.provider.provide_credentials().await.map_err(|error| {
            tracing::debug!(error = %error, "AWS credentials");
            object_store::Error::Unauthenticated {
                path: self.bucket.clone(),
                source: Box::new(no_credentials(&self.bucket)),
            }
        })?;
        Ok(Arc::new(AwsCredential {
            key_id: found.access_key_id().to_owned(),
            secret_key: found.secret_access_key().to_owned(),
            token: found.session_token().map(str::to_owned),
        }))
    }
}

/// What S3 said, in the words of whoever has to do something about it.
pub(super) fn explained(does: &str, name: &str, error: &object_store::Error) -> StoreError {
    if let Some(known) = own(error) {
        return known.clone();
    }
    let text = chain(error);
    let (kind, why) = match error {
        _ if text.contains("NoSuchBucket") => (Kind::Missing, "there is no such bucket".to_owned()),
        object_store::Error::NotFound { .. } => (Kind::Missing, "there is no such file".to_owned()),
        object_store::Error::PermissionDenied { .. } => {
            (Kind::Denied, "S3 refused (403); check the rights of the role on this bucket and path".to_owned())
        }
        object_store::Error::Unauthenticated { .. } => {
            (Kind::Denied, "S3 did not accept the credentials (401); log in again".to_owned())
        }
        _ if ["InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"].iter().any(|c| text.contains(c)) => {
            (Kind::Denied, "S3 did not accept the credentials; log in again".to_owned())
        }
        object_store::Error::Generic { .. } => (Kind::Passing, text),
        _ => (Kind::Other, text),
    };
    StoreError::new(kind, format!("cannot {does} `{name}`: {why}"))
}

/// An error of ours that came through the object store.
fn own(error: &object_store::Error) -> Option<&StoreError> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref::<StoreError>() {
            return Some(found);
        }
        source = error.source();
    }
    None
}

/// The innermost reason, on one line and not too long.
fn chain(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = inner.source();
    }
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(400).collect()
}
