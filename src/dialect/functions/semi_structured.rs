//! VARIANT, OBJECT and ARRAY: parsing and printing, kinds, access by path, and the functions that make arrays and objects
//! of others. The values themselves are in `variant`.

use datafusion::arrow::array::{ArrayRef, StringBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

use super::Function;
use super::scalar::{Call, Shape, refused};
use crate::dialect::types::{self, SqlType};
use crate::dialect::variant::array::of_texts;

/// Access: GET, GET_PATH and their kin.
mod access;

/// Arrays made of arrays.
mod array;

/// Arrays compared with arrays and with values.
mod array_set;

/// Columns as the text of a CREATE statement.
mod describe;

/// Text → VARIANT and back.
mod json;

/// What a VARIANT holds, and out of it.
mod kind;

/// MAP.
mod map;

/// Objects made of objects.
mod object;

/// The functions of this family.
pub(super) fn functions() -> Vec<Function> {
    let mut all = vec![
        refused(FAMILY, &["parse_xml", "check_xml", "xmlget", "to_xml"], "XML is not supported"),
        refused(
            "geospatial",
            &[
                "to_geography",
                "try_to_geography",
                "to_geometry",
                "try_to_geometry",
                "st_makepoint",
                "st_point",
                "st_makegeompoint",
                "st_geompoint",
                "st_makeline",
                "st_makepolygon",
                "st_polygon",
                "st_distance",
                "st_dwithin",
                "st_contains",
                "st_within",
                "st_intersects",
                "st_area",
                "st_length",
                "st_x",
                "st_y",
                "st_asgeojson",
                "st_aswkt",
                "st_astext",
                "st_aswkb",
                "st_asbinary",
                "st_centroid",
                "st_collect",
                "st_geographyfromwkt",
                "st_geogfromtext",
                "st_geometryfromwkt",
                "st_geomfromtext",
                "st_geohash",
                "st_buffer",
                "st_union",
                "st_simplify",
                "st_transform",
                "st_srid",
                "haversine_distance",
                "h3_cell_to_point",
                "h3_latlng_to_cell",
                "h3_point_to_cell",
            ],
            "GEOGRAPHY and GEOMETRY are not supported",
        ),
    ];
    for family in
        [json::functions(), kind::functions(), access::functions(), array::functions(), array_set::functions()]
    {
        all.extend(family);
    }
    all.extend(object::functions());
    all.extend(map::functions());
    all.extend(describe::functions());
    all
}

const FAMILY: &str = "semi-structured";

fn gives_variant(_: &Shape<'_>) -> Result<DataType> {
    Ok(types::variant())
}

fn gives_boolean(_: &Shape<'_>) -> Result<DataType> {
    Ok(DataType::Boolean)
}

fn gives_integer(_: &Shape<'_>) -> Result<DataType> {
    Ok(DataType::Int64)
}

fn gives_text(_: &Shape<'_>) -> Result<DataType> {
    Ok(DataType::Utf8)
}

/// Refuses an argument that is neither of the type nor a VARIANT.
fn expect(shape: &Shape<'_>, index: usize, wanted: SqlType) -> Result<()> {
    match shape.sql_type(index) {
        given if given == wanted => Ok(()),
        SqlType::Variant | SqlType::Null => Ok(()),
        _ => shape.refuse(index),
    }
}

/// The rule of a function that makes an array of its first argument, an array.
fn array_of_array(shape: &Shape<'_>) -> Result<DataType> {
    expect(shape, 0, SqlType::Array)?;
    Ok(types::array())
}

/// The rule of a function that makes an object of its first argument, an object.
fn object_of_object(shape: &Shape<'_>) -> Result<DataType> {
    expect(shape, 0, SqlType::Object)?;
    Ok(types::object())
}

/// Refuses an argument that does not become a VARIANT by itself: a text, a date, bytes.
fn expect_variant(shape: &Shape<'_>, index: usize) -> Result<()> {
    match shape.sql_type(index) {
        SqlType::Varchar(_) | SqlType::Binary | SqlType::Date | SqlType::Time => shape.refuse(index),
        SqlType::TimestampNtz | SqlType::TimestampLtz | SqlType::TimestampTz => shape.refuse(index),
        _ => Ok(()),
    }
}

/// A column of VARIANT, OBJECT or ARRAY, as the call's rule says. `row` writes a row's text behind what it is given (empty)
/// and says whether there is a value.
fn values(call: &Call<'_>, mut row: impl FnMut(usize, &mut String) -> Result<bool>) -> Result<ArrayRef> {
    let mut builder = StringBuilder::with_capacity(call.rows, call.rows * 16);
    let mut buffer = String::new();
    for index in 0..call.rows {
        buffer.clear();
        if row(index, &mut buffer)? {
            builder.append_value(&buffer);
        } else {
            builder.append_null();
        }
    }
    of_texts(builder.finish(), call.returns)
}

/// The text of an array argument: a VARIANT that is no array stands for an array of itself, JSON null for SQL NULL.
fn as_array(text: Option<&str>) -> Option<std::borrow::Cow<'_, str>> {
    match text? {
        "null" | "undefined" => None,
        text if text.starts_with('[') => Some(text.into()),
        text => Some(format!("[{text}]").into()),
    }
}

#[cfg(test)]
mod tests;
