//! A server's answers as Arrow: the text of each cell goes straight into the column's builder, one batch per partition.
//!
//! | Snowflake | Arrow |
//! | --- | --- |
//! | `NUMBER(p ≤ 18, 0)` | `Int64` |
//! | other `NUMBER(p, s)` | `Decimal128(p, s)` |
//! | everything else | the type that its values rest in, see [`crate::dialect::types`] |
//!
//! A time that nanoseconds since 1970 cannot hold (before 1677, after 2262) is an error, not another time.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int32Builder,
    Int64Builder, RecordBatch, RecordBatchOptions, StringBuilder, StructArray, Time64NanosecondBuilder,
    TimestampNanosecondBuilder,
};
use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use snowflake_connector_rs::decode::{CellConversionError, PlanBuildResult, RowConversionError, RowDecodeResult};
use snowflake_connector_rs::{Column, ColumnType, FromRow, ResultTable, RowPlanContext, RowRef};

use crate::backend::BackendError;
use crate::dialect;
use crate::dialect::types::{self, SqlType};
use crate::dialect::variant::parse::{Duplicates, Parser};
use crate::name::Name;

/// The Snowflake type of a result's column; none where the engine has no such values.
pub(super) fn sql_type(column: &ColumnType) -> Option<SqlType> {
    Some(match column {
        ColumnType::Fixed { precision, scale, .. } => {
            SqlType::Number { precision: precision.unwrap_or(types::MAX_PRECISION), scale: scale.unwrap_or(0) }
        }
        ColumnType::Real => SqlType::Float,
        ColumnType::Text { .. } => SqlType::TEXT,
        ColumnType::Boolean => SqlType::Boolean,
        ColumnType::Date => SqlType::Date,
        ColumnType::Time { .. } => SqlType::Time,
        ColumnType::TimestampNtz { .. } => SqlType::TimestampNtz,
        ColumnType::TimestampLtz { .. } => SqlType::TimestampLtz,
        ColumnType::TimestampTz { .. } => SqlType::TimestampTz,
        ColumnType::Variant => SqlType::Variant,
        ColumnType::Object => SqlType::Object,
        ColumnType::Array => SqlType::Array,
        ColumnType::Binary { .. } => SqlType::Binary,
        _ => return None,
    })
}

/// A result's column as the dialect has it.
pub(super) fn column(column: &Column) -> Result<dialect::Column, BackendError> {
    let sql_type = sql_type(column.ty()).ok_or_else(|| unknown(column))?;
    Ok(dialect::Column { name: Name::quoted(column.name()), sql_type, nullable: column.is_nullable() })
}

fn unknown(column: &Column) -> BackendError {
    BackendError::author(format!(
        "column `{}` is of the type {}, which cannot be fetched; cast it to VARCHAR",
        column.name().to_lowercase(),
        column.ty().as_str().to_uppercase()
    ))
}

/// The Arrow schema of a result whose columns are these. `zone` is the session's time zone.
pub(super) fn schema(columns: &[Column], zone: &str) -> Result<SchemaRef, BackendError> {
    let field = |column: &Column| {
        let of = sql_type(column.ty()).ok_or_else(|| unknown(column))?;
        Ok(Field::new(column.name(), fetched(of, zone), true))
    };
    Ok(Arc::new(Schema::new(columns.iter().map(field).collect::<Result<Vec<_>, BackendError>>()?)))
}

fn fetched(sql_type: SqlType, zone: &str) -> DataType {
    match sql_type {
        SqlType::Number { precision: ..=18, scale: 0 } => DataType::Int64,
        other => other.arrow(zone),
    }
}

/// The rows of one partition.
pub(super) fn batch(table: &ResultTable, schema: &SchemaRef) -> Result<RecordBatch, BackendError> {
    let options = RecordBatchOptions::new().with_row_count(Some(table.row_count()));
    let rows = table.rows::<Appended>().map_err(|error| BackendError::author(error.to_string()))?;
    let mut last = None;
    for row in rows {
        last = Some(row.map_err(|error| BackendError::author(error.to_string()))?);
    }
    let columns: Vec<ArrayRef> = match last {
        Some(Appended(builders)) => {
            let mut builders = builders.lock().unwrap_or_else(PoisonError::into_inner);
            let fields = schema.fields().iter();
            builders.iter_mut().zip(fields).map(|(builder, field)| builder.finish(field.data_type())).collect()
        }
        None => {
            schema.fields().iter().map(|field| datafusion::arrow::array::new_empty_array(field.data_type())).collect()
        }
    };
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| BackendError::author(format!("the server's answer does not fit its own columns: {error}")))
}

/// A row whose cells have been appended to the builders of its result: the connector hands out rows one by one, and the
/// plan that it builds per result is the only place that lives as long as all of them.
struct Appended(Arc<Mutex<Vec<Builder>>>);

impl FromRow for Appended {
    type Plan = Arc<Mutex<Vec<Builder>>>;

    fn build_plan(ctx: RowPlanContext<'_>) -> PlanBuildResult<Self::Plan> {
        let builders = ctx.schema().columns().iter().map(|column| Builder::of(column.ty()));
        Ok(Arc::new(Mutex::new(builders.collect())))
    }

    fn from_row_with_plan(row: RowRef<'_>, plan: &Self::Plan) -> RowDecodeResult<Self> {
        let mut builders = plan.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, builder) in builders.iter_mut().enumerate() {
            let cell = row.cell_at(at).map_err(|error| RowConversionError::new(error.to_string()))?;
            builder.append(cell.raw()).map_err(|what| {
                let place = format!("row {}, column `{}`", row.row_index() + 1, cell.column().name().to_lowercase());
                RowConversionError::new(format!("{place}: {}", CellConversionError::new(what).reason()))
            })?;
        }
        drop(builders);
        Ok(Self(Arc::clone(plan)))
    }
}

/// A column in the making.
enum Builder {
    Integer(Int64Builder),
    Decimal(Decimal128Builder, u8),
    Float(Float64Builder),
    Text(StringBuilder),
    Boolean(BooleanBuilder),
    Date(Date32Builder),
    Time(Time64NanosecondBuilder),
    Timestamp(TimestampNanosecondBuilder),
    TimestampTz(TimestampNanosecondBuilder, Int32Builder),
    Binary(BinaryBuilder),
    /// JSON text, made canonical by the parser.
    Variant(StringBuilder, Box<Parser>, String),
}

impl Builder {
    fn of(column: &ColumnType) -> Self {
        match sql_type(column) {
            Some(SqlType::Number { precision: ..=18, scale: 0 }) => Self::Integer(Int64Builder::new()),
            Some(SqlType::Number { scale, .. }) => Self::Decimal(Decimal128Builder::new(), scale),
            Some(SqlType::Float) => Self::Float(Float64Builder::new()),
            Some(SqlType::Boolean) => Self::Boolean(BooleanBuilder::new()),
            Some(SqlType::Date) => Self::Date(Date32Builder::new()),
            Some(SqlType::Time) => Self::Time(Time64NanosecondBuilder::new()),
            Some(SqlType::TimestampNtz | SqlType::TimestampLtz) => Self::Timestamp(TimestampNanosecondBuilder::new()),
            Some(SqlType::TimestampTz) => Self::TimestampTz(TimestampNanosecondBuilder::new(), Int32Builder::new()),
            Some(SqlType::Binary) => Self::Binary(BinaryBuilder::new()),
            Some(SqlType::Variant | SqlType::Object | SqlType::Array) => {
                Self::Variant(StringBuilder::new(), Box::new(Parser::new(Duplicates::Refused)), String::new())
            }
            _ => Self::Text(StringBuilder::new()),
        }
    }

    /// Takes a cell as the server writes it; NULL where there is none.
    fn append(&mut self, raw: Option<&str>) -> Result<(), String> {
        let Some(raw) = raw else {
            self.append_null();
            return Ok(());
        };
        let wrong = || format!("`{raw}` is not what its type allows");
        match self {
            Self::Integer(builder) => builder.append_value(raw.parse().map_err(|_| wrong())?),
            Self::Decimal(builder, scale) => {
                builder.append_value(fixed(raw, *scale).ok_or_else(wrong)?);
            }
            Self::Float(builder) => builder.append_value(float(raw).ok_or_else(wrong)?),
            Self::Text(builder) => builder.append_value(raw),
            Self::Boolean(builder) => builder.append_value(matches!(raw, "1" | "true" | "TRUE")),
            Self::Date(builder) => builder.append_value(raw.parse().map_err(|_| wrong())?),
            Self::Time(builder) => builder.append_value(nanoseconds(raw).ok_or_else(wrong)?),
            Self::Timestamp(builder) => builder.append_value(nanoseconds(raw).ok_or_else(|| beyond(raw))?),
            Self::TimestampTz(instants, offsets) => {
                let (instant, offset) = raw.split_once(' ').ok_or_else(wrong)?;
                instants.append_value(nanoseconds(instant).ok_or_else(|| beyond(raw))?);
                // The server writes the offset in minutes, 1440 added so that it is never negative.
                let offset: i32 = offset.parse().map_err(|_| wrong())?;
                offsets.append_value(offset - 1440);
            }
            Self::Binary(builder) => builder.append_value(hex::decode(raw).map_err(|_| wrong())?),
            Self::Variant(builder, parser, text) => {
                text.clear();
                if parser.parse(raw, text)? { builder.append_value(text) } else { builder.append_null() }
            }
        }
        Ok(())
    }

    fn append_null(&mut self) {
        match self {
            Self::Integer(builder) => builder.append_null(),
            Self::Decimal(builder, _) => builder.append_null(),
            Self::Float(builder) => builder.append_null(),
            Self::Text(builder) | Self::Variant(builder, ..) => builder.append_null(),
            Self::Boolean(builder) => builder.append_null(),
            Self::Date(builder) => builder.append_null(),
            Self::Time(builder) => builder.append_null(),
            Self::Timestamp(builder) => builder.append_null(),
            Self::TimestampTz(instants, offsets) => {
                instants.append_null();
                offsets.append_null();
            }
            Self::Binary(builder) => builder.append_null(),
        }
    }

    fn finish(&mut self, data_type: &DataType) -> ArrayRef {
        match self {
            Self::Integer(builder) => Arc::new(builder.finish()),
            Self::Decimal(builder, _) => Arc::new(builder.finish().with_data_type(data_type.clone())),
            Self::Float(builder) => Arc::new(builder.finish()),
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Date(builder) => Arc::new(builder.finish()),
            Self::Time(builder) => Arc::new(builder.finish()),
            Self::Timestamp(builder) => {
                let zone = match data_type {
                    DataType::Timestamp(TimeUnit::Nanosecond, zone) => zone.clone(),
                    _ => None,
                };
                Arc::new(builder.finish().with_timezone_opt(zone))
            }
            Self::TimestampTz(instants, offsets) => {
                let instants = instants.finish();
                let nulls = datafusion::arrow::array::Array::nulls(&instants).cloned();
                structure(data_type, vec![Arc::new(instants), Arc::new(offsets.finish())], nulls)
            }
            Self::Binary(builder) => Arc::new(builder.finish()),
            Self::Variant(builder, ..) => {
                let texts = builder.finish();
                let nulls = datafusion::arrow::array::Array::nulls(&texts).cloned();
                structure(data_type, vec![Arc::new(texts)], nulls)
            }
        }
    }
}

fn structure(
    data_type: &DataType,
    columns: Vec<ArrayRef>,
    nulls: Option<datafusion::arrow::buffer::NullBuffer>,
) -> ArrayRef {
    let fields = match data_type {
        DataType::Struct(fields) => fields.clone(),
        _ => Fields::empty(),
    };
    Arc::new(StructArray::new(fields, columns, nulls))
}

fn float(raw: &str) -> Option<f64> {
    match raw {
        "NaN" | "nan" => Some(f64::NAN),
        "inf" => Some(f64::INFINITY),
        "-inf" => Some(f64::NEG_INFINITY),
        number => number.parse().ok(),
    }
}

fn beyond(raw: &str) -> String {
    format!("the time `{raw}` lies outside the years 1677 to 2262, which is what can be fetched")
}

/// A decimal text as a whole number of its last place; none where it is no such text or has more places.
fn fixed(raw: &str, scale: u8) -> Option<i128> {
    let (negative, digits) = match raw.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, raw),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut value: i128 = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
    }
    let missing = usize::from(scale).checked_sub(fraction.len()).filter(|_| !digits.is_empty())?;
    let value = value.checked_mul(10_i128.checked_pow(u32::try_from(missing).ok()?)?)?;
    Some(if negative { -value } else { value })
}

/// Seconds with a decimal fraction, as whole nanoseconds.
fn nanoseconds(raw: &str) -> Option<i64> {
    let nanos = fixed(raw, 9)?;
    i64::try_from(nanos).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{Array, Int64Array};

    #[test]
    fn seconds_with_a_fraction_become_nanoseconds() {
        assert_eq!(nanoseconds("1.500000000"), Some(1_500_000_000));
        assert_eq!(nanoseconds("-1.500000000"), Some(-1_500_000_000));
        assert_eq!(nanoseconds("-0.000000001"), Some(-1));
        assert_eq!(nanoseconds("36000"), Some(36_000_000_000_000));
        assert_eq!(nanoseconds("9300000000.0"), None);
    }

    #[test]
    fn cells_become_values_and_what_is_none_is_refused() {
        let mut builder = Builder::Integer(Int64Builder::new());
        builder.append(Some("7")).unwrap();
        builder.append(None).unwrap();
        assert!(builder.append(Some("7.5")).is_err());
        let array = builder.finish(&DataType::Int64);
        assert_eq!(array.as_any().downcast_ref::<Int64Array>().unwrap(), &Int64Array::from(vec![Some(7), None]));
        let mut builder = Builder::TimestampTz(TimestampNanosecondBuilder::new(), Int32Builder::new());
        builder.append(Some("0.000000000 1560")).unwrap();
        assert_eq!(builder.finish(&types::timestamp_tz()).len(), 1);
    }
}
