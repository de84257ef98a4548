//! The parts of the README's reference that the program knows itself: the keys of its files and the functions of its
//! SQL. They are written from the tables that the program works by, so they say what is true.

use std::fmt::Write;

use crate::dialect::constructs;
use crate::dialect::functions::{self, Fidelity, Function};
use crate::settings::VARIABLES;
use crate::yaml::shape::{Record, Shape};

/// The keys of a file as Markdown: a table for the file and one for each mapping inside it.
pub fn keys(file: &'static Record) -> String {
    let mut records = vec![file];
    let mut at = 0;
    while at < records.len() {
        for key in records[at].all_keys() {
            inner(&key.shape, &mut records);
        }
        at += 1;
    }
    let mut text = String::new();
    for record in records {
        let _ = write!(text, "**{}**\n\n| key | value | meaning |\n| --- | --- | --- |\n", record.noun);
        for key in record.all_keys() {
            let name = if key.required { format!("`{}` (required)", key.name) } else { format!("`{}`", key.name) };
            let example =
                if key.example.is_empty() { String::new() } else { format!(" For example `{}`.", key.example) };
            let _ = writeln!(text, "| {name} | {} | {}{} |", words(&key.shape), cell(key.description), cell(&example));
        }
        text.push('\n');
    }
    text
}

/// Adds the records that stand inside a shape, each once.
fn inner(shape: &'static Shape, records: &mut Vec<&'static Record>) {
    match shape {
        Shape::Record(record) if !records.iter().any(|known| std::ptr::eq(*known, *record)) => records.push(record),
        Shape::List(shape) | Shape::OneOrMore(shape) | Shape::Optional(shape) | Shape::Template(shape) => {
            inner(shape, records);
        }
        Shape::Names { value, .. } => inner(value, records),
        Shape::Either(shapes) => shapes.iter().for_each(|shape| inner(shape, records)),
        _ => {}
    }
}

/// What a value may be, in a few words.
fn words(shape: &Shape) -> String {
    match shape {
        Shape::Any => "any value".into(),
        Shape::Text => "text".into(),
        Shape::Sql => "an SQL expression".into(),
        Shape::Scalar => "text, number, true or false".into(),
        Shape::Boolean => "true or false".into(),
        Shape::Integer { .. } => "whole number".into(),
        Shape::Number => "number".into(),
        Shape::Form(form) => form.noun.into(),
        Shape::Word(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Shape::List(shape) => format!("list: {}", self::words(shape)),
        Shape::OneOrMore(shape) => format!("{}, or a list", self::words(shape)),
        Shape::Names { noun, value } => format!("{noun}s by name: {}", self::words(value)),
        Shape::Record(record) => format!("mapping *{}*", record.noun),
        Shape::Either(shapes) => shapes.iter().map(self::words).collect::<Vec<_>>().join(", or "),
        Shape::Optional(shape) => format!("{}, or nothing", self::words(shape)),
        Shape::Template(shape) => self::words(shape),
    }
}

/// The environment variables that are looked at, as Markdown.
pub fn variables() -> String {
    let mut text = "| variable | stands for |\n| --- | --- |\n".to_owned();
    for (name, meaning) in VARIABLES {
        let _ = writeln!(text, "| `{name}` | {} |", cell(meaning));
    }
    let _ = writeln!(text, "| `NO_COLOR` | where it is set, nothing is coloured unless `--color always` |\n");
    text
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Every function as Markdown, by family: exact ones in a line, approximate and refused ones each with the reason.
pub fn functions() -> String {
    let all = functions::all();
    let mut families: Vec<&str> = Vec::new();
    for function in &all {
        if !families.contains(&function.family) {
            families.push(function.family);
        }
    }
    let mut text = String::new();
    for family in families {
        let mut members: Vec<&Function> = all.iter().filter(|function| function.family == family).collect();
        members.sort_by_key(|function| function.name);
        family_section(&mut text, family, &members);
    }
    text
}

fn family_section(text: &mut String, family: &str, members: &[&Function]) {
    let exact: Vec<_> = members.iter().filter(|f| f.fidelity == Fidelity::Exact).map(|f| names(f)).collect();
    let _ = write!(text, "**{family}**: {}\n\n", if exact.is_empty() { "none exact".into() } else { exact.join(", ") });
    let mut others = String::new();
    for function in members {
        let (word, reason) = match function.fidelity {
            Fidelity::Exact => continue,
            Fidelity::Approximate(how) => ("approximate", how),
            Fidelity::Refused(why) => ("refused", why),
        };
        let _ = writeln!(others, "| {} | {word} | {} |", names(function), cell(reason));
    }
    if !others.is_empty() {
        let _ = write!(text, "| {family} | fidelity | how, or why |\n| --- | --- | --- |\n{others}\n");
    }
}

/// Every construct besides functions as Markdown, by area.
pub fn constructs() -> String {
    let mut text = String::new();
    let mut area = "";
    for construct in constructs::all() {
        if construct.area != area {
            area = construct.area;
            let _ = write!(text, "\n| {area} | fidelity | how, or why |\n| --- | --- | --- |\n");
        }
        let (word, reason) = match construct.fidelity {
            Fidelity::Exact => ("exact", ""),
            Fidelity::Approximate(how) => ("approximate", how),
            Fidelity::Refused(why) => ("refused", why),
        };
        let _ = writeln!(text, "| {} | {word} | {} |", cell(construct.name), cell(reason));
    }
    format!("{}\n", text.trim_start())
}

fn names(function: &Function) -> String {
    let mut text = format!("`{}`", function.name.to_uppercase());
    if !function.aliases.is_empty() {
        let aliases: Vec<_> = function.aliases.iter().map(|alias| format!("`{}`", alias.to_uppercase())).collect();
        let _ = write!(text, " ({})", aliases.join(", "));
    }
    text
}
