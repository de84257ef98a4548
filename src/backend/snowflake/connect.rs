//! From a target's settings to sessions: how to log in, and what marks every session as ours. It holds secrets only as long
//! as the connector needs them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use snowflake_connector_rs::{
    AuthConfig, Client, ClientConfig, EndpointConfig, Error, KeyPairConfig, PasswordConfig, QueryCanceller,
    QueryConfig, Session, SessionConfig,
};
use tokio::task::JoinSet;

use crate::name::Name;
use crate::secret::Secret;

/// How long the server may take to confirm that it stopped a statement.
const STOP: Duration = Duration::from_secs(5);

/// How long a statement waits for a lock, in seconds, before it is tried again.
const LOCK_SECONDS: u64 = 600;

/// How long one statement may take where nobody says.
const USUAL_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Everything that a login needs.
#[derive(Clone, Debug)]
pub struct Login {
    /// The account identifier, such as `myorg-myaccount`.
    pub account: String,
    /// The user.
    pub user: String,
    /// The role; none for the user's default.
    pub role: Option<String>,
    /// The virtual warehouse.
    pub warehouse: String,
    /// The database of names without one.
    pub database: String,
    /// The schema of the run history and of what a run builds aside.
    pub schema: Name,
    /// The base URL, where it is not the account's own.
    pub host: Option<String>,
    /// The session's time zone.
    pub timezone: String,
    /// How it proves who it is.
    pub credential: Credential,
    /// How long one statement may take.
    pub statement_timeout: Option<Duration>,
    /// Where rows from this machine are laid for the server to take them.
    pub stage: Option<Stage>,
}

/// How a login proves who it is.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A private key in PEM form, with its passphrase where it is encrypted.
    KeyPair(Secret, Option<Secret>),
    /// An OAuth access token.
    OAuth(Secret),
    /// A password.
    Password(Secret),
}

impl Credential {
    /// A text without the secrets of this.
    pub(super) fn redacted(&self, text: String) -> String {
        let secrets = match self {
            Self::KeyPair(key, passphrase) => [Some(key), passphrase.as_ref()],
            Self::OAuth(secret) | Self::Password(secret) => [Some(secret), None],
        };
        let secrets = secrets.into_iter().flatten().map(Secret::expose).filter(|secret| !secret.is_empty());
        secrets.fold(text, |text, secret| text.replace(secret, "[secret]"))
    }
}

/// A place that both this machine and the server know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The external stage, as SQL names it.
    pub name: String,
    /// The URL that it stands for, such as `s3://bucket/loads/`.
    pub url: String,
}

/// Makes sessions, each marked with what it is for, and keeps those that are free.
#[derive(Clone)]
pub(super) struct Connector {
    login: Arc<Login>,
    free: Arc<Mutex<HashMap<String, Vec<Session>>>>,
    stops: Arc<Mutex<JoinSet<()>>>,
}

impl Connector {
    pub(super) fn new(login: Login) -> Self {
        Self { login: Arc::new(login), free: Arc::default(), stops: Arc::default() }
    }

    pub(super) fn login(&self) -> &Login {
        &self.login
    }

    /// The database of names without one.
    pub(super) fn database(&self) -> Name {
        Name::unquoted(&self.login.database)
    }

    /// A session with this query tag: one that is free, or a new one, whose statements may take so long.
    pub(super) async fn open(&self, tag: &str, limit: Option<Duration>) -> Result<Session, Error> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).get_mut(tag).and_then(Vec::pop);
        match free {
            Some(session) => Ok(session),
            None => Client::new(self.config(tag, limit)?)?.create_session().await,
        }
    }

    /// Takes back a session that is not needed now.
    pub(super) fn keep(&self, tag: &str, session: Session) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.entry(tag.to_owned()).or_default().push(session);
    }

    /// Has the server stop a statement, and undo the transaction of its session, beside everything else.
    pub(super) fn stop(&self, canceller: QueryCanceller, transaction: Option<Session>) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let stop = async move {
                if let Err(error) = canceller.cancel().await {
                    tracing::warn!(%error, "the server did not confirm that it stopped a statement");
                }
                if let Some(session) = transaction
                    && let Err(error) = session.query("ROLLBACK").await
                {
                    tracing::debug!(%error, "the transaction went with its session");
                }
            };
            self.stops.lock().unwrap_or_else(PoisonError::into_inner).spawn_on(stop, &runtime);
        }
    }

    /// Waits until the server has been told to stop all that it was to stop.
    pub(super) async fn close(&self) {
        let mut stops = std::mem::take(&mut *self.stops.lock().unwrap_or_else(PoisonError::into_inner));
        let all = async { while stops.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP, all).await.is_err() {
            tracing::warn!("the server did not confirm in time that it stopped all statements");
        }
        self.free.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn config(&self, tag: &str, limit: Option<Duration>) -> Result<ClientConfig, Error> {
        crate::secret::aws::install_tls();
        let login = &self.login;
        let auth = match &login.credential {
            Credential::KeyPair(key, None) => AuthConfig::key_pair(KeyPairConfig::from_pem(key.expose())),
            Credential::KeyPair(key, Some(passphrase)) => {
                let passphrase = passphrase.expose().as_bytes().to_vec();
                AuthConfig::key_pair(KeyPairConfig::from_encrypted_pem(key.expose(), passphrase))
            }
            Credential::OAuth(token) => AuthConfig::oauth(token.expose()),
            Credential::Password(password) => AuthConfig::password(PasswordConfig::new(password.expose())),
        };
        let limit = [limit, login.statement_timeout].into_iter().flatten().min();
        let mut session = SessionConfig::new()
            .with_warehouse(&login.warehouse)
            .with_database(&login.database)
            .with_session_parameter("QUERY_TAG", tag.into())
            .with_session_parameter("TIMEZONE", login.timezone.as_str().into())
            .with_session_parameter("LOCK_TIMEOUT", LOCK_SECONDS.into());
        if let Some(limit) = limit {
            // The server rounds down to whole seconds, and 0 would mean none.
            let seconds = limit.as_secs() + 1;
            session = session.with_session_parameter("STATEMENT_TIMEOUT_IN_SECONDS", seconds.into());
        }
        if let Some(role) = &login.role {
            session = session.with_role(role);
        }
        let query = QueryConfig::new().with_query_response_timeout(limit.unwrap_or(USUAL_LIMIT));
        let mut config = ClientConfig::new(&login.user, &login.account, auth).with_session(session).with_query(query);
        if let Some(host) = &login.host {
            let url = if host.contains("://") { host.clone() } else { format!("https://{host}") };
            let wrong = |_| Error::other(format!("`host: {host}` is no address"));
            config = config.with_endpoint(EndpointConfig::custom_base_url(url.parse().map_err(wrong)?));
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_shows_no_secret_and_takes_its_own_out_of_texts() {
        let secret = |text: &str| Secret::new(text);
        for (credential, secrets) in [
            (Credential::Password(secret("hunter2")), vec!["hunter2"]),
            (Credential::OAuth(secret("tok.en")), vec!["tok.en"]),
            (Credential::KeyPair(secret("-----BEGIN"), Some(secret("phrase"))), vec!["-----BEGIN", "phrase"]),
        ] {
            let login = Login {
                account: "acme".to_owned(),
                user: "PIPE".to_owned(),
                role: None,
                warehouse: "WH".to_owned(),
                database: "D".to_owned(),
                schema: Name::unquoted("PIPE"),
                host: None,
                timezone: "UTC".to_owned(),
                credential,
                statement_timeout: None,
                stage: None,
            };
            let shown = format!("{login:?}");
            let told = login.credential.redacted(format!("no value {} here", secrets.join(" and ")));
            for secret in &secrets {
                assert!(!shown.contains(secret), "{shown}");
                assert!(!told.contains(secret) && told.contains("[secret]"), "{told}");
            }
        }
    }
}
