//! Texts, such as those of CSV, → values of declared types. A text that is no value of its type is told by its index.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array, StringArray};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Field, Schema};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::DFSchema;
use datafusion::error::DataFusionError;
use datafusion::physical_expr::PhysicalExprRef;
use std::sync::Arc;

use crate::dialect::session::SessionParameters;
use crate::dialect::types::SqlType;
use crate::dialect::{Dialect, Tables};
use crate::name::TableName;
use crate::text::SourceFile;

/// How the texts of one column become values.
#[derive(Clone, Debug)]
pub enum Conversion {
    /// They are the values.
    Text,
    /// By Arrow's own reading of texts, which is Snowflake's for these types' usual spelling.
    Arrow(DataType),
    /// Exact numbers of a precision and a scale.
    Decimal(u8, i8),
    /// Integers, `25.0` among them.
    Integer,
    /// `true`, `yes`, `1` and their kind.
    Boolean,
    /// By Snowflake's TRY_ functions, compiled once.
    Sql(PhysicalExprRef, DataType),
}

impl Conversion {
    /// The conversion to a type.
    pub fn to(sql_type: SqlType, data_type: &DataType) -> Result<Self, DataFusionError> {
        Ok(match sql_type {
            SqlType::Varchar(_) => Self::Text,
            SqlType::Boolean => Self::Boolean,
            SqlType::Number { .. } => match data_type {
                DataType::Int64 => Self::Integer,
                DataType::Decimal128(precision, scale) => Self::Decimal(*precision, *scale),
                other => Self::Arrow(other.clone()),
            },
            SqlType::Float | SqlType::Date | SqlType::Time | SqlType::TimestampNtz => Self::Arrow(data_type.clone()),
            _ => Self::Sql(compiled(sql_type, data_type)?, data_type.clone()),
        })
    }

    /// The values of texts; else the index of the first text that is none.
    pub fn values(&self, texts: &StringArray) -> Result<Result<ArrayRef, usize>, DataFusionError> {
        let values = self.tried(texts)?;
        if values.null_count() == texts.null_count() {
            return Ok(Ok(values));
        }
        let refused = (0..texts.len()).find(|at| values.is_null(*at) && !texts.is_null(*at));
        Ok(refused.map_or(Ok(values), Err))
    }

    /// The values of texts, NULL where a text is none.
    pub fn tried(&self, texts: &StringArray) -> Result<ArrayRef, DataFusionError> {
        let safe = CastOptions { safe: true, ..CastOptions::default() };
        Ok(match self {
            Self::Text => Arc::new(texts.clone()),
            Self::Boolean => Arc::new(texts.iter().map(|text| boolean(text?)).collect::<BooleanArray>()),
            Self::Arrow(data_type) => cast_with_options(texts, data_type, &safe)?,
            Self::Decimal(precision, scale) => match decimals(texts, *precision, *scale) {
                Some(values) => Arc::new(values.with_precision_and_scale(*precision, *scale)?),
                None => cast_with_options(texts, &DataType::Decimal128(*precision, *scale), &safe)?,
            },
            Self::Integer => {
                let values = cast_with_options(texts, &DataType::Int64, &safe)?;
                if values.null_count() == texts.null_count() { values } else { whole(texts)? }
            }
            Self::Sql(expression, data_type) => {
                let schema = Schema::new(vec![Field::new("C", DataType::Utf8, true)]);
                let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(texts.clone())])?;
                let values = expression.evaluate(&batch)?.into_array(texts.len())?;
                cast_with_options(&values, data_type, &CastOptions::default())?
            }
        })
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
        "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// The values of texts that are all plain numbers, which is what columns of numbers hold; Arrow's cast, which takes every
/// spelling, costs eight times as much.
fn decimals(texts: &StringArray, precision: u8, scale: i8) -> Option<Decimal128Array> {
    let scale = usize::try_from(scale).ok()?;
    let values: Option<Vec<Option<i128>>> = texts
        .iter()
        .map(|text| text.map_or(Some(None), |text| plain(text, precision.into(), scale).map(Some)))
        .collect();
    Some(Decimal128Array::from(values?))
}

/// A number of up to 18 digits, with or without a sign and a point, as units of its scale; none where it does not fit.
fn plain(text: &str, precision: usize, scale: usize) -> Option<i128> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fits = !whole.is_empty() && whole.len() + fraction.len() <= 18 && fraction.len() <= scale;
    if !fits || whole.len() + scale > precision {
        return None;
    }
    let mut units = 0_i64;
    for byte in whole.bytes().chain(fraction.bytes()) {
        units = units * 10 + i64::from(byte.is_ascii_digit().then(|| byte - b'0')?);
    }
    let units = i128::from(units) * 10_i128.pow(u32::try_from(scale - fraction.len()).ok()?);
    Some(if negative { -units } else { units })
}

/// Integers written with a point and zeros, or with an exponent, as spreadsheets and pandas do.
fn whole(texts: &StringArray) -> Result<ArrayRef, DataFusionError> {
    let safe = CastOptions { safe: true, ..CastOptions::default() };
    let decimals = cast_with_options(texts, &DataType::Decimal128(38, 10), &safe)?;
    let decimals = decimals.as_primitive::<Decimal128Type>();
    let one = 10_i128.pow(10);
    let integer = |decimal: i128| (decimal % one == 0).then(|| i64::try_from(decimal / one).ok()).flatten();
    Ok(Arc::new(decimals.iter().map(|decimal| integer(decimal?)).collect::<Int64Array>()))
}

struct OneColumn;

impl Tables for OneColumn {
    fn table(&self, _: &TableName) -> Option<Arc<dyn datafusion::logical_expr::TableSource>> {
        let schema = Schema::new(vec![Field::new("C", DataType::Utf8, true)]);
        let provider = datafusion::datasource::empty::EmptyTable::new(Arc::new(schema));
        Some(datafusion::datasource::provider_as_source(Arc::new(provider)))
    }

    fn names(&self) -> Vec<TableName> {
        Vec::new()
    }
}

/// The TRY_ function of a type over the column `C`.
fn compiled(sql_type: SqlType, data_type: &DataType) -> Result<PhysicalExprRef, DataFusionError> {
    let call = match sql_type {
        SqlType::Variant => "try_parse_json(c)".to_owned(),
        SqlType::Object => "as_object(try_parse_json(c))".to_owned(),
        SqlType::Array => "as_array(try_parse_json(c))".to_owned(),
        SqlType::Binary => "try_to_binary(c)".to_owned(),
        other => format!("try_cast(c as {other})"),
    };
    let wrong = |problems: Vec<crate::diagnostic::Diagnostic>| {
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        DataFusionError::Plan(format!("texts cannot be read as {sql_type}: {}", told.join("; ")))
    };
    let statements =
        crate::dialect::parse(&SourceFile::new("<source>", format!("select {call} from t"))).map_err(wrong)?;
    let mut session = SessionParameters::default();
    if let DataType::Timestamp(_, Some(zone)) = data_type {
        session.timezone = zone.to_string();
    }
    let dialect = Dialect::new(session);
    let statement = statements.first().ok_or_else(|| DataFusionError::Internal("no statement".to_owned()))?;
    let plan = dialect.bind(statement, &OneColumn).map_err(wrong)?;
    let datafusion::logical_expr::LogicalPlan::Projection(projection) = &plan else {
        return Err(DataFusionError::Internal("a projection is expected".to_owned()));
    };
    let schema: &DFSchema = projection.input.schema();
    dialect.state().create_physical_expr(projection.expr[0].clone(), schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_numbers_are_read_as_arrow_reads_them() {
        let texts = ["0", "7", "-7", "12.5", "-0.05", "003", "12.", "123456789012345678", "99999.99", "-99999.99"];
        let column = StringArray::from_iter(texts.iter().map(Some).chain([None]));
        for (precision, scale) in [(38, 2), (38, 5), (38, 18)] {
            let told = decimals(&column, precision, scale).unwrap();
            let expected =
                cast_with_options(&column, &DataType::Decimal128(38, scale), &CastOptions::default()).unwrap();
            assert_eq!(told.values(), expected.as_primitive::<Decimal128Type>().values());
            assert!(told.is_null(texts.len()));
        }
    }

    #[test]
    fn what_is_not_plain_or_does_not_fit_is_left_to_arrow() {
        for text in ["", "-", ".", ".5", "+1", "1e3", "1.2.3", " 1", "1 ", "1_000", "١", "--1", "1.234", "123456"] {
            assert_eq!(plain(text, 7, 2), None, "{text}");
        }
    }
}
