//! `pipe diff`: what a change, another run or another target makes of a job's tables.

/// The states that are compared.
mod state;

/// Tables that grow.
mod growth;

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use datafusion::datasource::MemTable;
use datafusion::execution::runtime_env::RuntimeEnv;
use growth::Growth;
use state::{LAST, State, Tables};

use super::loaded::{Loaded, Meaning};
use super::run::{broken, failed};
use super::site::{Answering, Site};
use super::{Globals, Outcome, print};
use crate::backend::Keep;
use crate::diagnostic::Diagnostic;
use crate::dialect::session::SessionParameters;
use crate::diff::{Difference, Fault, Lists, Question, Side};
use crate::job::{Job, StepKind};
use crate::name::{Name, TableName};
use crate::plan::{Plan, PlannedStep, Work};
use crate::report::diff as report;
use crate::rule::Rule;
use crate::run::aside::Aside;
use crate::settings::Flags;
use crate::warehouse::StoredTable;
use crate::yaml::Node;

/// Arguments of `pipe diff`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pipe diff this_week                                   the job as it is written now, against what is published
  pipe diff this_week recommendations --format markdown > comment.md
  pipe diff this_week --against 20261124-0400 --with last
  pipe diff this_week --against prod --with staging

Rows are known by the step's test `unique`, or by --key; without either, whole rows are compared.

Exit codes: 0 done, whether or not anything differs; 1 a step failed or, with --exit-code, something differs; 2 the input is wrong.")]
pub(super) struct Diff {
    /// The job, by file or name
    #[arg(value_name = "JOB")]
    job: String,
    /// One step of it; all that it publishes where none is named
    #[arg(value_name = "STEP")]
    step: Option<String>,
    /// The earlier state: a run, by its name or the beginning of it, `last` for what is published, or a target
    #[arg(long, value_name = "RUN|TARGET", default_value = LAST)]
    against: String,
    /// The later state, as for --against; the job as it is written now where it is not given
    #[arg(long, value_name = "RUN|TARGET")]
    with: Option<String>,
    #[command(flatten)]
    meaning: Meaning,
    /// A column by which rows are known; may be repeated
    #[arg(long = "key", value_name = "COLUMN")]
    keys: Vec<String>,
    /// The rows are places of ranked lists, one for each value of this column; may be repeated
    #[arg(long = "list", value_name = "COLUMN", requires = "place")]
    lists: Vec<String>,
    /// The column with the place in its list
    #[arg(long, value_name = "COLUMN")]
    place: Option<String>,
    /// By how much a FLOAT may differ, as a share of its size
    #[arg(long, value_name = "SHARE", default_value_t = 1e-9)]
    tolerance: f64,
    /// How many rows of each kind to show
    #[arg(long, value_name = "N", default_value_t = 5)]
    samples: usize,
    /// How it is told
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
    /// End with 1 where something differs
    #[arg(long)]
    exit_code: bool,
}

/// How differences are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// One object with `tables`.
    Json,
    /// For a comment on a pull request.
    Markdown,
}

impl Diff {
    pub(super) fn run(self, globals: &Globals) -> Result<Outcome, Outcome> {
        if !self.tolerance.is_finite() || self.tolerance < 0.0 {
            let problem = Diagnostic::error("wrong-value", "--tolerance is a share, such as 0.001");
            return Err(Outcome::Wrong(vec![problem]));
        }
        let loaded = Loaded::read(globals, &self.meaning, Flags::default())?;
        let jobs = loaded.wanted(std::slice::from_ref(&self.job))?;
        let Some(job) = jobs.into_iter().next() else { return Ok(Outcome::Done) };
        let before = State::named(&self.against, globals, &loaded)?;
        let after = self.with.as_ref().map_or(Ok(State::Tree), |named| State::named(named, globals, &loaded))?;
        let loaded = self.on_its_day(loaded, &job, [&before, &after])?;
        let tree = matches!(before, State::Tree) || matches!(after, State::Tree);
        let (plan, growing) = growth::bound(&loaded, &job, tree)?;
        let asked = self.asked(&loaded, &plan, &job)?;
        let (target, _) = Answering::open(&loaded, "diff")?;
        let runtime = target.runtime(&loaded)?;
        let comparison =
            Comparison { diff: &self, loaded: &loaded, plan: &plan, job: &job, growing, target: &target, runtime };
        let tables = super::block_on(comparison.tables(&asked, &before, &after))?;
        target.close()?;
        let tables = tables?;
        let differs = tables.iter().any(|table| table.difference.as_ref().is_ok_and(|found| !found.is_none()));
        let dialect = loaded.dialect();
        let told = report::Told {
            before: before.label(),
            after: after.label(),
            tables: &tables,
            parameters: SessionParameters::of(dialect.state().config_options()),
        };
        print(&match self.format {
            Format::Text => told.text(),
            Format::Json => told.json(),
            Format::Markdown => told.markdown(),
        })?;
        Ok(if differs && self.exit_code { Outcome::Failed } else { Outcome::Done })
    }

    /// The project on the day of the run that the job's present form is held against, unless another day is asked for:
    /// otherwise the days between would be told as differences.
    fn on_its_day(&self, loaded: Loaded, job: &Name, states: [&State; 2]) -> Result<Loaded, Outcome> {
        let [State::Published { run, .. }, State::Tree] = states else { return Ok(loaded) };
        if self.meaning.date.is_some() {
            return Ok(loaded);
        }
        let run = match run {
            Some(run) => Some(run.clone()),
            None => {
                let ledger = Site::open(&loaded, "diff")?.ledger(&loaded)?;
                let published = ledger.all_published().map_err(broken)?;
                let own = published.values().filter(|table| table.step.job == *job).map(|table| &table.run).max();
                own.map_or(Ok(None), |run| ledger.run(run)).map_err(broken)?
            }
        };
        Ok(match run {
            Some(run) if run.clock != loaded.clock => loaded.on(run.clock),
            _ => loaded,
        })
    }

    /// The steps to compare, by their places in the plan.
    fn asked(&self, loaded: &Loaded, plan: &Plan, job: &Name) -> Result<Vec<usize>, Outcome> {
        if let Some(named) = &self.step {
            return Ok(vec![loaded.step(plan, job, named)?]);
        }
        let of_job = |at: &usize| plan.steps[*at].id.job == *job && plan.steps[*at].publish.is_some();
        let asked: Vec<usize> = (0..plan.steps.len()).filter(of_job).collect();
        if asked.is_empty() {
            let message = format!("job `{}` publishes no table", job.lower());
            return Err(Outcome::Wrong(vec![Diagnostic::error("not-published", message)]));
        }
        Ok(asked)
    }
}

/// What every table of a comparison needs.
struct Comparison<'a> {
    diff: &'a Diff,
    loaded: &'a Loaded,
    plan: &'a Plan,
    job: &'a Name,
    /// What a run would do to tables that grow, by step.
    growing: BTreeMap<usize, Growth>,
    target: &'a Answering,
    runtime: Arc<RuntimeEnv>,
}

impl Comparison<'_> {
    async fn tables(&self, asked: &[usize], before: &State, after: &State) -> Result<Vec<report::Table>, Outcome> {
        let (job, plan, growing) = (self.job.clone(), self.plan, &self.growing);
        let stays = move |id: &crate::plan::StepId| {
            plan.position(id).is_some_and(|at| growing.get(&at) == Some(&Growth::Stays))
        };
        let is_there = Box::new(move |id: &crate::plan::StepId, published: Option<&TableName>| {
            published.is_some() && (id.job != job || stays(id))
        });
        let grow = self.growing.iter().filter_map(|(at, growth)| Some((*at, growth.anew()?))).collect();
        let mut aside = Aside::new(self.plan, self.target.backend(), is_there).growing(grow);
        let mut tables = Vec::new();
        for at in asked.iter().copied() {
            let step = &self.plan.steps[at];
            let name = step.publish.as_ref().map_or_else(|| step.id.to_string(), TableName::lower);
            let difference = self.table(&mut aside, at, before, after).await;
            let difference = match difference {
                Err(Outcome::Broken(why)) if self.diff.step.is_none() => Err(why),
                other => Ok(other?),
            };
            let note = self.growing.get(&at).map(|growth| growth.note().to_owned());
            tables.push(report::Table { name, note, difference });
        }
        aside.forget().await;
        Ok(tables)
    }

    /// What differs in one table. Where one state does not have it, all its rows do.
    async fn table(
        &self,
        aside: &mut Aside<'_>,
        at: usize,
        before: &State,
        after: &State,
    ) -> Result<Difference, Outcome> {
        let step = &self.plan.steps[at];
        let key = self.key(step)?;
        if let (Some(old), Some(new)) = (self.file(before, step)?, self.file(after, step)?)
            && old.object().files == new.object().files
            && old.object().columns == new.object().columns
            && old.object().run == new.object().run
            && old.version() == new.version()
            && self.same_place(before, after)
        {
            return Ok(Difference::none(new.rows(), key));
        }
        let (old, new) = (self.side(aside, at, before).await?, self.side(aside, at, after).await?);
        let (old, new) = match (old, new) {
            (Some(old), Some(new)) => (old, new),
            (Some(old), None) => (old.clone(), empty(&old)?),
            (None, Some(new)) => (empty(&new)?, new),
            (None, None) => {
                let what = step.publish.as_ref().map_or_else(|| step.id.to_string(), TableName::lower);
                let hint = if step.publish.is_none() {
                    ": it is internal to its job, and only `pipe run --keep` keeps it"
                } else {
                    ""
                };
                return Err(Outcome::Broken(format!("neither state has `{what}`{hint}")));
            }
        };
        let has = |side: &Side, name: &Name| side.columns.iter().any(|column| column.name == *name);
        let lists = self.lists(step, &key)?.filter(|lists| {
            let asked = self.diff.place.is_some();
            asked || lists.by.iter().chain([&lists.place]).all(|name| has(&old, name) && has(&new, name))
        });
        let question = Question {
            before: old,
            after: new,
            key,
            lists,
            tolerance: self.diff.tolerance,
            samples: self.diff.samples,
        };
        question.answer(&self.runtime).await.map_err(|fault| self.told(step, &question, fault))
    }

    /// Whether both states are of one warehouse, where equal marks mean equal rows.
    fn same_place(&self, before: &State, after: &State) -> bool {
        let local =
            |named: Option<&str>| named.is_none_or(|named| !self.loaded.settings.targets.iter().any(|t| t == named));
        let tree = matches!(before, State::Tree) || matches!(after, State::Tree);
        !tree && local(Some(&self.diff.against)) && local(self.diff.with.as_deref())
    }

    fn told(&self, step: &PlannedStep, question: &Question, fault: Fault) -> Outcome {
        let keys = question.key.iter().map(Name::lower).collect::<Vec<_>>().join(", ");
        match fault {
            Fault::Failed(error) => failed(error),
            Fault::Repeated => Outcome::Broken(format!(
                "several rows of `{}` have the same {keys}; name the columns by which its rows are known with --key",
                step.id
            )),
            Fault::NoColumn(name) => {
                let known = question.after.columns.iter().map(|column| column.name.lower());
                let known: Vec<String> = known.collect();
                let message = format!("`{}` has no column `{}` before and after", step.id, name.lower());
                let near = crate::name::nearest(&name.lower(), &known);
                Outcome::Wrong(vec![Diagnostic::error("unknown-column", message).did_you_mean(near)])
            }
        }
    }

    /// The files that a state has of a step: those of the table it publishes, or of what `--keep` kept of it.
    fn file<'s>(&self, state: &'s State, step: &PlannedStep) -> Result<Option<&'s StoredTable>, Outcome> {
        match state {
            State::Published { tables: Tables::Local(snapshot), label, .. } => {
                state::file(snapshot, &state::name_of(step), label)
            }
            _ => Ok(None),
        }
    }

    /// What a state has of a step; none where there is no such table.
    async fn side(&self, aside: &mut Aside<'_>, at: usize, state: &State) -> Result<Option<Side>, Outcome> {
        let step = &self.plan.steps[at];
        match state {
            State::Tree if matches!(step.work, Work::Load(_)) => {
                Err(Outcome::Broken(format!("`{}` reads files, which only a run does", step.id)))
            }
            State::Tree if self.growing.get(&at) == Some(&Growth::Stays) => {
                let now = Tables::now(self.loaded)?;
                let zone = &self.loaded.settings.timezone;
                state::side(&now, &state::name_of(step), "what is published", None, zone).await
            }
            State::Tree => {
                aside.build(at, Keep::Share).await.map_err(failed)?;
                self.target.result(step).await.map_err(failed)
            }
            State::Published { tables, label, run } => {
                let zone = &self.loaded.settings.timezone;
                state::side(tables, &state::name_of(step), label, run.as_ref(), zone).await
            }
        }
    }

    /// The columns by which the rows of a step are known: those asked for, else those of its test `unique`.
    fn key(&self, step: &PlannedStep) -> Result<Vec<Name>, Outcome> {
        if !self.diff.keys.is_empty() {
            return Ok(self.diff.keys.iter().map(|key| Name::unquoted(key)).collect());
        }
        let place = self.job().and_then(|job| ranked(job, &step.id.step)).map(|lists| lists.place);
        let mut unique: Vec<Vec<Name>> = Vec::new();
        for test in step.tests.iter().map(|test| &test.test).filter(|test| test.filter.is_none()) {
            if let Rule::Unique(columns) = &test.rule {
                unique.push(columns.iter().map(|column| column.value.clone()).collect());
            }
        }
        // A place in a list is no name for a row: what moves to another place would be another row.
        unique.sort_by_key(|columns| place.as_ref().is_some_and(|place| columns.contains(place)));
        Ok(unique.into_iter().next().unwrap_or_default())
    }

    /// The lists that the rows of a step are places of: as asked for, else as its transform makes them.
    fn lists(&self, step: &PlannedStep, key: &[Name]) -> Result<Option<Lists>, Outcome> {
        let lists = match &self.diff.place {
            Some(place) => Some(Lists {
                by: self.diff.lists.iter().map(|name| Name::unquoted(name)).collect(),
                place: Name::unquoted(place),
            }),
            None => self.job().and_then(|job| ranked(job, &step.id.step)),
        };
        let Some(lists) = lists else { return Ok(None) };
        if lists.by.iter().all(|name| key.contains(name)) && !key.contains(&lists.place) && !key.is_empty() {
            return Ok(Some(lists));
        }
        if self.diff.place.is_none() {
            return Ok(None);
        }
        let message =
            "places are compared by item: the key holds the columns of --list and what is listed, without --place";
        Err(Outcome::Wrong(vec![Diagnostic::error("wrong-key", message).hint("name the key with --key")]))
    }

    fn job(&self) -> Option<&Job> {
        self.loaded.jobs.iter().find(|job| job.name.value == *self.job)
    }
}

/// The lists that a transform makes.
fn ranked(job: &Job, step: &Name) -> Option<Lists> {
    let StepKind::Transform { name, parameters } = &job.steps.get(step)?.kind else { return None };
    let columns = |key: &str| {
        let items = parameters.get(key).map(Node::items).unwrap_or_default().iter();
        items.filter_map(|item| Some(Name::unquoted(item.scalar()?))).collect::<Vec<Name>>()
    };
    let by = match name.value.as_str() {
        "rank" => columns("partition_by"),
        "recommend" => columns("user"),
        "similarity" => columns("item"),
        _ => return None,
    };
    let place = columns("rank_as").into_iter().next().unwrap_or_else(|| Name::unquoted("rank"));
    Some(Lists { by, place })
}

/// The same table without rows.
fn empty(side: &Side) -> Result<Side, Outcome> {
    let rows = MemTable::try_new(side.rows.schema(), vec![Vec::new()]);
    let rows = rows.map_err(|error| Outcome::Broken(error.to_string()))?;
    Ok(Side { columns: side.columns.clone(), rows: Arc::new(rows) })
}
