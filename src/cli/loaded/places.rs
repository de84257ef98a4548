//! Where a project's files lie in each other's way, or belong to nothing: exports that share a folder or write among what
//! `pipe` keeps, files for tables that no contract describes.

use std::path::{Path, PathBuf};

use super::Loaded;
use crate::diagnostic::Diagnostic;
use crate::job::export::Destination;
use crate::name::{TableName, nearest};
use crate::plan::{Plan, StepId, Work};
use crate::project::straight;
use crate::settings::BackendSettings;
use crate::text::Spanned;

/// The folders of a project that hold its author's words.
const AUTHORS: [&str; 4] = ["pipelines", "sql", "schemas", "tests"];

/// Everything of the kind that is wrong with a plan.
pub(super) fn problems(loaded: &Loaded, plan: &Plan) -> Vec<Diagnostic> {
    let mut problems = unknown_sources(loaded);
    let mut known: Vec<(PathBuf, &StepId)> = Vec::new();
    for step in &plan.steps {
        if let Work::Load(load) = &step.work {
            problems.extend(load.rejects.as_ref().and_then(|path| misplaced(loaded, path, "refused rows")));
        }
        let Some(Destination::Files(files)) = step.export.as_ref().map(|export| &export.to) else { continue };
        problems.extend(misplaced(loaded, &files.path, "exports"));
        let folder = whole(loaded, &files.path.value);
        match known.iter().find(|(other, _)| *other == folder) {
            Some((_, other)) => {
                let shown = files.path.value.trim_end_matches('/');
                let message = format!("`{}` and `{other}` export to one folder, `{shown}/`", step.id);
                let problem = Diagnostic::error("published-twice", message).at(files.path.span.clone());
                problems.push(problem.hint("each export owns its folder: give them different ones"));
            }
            None => known.push((folder, &step.id)),
        }
    }
    problems
}

/// Files that `pipe.yaml` names for tables without a contract, which nothing can read.
fn unknown_sources(loaded: &Loaded) -> Vec<Diagnostic> {
    let BackendSettings::DataFusion(local) = &loaded.settings.target.backend else { return Vec::new() };
    let unknown = local.tables.iter().filter(|(table, _)| !loaded.contracts.contains_key(*table));
    let told = |(table, location): (&TableName, &Spanned<_>)| {
        let message = format!("`{}` is no source: no file of `schemas/` describes it", table.lower());
        let problem = Diagnostic::error("unknown-source", message).at(location.span.clone());
        let names: Vec<String> = loaded.contracts.keys().map(TableName::lower).collect();
        let near = nearest(&table.lower(), &names);
        match (&near, &table.schema) {
            (None, Some(schema)) => problem.hint(format!("describe it in `schemas/{}.yaml`", schema.lower())),
            _ => problem.did_you_mean(near),
        }
    };
    unknown.map(told).collect()
}

/// A path of this machine where nothing may be written: it would mix with what `pipe` keeps, or with what its author wrote.
fn misplaced(loaded: &Loaded, path: &Spanned<String>, what: &str) -> Option<Diagnostic> {
    if path.value.contains("://") && !path.value.starts_with("file://") {
        return None;
    }
    let (root, place) = (&loaded.settings.root, whole(loaded, &path.value));
    let kept = [loaded.home(), root.join(".pipe")];
    // What refused rows are kept in by default is in there, and no table is.
    let rejects = place.starts_with(loaded.home().join("rejects"));
    let message = if kept.iter().any(|kept| place.starts_with(kept)) && !rejects {
        format!("{what} cannot go to `{}`: that is where `pipe` keeps its own files", path.value)
    } else if AUTHORS.iter().any(|folder| place.starts_with(root.join(folder))) || place == *root {
        format!("{what} cannot go to `{}`: that is where the project's own files are", path.value)
    } else {
        return None;
    };
    let problem = Diagnostic::error("wrong-value", message).at(path.span.clone());
    Some(problem.hint("name a folder of its own, such as `exports/partner/`"))
}

/// A path as one from the root of this machine; a URL of elsewhere as it is.
fn whole(loaded: &Loaded, path: &str) -> PathBuf {
    let local = path.strip_prefix("file://").unwrap_or(path);
    if local.contains("://") {
        return PathBuf::from(local.trim_end_matches('/'));
    }
    let place = straight(&loaded.settings.root.join(local));
    // Two spellings of one path are one: the last `/` is no part of it.
    Path::new(place.to_string_lossy().trim_end_matches('/')).to_path_buf()
}
