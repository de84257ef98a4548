//! What a server said, in plain words, with what to do about it.

use std::sync::Arc;

use tokio_postgres::Client;
use tokio_postgres::error::DbError;

use crate::backend::{BackendError, Remedy};
use crate::secret::Vault;

/// The server at the other end, for messages.
#[derive(Clone)]
pub(in crate::transfer) struct Server {
    /// Host and port.
    pub(super) place: String,
    pub(super) database: String,
    pub(super) user: String,
    /// The connection's name in `pipe.yaml`.
    pub(super) connection: String,
    pub(super) vault: Arc<Vault>,
}

impl Server {
    /// Runs statements that give nothing.
    pub(super) async fn execute(&self, client: &Client, sql: &str) -> Result<(), BackendError> {
        client.batch_execute(sql).await.map_err(|error| self.explained(&error))
    }

    /// What went wrong.
    pub(super) fn explained(&self, error: &tokio_postgres::Error) -> BackendError {
        let (remedy, text) = match error.as_db_error() {
            Some(answer) => self.answer(answer),
            None => self.unreached(error),
        };
        BackendError::new(remedy, self.vault.redacted(&text))
    }

    fn answer(&self, answer: &DbError) -> (Remedy, String) {
        let (code, place) = (answer.code().code(), &self.place);
        let said = said(answer);
        match code {
            "28P01" | "28000" => {
                let hint = format!("check user and password of the connection `{}`", self.connection);
                let message = format!("PostgreSQL at {place} refused the login of `{}`", self.user);
                (Remedy::Access, format!("{message} ({}); {hint}", answer.message()))
            }
            "3D000" => (Remedy::Access, format!("PostgreSQL at {place} has no database `{}`", self.database)),
            "42501" => (Remedy::Access, format!("`{}` may not do this at {place}: {said}", self.user)),
            "53100" => (Remedy::Resources, format!("the disk of PostgreSQL at {place} is full: {said}")),
            "53300" => (Remedy::Retry, format!("PostgreSQL at {place} has no connection left: {said}")),
            "55P03" => {
                let hint = "wait until it is done, or raise `lock_timeout`";
                (Remedy::Retry, format!("another session has the table locked: {said}; {hint}"))
            }
            "57014" => (Remedy::Retry, format!("PostgreSQL at {place} stopped the statement: {said}")),
            "23505" => (Remedy::Author, format!("a row has a key that is there already: {said}")),
            "23502" => (Remedy::Author, format!("a row lacks a value that it must have: {said}")),
            "23503" => (Remedy::Author, format!("a row points to one that is not there: {said}")),
            _ if code.starts_with("23") => (Remedy::Author, format!("a row breaks a constraint: {said}")),
            "42P10" => {
                let hint = "`upsert` needs a primary key or unique index on exactly the columns of `key`";
                (Remedy::Author, format!("{said}; {hint}"))
            }
            "21000" => (Remedy::Author, format!("two rows of the export have the same key: {said}")),
            "2BP01" => (Remedy::Author, format!("the old table cannot go, since others depend on it: {said}")),
            _ if ["08", "40", "57", "58"].iter().any(|class| code.starts_with(class)) => (Remedy::Retry, said),
            _ if code.starts_with("53") => (Remedy::Resources, said),
            _ => (Remedy::Author, said),
        }
    }

    fn unreached(&self, error: &tokio_postgres::Error) -> (Remedy, String) {
        let place = &self.place;
        let mut reasons = Vec::new();
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            reasons.push(inner.to_string());
            source = inner.source();
        }
        let why = reasons.last().cloned().unwrap_or_else(|| error.to_string());
        if error.is_closed() {
            return (Remedy::Retry, format!("the connection to PostgreSQL at {place} was lost"));
        }
        let lower = why.to_lowercase();
        if lower.contains("certificate") || lower.contains("tls") {
            let hint = format!("see `tls` and `ca` of the connection `{}`", self.connection);
            return (Remedy::Access, format!("no protected connection to PostgreSQL at {place}: {why}; {hint}"));
        }
        if error.to_string().contains("configuration") {
            return (Remedy::Access, format!("PostgreSQL at {place} asks for more than was given: {why}"));
        }
        (Remedy::Retry, format!("PostgreSQL at {place} cannot be reached: {why}"))
    }
}

/// A server's message with the row or object that it is about.
fn said(answer: &DbError) -> String {
    let mut text = answer.message().to_owned();
    if let Some(detail) = answer.detail() {
        text.push_str(&format!(" ({})", detail.trim_end_matches('.').replace('\n', "; ")));
    }
    if let Some(place) = answer.where_().filter(|place| place.starts_with("COPY")) {
        text.push_str(&format!(" [{}]", place.lines().next().unwrap_or_default()));
    }
    if let Some(hint) = answer.hint() {
        text.push_str(&format!("; {}", hint.trim_end_matches('.')));
    }
    text
}
