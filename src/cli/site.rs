//! Where a target's tables and history are: the local warehouse, or Snowflake. What commands on jobs do there is the same.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::execution::runtime_env::RuntimeEnv;

use super::loaded::Loaded;
use super::run::{broken, failed, sources};
use super::{Outcome, block_on};
use crate::backend::datafusion::{Embedded, Limits, LocalTables, runtime};
use crate::backend::snowflake::{Credential, Login, Means, Snowflake, Stage};
use crate::backend::{Backend, BackendError};
use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::diff::Side;
use crate::ledger::{Ledger, Status};
use crate::name::{Name, TableName};
use crate::plan::incremental::Made;
use crate::plan::{Plan, PlannedStep, StepId};
use crate::secret::{Parameter, Secret};
use crate::settings::{BackendSettings, Connection};
use crate::store::Stores;

/// The tables of a target.
pub(super) enum Site {
    /// On this machine.
    Local(Box<LocalTables>),
    /// On Snowflake.
    Snowflake(Remote),
}

/// A Snowflake target, and what this machine keeps about it.
pub(super) struct Remote {
    pub(super) backend: Arc<Snowflake>,
    stores: Arc<Stores>,
}

/// The marks of tables and files that a decision depends on.
pub(super) trait Marks {
    /// A mark of the present state of every one of these tables that exists.
    fn versions(&self, tables: &[TableName]) -> Result<HashMap<TableName, String>, BackendError>;

    /// What published tables were made from, and their marks, where that stands with their rows.
    fn made(&self, tables: &[TableName]) -> Result<HashMap<TableName, (Made, String)>, BackendError>;

    /// The columns of every one of these tables that exists.
    fn columns(&self, tables: &[TableName]) -> Result<HashMap<TableName, Vec<Column>>, BackendError>;

    /// Where files are.
    fn stores(&self) -> &Arc<Stores>;
}

impl Marks for LocalTables {
    fn versions(&self, tables: &[TableName]) -> Result<HashMap<TableName, String>, BackendError> {
        LocalTables::versions(self, tables)
    }

    fn made(&self, tables: &[TableName]) -> Result<HashMap<TableName, (Made, String)>, BackendError> {
        LocalTables::made(self, tables)
    }

    fn columns(&self, tables: &[TableName]) -> Result<HashMap<TableName, Vec<Column>>, BackendError> {
        LocalTables::columns(self, tables)
    }

    fn stores(&self) -> &Arc<Stores> {
        LocalTables::stores(self)
    }
}

impl Marks for Remote {
    fn versions(&self, tables: &[TableName]) -> Result<HashMap<TableName, String>, BackendError> {
        awaited(self.backend.versions(tables))
    }

    fn made(&self, tables: &[TableName]) -> Result<HashMap<TableName, (Made, String)>, BackendError> {
        awaited(self.backend.made(tables))
    }

    fn columns(&self, tables: &[TableName]) -> Result<HashMap<TableName, Vec<Column>>, BackendError> {
        awaited(self.backend.columns(&tables.iter().collect::<Vec<_>>()))
    }

    fn stores(&self) -> &Arc<Stores> {
        &self.stores
    }
}

/// What a target answers; an error too where this machine cannot ask.
fn awaited<T>(answer: impl Future<Output = Result<T, BackendError>>) -> Result<T, BackendError> {
    block_on(answer).unwrap_or_else(|error| Err(BackendError::author(error.to_string())))
}

impl Site {
    fn marks(&self) -> &dyn Marks {
        match self {
            Self::Local(local) => local.as_ref(),
            Self::Snowflake(remote) => remote,
        }
    }
}

impl Marks for Site {
    fn versions(&self, tables: &[TableName]) -> Result<HashMap<TableName, String>, BackendError> {
        self.marks().versions(tables)
    }

    fn made(&self, tables: &[TableName]) -> Result<HashMap<TableName, (Made, String)>, BackendError> {
        self.marks().made(tables)
    }

    fn columns(&self, tables: &[TableName]) -> Result<HashMap<TableName, Vec<Column>>, BackendError> {
        self.marks().columns(tables)
    }

    fn stores(&self) -> &Arc<Stores> {
        self.marks().stores()
    }
}

/// What answers questions about a target outside a run.
pub(super) enum Answering {
    /// The engine on this machine.
    Local(Box<Embedded>),
    /// Snowflake.
    Snowflake(Remote),
}

impl Answering {
    /// The target, and the history of its runs.
    pub(super) fn open(loaded: &Loaded, what: &str) -> Result<(Self, Ledger), Outcome> {
        let site = Site::open(loaded, what)?;
        let ledger = site.ledger(loaded)?;
        let answering = match site {
            Site::Local(tables) => {
                Self::Local(Box::new(Embedded::new(*tables, &loaded.dialect(), limits(loaded)).map_err(failed)?))
            }
            Site::Snowflake(remote) => {
                remote.prepared(&[], &ledger)?;
                Self::Snowflake(remote)
            }
        };
        Ok((answering, ledger))
    }

    /// What executes.
    pub(super) fn backend(&self) -> &dyn Backend {
        match self {
            Self::Local(embedded) => embedded.as_ref(),
            Self::Snowflake(remote) => remote.backend.as_ref(),
        }
    }

    /// What computes on this machine.
    pub(super) fn runtime(&self, loaded: &Loaded) -> Result<Arc<RuntimeEnv>, Outcome> {
        match self {
            Self::Local(embedded) => Ok(embedded.runtime()),
            Self::Snowflake(_) => {
                let limits = limits(loaded);
                std::fs::create_dir_all(&limits.spill)?;
                runtime(limits.memory, Some(&limits.spill)).map_err(failed)
            }
        }
    }

    /// The rows of a step that was built aside; none where there are none to hand out.
    pub(super) async fn result(&self, step: &PlannedStep) -> Result<Option<Side>, BackendError> {
        match self {
            Self::Local(embedded) => {
                let rows = embedded.built(&step.id);
                Ok(rows.map(|rows| Side { columns: step.columns.clone(), rows }))
            }
            Self::Snowflake(remote) => {
                let (columns, rows) = remote.backend.result(step).await?;
                Ok(Some(Side { columns, rows }))
            }
        }
    }

    /// The marks of its tables.
    pub(super) fn marks(&self) -> &dyn Marks {
        match self {
            Self::Local(embedded) => embedded.tables(),
            Self::Snowflake(remote) => remote,
        }
    }

    /// Waits until everything that was asked for is over.
    pub(super) fn close(self) -> Result<(), Outcome> {
        Ok(block_on(self.backend().close())?)
    }
}

/// What a command may take of this machine.
fn limits(loaded: &Loaded) -> Limits {
    Limits {
        memory: usize::try_from(loaded.settings.memory_limit).unwrap_or(usize::MAX),
        threads: std::thread::available_parallelism().map_or(2, usize::from),
        spill: loaded.home().join("spill").join(std::process::id().to_string()),
    }
}

impl Remote {
    /// Where files are that rows travel by.
    pub(super) fn stores(&self) -> &Stores {
        &self.stores
    }
}

impl Site {
    /// The tables of the target, for a run of this name.
    pub(super) fn open(loaded: &Loaded, run: &str) -> Result<Self, Outcome> {
        let connection = match &loaded.settings.target.backend {
            BackendSettings::DataFusion(local) => {
                let tables = LocalTables::open(&local.state, sources(loaded)).map_err(failed)?;
                return Ok(Self::Local(Box::new(tables.keeping(loaded.settings.kept_sets))));
            }
            BackendSettings::Snowflake(connection) => connection,
        };
        let home = loaded.home();
        let stores = Arc::new(Stores::new(&home.join("sources.json")));
        let means = Means {
            run: run.to_owned(),
            clock: loaded.clock,
            stores: stores.clone(),
            memory: usize::try_from(loaded.settings.memory_limit).unwrap_or(usize::MAX),
            spill: home.join("spill").join(std::process::id().to_string()),
            kept: loaded.settings.kept_sets,
        };
        let backend = Snowflake::new(login(loaded, connection)?, &loaded.dialect(), means);
        Ok(Self::Snowflake(Remote { backend: Arc::new(backend), stores }))
    }

    /// The history of the target's runs, with what other machines have written down.
    pub(super) fn ledger(&self, loaded: &Loaded) -> Result<Ledger, Outcome> {
        let mut ledger = Ledger::open(&loaded.home().join("ledger.db")).map_err(broken)?;
        if let Self::Snowflake(remote) = self {
            let entries = block_on(remote.backend.history())?.map_err(failed)?;
            ledger.take_over(&entries, crate::run::now()).map_err(broken)?;
        }
        Ok(ledger)
    }
}

impl Remote {
    /// The steps of a run whose results are there and were not published.
    pub(super) fn unpublished(&self, steps: impl Iterator<Item = StepId>, run: &str) -> Result<Vec<StepId>, Outcome> {
        let of: Vec<(StepId, String)> = steps.map(|step| (step, run.to_owned())).collect();
        block_on(self.backend.unpublished(&of))?.map_err(failed)
    }

    /// The target made ready for a run that takes over these steps of earlier ones.
    pub(super) fn ready(
        self,
        plan: &Plan,
        adopted: &[(usize, String)],
        ledger: &Ledger,
    ) -> Result<Arc<dyn Backend>, Outcome> {
        let wanted: Vec<(StepId, String)> =
            adopted.iter().map(|(at, run)| (plan.steps[*at].id.clone(), run.clone())).collect();
        let found = self.prepared(&wanted, ledger)?;
        match wanted.iter().find(|(step, _)| !found.contains(step)) {
            Some((step, run)) => {
                let message = format!("what run {run} finished of `{step}` is there no more; run without --resume");
                Err(Outcome::Broken(message))
            }
            None => Ok(self.backend),
        }
    }

    /// The place for results made ready, what runs that are over have left there gone; which of these are there.
    fn prepared(&self, wanted: &[(StepId, String)], ledger: &Ledger) -> Result<Vec<StepId>, Outcome> {
        let over = Over::of(ledger)?;
        block_on(self.backend.prepare(&|run| over.contains(run), wanted))?.map_err(failed)
    }

    /// Lets go of all but so many states of each table, and of what runs left that are over; gives how many states, and how
    /// many runs.
    pub(super) fn clean(&self, kept: usize, ledger: &Ledger) -> Result<(usize, usize), Outcome> {
        let over = Over::of(ledger)?;
        block_on(self.backend.clean(kept, &|run| over.contains(run)))?.map_err(failed)
    }
}

/// The runs whose results nobody waits for any more, by their marks in the names of tables.
struct Over {
    runs: BTreeSet<String>,
    /// What was computed aside before this is over, since no run remembers it.
    aside_before: String,
}

impl Over {
    fn of(ledger: &Ledger) -> Result<Self, Outcome> {
        ledger.close_lost_runs().map_err(broken)?;
        let runs = ledger.runs(1000).map_err(broken)?;
        let over = runs.iter().filter(|run| run.record.status != Status::Running);
        let a_day_ago = crate::run::now() - chrono::TimeDelta::days(1);
        Ok(Self {
            runs: over.map(|run| Snowflake::mark(&run.record.id)).collect(),
            aside_before: Snowflake::mark(&crate::run::aside::run_of(a_day_ago)),
        })
    }

    fn contains(&self, run: &str) -> bool {
        let aside = run.starts_with(&Snowflake::mark(crate::run::aside::ASIDE));
        self.runs.contains(run) || aside && *run < *self.aside_before
    }
}

/// What logging in to Snowflake takes, secrets fetched.
pub(super) fn login(loaded: &Loaded, connection: &Connection) -> Result<Login, Outcome> {
    let parameters = Parameters { loaded, connection };
    parameters.fetch()?;
    let key = match parameters.plain("private_key_file") {
        Some(path) => Some(key_file(loaded, &path)?),
        None => parameters.secret("private_key")?,
    };
    let credential = match (key, parameters.secret("oauth_token")?, parameters.secret("password")?) {
        (Some(key), None, None) => Credential::KeyPair(in_lines(&key), parameters.secret("private_key_passphrase")?),
        (None, Some(token), None) => Credential::OAuth(token),
        (None, None, Some(password)) => Credential::Password(password),
        (None, None, None) => return Err(parameters.wrong("does not say how it logs in")),
        _ => return Err(parameters.wrong("says in more than one way how it logs in")),
    };
    let stage = match (parameters.plain("stage"), parameters.plain("stage_url")) {
        (Some(name), Some(url)) => Some(Stage { name, url }),
        (None, None) => None,
        _ => return Err(parameters.wrong("has one of `stage` and `stage_url`, which belong together")),
    };
    Ok(Login {
        account: parameters.needed("account")?,
        user: parameters.needed("user")?,
        role: parameters.text("role")?,
        warehouse: parameters.needed("warehouse")?,
        database: parameters.needed("database")?,
        schema: parameters.plain("schema").map_or_else(|| Name::unquoted("PIPE"), |name| Name::unquoted(&name)),
        host: parameters.plain("host"),
        timezone: loaded.settings.timezone.clone(),
        credential,
        statement_timeout: parameters.plain("statement_timeout").and_then(|text| crate::job::keys::duration(&text)),
        stage,
    })
}

/// The parameters of a connection, their secrets fetched at once.
struct Parameters<'a> {
    loaded: &'a Loaded,
    connection: &'a Connection,
}

impl Parameters<'_> {
    fn fetch(&self) -> Result<(), Outcome> {
        let secret = |parameter: &Parameter| match parameter {
            Parameter::Secret(name) => Some(name.clone()),
            Parameter::Plain(_) => None,
        };
        let names = self.connection.parameters.values().filter_map(|parameter| secret(&parameter.value));
        let names: Vec<String> = names.collect();
        let fetched = block_on(self.loaded.vault.prepare(&names))?;
        fetched.map_err(|errors| {
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            Outcome::Broken(texts.join("\nerror: "))
        })
    }

    fn plain(&self, key: &str) -> Option<String> {
        match &self.connection.parameters.get(key)?.value {
            Parameter::Plain(text) => Some(text.clone()),
            Parameter::Secret(_) => None,
        }
    }

    fn secret(&self, key: &str) -> Result<Option<Secret>, Outcome> {
        let Some(parameter) = self.connection.parameters.get(key) else { return Ok(None) };
        let value = block_on(self.loaded.vault.value(&parameter.value))?;
        value.map(Some).map_err(|error| Outcome::Broken(error.to_string()))
    }

    fn text(&self, key: &str) -> Result<Option<String>, Outcome> {
        Ok(self.secret(key)?.map(|value| value.expose().to_owned()))
    }

    fn needed(&self, key: &str) -> Result<String, Outcome> {
        self.text(key)?.ok_or_else(|| self.wrong(&format!("does not say its `{key}`")))
    }

    fn wrong(&self, what: &str) -> Outcome {
        let target = &self.loaded.settings.target;
        let problem = Diagnostic::error("wrong-target", format!("the target `{}` {what}", target.name));
        let hint = "it takes one of `private_key`, `private_key_file`, `oauth_token` and `password`";
        let problem = problem.at(target.span.clone());
        Outcome::Wrong(vec![if what.contains("logs in") { problem.hint(hint) } else { problem }])
    }
}

fn key_file(loaded: &Loaded, path: &str) -> Result<Secret, Outcome> {
    let path: PathBuf = loaded.settings.root.join(path);
    let read = std::fs::read_to_string(&path);
    read.map(Secret::new).map_err(|error| Outcome::Broken(format!("cannot read `{}`: {error}", path.display())))
}

/// A key whose line ends were written as `\n`, as an environment variable often has them, in lines.
fn in_lines(key: &Secret) -> Secret {
    Secret::new(key.expose().replace("\\n", "\n"))
}
