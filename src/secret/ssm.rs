//! Secrets from the AWS Systems Manager Parameter Store. What the SDK says is told in words of our own: its `Debug` has the
//! bodies of answers in it, and those have the secrets.

use std::collections::HashMap;
use std::error::Error;

use async_trait::async_trait;
use aws_sdk_ssm::Client;
use aws_sdk_ssm::config::retry::RetryConfig;
use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ssm::types::Parameter;

use super::{Secret, SecretError, Secrets, aws};

/// Names that one request may ask for.
const BATCH: usize = 10;
/// Tries of one request, the first one included.
const ATTEMPTS: u32 = 4;

/// The parameter store of a region.
#[derive(Clone, Debug, Default)]
pub struct ParameterStore {
    region: Option<String>,
    path: Option<String>,
}

impl ParameterStore {
    /// The store of this region, or of the machine's; names without a path are under this one.
    pub fn new(region: Option<String>, path: Option<String>) -> Self {
        let path = path.map(|path| format!("/{}/", path.trim_matches('/')));
        Self { region, path }
    }

    /// All that is under the path, page by page, by what follows the path in its name.
    async fn under(&self, client: &Client, path: &str) -> Result<HashMap<String, Secret>, String> {
        let mut found = HashMap::new();
        let request = client.get_parameters_by_path().path(path).recursive(true).with_decryption(true);
        let mut pages = request.into_paginator().send();
        while let Some(page) = pages.next().await {
            for parameter in page.map_err(|error| explained(&error, "ssm:GetParametersByPath"))?.parameters() {
                if let Some((name, value)) = named(parameter) {
                    let short = name.strip_prefix(path).unwrap_or(&name).to_owned();
                    found.insert(short, value);
                }
            }
        }
        Ok(found)
    }

    async fn client(&self) -> Result<Client, String> {
        let found = aws::configuration(self.region.as_deref()).await;
        if found.region().is_none() {
            let hint = "set AWS_REGION, or `secrets: {provider: ssm, region: …}` in pipe.yaml";
            return Err(format!("no AWS region is configured; {hint}"));
        }
        let retry = RetryConfig::standard().with_max_attempts(ATTEMPTS);
        Ok(Client::from_conf(aws_sdk_ssm::config::Builder::from(&found).retry_config(retry).build()))
    }
}

#[async_trait]
impl Secrets for ParameterStore {
    async fn fetch(&self, names: &[String]) -> Result<HashMap<String, Secret>, Vec<SecretError>> {
        let refused = |name: &String, reason: &str| SecretError { name: name.clone(), reason: reason.to_owned() };
        let all = |names: &[String], reason: &str| names.iter().map(|name| refused(name, reason)).collect::<Vec<_>>();
        let client = self.client().await.map_err(|reason| all(names, &reason))?;
        let (short, whole): (Vec<String>, Vec<String>) =
            names.iter().cloned().partition(|name| self.path.is_some() && !name.starts_with('/'));
        let mut found = HashMap::new();
        if let Some(path) = self.path.as_deref().filter(|_| !short.is_empty()) {
            let mut under = self.under(&client, path).await.map_err(|reason| all(&short, &reason))?;
            found.extend(short.iter().filter_map(|name| under.remove_entry(name)));
        }
        for batch in whole.chunks(BATCH) {
            let request = client.get_parameters().set_names(Some(batch.to_vec())).with_decryption(true);
            let answer = request.send().await.map_err(|error| all(batch, &explained(&error, "ssm:GetParameters")))?;
            found.extend(answer.parameters().iter().filter_map(named));
        }
        let absent = names.iter().filter(|name| !found.contains_key(*name));
        let missing: Vec<SecretError> = absent.map(|name| refused(name, &self.absent(name))).collect();
        if missing.is_empty() { Ok(found) } else { Err(missing) }
    }
}

impl ParameterStore {
    fn absent(&self, name: &str) -> String {
        match self.path.as_deref().filter(|_| !name.starts_with('/')) {
            Some(path) => format!("there is no such parameter under `{path}` in this account and region"),
            None => "there is no such parameter in this account and region".to_owned(),
        }
    }
}

fn named(parameter: &Parameter) -> Option<(String, Secret)> {
    Some((parameter.name()?.to_owned(), Secret::new(parameter.value()?)))
}

/// What went wrong, in the words of whoever has to do something about it.
fn explained<E, R>(error: &SdkError<E, R>, right: &str) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    match error {
        SdkError::ServiceError(failure) => {
            let failure = failure.err();
            let code = failure.code().unwrap_or("an error without a name");
            match code {
                "AccessDeniedException" => {
                    format!("access is denied; the role needs {right} on it, and kms:Decrypt on its key")
                }
                "ThrottlingException" | "TooManyUpdates" => {
                    format!("the parameter store asked to slow down {ATTEMPTS} times; try again in a minute")
                }
                "ExpiredTokenException"
                | "UnrecognizedClientException"
                | "InvalidSignatureException"
                | "InvalidClientTokenId"
                | "IncompleteSignature" => {
                    format!("the AWS credentials are not accepted ({code}); log in again")
                }
                "InvalidKeyId" => "its encryption key is not there or not usable".to_owned(),
                "ValidationException" => "the parameter store does not take this as a name".to_owned(),
                other => format!("the parameter store answered {other}"),
            }
        }
        SdkError::TimeoutError(_) => "the parameter store did not answer in time".to_owned(),
        SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) => {
            let why = chain(error);
            if why.to_lowercase().contains("credential") {
                return no_credentials();
            }
            format!("the parameter store cannot be reached: {why}")
        }
        _ => "the answer of the parameter store could not be read".to_owned(),
    }
}

fn no_credentials() -> String {
    "no AWS credentials were found; log in (`aws sso login`), set AWS_PROFILE, or give AWS_ACCESS_KEY_ID and \
     AWS_SECRET_ACCESS_KEY"
        .to_owned()
}

/// The reasons of an error that was not an answer, as their authors wrote them for people.
fn chain(error: &dyn Error) -> String {
    let mut reasons = Vec::new();
    let mut source = error.source();
    while let Some(inner) = source {
        reasons.push(inner.to_string());
        source = inner.source();
    }
    reasons.dedup();
    reasons.join(": ").chars().take(300).collect()
}
