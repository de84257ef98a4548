//! Secrets: fetched when they are needed, held in a type that never shows them, and written nowhere.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use thiserror::Error;

/// The AWS configuration of this machine.
pub(crate) mod aws;

/// Secrets from the environment.
pub mod env;

/// Secrets from the AWS parameter store.
pub mod ssm;

/// A text that must not be seen. It shows as `[secret]` wherever it is printed or serialised.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A text that must not be seen from now on.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one call that has to hand it over.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl serde::Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("[secret]")
    }
}

impl Drop for Secret {
    /// Clears the text, so that it does not stay in freed memory.
    fn drop(&mut self) {
        let length = self.0.len();
        self.0.clear();
        self.0.extend(std::iter::repeat_n('\0', length));
        std::hint::black_box(&self.0);
    }
}

/// Where secrets come from.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// The secrets under names such as `/pipe/prod/snowflake_key`; else what is wrong with each that cannot be had.
    async fn fetch(&self, names: &[String]) -> Result<HashMap<String, Secret>, Vec<SecretError>>;
}

/// A value of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// As written.
    Plain(String),
    /// The name of a secret, fetched when the connection is made.
    Secret(String),
}

/// The secrets of one run: each is fetched once, and only when it is needed.
pub struct Vault {
    secrets: Box<dyn Secrets>,
    fetched: Mutex<HashMap<String, Secret>>,
}

impl Vault {
    /// A vault over a place where secrets come from.
    pub fn new(secrets: Box<dyn Secrets>) -> Self {
        Self { secrets, fetched: Mutex::default() }
    }

    /// Fetches those of these secrets that are not here yet.
    pub async fn prepare(&self, names: &[String]) -> Result<(), Vec<SecretError>> {
        let mut wanted: Vec<String> = {
            let fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
            names.iter().filter(|name| !fetched.contains_key(*name)).cloned().collect()
        };
        wanted.sort();
        wanted.dedup();
        if wanted.is_empty() {
            return Ok(());
        }
        let found = self.secrets.fetch(&wanted).await?;
        self.fetched.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
        Ok(())
    }

    /// The value of a parameter.
    pub async fn value(&self, parameter: &Parameter) -> Result<Secret, SecretError> {
        let name = match parameter {
            Parameter::Plain(text) => return Ok(Secret::new(text.clone())),
            Parameter::Secret(name) => name,
        };
        let missing = |reason: &str| SecretError { name: name.clone(), reason: reason.to_owned() };
        let prepared = self.prepare(std::slice::from_ref(name)).await;
        prepared.map_err(|errors| errors.into_iter().next().unwrap_or_else(|| missing("it is not there")))?;
        let fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        fetched.get(name).cloned().ok_or_else(|| missing("it is not there"))
    }

    /// A text of others, such as a server's message, without the secrets that it may repeat.
    pub fn redacted(&self, text: &str) -> String {
        let fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = text.to_owned();
        let mut secrets: Vec<&str> = fetched.values().map(Secret::expose).filter(|secret| !secret.is_empty()).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        for secret in secrets {
            text = text.replace(secret, "[secret]");
        }
        text
    }
}

/// Why a secret could not be had. It names the secret and never holds it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the secret `{name}` cannot be had: {reason}")]
pub struct SecretError {
    /// The secret's name.
    pub name: String,
    /// Why.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new("hunter2");
        let shown = format!("{secret} {secret:?} {}", serde_json::to_string(&secret).expect("text"));
        assert_eq!(shown, "[secret] [secret] \"[secret]\"");
        assert_eq!(secret.expose(), "hunter2");
    }

    struct Counted(std::sync::Arc<Mutex<Vec<String>>>);

    #[async_trait]
    impl Secrets for Counted {
        async fn fetch(&self, names: &[String]) -> Result<HashMap<String, Secret>, Vec<SecretError>> {
            self.0.lock().expect("the list").extend(names.iter().cloned());
            Ok(names.iter().map(|name| (name.clone(), Secret::new(format!("value of {name}")))).collect())
        }
    }

    #[tokio::test]
    async fn a_secret_is_fetched_once_and_taken_out_of_texts() {
        let asked = std::sync::Arc::new(Mutex::new(Vec::new()));
        let vault = Vault::new(Box::new(Counted(asked.clone())));
        let parameter = Parameter::Secret("/a".to_owned());
        for _ in 0..2 {
            let value = vault.value(&parameter).await.expect("there");
            assert_eq!(value.expose(), "value of /a");
        }
        vault.prepare(&["/a".to_owned(), "/b".to_owned()]).await.expect("there");
        assert_eq!(*asked.lock().expect("the list"), ["/a", "/b"]);
        assert_eq!(vault.redacted("no user value of /a!"), "no user [secret]!");
        assert_eq!(vault.value(&Parameter::Plain("x".to_owned())).await.expect("there").expose(), "x");
    }
}
