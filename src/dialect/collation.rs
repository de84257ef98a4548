//! Collations of text: COLLATE marks an expression's field with a specification, and comparisons of marked text compare keys.
//! Equality under a locale is that of the characters, with or without regard to case; the order of a locale's letters and
//! comparisons without regard to accents or punctuation are not carried out, and are refused.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::dialect::digest::call_name;

/// Key of a field's metadata under which the specification stands.
const COLLATION: &str = "snowflake.collation";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Case {
    Kept,
    Upper,
    Lower,
}

/// How text under a specification such as `en-ci` is compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Collation {
    /// The specification as written.
    pub(super) text: String,
    case: Case,
    left: bool,
    right: bool,
    /// Whether keys sort as the collation does: no locale has a say.
    pub(super) sorted: bool,
}

impl Collation {
    /// Reads a specification; none for the empty one, which takes a collation away.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, String> {
        let mut collation = Self { text: text.to_string(), case: Case::Kept, left: false, right: false, sorted: true };
        if text.is_empty() {
            return Ok(None);
        }
        for (at, part) in text.split('-').enumerate() {
            match part.to_lowercase().as_str() {
                "utf8" | "bin" if at == 0 => {}
                "cs" | "as" | "ps" | "fl" | "fu" if at > 0 => {}
                "ci" if at > 0 => collation.case = Case::Lower,
                "ai" | "pi" if at > 0 => {
                    return Err(format!("`{part}` of the collation '{text}' is not carried out here"));
                }
                "upper" => collation.case = Case::Upper,
                "lower" => collation.case = Case::Lower,
                "trim" => (collation.left, collation.right) = (true, true),
                "ltrim" => collation.left = true,
                "rtrim" => collation.right = true,
                locale if at == 0 && is_locale(locale) => collation.sorted = false,
                _ => return Err(format!("'{text}' is not a collation")),
            }
        }
        Ok(Some(collation))
    }

    /// The collation of a field.
    pub(super) fn of(field: &Field) -> Option<Self> {
        field.metadata().get(COLLATION).and_then(|text| Self::parse(text).ok()?)
    }

    /// Whether texts are equal only if their characters are.
    pub(super) fn is_exact(&self) -> bool {
        self.case == Case::Kept && !self.left && !self.right
    }

    /// What is compared in the place of a text.
    fn key(&self, text: &str) -> String {
        let text = if self.left { text.trim_start_matches(' ') } else { text };
        let text = if self.right { text.trim_end_matches(' ') } else { text };
        match self.case {
            Case::Kept => text.to_string(),
            Case::Upper => text.to_uppercase(),
            Case::Lower => text.to_lowercase(),
        }
    }
}

/// Two or three letters, and perhaps a country.
fn is_locale(part: &str) -> bool {
    let (language, country) = part.split_once('_').unwrap_or((part, "xx"));
    let letters = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphabetic());
    (2..=3).contains(&language.len()) && country.len() == 2 && letters(language) && letters(country)
}

/// The expression with its text under a collation; without one where there is none.
pub(super) fn collated(expr: Expr, collation: Option<Collation>) -> Expr {
    call(Marked { collation, key: false, signature: Signature::user_defined(Volatility::Immutable) }, expr)
}

/// What is compared in the place of an expression under a collation.
pub(super) fn key_of(expr: Expr, collation: &Collation) -> Expr {
    let (collation, signature) = (Some(collation.clone()), Signature::user_defined(Volatility::Immutable));
    call(Marked { collation, key: true, signature }, expr)
}

fn call(function: Marked, expr: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), vec![expr]))
}

/// COLLATE, which changes no text but marks it, or the key of marked text, which carries no mark.
#[derive(Debug)]
struct Marked {
    collation: Option<Collation>,
    key: bool,
    signature: Signature,
}

impl PartialEq for Marked {
    fn eq(&self, other: &Self) -> bool {
        self.collation == other.collation && self.key == other.key
    }
}

impl Eq for Marked {}

impl Hash for Marked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.collation.hash(state);
        self.key.hash(state);
    }
}

impl ScalarUDFImpl for Marked {
    fn name(&self) -> &'static str {
        if self.key { "$collation_key" } else { "$collate" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![DataType::Utf8; types.len()])
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let text = self.collation.as_ref().map_or("", |collation| &collation.text);
        Ok(format!("{} {text}", call_name(self.name(), args)))
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let mark = self.collation.as_ref().filter(|_| !self.key);
        let metadata: HashMap<_, _> =
            mark.into_iter().map(|collation| (COLLATION.to_string(), collation.text.clone())).collect();
        Ok(Arc::new(Field::new(self.name(), DataType::Utf8, true).with_metadata(metadata)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (Some(argument), Some(collation)) = (args.args.first(), self.collation.as_ref().filter(|_| self.key))
        else {
            return args.args.into_iter().next().map_or_else(|| exec_err!("COLLATE without a text"), Ok);
        };
        let texts = argument.to_array(args.number_rows)?;
        let keys: StringArray =
            texts.as_string::<i32>().iter().map(|text| text.map(|text| collation.key(text))).collect();
        debug_assert_eq!(keys.len(), texts.len());
        Ok(ColumnarValue::Array(Arc::new(keys)))
    }
}

#[cfg(test)]
mod tests {
    use super::Collation;

    #[test]
    fn specifications_are_read() {
        let key = |text: &str, value: &str| Collation::parse(text).unwrap().unwrap().key(value);
        assert_eq!(key("en-ci", "AbC "), "abc ");
        assert_eq!(key("upper-trim", " a "), "A");
        assert_eq!(key("fr_CA-rtrim", " a "), " a");
        assert_eq!(Collation::parse(""), Ok(None));
        assert!(!Collation::parse("es").unwrap().unwrap().sorted);
        assert!(Collation::parse("utf8").unwrap().unwrap().sorted);
        assert!(Collation::parse("en-ai").unwrap_err().contains("ai"));
        assert!(Collation::parse("nonsense").is_err());
    }
}
