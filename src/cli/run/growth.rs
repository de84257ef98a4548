//! Tables that grow: which intervals a run builds, and what keeps it from adding to a table.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDateTime, NaiveTime};

use super::super::Outcome;
use super::super::loaded::Loaded;
use super::super::site::{Marks as _, Site};
use super::{Run, broken, failed};
use crate::backend::datafusion::{Embedded, LocalTables};
use crate::backend::snowflake::Snowflake;
use crate::backend::{BackendError, Remedy};
use crate::diagnostic::Diagnostic;
use crate::job::incremental::{SchemaChange, Strategy};
use crate::ledger::{Ledger, Published};
use crate::name::{Name, TableName};
use crate::plan::Plan;
use crate::plan::decide::{Choice, Choices, Reason, State};
use crate::plan::incremental::{column_changes, refused};
use crate::plan::interval::{Interval, Window};
use crate::settings::Moment;

/// The instant of the clock in the session's time zone.
pub(in crate::cli) fn now(loaded: &Loaded) -> NaiveDateTime {
    local(loaded, loaded.clock)
}

fn local(loaded: &Loaded, at: DateTime<chrono::Utc>) -> NaiveDateTime {
    let zone: chrono_tz::Tz = loaded.settings.timezone.parse().unwrap_or(chrono_tz::UTC);
    at.with_timezone(&zone).naive_local()
}

/// The intervals that the flags mean; none where no job has intervals and each day is a run of its own.
pub(super) fn window(loaded: &Loaded, wanted: &[Name], flags: &Run) -> Result<Option<Window>, Outcome> {
    let wrong = |message: &str| Outcome::Wrong(vec![Diagnostic::error("wrong-value", message)]);
    let steps = loaded.jobs.iter().filter(|job| wanted.contains(&job.name.value)).flat_map(|job| job.steps.values());
    let is_interval = |strategy: &Strategy| matches!(strategy, Strategy::Interval(_));
    let any = steps.filter_map(|step| step.incremental.as_ref()).any(|grows| is_interval(&grows.strategy));
    if flags.missing {
        return if any {
            Ok(Some(Window::Missing))
        } else {
            Err(wrong("--missing: no table of these jobs is built by intervals"))
        };
    }
    let (Some(from), Some(to)) = (flags.from, flags.to) else { return Ok(Some(Window::Next)) };
    if !any && flags.meaning.date.is_some() {
        return Err(wrong(
            "--date cannot be used with --from: no table of these jobs is built by intervals, and each day is a clock",
        ));
    }
    if !any {
        return Ok(None);
    }
    if flags.full_refresh {
        return Err(wrong("--full-refresh builds all intervals; --from and --to alone build theirs anew"));
    }
    let zone = &loaded.settings.timezone;
    let at = |moment: Moment| local(loaded, moment.in_zone(zone));
    let (start, end) = (at(from), after(at(to)));
    if end <= start {
        return Err(wrong("--to is before --from"));
    }
    if start > now(loaded) {
        return Err(wrong("--from is after the run's clock, so that there is nothing to build yet"));
    }
    Ok(Some(Window::Exactly(Interval { start, end })))
}

/// A day is meant with all of it, another instant as itself.
fn after(to: NaiveDateTime) -> NaiveDateTime {
    if to.time() != NaiveTime::MIN {
        return to + chrono::TimeDelta::seconds(1);
    }
    to.checked_add_days(chrono::Days::new(1)).unwrap_or(to)
}

/// What keeps a run from adding to tables: rows that the present SQL would not give, columns that do not fit.
pub(in crate::cli) fn outdated(plan: &Plan, choices: &Choices, site: &Site) -> Result<Vec<Diagnostic>, Outcome> {
    let growing = plan.steps.iter().enumerate().filter(|(at, step)| {
        let runs = matches!(&choices.choices[*at], Choice::Run(reason) if *reason != Reason::Forced);
        runs && step.incremental.is_some()
    });
    let growing: Vec<usize> = growing.map(|(at, _)| at).collect();
    let names: Vec<TableName> = growing.iter().filter_map(|at| plan.steps[*at].publish.clone()).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let stored = site.columns(&names).map_err(failed)?;
    let mut problems = Vec::new();
    for at in growing {
        let step = &plan.steps[at];
        let (Some(grows), Some(table)) = (&step.incremental, &step.publish) else { continue };
        let Some(before) = stored.get(table) else { continue };
        let alike = matches!(site, Site::Snowflake(_)) && Snowflake::has_columns(before, &step.columns);
        let changes = if alike { Vec::new() } else { column_changes(before, &step.columns) };
        let rule = grows.how.schema_change;
        let told = refused(rule, &changes).iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        if !told.is_empty() {
            let message = format!("the columns of `{}` are not those that its step gives now: {told}", table.lower());
            let hint = match rule {
                SchemaChange::Fail => {
                    "`schema_change: append_new_columns` or `sync` says what to do; --full-refresh builds it anew"
                }
                _ => "`schema_change: sync` allows it; --full-refresh builds the table anew",
            };
            problems.push(Diagnostic::error("schema-change", message).at(grows.how.span.clone()).hint(hint));
        } else if let Some(message) = choices.outdated.get(&at).filter(|_| changes.is_empty()) {
            let hint = "--full-refresh builds the table anew; --forward-only keeps its rows, and the new SQL counts from now on";
            problems.push(Diagnostic::error("outdated-table", message.clone()).at(grows.how.span.clone()).hint(hint));
        }
    }
    Ok(problems)
}

/// Keeps other runs from these tables; an error that passes where another has them, or has changed them since this run
/// decided what to do.
pub(super) fn reserve(
    backend: &Embedded,
    plan: &Plan,
    tables: &[TableName],
    state: &State,
) -> Result<(), BackendError> {
    backend.reserve(tables)?;
    let now = backend.tables().versions(tables)?;
    let published = plan.steps.iter().filter_map(|step| step.publish.as_ref());
    match published.filter(|table| tables.contains(table)).find(|table| now.get(*table) != state.versions.get(*table)) {
        Some(table) => {
            let message = format!("table `{}` was changed by another run", table.lower());
            Err(BackendError::new(Remedy::Retry, message))
        }
        None => Ok(()),
    }
}

/// Writes into the ledger what tables say of themselves, where it knows otherwise: it was lost, or a run was killed between
/// the two.
pub(super) fn restore(ledger: &mut Ledger, tables: &LocalTables, plan: &Plan) -> Result<(), Outcome> {
    let names: Vec<TableName> = plan.steps.iter().filter_map(|step| step.publish.clone()).collect();
    let known = ledger.all_published().map_err(broken)?;
    let snapshot = tables.warehouse().snapshot().map_err(|error| Outcome::Broken(error.to_string()))?;
    let mut restored = Vec::new();
    let made: BTreeMap<_, _> = tables.made(&names).map_err(failed)?.into_iter().collect();
    for (name, (made, version)) in made {
        let table = name.lower();
        if known.get(&table).is_some_and(|known| known.version == version) {
            continue;
        }
        let Some(stored) = snapshot.table(&name) else { continue };
        let at = DateTime::parse_from_rfc3339(&stored.object().created).map(|at| at.to_utc()).unwrap_or_default();
        restored.push(Published {
            table,
            step: made.step,
            run: stored.object().run.clone(),
            at,
            fingerprint: made.fingerprint,
            history: made.history,
            version,
            rows: Some(stored.rows()),
        });
    }
    restored.sort_by(|a, b| a.table.cmp(&b.table));
    if restored.is_empty() { Ok(()) } else { ledger.published(&restored).map_err(broken) }
}
