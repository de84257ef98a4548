//! What a Snowflake target needs, looked at one by one: secrets, login, role, warehouse, database, the schema of the run history,
//! the sources, the stage and its place in S3.

use super::{Finding, State};
use crate::backend::snowflake::{Credential, Login, Snowflake};
use crate::backend::{Backend, BackendError};
use crate::cli::loaded::Loaded;
use crate::cli::site::{Remote, Site, login};
use crate::cli::{Outcome, block_on};
use crate::name::{Name, TableName};
use crate::secret::Parameter;
use crate::settings::Connection;

/// Everything that is found; what follows from a failure is not looked at.
pub(super) fn findings(loaded: &Loaded, connection: &Connection) -> Result<Vec<Finding>, Outcome> {
    let mut findings = secrets(loaded, connection)?;
    if findings.iter().any(|finding| finding.state == State::Bad) {
        return Ok(findings);
    }
    let found = login(loaded, connection)?;
    let Site::Snowflake(remote) = Site::open(loaded, "doctor")? else { return Ok(findings) };
    let look = Look { remote: &remote, login: &found };
    let statement = "SELECT 1 AS ONE";
    if !look.at(&mut findings, "login", statement, &found.user, &advice_for_login(&found))? {
        return Ok(findings);
    }
    if let Some(role) = &found.role {
        let advice = format!("grant it: GRANT ROLE {role} TO USER {}", found.user);
        look.at(&mut findings, "role", "SELECT CURRENT_ROLE() AS R", role, &advice)?;
    }
    let (database, schema) = (look.database(), found.schema.sql());
    let statement = format!("SELECT COUNT(*) AS N FROM {database}.INFORMATION_SCHEMA.SCHEMATA");
    let advice = format!("GRANT USAGE ON DATABASE {database} and ON WAREHOUSE {} to the role", found.warehouse);
    let what = format!("{} of {database}", found.warehouse);
    if !look.at(&mut findings, "warehouse", &statement, &what, &advice)? {
        return Ok(findings);
    }
    let table = format!("{database}.{schema}.PIPE__DOCTOR");
    let statements = [format!("CREATE OR REPLACE TRANSIENT TABLE {table} (A INT)"), format!("DROP TABLE {table}")];
    let advice = format!(
        "CREATE SCHEMA {database}.{schema}, then GRANT USAGE, CREATE TABLE, CREATE VIEW ON SCHEMA {database}.{schema} to \
         the role; the first run makes the schema where the role may do so"
    );
    look.all(&mut findings, "history", &statements, &format!("{database}.{schema} can be written"), &advice)?;
    findings.extend(sources(loaded, &remote)?);
    if let Some(stage) = &found.stage {
        let advice = "make it with a storage integration: CREATE STAGE … URL = '…' STORAGE_INTEGRATION = …, then \
                      GRANT USAGE ON STAGE to the role";
        look.at(&mut findings, "stage", &format!("LIST @{}", stage.name), &stage.name, advice)?;
        findings.push(place(&remote, &stage.url)?);
    }
    Ok(findings)
}

fn secrets(loaded: &Loaded, connection: &Connection) -> Result<Vec<Finding>, Outcome> {
    let mut findings = Vec::new();
    for (key, parameter) in &connection.parameters {
        let Parameter::Secret(name) = &parameter.value else { continue };
        let what = format!("secret {key}");
        findings.push(match block_on(loaded.vault.value(&parameter.value))? {
            Ok(_) => Finding::new(&what, State::Good, format!("`{name}` is there")),
            Err(error) => Finding::new(&what, State::Bad, error.reason)
                .advice("keep it where `secrets:` of pipe.yaml says, and let this user read it"),
        });
    }
    Ok(findings)
}

fn advice_for_login(login: &Login) -> String {
    match &login.credential {
        Credential::KeyPair(..) => {
            format!(
                "set the key's public half: ALTER USER {} SET RSA_PUBLIC_KEY = '…'; look at `account` too",
                login.user
            )
        }
        Credential::OAuth(_) => "get a new token; it lives about an hour".to_owned(),
        Credential::Password(_) => "look at user, password and account; with MFA a key pair is needed".to_owned(),
    }
}

struct Look<'a> {
    remote: &'a Remote,
    login: &'a Login,
}

impl Look<'_> {
    fn database(&self) -> String {
        Name::unquoted(&self.login.database).sql()
    }

    /// Adds what a statement shows, and says whether it could be run.
    fn at(
        &self,
        findings: &mut Vec<Finding>,
        what: &str,
        statement: &str,
        good: &str,
        advice: &str,
    ) -> Result<bool, Outcome> {
        self.all(findings, what, &[statement.to_owned()], good, advice)
    }

    /// The same with several statements.
    fn all(
        &self,
        findings: &mut Vec<Finding>,
        what: &str,
        statements: &[String],
        good: &str,
        advice: &str,
    ) -> Result<bool, Outcome> {
        let done = block_on(self.remote.backend.answer(statements))?;
        let fine = done.is_ok();
        findings.push(match done {
            Ok(_) => Finding::new(what, State::Good, good),
            Err(error) => bad(what, &error).advice(advice),
        });
        Ok(fine)
    }
}

fn bad(what: &str, error: &BackendError) -> Finding {
    Finding::new(what, State::Bad, error.to_string())
}

/// Whether every source is there and can be read.
fn sources(loaded: &Loaded, remote: &Remote) -> Result<Vec<Finding>, Outcome> {
    let names: Vec<TableName> = loaded.project.contracts.keys().cloned().collect();
    let backend: &Snowflake = &remote.backend;
    let versions = match block_on(backend.versions(&names))? {
        Ok(versions) => versions,
        Err(error) => return Ok(vec![bad("sources", &error)]),
    };
    let published = |name: &TableName| {
        let mut steps = loaded.project.jobs.values().flat_map(|job| job.steps.values());
        steps.any(|step| step.publish.as_ref().is_some_and(|table| table.value == *name))
    };
    let missing: Vec<&TableName> =
        names.iter().filter(|name| !versions.contains_key(*name) && !published(name)).collect();
    let state = if missing.is_empty() { State::Good } else { State::Bad };
    let found = names.len() - missing.len();
    let mut findings = vec![Finding::new("sources", state, format!("{found} of {} tables found", names.len()))];
    for name in missing {
        let finding = Finding::new(&name.lower(), State::Bad, "the role sees no such table");
        findings.push(finding.advice(format!("GRANT SELECT ON TABLE {} to the role", name.sql())));
    }
    Ok(findings)
}

/// Whether the stage's place in S3 can be looked at from here.
fn place(remote: &Remote, url: &str) -> Result<Finding, Outcome> {
    Ok(match block_on(remote.stores().under(url))? {
        Ok(_) => Finding::new("stage_url", State::Good, url),
        Err(error) => Finding::new("stage_url", State::Bad, error.message)
            .advice("let the AWS role list, read, write and delete what is under it"),
    })
}
