//! The tables of keys as JSON Schema (draft 2020-12), with descriptions and examples for editors.

use serde_json::{Map, Value, json};

use crate::text::SourceFile;
use crate::yaml::shape::{Key, Record, Shape};
use crate::yaml::{self, Node};

/// The schema of a whole file.
pub fn document(id: &str, title: &str, record: &'static Record) -> Value {
    let mut definitions = Map::new();
    let root = reference(record, &mut definitions);
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": id,
        "title": title,
    });
    merge(&mut schema, root);
    merge(&mut schema, json!({ "$defs": definitions }));
    schema
}

fn merge(schema: &mut Value, more: Value) {
    if let (Value::Object(schema), Value::Object(more)) = (schema, more) {
        schema.extend(more);
    }
}

fn reference(record: &'static Record, definitions: &mut Map<String, Value>) -> Value {
    let name = record.noun.replace(' ', "_");
    if !definitions.contains_key(&name) {
        definitions.insert(name.clone(), Value::Null);
        let written = object(record, definitions);
        definitions.insert(name.clone(), written);
    }
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn object(record: &'static Record, definitions: &mut Map<String, Value>) -> Value {
    let properties: Map<_, _> =
        record.all_keys().map(|key| (key.name.to_owned(), property(key, definitions))).collect();
    let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    let required: Vec<_> = record.all_keys().filter(|key| key.required).map(|key| key.name).collect();
    if !required.is_empty() {
        merge(&mut schema, json!({ "required": required }));
    }
    if record.kinds.len() > 1 {
        let kinds: Vec<_> = record.kinds.iter().map(|kind| json!({ "required": [kind.name] })).collect();
        let rule = if record.kind_required {
            json!({ "oneOf": kinds })
        } else {
            json!({ "anyOf": [{ "not": { "anyOf": kinds } }, { "oneOf": kinds }] })
        };
        merge(&mut schema, rule);
    }
    schema
}

fn property(key: &Key, definitions: &mut Map<String, Value>) -> Value {
    let mut schema = json!({ "description": key.description });
    merge(&mut schema, of(&key.shape, definitions));
    if !key.example.is_empty() {
        merge(&mut schema, json!({ "examples": [example(key.example)] }));
    }
    schema
}

/// An example is written in YAML, since that is what the author writes.
fn example(text: &str) -> Value {
    yaml::parse(&SourceFile::new("example", text)).map_or(Value::Null, |node| to_json(&node))
}

fn to_json(node: &Node) -> Value {
    match &node.value {
        yaml::Value::Null => Value::Null,
        yaml::Value::Boolean(value) => json!(value),
        yaml::Value::Number(text) => text.parse::<serde_json::Number>().map_or_else(|_| json!(text), Value::Number),
        yaml::Value::Text(text) => json!(text),
        yaml::Value::List(items) => items.iter().map(to_json).collect(),
        yaml::Value::Map(mapping) => {
            mapping.entries.iter().map(|entry| (entry.key.value.clone(), to_json(&entry.value))).collect()
        }
    }
}

fn of(shape: &Shape, definitions: &mut Map<String, Value>) -> Value {
    match shape {
        Shape::Any => json!({}),
        Shape::Text => json!({ "type": "string" }),
        Shape::Sql => json!({ "type": ["string", "number", "boolean"] }),
        Shape::Scalar => json!({ "type": ["string", "number", "boolean"] }),
        Shape::Boolean => json!({ "type": "boolean" }),
        Shape::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::Number => json!({ "type": "number" }),
        Shape::Form(form) => json!({ "type": ["string", "number"], "pattern": form.pattern }),
        Shape::Word(words) => json!({ "enum": words }),
        Shape::List(item) => json!({ "type": "array", "items": of(item, definitions) }),
        Shape::OneOrMore(item) => {
            let item = of(item, definitions);
            json!({ "anyOf": [item.clone(), { "type": "array", "items": item }] })
        }
        Shape::Names { value, .. } => json!({ "type": "object", "additionalProperties": of(value, definitions) }),
        Shape::Record(record) => reference(record, definitions),
        Shape::Either(shapes) => json!({ "anyOf": shapes.iter().map(|s| of(s, definitions)).collect::<Vec<_>>() }),
        Shape::Template(shape) => of(shape, definitions),
        Shape::Optional(shape) => json!({ "anyOf": [{ "type": "null" }, of(shape, definitions)] }),
    }
}
