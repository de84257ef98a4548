//! `pipe test --record`: a unit test made from rows of the target.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::logical_expr::{LogicalPlanBuilder, TableSource};

use super::super::loaded::{Loaded, Meaning};
use super::super::run::{failed, sources};
use super::super::{Globals, Outcome, block_on, print};
use crate::backend::Backend;
use crate::backend::datafusion::{Embedded, Limits, LocalTables};
use crate::diagnostic::Diagnostic;
use crate::name::{Name, TableName};
use crate::opaque::Opaque;
use crate::plan::{InputTable, Origin, Query, schema_of};
use crate::rule::read::column_name;
use crate::settings::{Flags, Moment};
use crate::template::Variable;
use crate::text::{SourceFile, Spanned};
use crate::unit::prepare::{Prepared, World, prepare};
use crate::unit::record::{Key, Recording, is_personal};
use crate::unit::{Expectation, How, Suite, UnitTest};

/// The most rows that a recording starts from.
const MOST_ROWS: usize = 2_000_000;

/// Records `JOB STEP` by its key.
pub(super) fn record(
    words: &[String],
    key: &[String],
    meaning: &Meaning,
    globals: &Globals,
) -> Result<Outcome, Outcome> {
    let wrong = |message: String| Outcome::Wrong(vec![Diagnostic::error("wrong-value", message)]);
    let [job, step] = words else {
        return Err(wrong(
            "`--record` takes a job and a step: `pipe test --record JOB STEP --key column=value`".to_owned(),
        ));
    };
    let key = key.iter().map(|text| one(text)).collect::<Result<Key, String>>().map_err(wrong)?;
    let loaded = Loaded::read(globals, meaning, Flags::default())?;
    let wanted = loaded.wanted(std::slice::from_ref(job))?;
    let Some(job) = wanted.first() else { return Err(wrong(format!("there is no job `{job}`"))) };
    let (plan, _) = loaded.bound(&wanted)?;
    let at = loaded.step(&plan, job, step)?;
    let step = plan.steps[at].id.step.clone();
    let path = path(job, &step, &key);
    if loaded.settings.root.join(&path).exists() {
        let message = format!("`{}` is there already, and nothing is overwritten", path.display());
        return Err(Outcome::Wrong(vec![Diagnostic::error("file-exists", message)]));
    }
    let suite = suite(&loaded, job, &step);
    let world = World {
        project: &loaded.project,
        contracts: &loaded.contracts,
        settings: &loaded.settings,
        clock: loaded.clock,
    };
    let (tests, problems) = prepare(world, std::slice::from_ref(&suite), &|_, _| true);
    let Some(prepared) = tests.first() else { return Err(Outcome::Wrong(problems)) };
    let head = head(&loaded, meaning, job, &step, &key);
    let text = block_on(recorded(&loaded, prepared, &key, &head))??;
    crate::cli::init::write(&loaded.settings.root.join(&path), &text)?;
    print(&format!("{}\n", path.display()))?;
    Ok(Outcome::Done)
}

fn one(text: &str) -> Result<(Name, String), String> {
    let parts = text.split_once('=').and_then(|(name, value)| Some((column_name(name)?, value.trim().to_owned())));
    parts.ok_or_else(|| format!("`--key {text}` is not a column and its value; write `--key column=value`"))
}

/// The file of the test: named after the row, unless that would name a person.
fn path(job: &Name, step: &Name, key: &Key) -> PathBuf {
    let word = |text: &str| text.to_lowercase().replace(|c: char| !c.is_alphanumeric(), "_");
    let mut words = vec![word(job.as_str()), word(step.as_str())];
    for (name, value) in key {
        words.push(word(name.as_str()));
        if !is_personal(step, name) {
            words.push(word(value));
        }
    }
    PathBuf::from(format!("tests/jobs/{}.yaml", words.join("_")))
}

/// A test that expects something of the step, for its job to be bound.
fn suite(loaded: &Loaded, job: &Name, step: &Name) -> Suite {
    let file = SourceFile::new("--record", "");
    let span = file.span(0..0);
    let expectation = Expectation {
        step: Spanned::new(step.clone(), span.clone()),
        rows: None,
        how: How::default(),
        empty: None,
        tests: None,
    };
    let test = UnitTest {
        name: Spanned::new(String::new(), span.clone()),
        description: None,
        date: Some(Moment::Exact(loaded.clock)),
        variables: Vec::<(Spanned<String>, Variable)>::new(),
        given: Vec::new(),
        defaults: HashMap::new(),
        expect: vec![expectation],
    };
    Suite { file, job: Spanned::new(job.clone(), span), tests: vec![test] }
}

/// The first lines of the file.
fn head(loaded: &Loaded, meaning: &Meaning, job: &Name, step: &Name, key: &Key) -> String {
    let zone: chrono_tz::Tz = loaded.settings.timezone.parse().unwrap_or(chrono_tz::UTC);
    let date = loaded.clock.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S");
    let columns: Vec<String> = key.iter().map(|(name, _)| name.lower()).collect();
    let mut head = format!(
        "# yaml-language-server: $schema=../../schemas/test.schema.json\n\
         # Recorded from the target {}; users' ids, emails and names are replaced.\n\
         job: {}\nname: a row of {} by {}, as recorded\ndate: {date}\n",
        loaded.settings.target.name,
        job.lower(),
        step.lower(),
        columns.join(", "),
    );
    let variables: Vec<String> = meaning
        .variables
        .iter()
        .filter_map(|text| text.split_once('='))
        .map(|(name, value)| format!("  {}: {value}\n", name.trim()))
        .collect();
    if !variables.is_empty() {
        head.push_str("vars:\n");
        head.push_str(&variables.concat());
    }
    head
}

async fn recorded(loaded: &Loaded, prepared: &Prepared<'_>, key: &Key, head: &str) -> Result<String, Outcome> {
    let recording = Recording::new(prepared, key)
        .map_err(|message| Outcome::Wrong(vec![Diagnostic::error("wrong-key", message)]))?;
    let local = loaded.local()?;
    let tables = LocalTables::open(&local.state, sources(loaded)).map_err(failed)?;
    let limits = Limits {
        memory: usize::try_from(loaded.settings.memory_limit).unwrap_or(usize::MAX),
        threads: 1,
        spill: local.state.join("spill").join(std::process::id().to_string()),
    };
    let backend = Embedded::new(tables, &loaded.dialect(), limits).map_err(failed)?;
    let (mut rows, mut count) = (Vec::new(), 0);
    for table in recording.reads() {
        let batch = table_rows(loaded, prepared, &backend, &table).await?;
        count += batch.num_rows();
        if count > MOST_ROWS {
            let message = format!(
                "the tables that this step reads have more than {MOST_ROWS} rows; record on a target with fewer"
            );
            return Err(Outcome::Broken(message));
        }
        rows.push((table, batch));
    }
    recording.record(rows, head).await.map_err(Outcome::Broken)
}

/// All rows of a table of the target.
async fn table_rows(
    loaded: &Loaded,
    prepared: &Prepared<'_>,
    backend: &Embedded,
    table: &TableName,
) -> Result<RecordBatch, Outcome> {
    let columns = prepared.columns(table).unwrap_or_default();
    let schema = schema_of(columns, &loaded.settings.timezone);
    let source: Arc<dyn TableSource> =
        Arc::new(InputTable { origin: Origin::Table(table.clone()), schema: schema.clone() });
    let plan = LogicalPlanBuilder::scan(table.table.as_str(), source, None).and_then(LogicalPlanBuilder::build);
    let plan = plan.map_err(|error| Outcome::Broken(error.strip_backtrace()))?;
    let query = Query { sql: format!("select * from {}", table.sql()), inputs: Vec::new(), plan: Opaque::new(plan) };
    let batches = backend.query(&query).await.map_err(failed)?;
    concat_batches(&schema, &batches).map_err(|error| Outcome::Broken(error.to_string()))
}
