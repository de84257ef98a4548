//! `pipe due`: the jobs whose schedule has come since an instant, for a plain cron or a workflow to start.

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::json;

use super::loaded::{Loaded, Meaning};
use super::{Globals, Outcome, print};
use crate::diagnostic::Diagnostic;
use crate::job::keys::duration;
use crate::job::schedule::Schedule;
use crate::settings::{Flags, Moment, instant};

/// Arguments of `pipe due`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pipe due --since 1h
  pipe due --since 2026-11-01T04:00:00 --until 2026-11-02T04:00:00 --format json
  pipe due --since 1h --format names | xargs -r pipe run

A schedule is read in the project's time zone. A job is listed once however often its time has come.")]
pub(super) struct Due {
    /// The instant after which a time counts, or how long ago that was
    #[arg(long, value_name = "DATE or AGE", value_parser = since)]
    since: Since,
    /// The last instant that counts; the default is now
    #[arg(long, value_name = "DATE", value_parser = instant)]
    until: Option<Moment>,
    /// How the jobs are told
    #[arg(long, value_parser = ["text", "names", "json"], default_value = "text", value_name = "FORMAT")]
    format: String,
}

/// From when on a time counts.
#[derive(Clone, Copy, Debug)]
enum Since {
    At(Moment),
    Ago(std::time::Duration),
}

fn since(text: &str) -> Result<Since, String> {
    match duration(text) {
        Some(ago) => Ok(Since::Ago(ago)),
        None => instant(text).map(Since::At).map_err(|_| "it is neither a date nor an age such as `1h`".to_owned()),
    }
}

impl Due {
    pub(super) fn run(self, globals: &Globals) -> Result<Outcome, Outcome> {
        let loaded = Loaded::read(globals, &Meaning::default(), Flags::default())?;
        let name = &loaded.settings.timezone;
        let zone: chrono_tz::Tz = name.parse().unwrap_or(chrono_tz::UTC);
        let until = self.until.map_or_else(crate::run::now, |until| until.in_zone(name));
        let since = match self.since {
            Since::At(at) => at.in_zone(name),
            Since::Ago(ago) => until - chrono::TimeDelta::from_std(ago).unwrap_or_default(),
        };
        if since > until {
            return Err(Outcome::Wrong(vec![Diagnostic::error("wrong-value", "--since is after --until")]));
        }
        let local = |at: DateTime<Utc>| at.with_timezone(&zone).naive_local();
        let due = loaded.jobs.iter().filter_map(|job| {
            let schedule = Schedule::parse(&job.schedule.as_ref()?.value)?;
            Some((job.name.value.lower(), schedule.last_between(local(since), local(until))?))
        });
        let due: Vec<_> = due.collect();
        let mut text = String::new();
        for (job, at) in &due {
            match self.format.as_str() {
                "names" => text.push_str(&format!("{job}\n")),
                _ => text.push_str(&format!("{}  {job}\n", at.format("%Y-%m-%d %H:%M"))),
            }
        }
        if self.format == "json" {
            let jobs =
                due.iter().map(|(job, at)| json!({"job": job, "at": at.format("%Y-%m-%dT%H:%M:%S").to_string()}));
            text = format!("{}\n", json!({"jobs": jobs.collect::<Vec<_>>()}));
        }
        print(&text)?;
        Ok(Outcome::Done)
    }
}
