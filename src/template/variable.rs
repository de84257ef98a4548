//! Variables of templates, and how a value renders: as an SQL literal unless the author says otherwise.

use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use minijinja::value::{Enumerator, Object, ObjectRepr, Value as Jinja, ValueKind};
use minijinja::{Error, ErrorKind, Output};

use crate::dialect::literal;
use crate::name::{Name, TableName};
use crate::yaml::{Node, Value};

/// The value of a variable.
#[derive(Clone, Debug, PartialEq)]
pub enum Variable {
    /// NULL.
    Null,
    /// A truth value.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction, as written.
    Decimal(String),
    /// Text.
    Text(String),
    /// A date, as `2026-11-01`.
    Date(String),
    /// A date and time without zone, as `2026-11-01 04:00:00`.
    Timestamp(String),
    /// A list.
    List(Vec<Variable>),
    /// A mapping, whose values a template takes by key.
    Map(IndexMap<String, Variable>),
    /// What an undefined name is taken for, so that other mistakes are found as well.
    Unknown,
}

/// Variables by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Variables {
    by_name: IndexMap<String, Variable>,
}

impl Variables {
    /// Sets a variable.
    pub fn insert(&mut self, name: &str, value: Variable) {
        self.by_name.insert(name.to_owned(), value);
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&Variable> {
        self.by_name.get(name)
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// All variables, in the order set.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Variable)> {
        self.by_name.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Sets all of another set, over those of the same name.
    pub fn extend(&mut self, other: &Self) {
        for (name, value) in &other.by_name {
            self.by_name.insert(name.clone(), value.clone());
        }
    }

    /// The variables as minijinja takes them.
    pub(super) fn context(&self) -> Jinja {
        Jinja::from_pairs(self.by_name.iter().map(|(name, value)| (name.clone(), value.jinja())))
    }
}

impl Variable {
    /// The value of a YAML node. Unquoted, `2026-11-01` is a date and `2026-11-01 04:00:00` a timestamp.
    pub fn from_yaml(node: &Node) -> Self {
        match &node.value {
            Value::Null => Self::Null,
            Value::Boolean(value) => Self::Boolean(*value),
            Value::Number(text) => match node.integer() {
                Some(integer) => Self::Integer(integer),
                None => Self::Decimal(text.trim_start_matches('+').to_owned()),
            },
            Value::Text(text) if node.span.text() == text => Self::from_text(text),
            Value::Text(text) => Self::Text(text.clone()),
            Value::List(items) => Self::List(items.iter().map(Self::from_yaml).collect()),
            Value::Map(mapping) => {
                let entries = mapping.entries.iter();
                Self::Map(entries.map(|entry| (entry.key.value.clone(), Self::from_yaml(&entry.value))).collect())
            }
        }
    }

    /// A date, a timestamp or, failing that, text.
    fn from_text(text: &str) -> Self {
        if text.parse::<chrono::NaiveDate>().is_ok() && text.len() == 10 {
            return Self::Date(text.to_owned());
        }
        match text.replacen('T', " ", 1) {
            moment if is_timestamp(&moment) => Self::Timestamp(moment),
            _ => Self::Text(text.to_owned()),
        }
    }

    /// The value in the place of another: text where that is text, so that `--var code=12` is no number there.
    #[must_use]
    pub fn like(self, usual: Option<&Self>) -> Self {
        match (usual, self) {
            (Some(Self::Text(_)), value @ (Self::Boolean(_) | Self::Integer(_) | Self::Decimal(_))) => {
                Self::Text(value.to_string())
            }
            (Some(Self::Text(_)), Self::Date(text) | Self::Timestamp(text)) => Self::Text(text),
            (_, value) => value,
        }
    }

    /// Whether a value may stand in the place of another: of the same type, where that says one. Text takes any value, which
    /// becomes text, a list any item, and a timestamp a date.
    pub fn fits(&self, usual: &Self) -> bool {
        let number = |value: &Self| matches!(value, Self::Integer(_) | Self::Decimal(_));
        match usual {
            _ if matches!(self, Self::Null | Self::Unknown) => true,
            Self::Boolean(_) => matches!(self, Self::Boolean(_)),
            Self::Integer(_) | Self::Decimal(_) => number(self),
            Self::Date(_) => matches!(self, Self::Date(_)),
            Self::Timestamp(_) => matches!(self, Self::Date(_) | Self::Timestamp(_)),
            Self::Map(_) => matches!(self, Self::Map(_)),
            Self::Text(_) => !matches!(self, Self::List(_) | Self::Map(_)),
            Self::Null | Self::List(_) | Self::Unknown => true,
        }
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null | Self::Unknown => "null",
            Self::Boolean(_) => "true or false",
            Self::Integer(_) | Self::Decimal(_) => "a number",
            Self::Text(_) => "text",
            Self::Date(_) => "a date",
            Self::Timestamp(_) => "a timestamp",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }

    fn jinja(&self) -> Jinja {
        match self {
            Self::Null => Jinja::from(()),
            Self::Boolean(value) => Jinja::from(*value),
            Self::Integer(value) => Jinja::from(*value),
            Self::Decimal(text) => match text.parse::<f64>() {
                Ok(value) if format!("{value}") == *text => Jinja::from(value),
                _ => Jinja::from_object(Written { kind: Kind::Decimal, text: text.clone() }),
            },
            Self::Text(text) => Jinja::from(text.as_str()),
            Self::Date(text) => Jinja::from_object(Written { kind: Kind::Date, text: text.clone() }),
            Self::Timestamp(text) => Jinja::from_object(Written { kind: Kind::Timestamp, text: text.clone() }),
            Self::List(items) => Jinja::from(items.iter().map(Self::jinja).collect::<Vec<_>>()),
            Self::Map(entries) => Jinja::from_pairs(entries.iter().map(|(key, value)| (key.clone(), value.jinja()))),
            Self::Unknown => Jinja::from_object(Unknown),
        }
    }

    /// The variable that a value of a template is; none for what is no data, such as a macro.
    pub(super) fn from_jinja(value: &Jinja) -> Option<Self> {
        if let Some(written) = value.downcast_object_ref::<Written>() {
            let text = written.text.clone();
            return Some(match written.kind {
                Kind::Date => Self::Date(text),
                Kind::Timestamp => Self::Timestamp(text),
                Kind::Decimal => Self::Decimal(text),
            });
        }
        Some(match value.kind() {
            ValueKind::None => Self::Null,
            ValueKind::Bool => Self::Boolean(value.is_true()),
            ValueKind::Number => match i64::try_from(value.clone()) {
                Ok(integer) => Self::Integer(integer),
                Err(_) => Self::Decimal(value.to_string()),
            },
            ValueKind::String => Self::Text(value.as_str()?.to_owned()),
            ValueKind::Seq | ValueKind::Iterable => {
                Self::List(value.try_iter().ok()?.map(|item| Self::from_jinja(&item)).collect::<Option<_>>()?)
            }
            ValueKind::Map => {
                let entry = |key: Jinja| Some((key.to_string(), Self::from_jinja(&value.get_item(&key).ok()?)?));
                Self::Map(value.try_iter().ok()?.map(entry).collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }

    /// The value as it can stand in a step's name: letters, digits and underscores.
    pub fn word(&self) -> String {
        let text = match self {
            Self::Map(entries) => entries.get("name").map_or_else(String::new, Self::word),
            Self::List(items) => items.iter().map(Self::word).collect::<Vec<_>>().join("_"),
            other => other.to_string(),
        };
        let parts = text.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join("_").to_lowercase()
    }
}

impl fmt::Display for Variable {
    /// The value as text, as `--var` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null | Self::Unknown => f.write_str("null"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Decimal(text) | Self::Text(text) | Self::Date(text) | Self::Timestamp(text) => f.write_str(text),
            Self::List(items) => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Self::Map(entries) => {
                f.write_str("{")?;
                for (at, (key, value)) in entries.iter().enumerate() {
                    write!(f, "{}{key}: {value}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
        }
    }
}

fn is_timestamp(text: &str) -> bool {
    ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"]
        .iter()
        .any(|form| chrono::NaiveDateTime::parse_from_str(text, form).is_ok())
}

/// A value that minijinja has no type for, as written.
#[derive(Debug)]
struct Written {
    kind: Kind,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Date,
    Timestamp,
    Decimal,
}

impl Object for Written {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[derive(Debug)]
struct Unknown;

impl Object for Unknown {
    fn get_value(self: &Arc<Self>, _: &Jinja) -> Option<Jinja> {
        Some(Jinja::from_object(Self))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Empty
    }

    fn call(self: &Arc<Self>, _: &mut minijinja::State<'_, '_>, _: &[Jinja]) -> Result<Jinja, Error> {
        Ok(Jinja::from_object(Self))
    }
}

/// What a value is, for messages.
pub(super) fn kind(value: &Jinja) -> &'static str {
    match value.kind() {
        ValueKind::Undefined => "undefined",
        ValueKind::None => "null",
        ValueKind::Bool => "a truth value",
        ValueKind::Number => "a number",
        ValueKind::String => "text",
        ValueKind::Seq | ValueKind::Iterable => "a list",
        ValueKind::Map => "a mapping",
        _ => "no plain value",
    }
}

fn refuse<T>(message: impl Into<String>) -> Result<T, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message.into()))
}

fn defined(value: &Jinja) -> Result<(), Error> {
    // An attribute is asked for because minijinja's own error knows which expression was undefined.
    if value.is_undefined() { value.get_attr("value").map(|_| ()) } else { Ok(()) }
}

/// Items of the value of an expression, those of lists in it counted in.
const MOST_ITEMS: usize = 100_000;

/// Whether a list, which an expression can repeat at will, is longer than anybody can mean.
pub(super) fn is_too_long(value: &Jinja) -> bool {
    counted(value, MOST_ITEMS).is_none()
}

/// How many items may still come after those of a value.
fn counted(value: &Jinja, left: usize) -> Option<usize> {
    let mut left = left;
    if matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        for item in value.try_iter().ok()? {
            left = counted(&item, left.checked_sub(1)?)?;
        }
    }
    Some(left)
}

/// Writes a value as an SQL literal, and text that is SQL already as it is.
pub(super) fn write_literal(out: &mut Output<'_>, value: &Jinja) -> Result<(), Error> {
    defined(value)?;
    // What is written is charged for afterwards only.
    if is_too_long(value) {
        return Err(Error::from(ErrorKind::OutOfFuel));
    }
    out.write_str(&sql(value)?).map_err(Error::from)
}

fn sql(value: &Jinja) -> Result<String, Error> {
    if let Some(text) = value.as_str() {
        return Ok(if value.is_safe() { text.to_owned() } else { literal::text(text) });
    }
    if let Some(written) = value.downcast_object_ref::<Written>() {
        return Ok(match written.kind {
            Kind::Date => literal::date(&written.text),
            Kind::Timestamp => literal::timestamp(&written.text),
            Kind::Decimal => written.text.clone(),
        });
    }
    if value.downcast_object_ref::<Unknown>().is_some() {
        return Ok("NULL".to_owned());
    }
    match value.kind() {
        ValueKind::None => Ok("NULL".to_owned()),
        ValueKind::Bool => Ok(literal::boolean(value.is_true()).to_owned()),
        ValueKind::Number => number(value),
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter()?.map(|item| sql(&item)).collect::<Result<Vec<_>, _>>()?;
            if items.is_empty() {
                return refuse("this list is empty, and SQL has no empty list");
            }
            Ok(items.join(", "))
        }
        ValueKind::Map => refuse("a mapping has no SQL form; take one of its values by key"),
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        _ => refuse("this has no SQL form; a macro is called with `()`"),
    }
}

fn number(value: &Jinja) -> Result<String, Error> {
    if value.is_integer() {
        return Ok(value.to_string());
    }
    match f64::try_from(value.clone()) {
        Ok(float) if float.is_finite() => Ok(format!("{float}")),
        _ => refuse("this number is not finite, and SQL has no literal for it"),
    }
}

/// `| raw`: the text itself.
pub(super) fn raw(value: &Jinja) -> Result<Jinja, Error> {
    defined(value)?;
    match value.kind() {
        ValueKind::String | ValueKind::Number | ValueKind::Bool => Ok(Jinja::from_safe_string(value.to_string())),
        _ if value.downcast_object_ref::<Written>().is_some() => Ok(Jinja::from_safe_string(value.to_string())),
        _ if value.downcast_object_ref::<Unknown>().is_some() => Ok(value.clone()),
        _ => refuse(format!("`raw` takes text, and this is {}", kind(value))),
    }
}

/// `| ident`: an identifier, its parts divided by dots; a list gives several, comma-separated.
pub(super) fn identifier(value: &Jinja) -> Result<Jinja, Error> {
    defined(value)?;
    if value.downcast_object_ref::<Unknown>().is_some() {
        return Ok(value.clone());
    }
    if let ValueKind::Seq | ValueKind::Iterable = value.kind() {
        let parts = value.try_iter()?.map(|item| identifier(&item)).collect::<Result<Vec<_>, _>>()?;
        return Ok(Jinja::from_safe_string(parts.iter().map(Jinja::to_string).collect::<Vec<_>>().join(", ")));
    }
    match value.as_str() {
        Some(text) if !text.trim().is_empty() => {
            let plain = text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | '.' | '"'));
            let sql = match TableName::parse(text) {
                Some(name) if plain => name.sql(),
                _ => Name::quoted(text).sql(),
            };
            Ok(Jinja::from_safe_string(sql))
        }
        Some(_) => refuse("`ident` takes a name, and this is empty"),
        None => refuse(format!("`ident` takes a name, and this is {}", kind(value))),
    }
}

/// `| date`: text such as `2026-11-01` as a date.
pub(super) fn date(value: &Jinja) -> Result<Jinja, Error> {
    defined(value)?;
    let text = value.to_string();
    match text.get(..10).map(Variable::from_text) {
        Some(Variable::Date(day)) => Ok(Variable::Date(day).jinja()),
        _ => refuse(format!("`{text}` is not a date such as `2026-11-01`")),
    }
}

/// `| timestamp`: text such as `2026-11-01 04:00:00` as a timestamp.
pub(super) fn timestamp(value: &Jinja) -> Result<Jinja, Error> {
    defined(value)?;
    let text = value.to_string();
    match Variable::from_text(&text) {
        Variable::Date(day) => Ok(Variable::Timestamp(format!("{day} 00:00:00")).jinja()),
        moment @ Variable::Timestamp(_) => Ok(moment.jinja()),
        _ => refuse(format!("`{text}` is not a timestamp such as `2026-11-01 04:00:00`")),
    }
}
