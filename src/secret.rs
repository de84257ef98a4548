//! Secrets: fetched when they are needed, held in a type that never shows them, and written nowhere.

use std::fmt;

use async_trait::async_trait;
use thiserror::Error;

/// Secrets from the environment.
pub mod env;

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
    /// The secret under a name such as `/pipe/prod/snowflake_key`.
    async fn fetch(&self, name: &str) -> Result<Secret, SecretError>;
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
}
