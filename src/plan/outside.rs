//! Load and export steps before they touch anything: variables filled into their places, and the query of an export
//! written from its mapping of columns.

use super::step::PlannedExport;
use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::dialect::types::SqlType;
use crate::job::export::{Destination, Export, Mapped, Rows};
use crate::job::load::Load;
use crate::job::{Job, Step};
use crate::name::{Name, TableName, nearest};
use crate::template::Templates;
use crate::text::derived::{Derived, Part};
use crate::text::{SourceFile, Spanned};

type Filled<T> = Result<T, Vec<Diagnostic>>;

/// Fills the variables of a step into the texts of its places.
pub(super) struct Fill<'a> {
    pub(super) templates: &'a Templates,
    pub(super) job: &'a Job,
    pub(super) step: &'a Step,
}

impl Fill<'_> {
    fn text(&self, written: &Spanned<String>) -> Filled<Spanned<String>> {
        let text = self.templates.fill(written, &self.job.variables_of(self.step))?;
        Ok(Spanned::new(text, written.span.clone()))
    }

    /// The load with its places filled in.
    pub(super) fn load(&self, load: &Load) -> Filled<Load> {
        let files = load.files.iter().map(|file| self.text(file)).collect::<Result<_, _>>()?;
        let rejects = load.rejects.as_ref().map(|path| self.text(path)).transpose()?;
        Ok(Load { files, rejects, ..load.clone() })
    }

    /// Where an export goes.
    pub(super) fn destination(&self, export: &Export) -> Filled<Destination> {
        let mut to = export.to.clone();
        match &mut to {
            Destination::Files(files) => {
                files.path = self.text(&files.path)?;
                if !files.path.value.ends_with('/') {
                    files.path.value.push('/');
                }
            }
            Destination::Postgres(postgres) => {
                postgres.table = self.text(&postgres.table)?;
                let table = &postgres.table;
                if TableName::parse(&table.value).is_none_or(|name| name.database.is_some()) {
                    let message = format!("`{}` is not a table name with or without its schema", table.value);
                    return Err(vec![Diagnostic::error("wrong-value", message).at(table.span.clone())]);
                }
            }
        }
        Ok(to)
    }
}

/// The query of an export: as written, or made of its input and mapping.
pub(super) fn query(export: &Export) -> Derived {
    let (input, mapped) = match &export.rows {
        Rows::Sql(sql) => return sql.clone(),
        Rows::Input(input, mapped) => (input, mapped),
    };
    let (mut text, mut parts) = (String::new(), Vec::new());
    let mut add = |piece: &str, origin: &crate::text::Span| {
        parts.push(Part { start: text.len(), origin: origin.clone(), copied: false });
        text.push_str(piece);
    };
    add("select ", &export.span);
    if mapped.is_empty() {
        add("*", &input.span);
    }
    for (at, column) in mapped.iter().enumerate() {
        add(if at == 0 { "" } else { ", " }, &column.name.span);
        add(&expression(column), &column.column.span);
        add(&format!(" as {}", name_of(&column.name.value).sql()), &column.name.span);
    }
    add(" from ", &export.span);
    add(&input.value.sql(), &input.span);
    Derived::new(SourceFile::new(export.span.file.path(), text), parts)
}

fn expression(mapped: &Mapped) -> String {
    let column = mapped.column.value.sql();
    if mapped.hashed { format!("sha2(nullif(lower(trim({column}::varchar, ' \\t\\r\\n')), ''), 256)") } else { column }
}

/// The name by which tests and contracts know a mapped column.
fn name_of(written: &str) -> Name {
    crate::rule::read::column_name(written).unwrap_or_else(|| Name::quoted(written))
}

/// The export of a step whose columns are known, and everything that is wrong with its use of them.
pub(super) fn planned(export: &Export, to: Destination, columns: &[Column]) -> Filled<PlannedExport> {
    let names = match &export.rows {
        Rows::Input(_, mapped) if !mapped.is_empty() => {
            mapped.iter().map(|column| column.name.value.trim_matches('"').to_owned()).collect()
        }
        _ => columns.iter().map(|column| shown(&column.name)).collect(),
    };
    let mut problems = Vec::new();
    match &to {
        Destination::Files(files) => {
            for name in &files.partition_by {
                match found(name, columns) {
                    Ok(column) if divides(column.sql_type) => {}
                    Ok(column) => {
                        let message = format!("a value of {} cannot be the name of a folder", column.sql_type);
                        problems.push(Diagnostic::error("column-type", message).at(name.span.clone()));
                    }
                    Err(problem) => problems.push(problem),
                }
            }
            if !files.partition_by.is_empty() && files.partition_by.len() >= columns.len() {
                let message = "every column is a folder's name, so that nothing is left for the files";
                problems.push(Diagnostic::error("wrong-value", message).at(files.path.span.clone()));
            }
        }
        Destination::Postgres(postgres) => {
            problems.extend(postgres.key.iter().filter_map(|name| found(name, columns).err()));
        }
    }
    if problems.is_empty() { Ok(PlannedExport { to, names }) } else { Err(problems) }
}

/// A column's name as the outside world sees it: in lower case, unless it was quoted.
fn shown(name: &Name) -> String {
    if Name::unquoted(name.as_str()) == *name { name.lower() } else { name.as_str().to_owned() }
}

fn found<'a>(name: &Spanned<Name>, columns: &'a [Column]) -> Result<&'a Column, Diagnostic> {
    columns.iter().find(|column| column.name == name.value).ok_or_else(|| {
        let near =
            nearest(name.value.as_str(), columns.iter().map(|column| column.name.as_str())).map(str::to_lowercase);
        let message = format!("the export has no column `{}`", name.value.lower());
        Diagnostic::error("unknown-column", message).at(name.span.clone()).did_you_mean(near)
    })
}

fn divides(sql_type: SqlType) -> bool {
    matches!(sql_type, SqlType::Varchar(_) | SqlType::Number { .. } | SqlType::Boolean | SqlType::Date)
}
