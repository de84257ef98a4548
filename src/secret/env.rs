//! Secrets from environment variables: for a developer's machine and for CI. A name such as `/pipe/prod/snowflake_key` is
//! the variable `PIPE_PROD_SNOWFLAKE_KEY`.

use std::collections::HashMap;

use async_trait::async_trait;

use super::{Secret, SecretError, Secrets};

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct EnvironmentSecrets;

#[async_trait]
impl Secrets for EnvironmentSecrets {
    async fn fetch(&self, names: &[String]) -> Result<HashMap<String, Secret>, Vec<SecretError>> {
        let (mut found, mut wrong) = (HashMap::new(), Vec::new());
        for name in names {
            match one(name) {
                Ok(secret) => drop(found.insert(name.clone(), secret)),
                Err(error) => wrong.push(error),
            }
        }
        if wrong.is_empty() { Ok(found) } else { Err(wrong) }
    }
}

fn one(name: &str) -> Result<Secret, SecretError> {
    let variable = variable(name);
    match std::env::var(&variable) {
        Ok(text) if !text.is_empty() => Ok(Secret::new(text)),
        Ok(_) => Err(refused(name, format!("the environment variable `{variable}` is empty"))),
        Err(std::env::VarError::NotPresent) => {
            Err(refused(name, format!("the environment variable `{variable}` is not set")))
        }
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(refused(name, format!("the environment variable `{variable}` is not UTF-8")))
        }
    }
}

fn refused(name: &str, reason: String) -> SecretError {
    SecretError { name: name.to_owned(), reason }
}

/// The environment variable that holds a secret.
pub fn variable(name: &str) -> String {
    let upper = name.trim_matches('/').to_uppercase();
    upper.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_become_variables() {
        assert_eq!(super::variable("/pipe/prod/snowflake-key"), "PIPE_PROD_SNOWFLAKE_KEY");
    }
}
