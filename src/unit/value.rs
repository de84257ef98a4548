//! Values ↔ texts, by type. What is written reads back as the same value, so that two values are equal exactly where
//! their texts are.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::error::DataFusionError;

use super::rows::Written;
use crate::dialect::cast::{Target, cast, exactly};
use crate::dialect::format::column::Misfit;
use crate::dialect::format::text_column;
use crate::dialect::session::SessionParameters;
use crate::dialect::types::SqlType;
use crate::dialect::variant::array::{of_texts, texts as canonical};
use crate::dialect::variant::parse;
use crate::dialect::variant::print::strict_json;
use crate::dialect::variant::text::Kind;

/// How texts are written and read: in this time zone, with every digit of a second.
pub(super) fn parameters(zone: &str) -> SessionParameters {
    SessionParameters {
        timezone: zone.to_owned(),
        time_output_format: "HH24:MI:SS.FF9".to_owned(),
        timestamp_output_format: "YYYY-MM-DD HH24:MI:SS.FF9 TZHTZM".to_owned(),
        timestamp_ntz_output_format: "YYYY-MM-DD HH24:MI:SS.FF9".to_owned(),
        ..SessionParameters::default()
    }
}

/// A value that does not fit its column: which one, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Misfitting {
    pub(super) row: usize,
    pub(super) why: String,
}

/// A column of values as written; else every value that is none of the type.
pub(super) fn read(
    values: &[&Written],
    sql_type: SqlType,
    data_type: &DataType,
    session: &SessionParameters,
) -> Result<ArrayRef, Vec<Misfitting>> {
    let mut wrong = Vec::new();
    let mut texts: Vec<Option<String>> = Vec::with_capacity(values.len());
    for (row, value) in values.iter().enumerate() {
        match text(value, sql_type) {
            Ok(text) => texts.push(text),
            Err(why) => {
                texts.push(None);
                wrong.push(Misfitting { row, why });
            }
        }
    }
    let array = StringArray::from(texts);
    let whole = |error: DataFusionError| vec![Misfitting { row: 0, why: error.strip_backtrace() }];
    let typed = typed(&array, sql_type, session).map_err(whole)?;
    let refused = (0..array.len()).filter(|at| typed.is_null(*at) && array.is_valid(*at));
    wrong.extend(refused.map(|row| Misfitting { row, why: format!("`{}` is no {sql_type}", shown(array.value(row))) }));
    if !wrong.is_empty() {
        wrong.sort_by_key(|misfit| misfit.row);
        return Err(wrong);
    }
    if typed.data_type() == data_type {
        return Ok(typed);
    }
    exactly(&typed, data_type).map_err(|error| whole(error.into()))
}

/// The text of a value that is cast to the type; none for NULL.
fn text(value: &Written, sql_type: SqlType) -> Result<Option<String>, String> {
    let (scalar, json) = match value {
        Written::Null => return Ok(None),
        Written::Scalar(scalar, json) => (Some(scalar.as_str()), json),
        Written::Nested(json) => (None, json),
    };
    if sql_type.is_semi_structured() {
        let canonical = parse::parse(json).map_err(|_| format!("`{}` is no JSON", shown(json)))?;
        let fits = |text: &String| match sql_type {
            SqlType::Object => Kind::of(text) == Kind::Object,
            SqlType::Array => Kind::of(text) == Kind::Array,
            _ => true,
        };
        let canonical = canonical.filter(|text| Kind::of(text) != Kind::Undefined);
        return canonical.filter(fits).map(Some).ok_or_else(|| format!("`{}` is no {sql_type}", shown(json)));
    }
    if let SqlType::Vector(..) = sql_type {
        return Ok(Some(json.clone()));
    }
    let Some(text) = scalar else {
        return Err(format!("a list or mapping is no {sql_type}"));
    };
    match sql_type {
        SqlType::Number { scale, .. } if fraction_digits(text) > Some(i64::from(scale)) => {
            Err(format!("`{}` has more digits after the point than a {sql_type} keeps", shown(text)))
        }
        SqlType::Date if text.contains(':') => Err(format!("`{}` is no DATE: it has a time of day", shown(text))),
        SqlType::Date | SqlType::TimestampNtz | SqlType::TimestampLtz | SqlType::TimestampTz
            if text.chars().all(|c| c.is_ascii_digit()) =>
        {
            Err(format!("`{}` is no {sql_type}", shown(text)))
        }
        _ => Ok(Some(text.to_owned())),
    }
}

fn typed(texts: &StringArray, sql_type: SqlType, session: &SessionParameters) -> Result<ArrayRef, DataFusionError> {
    let array: ArrayRef = Arc::new(texts.clone());
    let arrow = sql_type.arrow(&session.timezone);
    match sql_type {
        SqlType::Variant | SqlType::Object | SqlType::Array => of_texts(texts.clone(), &arrow),
        SqlType::Vector(..) => {
            let list = of_texts(texts.clone(), &SqlType::Array.arrow(&session.timezone))?;
            cast(&list, &Target::from(sql_type), session, Misfit::Null)
        }
        SqlType::Null => Ok(array),
        _ => cast(&array, &Target::from(sql_type), session, Misfit::Null),
    }
}

/// How many digits of a number stand after the point, trailing zeros aside; none for what is no number.
fn fraction_digits(text: &str) -> Option<i64> {
    let text = text.trim();
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i64>().ok()?),
        None => (text, 0),
    };
    let fraction = mantissa.split_once('.').map_or("", |(_, fraction)| fraction).trim_end_matches('0');
    let zeros = if fraction.is_empty() { trailing_zeros(mantissa) } else { 0 };
    Some(i64::try_from(fraction.len()).ok()?.saturating_sub(exponent).saturating_sub(zeros))
}

fn trailing_zeros(mantissa: &str) -> i64 {
    let whole = mantissa.split('.').next().unwrap_or_default();
    i64::try_from(whole.len() - whole.trim_end_matches('0').len()).unwrap_or_default()
}

fn shown(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let short: String = line.chars().take(60).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

/// A column as texts that read back as its values; NULL where it is NULL.
pub(super) fn texts(array: &ArrayRef, session: &SessionParameters) -> Result<StringArray, DataFusionError> {
    let sql_type = SqlType::of(array.data_type());
    if let Some(SqlType::Variant | SqlType::Object | SqlType::Array) = sql_type {
        let texts = canonical(array)?;
        let json =
            |at: usize| (array.is_valid(at) && texts.is_valid(at)).then(|| strict_json(texts.value(at)).into_owned());
        return Ok((0..texts.len()).map(json).collect());
    }
    if let Some(SqlType::Vector(..)) = sql_type {
        let list = cast(array, &Target::from(SqlType::Array), session, Misfit::Error)?;
        return Ok(canonical(&list)?.iter().map(|text| Some(strict_json(text?).into_owned())).collect());
    }
    let texts = text_column(array, session)?;
    let short = |text: &str| match sql_type {
        Some(SqlType::Number { .. } | SqlType::Time | SqlType::TimestampNtz) => without_zeros(text).to_owned(),
        Some(SqlType::TimestampLtz | SqlType::TimestampTz) => match text.rsplit_once(' ') {
            Some((moment, zone)) => format!("{} {zone}", without_zeros(moment)),
            None => text.to_owned(),
        },
        Some(SqlType::Float) if text == "-0" => "0".to_owned(),
        _ => text.to_owned(),
    };
    Ok(texts.iter().map(|text| text.map(short)).collect())
}

/// A number or time without zeros at the end of its fraction.
fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// The rows of batches as texts, these columns of them.
pub(super) fn rows(
    batches: &[RecordBatch],
    columns: &[usize],
    session: &SessionParameters,
) -> Result<Vec<Vec<Option<String>>>, DataFusionError> {
    let mut rows = Vec::new();
    for batch in batches {
        let column = |at: &usize| texts(batch.column(*at), session);
        let columns = columns.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let cell = |column: &StringArray, row: usize| column.is_valid(row).then(|| column.value(row).to_owned());
        rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|column| cell(column, row)).collect()));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(text: &str) -> Written {
        Written::Scalar(text.to_owned(), serde_json::json!(text).to_string())
    }

    fn through(sql_type: SqlType, text: &str) -> Result<String, String> {
        let session = parameters("Europe/Paris");
        let written = match sql_type.is_semi_structured() {
            true => Written::Nested(text.to_owned()),
            false => scalar(text),
        };
        let array = read(&[&written], sql_type, &sql_type.arrow("Europe/Paris"), &session);
        let array = array.map_err(|wrong| wrong[0].why.clone())?;
        Ok(texts(&array, &session).expect("texts").value(0).to_owned())
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        let number = SqlType::Number { precision: 10, scale: 3 };
        for (sql_type, text, same) in [
            (number, "1.50", "1.5"),
            (number, "100", "100"),
            (number, "1e2", "100"),
            (SqlType::INTEGER, "7.0", "7"),
            (SqlType::Float, "0.1", "0.1"),
            (SqlType::TEXT, " a b ", " a b "),
            (SqlType::Boolean, "yes", "true"),
            (SqlType::Date, "2026-11-02", "2026-11-02"),
            (SqlType::TimestampNtz, "2026-11-02", "2026-11-02 00:00:00"),
            (SqlType::TimestampNtz, "2026-11-02 20:05", "2026-11-02 20:05:00"),
            (SqlType::TimestampNtz, "2026-11-02T20:05:01.000250", "2026-11-02 20:05:01.00025"),
            (SqlType::TimestampLtz, "2026-11-02 20:05:00", "2026-11-02 20:05:00 +0100"),
            (SqlType::TimestampTz, "2026-11-02 20:05:00 +0530", "2026-11-02 20:05:00 +0530"),
            (SqlType::Time, "20:05:00", "20:05:00"),
            (SqlType::Binary, "0aff", "0AFF"),
            (SqlType::Variant, "[1, {\"b\": 1.50, \"a\": null}]", "[1,{\"a\":null,\"b\":1.5}]"),
            (SqlType::Object, "{\"a\": \"x\"}", "{\"a\":\"x\"}"),
        ] {
            assert_eq!(through(sql_type, text).as_deref(), Ok(same), "{sql_type} {text}");
            assert_eq!(through(sql_type, same).as_deref(), Ok(same), "{sql_type} {same} again");
        }
    }

    #[test]
    fn what_would_be_rounded_or_is_no_value_is_refused() {
        let number = SqlType::Number { precision: 4, scale: 2 };
        for (sql_type, text) in [
            (number, "1.005"),
            (number, "123.4"),
            (number, "abc"),
            (SqlType::INTEGER, "1.5"),
            (SqlType::INTEGER, "15e-1"),
            (SqlType::Boolean, "maybe"),
            (SqlType::Date, "2026-02-30"),
            (SqlType::Date, "2026-11-02 10:00"),
            (SqlType::Date, "5"),
            (SqlType::TimestampNtz, "soon"),
            (SqlType::Varchar(Some(2)), "abc"),
            (SqlType::Binary, "0g"),
            (SqlType::Object, "[1]"),
        ] {
            assert!(through(sql_type, text).is_err(), "{sql_type} {text} gave {:?}", through(sql_type, text));
        }
    }
}
