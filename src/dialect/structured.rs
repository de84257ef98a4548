//! Structured types: `ARRAY(t)`, `MAP(VARCHAR, t)` and `OBJECT(name t, …)`. Their values rest as ARRAY and OBJECT; a cast brings
//! every part to its type, level by level and a column at a time, and the field that it gives remembers the whole type, so
//! that an element read from it has its own.

use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result, exec_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::cast::{Target, cast};
use super::declared;
use super::format::column::Misfit;
use super::session::SessionParameters;
use super::types::{self, SqlType};
use super::variant::array::{of_texts, texts};
use super::variant::convert::to_texts;
use super::variant::text::{Kind, elements, members};
use super::variant::write::{escape, object};
use crate::dialect::digest::call_name;

/// Key of a field's metadata under which the structured type of its values stands.
const STRUCTURE: &str = "snowflake.structure";

/// A type whose parts have types.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Structure {
    /// No parts, or parts of any type.
    Plain(Target),
    /// Elements of one type.
    Array(Box<Structure>),
    /// Values of one type under keys that are texts.
    Map(Box<Structure>),
    /// Values of their own types under names.
    Object(Vec<(String, Structure)>),
}

impl Structure {
    /// The type that a text such as `MAP(VARCHAR, NUMBER(10, 2))` names; none where it has no parts or is not supported.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, inner) = text.trim().split_once('(')?;
        let inner = inner.trim_end().strip_suffix(')')?;
        let parts = parts(inner)?;
        match (name.trim().to_uppercase().as_str(), parts.as_slice()) {
            ("ARRAY", [element]) => Some(Self::Array(Box::new(Self::part(element)?))),
            ("MAP", [key, value]) => {
                let key = declared::parse_type(key)?;
                matches!(key, SqlType::Varchar(_)).then_some(Self::Map(Box::new(Self::part(value)?)))
            }
            ("OBJECT", fields) => {
                let field = |field: &&str| {
                    let (name, written) = field.trim().split_once(char::is_whitespace)?;
                    let name = match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
                        Some(quoted) => quoted.to_string(),
                        None => name.to_string(),
                    };
                    Some((name, Self::part(written)?))
                };
                fields.iter().map(field).collect::<Option<Vec<_>>>().map(Self::Object)
            }
            _ => None,
        }
    }

    /// A part's type, `NOT NULL` aside.
    fn part(text: &str) -> Option<Self> {
        let text = text.trim();
        let cut = text.len().checked_sub("NOT NULL".len()).and_then(|at| Some((text.get(..at)?, text.get(at..)?)));
        let text = match cut {
            Some((before, end)) if end.eq_ignore_ascii_case("NOT NULL") => before.trim(),
            _ => text,
        };
        Self::parse(text).or_else(|| declared::parse_type(text).map(|sql_type| Self::Plain(Target::from(sql_type))))
    }

    /// ARRAY or OBJECT.
    pub(super) fn sql_type(&self) -> SqlType {
        match self {
            Self::Plain(target) => target.sql_type,
            Self::Array(_) => SqlType::Array,
            Self::Map(_) | Self::Object(_) => SqlType::Object,
        }
    }

    /// The structured type of the values of a field.
    pub(super) fn of(field: &Field) -> Option<Self> {
        field.metadata().get(STRUCTURE).and_then(|text| Self::parse(text))
    }

    /// The type of the member under a key; none where there can be no such member.
    pub(super) fn member(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(value) => Some(value),
            Self::Object(fields) => fields.iter().find(|(name, _)| name == key).map(|(_, part)| part),
            _ => None,
        }
    }

    /// The type of every element, whatever it is read by.
    pub(super) fn element(&self) -> Option<&Self> {
        match self {
            Self::Array(part) | Self::Map(part) => Some(part),
            _ => None,
        }
    }

    /// The values with all their parts in their types; `None` stands for NULL.
    fn shaped(&self, values: &[Option<&str>], session: &SessionParameters) -> Result<Vec<Option<String>>> {
        let present = |value: &Option<&str>| value.is_some_and(|value| value != "null" && value != "undefined");
        match self {
            Self::Plain(target) => plain(values, target, session),
            Self::Array(part) => {
                let found: Vec<Vec<&str>> =
                    values.iter().map(|v| v.map_or_else(Vec::new, |v| elements(v).collect())).collect();
                let flat: Vec<Option<&str>> = found.iter().flatten().map(|value| Some(*value)).collect();
                let mut shaped = part.shaped(&flat, session)?.into_iter();
                let rebuilt = values.iter().zip(&found).map(|(value, found)| {
                    let parts: Vec<String> =
                        shaped.by_ref().take(found.len()).map(|p| p.unwrap_or_else(undefined)).collect();
                    present(value).then(|| format!("[{}]", parts.join(",")))
                });
                Ok(rebuilt.collect())
            }
            Self::Map(part) => {
                let found: Vec<Vec<(&str, &str)>> =
                    values.iter().map(|v| v.map_or_else(Vec::new, |v| members(v).collect())).collect();
                let flat: Vec<Option<&str>> = found.iter().flatten().map(|(_, value)| Some(*value)).collect();
                let mut shaped = part.shaped(&flat, session)?.into_iter();
                let rebuilt = values.iter().zip(&found).map(|(value, found)| {
                    let parts: Vec<String> =
                        shaped.by_ref().take(found.len()).map(|p| p.unwrap_or_else(null)).collect();
                    present(value)
                        .then(|| object(found.iter().zip(&parts).map(|((key, _), part)| (*key, part.as_str()))))
                });
                Ok(rebuilt.collect())
            }
            Self::Object(fields) => shaped_object(fields, values, session),
        }
    }
}

fn undefined() -> String {
    "undefined".to_string()
}

fn null() -> String {
    "null".to_string()
}

/// The parts between the commas that stand in no brackets.
fn parts(text: &str) -> Option<Vec<&str>> {
    let (mut depth, mut start, mut found) = (0_u32, 0, Vec::new());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 => {
                found.push(text.get(start..at)?);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(text.get(start..)?);
    found.iter().all(|part| !part.trim().is_empty()).then_some(found)
}

fn plain(values: &[Option<&str>], target: &Target, session: &SessionParameters) -> Result<Vec<Option<String>>> {
    let held: StringArray = values.iter().map(|v| v.filter(|v| *v != "null" && *v != "undefined")).collect();
    let variants = of_texts(held, &types::variant())?;
    let typed = to_texts(&cast(&variants, target, session, Misfit::Error)?)?;
    Ok(typed.iter().map(|text| text.map(str::to_string)).collect())
}

/// Objects with exactly the fields of their type.
fn shaped_object(
    fields: &[(String, Structure)],
    values: &[Option<&str>],
    session: &SessionParameters,
) -> Result<Vec<Option<String>>> {
    let held: Vec<Option<BTreeMap<&str, &str>>> = values
        .iter()
        .map(|value| value.filter(|value| Kind::of(value) == Kind::Object).map(|value| members(value).collect()))
        .collect();
    for members in held.iter().flatten() {
        if let Some(other) = members.keys().find(|key| !fields.iter().any(|(name, _)| escape(name) == **key)) {
            return exec_err!("the object has a key '{other}' that its type has not");
        }
        if let Some((name, _)) = fields.iter().find(|(name, _)| !members.contains_key(escape(name).as_ref())) {
            return exec_err!("the object has no key '{name}', which its type has");
        }
    }
    let mut columns = Vec::new();
    for (name, part) in fields {
        let key = escape(name);
        let column: Vec<Option<&str>> = held
            .iter()
            .map(|members| members.as_ref().and_then(|members| members.get(key.as_ref()).copied()))
            .collect();
        columns.push(part.shaped(&column, session)?);
    }
    let row = |at: usize| {
        let mut all: Vec<(String, &str)> = fields
            .iter()
            .zip(&columns)
            .map(|((name, _), column)| (escape(name).into_owned(), column[at].as_deref().unwrap_or("null")))
            .collect();
        all.sort();
        object(all.iter().map(|(key, value)| (key.as_str(), *value)))
    };
    Ok(held.iter().enumerate().map(|(at, members)| members.as_ref().map(|_| row(at))).collect())
}

/// An expression of ARRAY or OBJECT cast to a structured type, written as `text`.
pub(super) fn structured(expr: Expr, structure: Structure, text: &str) -> Expr {
    let signature = Signature::user_defined(Volatility::Immutable);
    let function = Structured { structure, text: text.to_string(), signature };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), vec![expr]))
}

#[derive(Debug)]
struct Structured {
    structure: Structure,
    text: String,
    signature: Signature,
}

impl PartialEq for Structured {
    fn eq(&self, other: &Self) -> bool {
        self.structure == other.structure
    }
}

impl Eq for Structured {}

impl Hash for Structured {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.structure.hash(state);
    }
}

impl ScalarUDFImpl for Structured {
    fn name(&self) -> &'static str {
        "$structured"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(format!("{} as {}", call_name("cast", args), self.text))
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.structure.sql_type().arrow("UTC"))
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let metadata = HashMap::from([(STRUCTURE.to_string(), self.text.clone())]);
        let field = Field::new(self.name(), self.structure.sql_type().arrow("UTC"), true);
        Ok(Arc::new(field.with_metadata(metadata)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let session = SessionParameters::of(&args.config_options);
        let Some(argument) = args.args.first() else { return exec_err!("a cast without a value") };
        let input: ArrayRef = argument.to_array(args.number_rows)?;
        let held = texts(&input)?;
        let values: Vec<Option<&str>> = held.iter().collect();
        let shaped = self.structure.shaped(&values, session)?;
        if shaped.len() != input.len() {
            return Err(DataFusionError::Internal("a structured cast lost rows".to_string()));
        }
        let shaped: StringArray = shaped.into_iter().collect();
        Ok(ColumnarValue::Array(of_texts(shaped, &self.structure.sql_type().arrow("UTC"))?))
    }
}

#[cfg(test)]
mod tests {
    use super::Structure;

    #[test]
    fn types_are_read_with_their_parts() {
        assert!(Structure::parse("ARRAY(NUMBER(10, 2) NOT NULL)").is_some());
        assert!(Structure::parse("OBJECT(city VARCHAR, at OBJECT(x FLOAT, y FLOAT))").is_some());
        assert_eq!(Structure::parse("ARRAY"), None);
        assert_eq!(Structure::parse("MAP(NUMBER, VARCHAR)"), None);
        assert_eq!(Structure::parse("ARRAY(a, b)"), None);
    }
}
