//! YAML → job: the tables of `keys` have said what is wrong with the keys and values; here is what they mean.

use indexmap::IndexMap;

use crate::diagnostic::{Diagnostic, has_errors};
use crate::job::keys::{JOB, STEP, duration};
use crate::job::{ColumnContract, ColumnType, Items, Job, Materialization, OnError, Retry, Step, StepKind};
use crate::job::{check, export, incremental, load};
use crate::name::{Name, TableName, nearest};
use crate::rule::Test;
use crate::rule::read::{column_name, tests};
use crate::template::{Variable, Variables};
use crate::text::files::Files;
use crate::text::{SourceFile, Spanned};
use crate::yaml::shape::Shape;
use crate::yaml::{self, Entry, Node, Value};

/// Names that a run gives its templates, so that no variable can take them.
const RESERVED: [&str; 4] = ["run_date", "run_at", "target", "interval"];

/// Reads a job file. The job is there unless nothing of it can be understood; what is wrong is all told.
pub fn parse(file: &SourceFile, files: &Files) -> (Option<Job>, Vec<Diagnostic>) {
    let root = match yaml::parse(file) {
        Ok(root) => root,
        Err(problems) => return (None, problems),
    };
    let mut problems = Vec::new();
    Shape::Record(&JOB).check(&root, &mut problems);
    if root.map().is_none() {
        return (None, problems);
    }
    let mut reader =
        Reader { file, files, problems, job_tags: words(root.get("tags")), job_on_error: root.get("on_error") };
    let job = reader.job(&root);
    (Some(job), reader.problems)
}

struct Reader<'a> {
    file: &'a SourceFile,
    files: &'a Files,
    problems: Vec<Diagnostic>,
    job_tags: Vec<String>,
    job_on_error: Option<&'a Node>,
}

impl Reader<'_> {
    fn job(&mut self, root: &Node) -> Job {
        let name = self.name(root);
        let steps = self.steps(&name, root);
        let checks = root.get("checks").map(|node| check::checks(node, self.files, &mut self.problems));
        let checks = checks.unwrap_or_default();
        let written = root.get("steps").is_some_and(|steps| !steps.entries().is_empty());
        if !written && checks.is_empty() && !has_errors(&self.problems) {
            let message = format!("the job `{}` has no steps", name.value.lower());
            let diagnostic = Diagnostic::error("missing-key", message).at(name.span.clone());
            self.problems.push(diagnostic.hint("add `steps:` with a step that names its SQL"));
        }
        Job {
            file: self.file.clone(),
            description: text(root, "description"),
            owner: text(root, "owner"),
            schedule: spanned(root, "schedule"),
            tags: self.job_tags.clone(),
            variables: self.variables(root),
            steps,
            checks,
            checks_after_run: root.get("checks").and_then(Node::text) == Some("after_run"),
            name,
        }
    }

    fn name(&self, root: &Node) -> Spanned<Name> {
        match root.get("job") {
            Some(node) if node.scalar().is_some() => {
                Spanned::new(Name::unquoted(node.scalar().unwrap_or_default()), node.span.clone())
            }
            _ => {
                let stem = self.file.path().file_stem().unwrap_or_default().to_string_lossy();
                Spanned::new(Name::unquoted(&stem), self.file.span(0..0))
            }
        }
    }

    fn variables(&mut self, root: &Node) -> Variables {
        let mut variables = Variables::default();
        for entry in root.get("vars").map(Node::entries).unwrap_or_default() {
            self.variable_name(&entry.key);
            self.no_date(&entry.value);
            variables.insert(&entry.key.value, Variable::from_yaml(&entry.value));
        }
        variables
    }

    /// Refuses what is written like a date and is none, which would be text.
    fn no_date(&mut self, value: &Node) {
        let Some(text) = value.text().filter(|text| value.span.text() == *text) else { return };
        let digits = |byte: u8| if byte.is_ascii_digit() { b'0' } else { byte };
        let like: Vec<u8> = text.bytes().take(10).map(digits).collect();
        let ends = text.get(10..).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', 'T']));
        if like == b"0000-00-00" && ends && matches!(Variable::from_yaml(value), Variable::Text(_)) {
            let problem = Diagnostic::error("wrong-value", format!("`{text}` is no date")).at(value.span.clone());
            self.problems.push(problem.hint("write it in quotes where it is meant as text"));
        }
    }

    fn variable_name(&mut self, key: &Spanned<String>) {
        let name = key.value.as_str();
        let word = |c: char| c == '_' || c.is_alphanumeric();
        if RESERVED.contains(&name) {
            let message = format!("`{name}` is given by the run itself, and no variable can have that name");
            self.problems.push(Diagnostic::error("reserved-name", message).at(key.span.clone()));
        } else if !name.chars().all(word) || name.starts_with(|c: char| c.is_numeric()) {
            let message = format!("`{name}` cannot be the name of a variable");
            let diagnostic = Diagnostic::error("wrong-value", message).at(key.span.clone());
            self.problems.push(diagnostic.hint("use letters, digits and underscores, and start with a letter"));
        }
    }

    fn steps(&mut self, job: &Spanned<Name>, root: &Node) -> IndexMap<Name, Step> {
        let mut steps: IndexMap<Name, Step> = IndexMap::new();
        for entry in root.get("steps").map(Node::entries).unwrap_or_default() {
            let Some(step) = self.step(&job.value, entry) else { continue };
            if let Some(other) = steps.get(&step.name.value) {
                if other.name.span.text() != step.name.span.text() {
                    let (a, b) = (other.name.span.text(), step.name.span.text());
                    let message = format!("`{a}` and `{b}` are the same step, since case does not count in names");
                    let diagnostic = Diagnostic::error("duplicate-step", message).at(step.name.span.clone());
                    self.problems.push(diagnostic.related(other.name.span.clone(), "the other one"));
                }
                continue;
            }
            steps.insert(step.name.value.clone(), step);
        }
        steps
    }

    fn step(&mut self, job: &Name, entry: &Entry) -> Option<Step> {
        let (key, node) = (&entry.key, &entry.value);
        if key.value.is_empty() {
            return None;
        }
        if !(super::keys::NAME.accepts)(&key.value) {
            let message = format!("`{}` cannot be the name of a step", key.value);
            let diagnostic = Diagnostic::error("wrong-value", message).at(key.span.clone());
            self.problems.push(diagnostic.hint("use letters, digits and underscores, and start with a letter"));
            return None;
        }
        let kind = self.kind(job, key, node)?;
        let (columns, column_tests) = self.columns(node);
        self.outside(&kind, key, node, &columns);
        let mut step_tests = column_tests;
        if let Some(list) = node.get("tests") {
            step_tests.extend(tests(list, None, self.files, &mut self.problems));
        }
        let (publish, publish_template) = publish(node);
        let mut tags = self.job_tags.clone();
        tags.extend(words(node.get("tags")));
        Some(Step {
            name: Spanned::new(Name::unquoted(&key.value), key.span.clone()),
            template_of: None,
            description: text(node, "description"),
            kind,
            materialize: self.materialization(node, publish.is_some() || publish_template.is_some()),
            incremental: self.incremental(node),
            columns,
            tests: step_tests,
            needs: needs(node),
            when: spanned(node, "when"),
            for_each: self.for_each(node),
            variables: Variables::default(),
            tags,
            retry: node.get("retry").and_then(retry),
            timeout: node.get("timeout").and_then(Node::scalar).and_then(duration),
            on_error: self.on_error(node, publish.is_some() || publish_template.is_some()),
            local: node.get("engine").is_some(),
            publish,
            included: true,
            publish_template,
        })
    }

    fn kind(&mut self, job: &Name, key: &Spanned<String>, node: &Node) -> Option<StepKind> {
        match STEP.kind_of(node) {
            Some(entry) if entry.key.value == "sql" => {
                yaml::sql::read(&entry.value, self.files, &mut self.problems).map(StepKind::Sql)
            }
            Some(entry) if entry.key.value == "load" => {
                Some(StepKind::Load(Box::new(load::load(&entry.value, &mut self.problems))))
            }
            Some(entry) if entry.key.value == "export" => {
                export::export(&entry.value, self.files, &mut self.problems).map(|e| StepKind::Export(Box::new(e)))
            }
            Some(entry) => Some(StepKind::Transform { name: entry.key.clone(), parameters: entry.value.clone() }),
            None if node.entries().iter().any(|e| STEP.all_keys().all(|known| known.name != e.key.value)) => None,
            None => {
                let path = format!("sql/{}/{}.sql", job.lower(), key.value);
                match self.files.get(&path) {
                    Some(file) => Some(StepKind::Sql(crate::text::derived::Derived::itself(file.clone()))),
                    None if self.files.is_unreadable(&path) => None,
                    None => {
                        let message = format!("the step `{}` has no SQL: there is no file `{path}`", key.value);
                        let diagnostic = Diagnostic::error("missing-sql-file", message).at(key.span.clone());
                        let folder = format!("sql/{}/", job.lower());
                        let near = nearest(&path, self.files.under(&folder).filter_map(|file| file.path().to_str()));
                        self.problems.push(match near {
                            Some(_) => diagnostic.did_you_mean(near),
                            None => diagnostic.hint("write that file, or add `sql:` to the step"),
                        });
                        None
                    }
                }
            }
        }
    }

    /// What a load step must have, and an export step cannot.
    fn outside(&mut self, kind: &StepKind, key: &Spanned<String>, node: &Node, columns: &[ColumnContract]) {
        match kind {
            StepKind::Load(_) if columns.is_empty() && node.get("columns").is_none() => {
                let message = format!("the step `{}` loads files and does not declare their columns", key.value);
                let diagnostic = Diagnostic::error("missing-key", message).at(key.span.clone());
                self.problems.push(diagnostic.hint("add `columns:` with a type for each, such as `id: number`"));
            }
            StepKind::Load(_) => {
                for column in columns.iter().filter(|column| column.column_type.is_none()) {
                    let message = format!("the column `{}` has no type", column.name.value.lower());
                    let diagnostic = Diagnostic::error("missing-key", message).at(column.name.span.clone());
                    self.problems.push(diagnostic.hint("write it as `column: type`, such as `id: number`"));
                }
                if let Some(view) = node.get("materialize").filter(|written| written.text() == Some("view")) {
                    let message = "what is loaded from files is a table and cannot be a view";
                    self.problems.push(Diagnostic::error("wrong-value", message).at(view.span.clone()));
                }
            }
            StepKind::Export(_) => {
                if let Some(publish) = node.get("publish") {
                    let message = "an export writes outside the project and publishes no table";
                    let diagnostic = Diagnostic::error("wrong-value", message).at(publish.span.clone());
                    self.problems
                        .push(diagnostic.hint("publish the rows in a step of their own, and export that step"));
                }
            }
            StepKind::Sql(_) | StepKind::Transform { .. } => {}
        }
    }

    fn columns(&mut self, node: &Node) -> (Vec<ColumnContract>, Vec<Test>) {
        node.get("columns").map(|node| columns(node, self.files, &mut self.problems)).unwrap_or_default()
    }

    fn materialization(&mut self, node: &Node, published: bool) -> Materialization {
        let Some(written) = node.get("materialize") else { return Materialization::Table };
        if !published {
            let message = "`materialize` says how a published table lives, and this step publishes none";
            let diagnostic = Diagnostic::error("wrong-value", message).at(written.span.clone());
            self.problems.push(diagnostic.hint("add `publish: schema.table`, or leave `materialize` out"));
        }
        if written.text() == Some("view") { Materialization::View } else { Materialization::Table }
    }

    /// The block that says how a table grows stands beside the word that says that it does.
    fn incremental(&mut self, node: &Node) -> Option<Box<incremental::Incremental>> {
        let written = node.get("materialize").and_then(Node::text);
        for word in ["incremental", "snapshot"] {
            let (block, wanted) = (node.entries().iter().find(|entry| entry.key.value == word), written == Some(word));
            if let Some(block) = block.filter(|_| !wanted) {
                let message = format!("`{word}` means nothing without `materialize: {word}`");
                self.problems.push(Diagnostic::error("wrong-value", message).at(block.key.span.clone()));
            } else if let (None, true, Some(place)) = (block, wanted, node.get("materialize")) {
                let message = format!("a table that is `{word}` needs a block `{word}:`");
                let hint = match word {
                    "snapshot" => "add it, such as `snapshot: {key: id, updated_at: updated_at}`",
                    _ => "add it, such as `incremental: {strategy: merge, key: user_id}`",
                };
                self.problems.push(Diagnostic::error("missing-key", message).at(place.span.clone()).hint(hint));
            }
        }
        let grows = match written {
            Some("incremental") => incremental::incremental(node.get("incremental")?, &mut self.problems),
            Some("snapshot") => incremental::snapshot(node.get("snapshot")?, &mut self.problems),
            _ => None,
        }?;
        let queried = STEP.kind_of(node).is_none_or(|kind| kind.key.value == "sql");
        if !queried {
            let message = "only a query can grow a table; this step is none";
            let diagnostic = Diagnostic::error("unsupported", message).at(grows.span.clone());
            self.problems.push(diagnostic.hint("give it a step of its own, and read that in a query"));
            return None;
        }
        Some(Box::new(grows))
    }

    fn on_error(&mut self, node: &Node, published: bool) -> OnError {
        let own = node.get("on_error");
        let Some(written) = own.or(self.job_on_error) else { return OnError::default() };
        match written.text() {
            Some("continue") => OnError::Continue,
            Some("fail") => OnError::Fail,
            Some("keep_last") if published => OnError::KeepLast,
            Some("keep_last") => {
                if let Some(own) = own {
                    let message =
                        "`keep_last` keeps the table that a step published before, and this step publishes none";
                    let diagnostic = Diagnostic::error("wrong-value", message).at(own.span.clone());
                    self.problems.push(diagnostic.hint("add `publish: schema.table`, or use `continue`"));
                }
                OnError::Continue
            }
            _ => OnError::SkipDownstream,
        }
    }

    fn for_each(&mut self, node: &Node) -> Vec<(String, Spanned<Items>)> {
        let mut lists = Vec::new();
        for entry in node.get("for_each").map(Node::entries).unwrap_or_default() {
            self.variable_name(&entry.key);
            let items = match &entry.value.value {
                Value::List(items) => Items::List(items.iter().map(Variable::from_yaml).collect()),
                _ => Items::Expression(entry.value.scalar().unwrap_or_default().to_owned()),
            };
            lists.push((entry.key.value.clone(), Spanned::new(items, entry.value.span.clone())));
        }
        lists
    }
}

/// The columns of a mapping, and the tests that stand under them.
pub(crate) fn columns(node: &Node, files: &Files, problems: &mut Vec<Diagnostic>) -> (Vec<ColumnContract>, Vec<Test>) {
    let mut contracts: Vec<ColumnContract> = Vec::new();
    let mut all_tests = Vec::new();
    for entry in node.entries() {
        let Some(name) = column_name(&entry.key.value) else {
            let message = format!("`{}` cannot be the name of a column", entry.key.value);
            problems.push(Diagnostic::error("wrong-value", message).at(entry.key.span.clone()));
            continue;
        };
        let name = Spanned::new(name, entry.key.span.clone());
        if let Some(other) =
            contracts.iter().find(|c| c.name.value == name.value && c.name.span.text() != name.span.text())
        {
            let (a, b) = (other.name.span.text(), name.span.text());
            let message = format!("`{a}` and `{b}` are the same column, since case does not count in names");
            problems.push(Diagnostic::error("duplicate-key", message).at(name.span.clone()));
        }
        let written = if entry.value.map().is_some() { entry.value.get("type") } else { Some(&entry.value) };
        let column_type =
            written.and_then(|node| Some(Spanned::new(ColumnType::parse(node.scalar()?)?, node.span.clone())));
        if let Some(list) = entry.value.get("tests") {
            all_tests.extend(tests(list, Some(&name), files, problems));
        }
        contracts.push(ColumnContract {
            name,
            column_type,
            nullable: entry.value.get("nullable").and_then(Node::boolean).unwrap_or(true),
            description: text(&entry.value, "description"),
        });
    }
    (contracts, all_tests)
}

fn publish(node: &Node) -> (Option<Spanned<TableName>>, Option<Spanned<String>>) {
    let Some(written) = spanned(node, "publish") else { return (None, None) };
    if written.value.contains("{{") {
        return (None, Some(written));
    }
    let name = TableName::parse(&written.value).filter(|name| name.schema.is_some() && name.database.is_none());
    (name.map(|name| Spanned::new(name, written.span)), None)
}

fn needs(node: &Node) -> Vec<Spanned<Name>> {
    let items = node.get("needs").map(Node::items).unwrap_or_default().iter();
    items.filter_map(|item| Some(Spanned::new(Name::unquoted(item.scalar()?), item.span.clone()))).collect()
}

fn retry(node: &Node) -> Option<Retry> {
    let backoff = node.get("backoff").and_then(Node::scalar).and_then(duration);
    Some(Retry {
        max: u32::try_from(node.get("max")?.integer()?).ok()?,
        backoff: backoff.unwrap_or(std::time::Duration::from_secs(1)),
    })
}

fn words(node: Option<&Node>) -> Vec<String> {
    node.map(Node::items).unwrap_or_default().iter().filter_map(|item| item.scalar().map(str::to_owned)).collect()
}

fn text(node: &Node, key: &str) -> Option<String> {
    node.get(key).and_then(Node::text).map(str::to_owned)
}

fn spanned(node: &Node, key: &str) -> Option<Spanned<String>> {
    let node = node.get(key)?;
    Some(Spanned::new(node.scalar()?.to_owned(), node.span.clone()))
}
