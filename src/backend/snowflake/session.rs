//! Statements on a server: run, stopped when the run is, their errors sorted by what to do about them.

use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use snowflake_connector_rs::{Error, ErrorKind, IntoStatement, QueryCanceller, ResultCursor, Session};
use tokio_util::sync::CancellationToken;

use super::connect::Connector;
use super::{rows, text};
use crate::backend::{BackendError, Remedy};
use crate::dialect::Column;

/// What a session is for.
#[derive(Clone, Debug)]
pub(super) struct Purpose {
    /// The mark of its statements on the server.
    pub(super) tag: String,
    /// What its transactions are called, so that those of a run that is lost are known as such.
    pub(super) transaction: String,
    /// How long one statement may take.
    pub(super) limit: Option<Duration>,
    /// How often a statement is tried where its error may pass. A step's are tried by the run.
    pub(super) tries: u32,
}

/// A session that is made when it is first needed and made anew when it has expired.
pub(super) struct Worker {
    connector: Connector,
    purpose: Purpose,
    cancel: CancellationToken,
    session: Option<Session>,
    in_transaction: bool,
    queries: Vec<String>,
}

/// The rows of an answer.
pub(super) struct Answer {
    pub(super) batches: Vec<RecordBatch>,
}

/// An answer whose rows come part by part.
pub(super) struct Parts {
    connector: Connector,
    schema: SchemaRef,
    cursor: ResultCursor,
}

impl Parts {
    /// The next part that has rows.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>, BackendError> {
        while let Some(table) = self.cursor.next_table().await.map_err(|error| self.connector.explain(&error))? {
            if !table.is_empty() {
                return rows::batch(&table, &self.schema).map(Some);
            }
        }
        Ok(None)
    }

    async fn all(mut self) -> Result<Answer, BackendError> {
        let mut batches = Vec::new();
        while let Some(batch) = self.next().await? {
            batches.push(batch);
        }
        Ok(Answer { batches })
    }
}

impl Connector {
    /// What went wrong, without the secrets that a server's message may repeat.
    fn explain(&self, error: &Error) -> BackendError {
        let told = explain(error);
        BackendError { message: self.login().credential.redacted(told.message), ..told }
    }
}

impl Worker {
    pub(super) fn new(connector: &Connector, purpose: Purpose, cancel: CancellationToken) -> Self {
        Self {
            connector: connector.clone(),
            purpose,
            cancel,
            session: None,
            in_transaction: false,
            queries: Vec::new(),
        }
    }

    /// Runs a statement that may be run twice: on a new session where the present one has expired, and again where the
    /// error may pass.
    pub(super) async fn run<S: IntoStatement + Clone>(&mut self, statement: S) -> Result<ResultCursor, BackendError> {
        let (mut tried, mut renewed) = (1, false);
        loop {
            let error = match self.once(statement.clone()).await {
                Ok(cursor) => return Ok(cursor),
                Err(error) => error,
            };
            let told = self.connector.explain(&error);
            if error.kind() == ErrorKind::SessionExpired && !renewed {
                tracing::info!("the session has expired, a new one goes on");
                renewed = true;
            } else if told.remedy == Remedy::Retry && tried < self.purpose.tries {
                tracing::info!(error = %told, "tried again");
                tokio::time::sleep(Duration::from_millis(250) * 2_u32.pow(tried)).await;
                tried += 1;
            } else {
                return Err(told);
            }
        }
    }

    /// Begins a transaction.
    pub(super) async fn begin(&mut self) -> Result<(), BackendError> {
        self.run(text::begin(&self.purpose.transaction)).await?;
        self.in_transaction = true;
        Ok(())
    }

    /// Ends the transaction. After an error of the network it is not known whether that was done.
    pub(super) async fn commit(&mut self) -> Result<(), BackendError> {
        let done = self.within("COMMIT".to_owned()).await.map(|_| ());
        if done.is_err() {
            // What did not arrive leaves a transaction open, whose locks would keep the next try waiting.
            self.roll_back().await;
        }
        self.in_transaction = false;
        done
    }

    /// Undoes the transaction. Where even this fails the session is gone, and with it the transaction.
    pub(super) async fn roll_back(&mut self) {
        if let Err(error) = self.within("ROLLBACK".to_owned()).await {
            tracing::debug!(%error, "the transaction went with its session");
            self.session = None;
        }
        self.in_transaction = false;
    }

    /// Runs a statement of an open transaction: where the session is lost the transaction is too, so that the caller has to
    /// begin anew.
    pub(super) async fn within<S: IntoStatement>(&mut self, statement: S) -> Result<ResultCursor, BackendError> {
        if self.session.is_none() {
            return Err(BackendError::new(Remedy::Retry, "the session was lost in a transaction"));
        }
        self.once(statement).await.map_err(|error| self.connector.explain(&error))
    }

    /// Runs a statement that must not be run twice; its outcome is not known after an error of the network.
    pub(super) async fn once_only<S: IntoStatement>(&mut self, statement: S) -> Result<ResultCursor, BackendError> {
        self.once(statement).await.map_err(|error| self.connector.explain(&error))
    }

    /// The statements that this worker has run, as the server calls them.
    pub(super) fn queries(&self) -> &[String] {
        &self.queries
    }

    /// The rows of a query, part by part.
    pub(super) async fn parts(&mut self, sql: String) -> Result<Parts, BackendError> {
        let cursor = self.run(sql).await?;
        self.parts_of(cursor)
    }

    fn parts_of(&self, cursor: ResultCursor) -> Result<Parts, BackendError> {
        let schema = rows::schema(cursor.schema().columns(), &self.connector.login().timezone)?;
        Ok(Parts { connector: self.connector.clone(), schema, cursor })
    }

    /// The rows of a query.
    pub(super) async fn rows(&mut self, sql: String) -> Result<Answer, BackendError> {
        self.parts(sql).await?.all().await
    }

    /// The rows of a query of an open transaction.
    pub(super) async fn rows_within(&mut self, sql: String) -> Result<Answer, BackendError> {
        let cursor = self.within(sql).await?;
        self.parts_of(cursor)?.all().await
    }

    /// The columns and rows of a statement that is run once.
    pub(super) async fn answer(&mut self, sql: String) -> Result<(Vec<Column>, Vec<RecordBatch>), BackendError> {
        let mut cursor = self.once_only(sql).await?;
        let columns = cursor.schema().columns().iter().map(rows::column).collect::<Result<_, _>>()?;
        let schema = rows::schema(cursor.schema().columns(), &self.connector.login().timezone)?;
        let mut batches = Vec::new();
        while let Some(table) = cursor.next_table().await.map_err(|error| self.connector.explain(&error))? {
            batches.push(rows::batch(&table, &schema)?);
        }
        Ok((columns, batches))
    }

    async fn once<S: IntoStatement>(&mut self, statement: S) -> Result<ResultCursor, Error> {
        let session = match self.session.take() {
            Some(session) => session,
            None => {
                let open = self.connector.open(&self.purpose.tag, self.purpose.limit);
                tokio::select! {
                    opened = open => opened?,
                    () = self.cancel.cancelled() => return Err(Error::other(STOPPED)),
                }
            }
        };
        let handle = session.query_handle(statement)?;
        let mut guard = Guard {
            canceller: Some(handle.canceller()),
            session: Some(session),
            in_transaction: self.in_transaction,
            connector: self.connector.clone(),
        };
        let done = tokio::select! {
            done = handle.execute() => done,
            () = self.cancel.cancelled() => return Err(Error::other(STOPPED)),
        };
        // What took too long here goes on there, unless it is stopped.
        if done.as_ref().is_err_and(|error| error.kind() == ErrorKind::Timeout) {
            return done;
        }
        guard.canceller = None;
        let session = guard.session.take();
        match &done {
            Ok(cursor) => {
                self.queries.push(cursor.query_id().to_owned());
                self.session = session;
            }
            // An answer of the server leaves the session as it was; after anything else its state is not known.
            Err(error) if matches!(error.kind(), ErrorKind::Server | ErrorKind::Cancelled) => {
                self.session = session;
            }
            // It is needed to undo the transaction.
            Err(_) if self.in_transaction => self.session = session,
            Err(_) => {}
        }
        done
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // A session whose transaction is open is let go of: nobody else may go on with it.
        if let Some(session) = self.session.take().filter(|_| !self.in_transaction) {
            self.connector.keep(&self.purpose.tag, session);
        }
    }
}

/// What a statement that was stopped on request fails with.
const STOPPED: &str = "stopped on request";

/// Stops a statement whose future is dropped: an interruption does so, and so does a time limit. Its transaction is undone, so
/// that no lock outlives the run.
struct Guard {
    canceller: Option<QueryCanceller>,
    session: Option<Session>,
    in_transaction: bool,
    connector: Connector,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(canceller) = self.canceller.take() {
            self.connector.stop(canceller, self.session.take().filter(|_| self.in_transaction));
        }
    }
}

/// An error of the connector, and what to do about it.
pub(super) fn explain(error: &Error) -> BackendError {
    let code = error.snowflake_code().unwrap_or_default();
    let reason = error.snowflake_message().map(str::trim);
    let cause = chain(error);
    let stopped = error.kind() == ErrorKind::Other && error.to_string().ends_with(STOPPED);
    let remedy = match error.kind() {
        ErrorKind::Network | ErrorKind::Timeout | ErrorKind::SessionExpired => Remedy::Retry,
        ErrorKind::Auth | ErrorKind::Config => Remedy::Access,
        ErrorKind::Cancelled => Remedy::Cancelled,
        ErrorKind::Server => of_code(code),
        _ if stopped => Remedy::Cancelled,
        _ => Remedy::Author,
    };
    let message = match (error.kind(), reason) {
        (ErrorKind::Auth, Some(message)) => format!("Snowflake refused the login: {message}"),
        (ErrorKind::Auth, None) => format!("the login could not be made: {cause}"),
        (_, Some(message)) if !code.is_empty() => format!("{message} (Snowflake's error {code})"),
        (_, Some(message)) => message.to_owned(),
        (ErrorKind::Network, None) => format!("Snowflake cannot be reached: {cause}"),
        (ErrorKind::Timeout, None) => "Snowflake did not answer in time".to_owned(),
        (ErrorKind::SessionExpired, None) => "the Snowflake session has expired".to_owned(),
        _ => cause,
    };
    let own = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    BackendError { query: error.query_id().and_then(own), code: own(code), ..BackendError::new(remedy, message) }
}

/// Whether an error says that a table or schema is not there.
pub(super) fn is_missing(error: &BackendError) -> bool {
    matches!(error.code.as_deref(), Some("002003" | "002043"))
}

/// The innermost reason of an error, which says most.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = cause.to_string();
        source = cause.source();
    }
    text
}

/// What to do about an error that the server told.
fn of_code(code: &str) -> Remedy {
    match code {
        // Cancelled on request.
        "000604" | "000605" => Remedy::Cancelled,
        // No rights, no usable warehouse.
        "003001" | "003041" | "000606" | "090105" | "090106" | "390201" => Remedy::Access,
        // A lock that others hold, a deadlock, the service's own faults, a session that is gone.
        "000625" | "000603" | "200001" | "300002" | "370001" | "390104" | "390111" => Remedy::Retry,
        // A statement's time limit, a warehouse that cannot be resumed, a quota.
        "000630" | "090073" | "090074" => Remedy::Resources,
        _ => Remedy::Author,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_follows_from_the_kind_and_the_code() {
        assert_eq!(explain(&Error::other(STOPPED)).remedy, Remedy::Cancelled);
        assert_eq!(explain(&Error::other("else")).remedy, Remedy::Author);
        assert_eq!(of_code("003001"), Remedy::Access);
        assert_eq!(of_code("000625"), Remedy::Retry);
        assert_eq!(of_code("001003"), Remedy::Author);
    }
}
