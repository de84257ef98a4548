//! Checks as text, JSON, Markdown, JUnit XML and GitHub annotations.

use std::fmt::Write;

use serde_json::{Value, json};

use super::columns;
use super::table::{Format, render};
use crate::check::{Checked, Difference, Logic, Verdict};
use crate::dialect::session::SessionParameters;
use crate::rule::{Outcome, Severity};
use crate::text::counted;

/// Keys of a disagreement that people are shown.
const WORST_SHOWN: usize = 5;
/// Changed lines that people are shown, of each change.
const LINES_SHOWN: usize = 12;

/// Checks, and how to show them.
pub struct Shown<'a> {
    /// The checks.
    pub checks: &'a [Checked],
    /// The session's way of writing values.
    pub parameters: &'a SessionParameters,
    /// Whether colours may be used.
    pub color: bool,
    /// Whether the first rows of each query are shown.
    pub show: bool,
}

impl Shown<'_> {
    /// For people: a line a check, and under it what is wrong.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let width = self.checks.iter().map(|check| check.verdict().as_str().len()).max().unwrap_or_default();
        for check in self.checks {
            let word = format!("{:<width$}", check.verdict().as_str());
            let _ = writeln!(text, "{}  {}  {}", self.painted(&word, check), check.id(), summary(check));
            for line in details(check) {
                let _ = writeln!(text, "{:width$}  {line}", "");
            }
            if self.show && !check.columns.is_empty() {
                text.push_str(&indented(&self.top(check, Format::Table), width + 2));
            }
        }
        let _ = writeln!(text, "{}", totals(self.checks));
        text
    }

    fn painted(&self, word: &str, check: &Checked) -> String {
        let color = match check.verdict() {
            Verdict::Ok => "32",
            _ if check.is_error() => "31",
            _ => "33",
        };
        if self.color { format!("\x1b[{color}m{word}\x1b[0m") } else { word.to_owned() }
    }

    fn top(&self, check: &Checked, format: Format) -> String {
        render(&check.columns, &check.top, format, self.parameters).unwrap_or_else(|error| format!("{error}\n"))
    }

    /// For programs: one object.
    pub fn json(&self) -> String {
        let checks: Vec<Value> = self.checks.iter().map(|check| self.value(check)).collect();
        let failed = self.checks.iter().filter(|check| check.is_error()).count();
        let value = json!({"checks": checks, "total": self.checks.len(), "errors": failed});
        format!("{}\n", serde_json::to_string_pretty(&value).unwrap_or_default())
    }

    fn value(&self, check: &Checked) -> Value {
        let mut value = of_check(check);
        if self.show {
            let top = self.top(check, Format::Json);
            value["top"] = serde_json::from_str(&top).unwrap_or(Value::Null);
        }
        value
    }

    /// For a pull request or a wiki.
    pub fn markdown(&self) -> String {
        let mut text = String::from("| check | verdict | what |\n| --- | --- | --- |\n");
        for check in self.checks {
            let what = summary(check).replace('|', "\\|");
            let _ = writeln!(text, "| `{}` | **{}** | {what} |", check.id(), check.verdict().as_str());
        }
        for check in self.checks {
            let lines = details(check);
            if lines.is_empty() && !self.show {
                continue;
            }
            let _ = write!(text, "\n### {}: {}\n", check.id(), check.verdict().as_str());
            if !lines.is_empty() {
                let _ = write!(text, "\n```text\n{}\n```\n", lines.join("\n"));
            }
            if self.show && !check.columns.is_empty() {
                let _ = write!(text, "\n```text\n{}```\n", self.top(check, Format::Table));
            }
        }
        let _ = write!(text, "\n{}\n", totals(self.checks));
        text
    }

    /// For a CI server: a test case a check, in a suite a job.
    pub fn junit(&self) -> String {
        let failed = self.checks.iter().filter(|check| check.is_error()).count();
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"pipe check\" tests=\"{}\" failures=\"{failed}\">\n",
            self.checks.len()
        );
        let mut jobs: Vec<String> = self.checks.iter().map(|check| check.job.lower()).collect();
        jobs.dedup();
        for job in jobs {
            let of_job: Vec<&Checked> = self.checks.iter().filter(|check| check.job.lower() == job).collect();
            let failed = of_job.iter().filter(|check| check.is_error()).count();
            let _ = writeln!(
                text,
                "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\">",
                escaped(&job),
                of_job.len()
            );
            of_job.iter().for_each(|check| case(&mut text, check));
            text.push_str("  </testsuite>\n");
        }
        text.push_str("</testsuites>\n");
        text
    }
}

fn case(text: &mut String, check: &Checked) {
    let (job, name) = (escaped(&check.job.lower()), escaped(&check.name.lower()));
    let _ = write!(text, "    <testcase classname=\"{job}\" name=\"{name}\"");
    let body = escaped(&details(check).join("\n"));
    let message = escaped(&format!("{}: {}", check.verdict().as_str(), summary(check)));
    let _ = match (check.verdict(), check.is_error()) {
        (Verdict::Ok, _) => writeln!(text, "/>"),
        (verdict, true) => writeln!(
            text,
            ">\n      <failure type=\"{}\" message=\"{message}\">{body}</failure>\n    </testcase>",
            verdict.as_str()
        ),
        (_, false) => writeln!(text, ">\n      <system-out>{message}\n{body}</system-out>\n    </testcase>"),
    };
}

fn escaped(text: &str) -> String {
    let plain = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t'));
    let mut out = String::new();
    for c in plain {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

/// The commands by which a run on GitHub Actions shows what is wrong at the lines of the checks.
pub fn annotations(checks: &[Checked]) -> String {
    let mut text = String::new();
    for check in checks.iter().filter(|check| check.verdict() != Verdict::Ok) {
        let kind = if check.is_error() { "error" } else { "warning" };
        let (line, _) = check.span.line_column();
        let message = std::iter::once(format!("{}: {}", check.verdict().as_str(), summary(check)));
        let message: Vec<String> = message.chain(details(check)).collect();
        let message = message.join("\n").replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
        let file = check.span.file.path().to_string_lossy().into_owned();
        let file = file.replace('%', "%25").replace(',', "%2C").replace(':', "%3A");
        let _ = writeln!(text, "::{kind} file={file},line={line},title=pipe check {}::{message}", check.id());
    }
    text
}

/// What a check comes to, in a few words.
fn summary(check: &Checked) -> String {
    if let Some(error) = &check.error {
        return error.clone();
    }
    let mut parts: Vec<String> = Vec::new();
    let mut tables: Vec<String> = check.findings.iter().map(|finding| finding.table.lower()).collect();
    tables.dedup();
    if !tables.is_empty() {
        parts.push(format!("{} not as ever", tables.join(", ")));
    }
    let missed = check.expectations.iter().filter(|one| one.outcome != Outcome::Pass).count();
    if missed > 0 {
        parts.push(format!("{missed} of {} expectations missed", check.expectations.len()));
    }
    match &check.logic {
        Some(logic) if logic.difference.agrees() => {
            parts.push(format!("{} agrees in {} keys", logic.step, logic.difference.keys));
        }
        Some(logic) => {
            let blamed = logic.blamed.first().unwrap_or(&logic.step);
            parts.push(format!("{blamed}: {} of {} keys differ", logic.difference.off, logic.difference.keys));
        }
        None => parts.push(counted(check.rows, "row")),
    }
    if !check.stale.is_empty() {
        parts.push("the job has not run since".to_owned());
    }
    parts.join("; ")
}

/// What is wrong with a check, as lines.
fn details(check: &Checked) -> Vec<String> {
    let mut lines = Vec::new();
    for finding in &check.findings {
        let since = finding.since.map(|since| format!(" since {since}")).unwrap_or_default();
        let weight = if finding.severity == Severity::Warn { " (warning)" } else { "" };
        lines.push(format!("data   {}: {}{since}{weight}", finding.table.lower(), finding.message));
    }
    for one in check.expectations.iter().filter(|one| one.outcome != Outcome::Pass) {
        let weight = if one.outcome == Outcome::Warn { " (warning)" } else { "" };
        lines.push(format!("data   the check's rows: {} ({}){weight}", one.message, one.name));
    }
    if let Some(logic) = check.logic.as_ref().filter(|logic| !logic.difference.agrees()) {
        lines.extend(of_logic(logic));
    }
    for stale in &check.stale {
        lines.push(format!("stale  {}: {}", stale.table.lower(), stale.reason));
    }
    lines
}

fn of_logic(logic: &Logic) -> Vec<String> {
    let difference = &logic.difference;
    let mut lines = vec![format!(
        "logic  {}: {} of {} keys differ: {}",
        logic.step,
        difference.off,
        difference.keys,
        difference.clauses().join(", ")
    )];
    let others: Vec<String> = logic.blamed.iter().filter(|id| **id != logic.step).map(ToString::to_string).collect();
    let itself = logic.blamed.first() == Some(&logic.step);
    if !others.is_empty() {
        let how = if itself { "it reads" } else { "it follows from" };
        lines.push(format!("       {how} {}", others.join(", ")));
    }
    lines.extend(worst(difference).lines().map(|line| format!("       {line}")));
    for change in &logic.changes {
        lines.push(format!("       {} changed {}:", change.what, change.since));
        lines.extend(change.lines.iter().take(LINES_SHOWN).map(|line| format!("         {line}")));
        if change.lines.len() > LINES_SHOWN {
            lines.push(format!("         … {} more lines", change.lines.len() - LINES_SHOWN));
        }
    }
    lines
}

/// The worst keys as a table of texts.
fn worst(difference: &Difference) -> String {
    let mut rows: Vec<[String; 4]> = vec![["key", "figure", "check", "job"].map(str::to_owned)];
    // Whole numbers come as decimals, since figures are rounded.
    let figure =
        |text: &Option<String>| text.as_deref().map_or("-", |text| text.strip_suffix(".0").unwrap_or(text)).to_owned();
    for pair in difference.worst.iter().take(WORST_SHOWN) {
        let named = difference.key.iter().zip(&pair.key);
        let key = named.map(|(name, value)| format!("{}={}", name.lower(), value.as_deref().unwrap_or("NULL")));
        let key = key.collect::<Vec<_>>().join(" ");
        if pair.rows.0 != pair.rows.1 {
            rows.push([key.clone(), "rows".to_owned(), pair.rows.0.to_string(), pair.rows.1.to_string()]);
        }
        for ((check, step, _), (here, there)) in difference.columns.iter().zip(&pair.figures) {
            if here != there || pair.rows.0 != pair.rows.1 {
                let name = if check == step { check.lower() } else { format!("{} / {}", check.lower(), step.lower()) };
                rows.push([key.clone(), name, figure(here), figure(there)]);
            }
        }
    }
    columns(&rows)
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}

fn totals(checks: &[Checked]) -> String {
    let kinds = [Verdict::Ok, Verdict::Data, Verdict::Logic, Verdict::DataAndLogic, Verdict::Stale, Verdict::Broken];
    let counted = kinds.into_iter().filter_map(|kind| {
        let count = checks.iter().filter(|check| check.verdict() == kind).count();
        (count > 0).then(|| format!("{count} {}", kind.as_str()))
    });
    let plural = if checks.len() == 1 { "" } else { "s" };
    format!("{} check{plural}: {}", checks.len(), counted.collect::<Vec<_>>().join(", "))
}

fn of_check(check: &Checked) -> Value {
    let verdict = check.verdict();
    json!({
        "job": check.job.lower(),
        "check": check.name.lower(),
        "about": check.about,
        "verdict": verdict.as_str(),
        "severity": if verdict == Verdict::Ok { Value::Null } else if check.is_error() { json!("error") } else { json!("warn") },
        "summary": summary(check),
        "error": check.error,
        "rows": check.rows,
        "tables": check.tables.iter().map(crate::name::TableName::lower).collect::<Vec<_>>(),
        "data": check.findings.iter().map(|finding| json!({
            "table": finding.table.lower(),
            "column": finding.column.as_ref().map(crate::name::Name::lower),
            "measure": finding.measure,
            "message": finding.message,
            "since": finding.since,
            "severity": word(finding.severity),
        })).collect::<Vec<_>>(),
        "expectations": check.expectations.iter().map(|one| json!({
            "name": one.name,
            "verdict": match one.outcome { Outcome::Pass => "pass", Outcome::Warn => "warn", Outcome::Fail => "fail" },
            "message": one.message,
        })).collect::<Vec<_>>(),
        "logic": check.logic.as_ref().map(logic_value),
        "stale": check.stale.iter().map(|stale| json!({"table": stale.table.lower(), "reason": stale.reason})).collect::<Vec<_>>(),
        "place": check.span.to_string(),
    })
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Warn => "warn",
        Severity::Error => "error",
    }
}

fn logic_value(logic: &Logic) -> Value {
    let difference = &logic.difference;
    let pair = |pair: &crate::check::reconcile::Pair| {
        let key: serde_json::Map<String, Value> =
            difference.key.iter().zip(&pair.key).map(|(name, value)| (name.lower(), json!(value))).collect();
        let figures: Vec<Value> = difference
            .columns
            .iter()
            .zip(&pair.figures)
            .map(|((check, step, _), (here, there))| {
                json!({"check_column": check.lower(), "step_column": step.lower(), "check": here, "job": there})
            })
            .collect();
        json!({"key": key, "check_rows": pair.rows.0, "job_rows": pair.rows.1, "figures": figures})
    };
    json!({
        "reconciled_with": logic.step.to_string(),
        "published": logic.published,
        "agrees": difference.agrees(),
        "step": logic.blamed.first().map(ToString::to_string),
        "steps": logic.blamed.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "keys": difference.keys,
        "keys_off": difference.off,
        "missing": difference.missing,
        "extra": difference.extra,
        "repeated": difference.repeated,
        "columns": difference.columns.iter().map(|(check, step, off)| json!({"check_column": check.lower(), "step_column": step.lower(), "keys_off": off})).collect::<Vec<_>>(),
        "worst": difference.worst.iter().map(pair).collect::<Vec<_>>(),
        "changes": logic.changes.iter().map(|change| json!({"what": change.what, "since": change.since, "lines": change.lines})).collect::<Vec<_>>(),
    })
}
