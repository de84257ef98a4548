//! Secrets from the AWS Systems Manager Parameter Store. What the SDK says is told in words of our own: its `Debug` has the
//! bodies of answers in it, and those have the secrets.

use std::collections::HashMap;
use std::error::Error;

use async_trait::async_trait;
use aws_sdk_ssm::Client;
use aws_sdk_ssm::config::retry::RetryConfig;
use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ssm::operation::get_parameters::GetParametersError;

use super::{Secret, SecretError, Secrets, aws};

/// Names that one request may ask for.
const BATCH: usize = 10;
/// Tries of one request, the first one included.
const ATTEMPTS: u32 = 4;

/// The parameter store of a region.
#[derive(Clone, Debug, Default)]
pub struct ParameterStore {
    region: Option<String>,
}

impl ParameterStore {
    /// The store of this region, or of the machine's.
    pub fn new(region: Option<String>) -> Self {
        Self { region }
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
        let (mut found, mut missing) = (HashMap::new(), Vec::new());
        for batch in names.chunks(BATCH) {
            let request = client.get_parameters().set_names(Some(batch.to_vec())).with_decryption(true);
            let answer = request.send().await.map_err(|error| all(batch, &explained(&error)))?;
            for parameter in answer.parameters() {
                if let (Some(name), Some(value)) = (parameter.name(), parameter.value()) {
                    found.insert(name.to_owned(), Secret::new(value));
                }
            }
            let absent = batch.iter().filter(|name| !found.contains_key(*name));
            missing.extend(absent.map(|name| refused(name, "there is no such parameter in this account and region")));
        }
        if missing.is_empty() { Ok(found) } else { Err(missing) }
    }
}

/// What went wrong, in the words of whoever has to do something about it.
fn explained<R: std::fmt::Debug + Send + Sync + 'static>(error: &SdkError<GetParametersError, R>) -> String {
    match error {
        SdkError::ServiceError(failure) => {
            let failure = failure.err();
            let code = failure.code().unwrap_or("an error without a name");
            match code {
                "AccessDeniedException" => {
                    "access is denied; the role needs ssm:GetParameters on it, and kms:Decrypt on its key".to_owned()
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
