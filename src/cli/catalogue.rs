//! Contracts held against the catalogue of a Snowflake target: what is there is what jobs are compiled against, and what
//! differs from `schemas/` is told.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::loaded::Loaded;
use super::run::failed;
use super::site::Remote;
use super::{Outcome, block_on};
use crate::diagnostic::Diagnostic;
use crate::dialect::{Column, parse_type};
use crate::name::{Name, TableName, nearest};
use crate::plan::{Contracts, Origin, Plan};
use crate::source::Contract;

/// The sources that the steps of a plan read.
pub(super) fn sources_of(loaded: &Loaded, plan: &Plan) -> BTreeSet<TableName> {
    let mut names = BTreeSet::new();
    for step in &plan.steps {
        let tested = step.tests.iter().flat_map(|test| &test.inputs);
        for input in step.inputs.iter().chain(tested) {
            if let Origin::Table(name) = &input.origin
                && loaded.project.contracts.contains_key(name)
            {
                names.insert(name.clone());
            }
        }
    }
    names
}

impl Remote {
    /// Compiles against these tables as they are on the server, or as they were found no longer than `age` ago, and gives
    /// what differs from their contracts.
    pub(super) fn compile_against(
        &self,
        loaded: &Loaded,
        tables: &BTreeSet<TableName>,
        age: Duration,
    ) -> Result<Vec<Diagnostic>, Outcome> {
        let path = loaded.home().join("catalogue.json");
        let now = crate::run::now();
        let kept = kept(&path, now, age).filter(|kept| tables.iter().all(|name| kept.contains_key(name)));
        let found = match kept {
            Some(kept) => kept,
            None => {
                let names: Vec<&TableName> = tables.iter().collect();
                let found = block_on(self.backend.columns(&names))?.map_err(failed)?;
                keep(&path, now, &found, tables);
                found
            }
        };
        let mut problems = Vec::new();
        let mut live = loaded.contracts.clone();
        for name in tables {
            let Some(contract) = loaded.project.contracts.get(name) else { continue };
            let columns = found.get(name).filter(|columns| !columns.is_empty());
            problems.extend(differences(contract, columns.map(Vec::as_slice), &loaded.settings.target.name));
            if let Some(columns) = columns {
                live.insert(name.clone(), columns.clone());
            }
        }
        loaded.compile_against(live);
        Ok(problems)
    }
}

/// What a contract promises and the table does not keep. Columns that no contract speaks of are nobody's matter.
fn differences(contract: &Contract, columns: Option<&[Column]>, target: &str) -> Vec<Diagnostic> {
    let table = contract.name.value.lower();
    let Some(columns) = columns else {
        let message = format!("there is no table `{table}` on target `{target}` that the role may see");
        let problem = Diagnostic::error("catalogue-table", message).at(contract.name.span.clone());
        return vec![problem.hint("take it out of `schemas/`, or let the role read it")];
    };
    let mut problems = Vec::new();
    for promised in &contract.columns {
        let name = &promised.name;
        let Some(column) = columns.iter().find(|column| column.name == name.value) else {
            let message = format!("`{table}` has no column `{}` on target `{target}`", name.value.lower());
            let near = nearest(name.value.as_str(), columns.iter().map(|column| column.name.as_str()));
            let problem = Diagnostic::error("catalogue-column", message).at(name.span.clone());
            problems.push(problem.did_you_mean(near.map(str::to_lowercase)));
            continue;
        };
        let Some(promise) = &promised.column_type else { continue };
        if !promise.value.accepts(column.sql_type) {
            let message = format!(
                "column `{}` of `{table}` is {} on target `{target}`, and its contract says {}",
                name.value.lower(),
                column.sql_type,
                promise.span.text().to_uppercase()
            );
            problems.push(Diagnostic::error("catalogue-type", message).at(promise.span.clone()));
        }
    }
    problems
}

/// What was found of tables, where it is not older than `age`. A file that cannot be read is as none.
fn kept(path: &Path, now: DateTime<Utc>, age: Duration) -> Option<Contracts> {
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()?;
    let at = DateTime::from_timestamp(kept["at"].as_i64()?, 0)?;
    if now.signed_duration_since(at).to_std().ok()? > age {
        return None;
    }
    let mut tables = HashMap::new();
    for (name, columns) in kept["tables"].as_object()? {
        let column = |column: &Value| {
            Some(Column {
                name: Name::quoted(column[0].as_str()?),
                sql_type: parse_type(column[1].as_str()?)?,
                nullable: column[2].as_bool()?,
            })
        };
        let columns: Option<Vec<Column>> = columns.as_array()?.iter().map(column).collect();
        tables.insert(TableName::parse(name)?, columns?);
    }
    Some(tables)
}

/// Keeps what was found; that it cannot be kept only costs a query the next time.
fn keep(path: &Path, now: DateTime<Utc>, found: &HashMap<TableName, Vec<Column>>, tables: &BTreeSet<TableName>) {
    let mut kept = serde_json::Map::new();
    for name in tables {
        let columns = found.get(name).map(Vec::as_slice).unwrap_or_default();
        let column = |column: &Column| json!([column.name.as_str(), column.sql_type.to_string(), column.nullable]);
        kept.insert(name.sql(), Value::Array(columns.iter().map(column).collect()));
    }
    let text = json!({"at": now.timestamp(), "tables": kept}).to_string();
    let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, text));
    if let Err(error) = written {
        tracing::debug!(%error, "the catalogue is not kept");
    }
}
