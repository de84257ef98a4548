//! Arguments that are dates or times, and the columns that are made of results.

use std::sync::Arc;

use chrono_tz::Tz;
use datafusion::arrow::array::{ArrayRef, Date32Array, Time64NanosecondArray, TimestampNanosecondArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result};

use super::super::scalar::{Call, Shape, cast_to};
use super::part::Part;
use crate::dialect::format::Model;
use crate::dialect::format::civil::{DAY, Moment, SECOND};
use crate::dialect::format::column::{Misfit, Moments, text_column, timestamps_ntz, timestamps_tz, tz_array};
use crate::dialect::format::zone::{to_utc, zone};
use crate::dialect::types::SqlType;

/// The type that an argument has as a date or time; text and VARIANT are read as TIMESTAMP_NTZ.
pub(super) fn dated(shape: &Shape<'_>, index: usize) -> Result<SqlType> {
    match shape.sql_type(index) {
        SqlType::Varchar(_) | SqlType::Variant => Ok(SqlType::TimestampNtz),
        SqlType::Null => Ok(SqlType::TimestampNtz),
        kind @ (SqlType::Date
        | SqlType::Time
        | SqlType::TimestampNtz
        | SqlType::TimestampLtz
        | SqlType::TimestampTz) => Ok(kind),
        _ => shape.refuse(index),
    }
}

/// An argument of dates or times.
pub(in super::super) struct Dates {
    moments: Moments,
    constant: bool,
}

impl Dates {
    pub(in super::super) fn of(call: &Call<'_>, index: usize) -> Result<Self> {
        let column = call.column(index)?;
        let constant = column.is_constant();
        let array = column.array();
        let zone_name = &call.session.timezone;
        let array = match SqlType::of(array.data_type()) {
            Some(SqlType::Varchar(_) | SqlType::Variant) => {
                let model = Model::parse(&call.session.timestamp_input_format).map_err(DataFusionError::Execution)?;
                let texts = text_column(array, call.session)?;
                Arc::new(timestamps_ntz(&texts, &model, Misfit::Error)?)
            }
            Some(SqlType::Null) => cast_to(array, &SqlType::TimestampNtz.arrow(zone_name))?,
            _ => Arc::clone(array),
        };
        Ok(Self { moments: Moments::of(&array, zone_name)?, constant })
    }

    /// An argument of texts that may name an offset; without one they are local to the session's zone.
    pub(super) fn zoned(call: &Call<'_>, index: usize) -> Result<Self> {
        let column = call.column(index)?;
        let zone_name = &call.session.timezone;
        let model = Model::parse(&call.session.timestamp_input_format).map_err(DataFusionError::Execution)?;
        let texts = text_column(column.array(), call.session)?;
        let array: ArrayRef = Arc::new(timestamps_tz(&texts, &model, Misfit::Error, zone_name)?);
        Ok(Self { moments: Moments::of(&array, zone_name)?, constant: column.is_constant() })
    }

    pub(in super::super) fn get(&self, row: usize) -> Option<Moment> {
        self.moments.get(if self.constant { 0 } else { row })
    }

    pub(in super::super) fn utc(&self, row: usize) -> Option<i64> {
        self.moments.utc(if self.constant { 0 } else { row })
    }
}

/// The part that an argument names: one for all rows, or one a row.
pub(super) enum Parts {
    One(Option<Part>),
    Many(Vec<Option<Part>>),
}

impl Parts {
    pub(super) fn of(call: &Call<'_>, index: usize) -> Result<Self> {
        let names = call.texts(index)?;
        let parse = |row| match names.get(row) {
            Some(name) => Part::parse(name).map(Some).or_else(|message| call.fail(message)),
            None => Ok(None),
        };
        if names.is_constant() {
            return Ok(Self::One(if call.rows == 0 { None } else { parse(0)? }));
        }
        Ok(Self::Many((0..call.rows).map(parse).collect::<Result<_>>()?))
    }

    pub(super) fn get(&self, row: usize) -> Option<Part> {
        match self {
            Self::One(part) => *part,
            Self::Many(parts) => parts[row],
        }
    }
}

/// The part that a constant argument names, checked while planning.
pub(super) fn constant_part(shape: &Shape<'_>, index: usize) -> Result<Option<Part>> {
    match shape.constant_text(index) {
        Some(name) => Part::parse(name).map(Some).map_err(|message| shape.error(message)),
        None => Ok(None),
    }
}

/// A column of dates or times in the making.
pub(in super::super) struct Results {
    kind: SqlType,
    data_type: DataType,
    name: String,
    zone: Tz,
    values: Vec<Option<i64>>,
    offsets: Vec<i32>,
}

impl Results {
    pub(in super::super) fn new(call: &Call<'_>) -> Result<Self> {
        Ok(Self {
            kind: SqlType::of(call.returns).unwrap_or(SqlType::Null),
            data_type: call.returns.clone(),
            name: call.name.to_owned(),
            zone: zone(&call.session.timezone).map_err(DataFusionError::Execution)?,
            values: Vec::with_capacity(call.rows),
            offsets: Vec::new(),
        })
    }

    pub(in super::super) fn kind(&self) -> SqlType {
        self.kind
    }

    pub(in super::super) fn push_null(&mut self) {
        self.values.push(None);
        if self.kind == SqlType::TimestampTz {
            self.offsets.push(0);
        }
    }

    fn out_of_range<T>(&self) -> Result<T> {
        Err(DataFusionError::Execution(format!("`{}`: the result is out of the range of {}", self.name, self.kind)))
    }

    /// Adds what the wall clock shows; a TIMESTAMP_TZ without an offset is local to the session's zone.
    pub(in super::super) fn push(&mut self, moment: Moment) -> Result<()> {
        let value = match self.kind {
            SqlType::Date => i32::try_from(moment.days).ok().map(i64::from),
            SqlType::Time => Some(moment.nanos.rem_euclid(DAY)),
            SqlType::TimestampNtz => moment.wall_nanos(),
            SqlType::TimestampLtz => moment.wall_nanos().map(|wall| to_utc(self.zone, wall)),
            _ => match (moment.wall_nanos(), moment.offset) {
                (Some(wall), Some(offset)) => return self.push_utc(wall - i64::from(offset) * 60 * SECOND, offset),
                (Some(wall), None) => {
                    let utc = to_utc(self.zone, wall);
                    return self.push_utc(utc, ((wall - utc) / (60 * SECOND)) as i32);
                }
                (None, _) => None,
            },
        };
        let Some(value) = value else { return self.out_of_range() };
        self.values.push(Some(value));
        Ok(())
    }

    /// Adds an instant.
    pub(in super::super) fn push_utc(&mut self, utc: i64, offset: i32) -> Result<()> {
        self.values.push(Some(utc));
        if self.kind == SqlType::TimestampTz {
            self.offsets.push(offset);
        }
        Ok(())
    }

    pub(in super::super) fn finish(self) -> Result<ArrayRef> {
        let values = self.values;
        Ok(match self.kind {
            SqlType::Date => Arc::new(values.into_iter().map(|v| v.map(|v| v as i32)).collect::<Date32Array>()),
            SqlType::Time => Arc::new(Time64NanosecondArray::from(values)),
            SqlType::TimestampTz => {
                let pairs = values.into_iter().zip(self.offsets).map(|(utc, offset)| utc.map(|utc| (utc, offset)));
                Arc::new(tz_array(pairs.collect())?)
            }
            _ => Arc::new(TimestampNanosecondArray::from(values).with_data_type(self.data_type)),
        })
    }
}
