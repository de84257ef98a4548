//! A transform's parameters with the variables of their templates filled in. SQL expressions are rendered as SQL, values
//! as literals; all other texts are filled in as they are, and are numbers or truth values where they look like it.

use crate::diagnostic::Diagnostic;
use crate::template::{Templates, Variables};
use crate::text::{SourceFile, Spanned};
use crate::transform::{self, Transform};
use crate::yaml::shape::Shape;
use crate::yaml::{self, Entry, Mapping, Node, Value};

/// The transform that a step's parameters mean; none where something is wrong, which is told unless the reading of the
/// file has told it already.
pub(super) fn read(
    kind: &str,
    parameters: &Node,
    templates: &Templates,
    variables: &Variables,
    problems: &mut Vec<Diagnostic>,
) -> Option<(Transform, Node)> {
    let key = transform::KINDS.iter().find(|key| key.name == kind)?;
    let mut filler = Filler { templates, variables, problems: Vec::new() };
    let filled = filler.node(parameters, &key.shape);
    if !filler.problems.is_empty() {
        problems.extend(filler.problems);
        return None;
    }
    let mut misshapen = Vec::new();
    key.shape.check(&filled, &mut misshapen);
    if !misshapen.is_empty() {
        let was_template = |problem: &Diagnostic| problem.span.as_ref().is_some_and(|span| span.text().contains("{{"));
        problems.extend(misshapen.into_iter().filter(was_template));
        return None;
    }
    Transform::parse(kind, &filled, problems).map(|transform| (transform, filled))
}

struct Filler<'a> {
    templates: &'a Templates,
    variables: &'a Variables,
    problems: Vec<Diagnostic>,
}

impl Filler<'_> {
    fn node(&mut self, node: &Node, shape: &Shape) -> Node {
        let value = match &node.value {
            Value::Map(mapping) => {
                let entry = |entry: &Entry| Entry {
                    key: entry.key.clone(),
                    value: self.node(&entry.value, under(shape, &entry.key.value)),
                };
                Value::Map(Mapping { entries: mapping.entries.iter().map(entry).collect() })
            }
            Value::List(items) => Value::List(items.iter().map(|item| self.node(item, item_of(shape))).collect()),
            Value::Text(text) if text.contains("{{") => self.text(node, text, shape),
            other => other.clone(),
        };
        Node { value, span: node.span.clone() }
    }

    fn text(&mut self, node: &Node, text: &str, shape: &Shape) -> Value {
        let filled = match shape {
            Shape::Sql => {
                let rendered = self.templates.render(&yaml::sql::inline(node, text), self.variables);
                rendered.map(|rendered| Value::Text(rendered.text().to_owned()))
            }
            _ => {
                let written = Spanned::new(text.to_owned(), node.span.clone());
                self.templates.fill(&written, self.variables).map(scalar)
            }
        };
        filled.unwrap_or_else(|problems| {
            self.problems.extend(problems);
            Value::Null
        })
    }
}

/// A number or a truth value where the text is one.
fn scalar(text: String) -> Value {
    match yaml::parse(&SourceFile::new("filled", text.as_str())).map(|node| node.value) {
        Ok(value @ (Value::Number(_) | Value::Boolean(_))) => value,
        _ => Value::Text(text),
    }
}

/// The shape under a key of a mapping.
fn under<'a>(shape: &'a Shape, name: &str) -> &'a Shape {
    match shape {
        Shape::Record(record) => record.all_keys().find(|key| key.name == name).map_or(&Shape::Any, |key| &key.shape),
        Shape::Names { value, .. } => value,
        Shape::OneOrMore(inner) | Shape::Optional(inner) | Shape::Template(inner) => under(inner, name),
        Shape::Either(shapes) => {
            let known = |shape: &&'a Shape| !matches!(shape, Shape::Any);
            shapes.iter().map(|shape| under(shape, name)).find(known).unwrap_or(&Shape::Any)
        }
        _ => &Shape::Any,
    }
}

/// The shape of a list's items.
fn item_of(shape: &Shape) -> &Shape {
    match shape {
        Shape::OneOrMore(item) | Shape::List(item) => item,
        Shape::Optional(inner) | Shape::Template(inner) => item_of(inner),
        Shape::Either(shapes) => {
            let known = |shape: &&Shape| !matches!(shape, Shape::Any);
            shapes.iter().map(item_of).find(known).unwrap_or(&Shape::Any)
        }
        _ => &Shape::Any,
    }
}
