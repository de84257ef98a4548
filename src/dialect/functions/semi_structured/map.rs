//! Functions of the structured type MAP, whose values rest as objects.

use std::collections::BTreeMap;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

use super::object::{as_object, insert, keys, keys_rule, select};
use super::{FAMILY, expect, gives_boolean, gives_integer, object_of_object, values};
use crate::dialect::functions::Function;
use crate::dialect::functions::scalar::{Call, Shape, booleans, exact, integers};
use crate::dialect::types::SqlType;
use crate::dialect::variant::text::members;
use crate::dialect::variant::write::{escape, object};

pub(super) fn functions() -> Vec<Function> {
    vec![
        exact(FAMILY, &["map_cat"], 2..=2, cat_rule, cat),
        exact(FAMILY, &["map_contains_key"], 2..=2, contains_rule, contains_key),
        exact(FAMILY, &["map_delete"], 2..=usize::MAX, object_of_object, |call| select(call, false)),
        exact(FAMILY, &["map_insert"], 3..=4, object_of_object, insert),
        exact(FAMILY, &["map_keys"], 1..=1, keys_rule, keys),
        exact(FAMILY, &["map_pick"], 2..=usize::MAX, object_of_object, |call| select(call, true)),
        exact(FAMILY, &["map_size"], 1..=1, size_rule, size),
    ]
}

fn cat_rule(shape: &Shape<'_>) -> Result<DataType> {
    expect(shape, 1, SqlType::Object)?;
    object_of_object(shape)
}

fn contains_rule(shape: &Shape<'_>) -> Result<DataType> {
    expect(shape, 1, SqlType::Object)?;
    gives_boolean(shape)
}

fn size_rule(shape: &Shape<'_>) -> Result<DataType> {
    expect(shape, 0, SqlType::Object)?;
    gives_integer(shape)
}

/// Both maps as one; under a key of both stands the value of the second.
fn cat(call: &Call<'_>) -> Result<ArrayRef> {
    let (first, second) = (call.variants(0)?, call.variants(1)?);
    values(call, |row, out| {
        let (Some(first), Some(second)) = (as_object(call, first.get(row))?, as_object(call, second.get(row))?) else {
            return Ok(false);
        };
        let all: BTreeMap<&str, &str> = members(first).chain(members(second)).collect();
        out.push_str(&object(all));
        Ok(true)
    })
}

fn contains_key(call: &Call<'_>) -> Result<ArrayRef> {
    let (keys, maps) = (call.texts(0)?, call.variants(1)?);
    booleans(call.rows, |row| {
        let (Some(key), Some(map)) = (keys.get(row), as_object(call, maps.get(row))?) else { return Ok(None) };
        let key = escape(key);
        Ok(Some(members(map).any(|(own, _)| own == key)))
    })
}

fn size(call: &Call<'_>) -> Result<ArrayRef> {
    let maps = call.variants(0)?;
    integers(call.rows, |row| Ok(as_object(call, maps.get(row))?.map(|map| members(map).count() as i64)))
}

#[cfg(test)]
mod tests {
    use crate::dialect::functions::testing::{fails, value};

    #[test]
    fn maps_are_changed_and_searched() {
        let map = "{'a': 1, 'b': 2}::MAP(VARCHAR, NUMBER)";
        for (expression, wanted) in [
            (format!("MAP_CAT({map}, {{'b': 3, 'c': 4}}::MAP(VARCHAR, NUMBER))"), "{\"a\":1,\"b\":3,\"c\":4}"),
            (format!("MAP_CONTAINS_KEY('a', {map})"), "true"),
            (format!("MAP_CONTAINS_KEY('x', {map})"), "false"),
            (format!("MAP_DELETE({map}, 'a', 'x')"), "{\"b\":2}"),
            (format!("MAP_INSERT({map}, 'c', 3)"), "{\"a\":1,\"b\":2,\"c\":3}"),
            (format!("MAP_INSERT({map}, 'a', 9, TRUE)"), "{\"a\":9,\"b\":2}"),
            (format!("MAP_KEYS({map})"), "[\"a\",\"b\"]"),
            (format!("MAP_PICK({map}, 'a', 'x')"), "{\"a\":1}"),
            (format!("MAP_SIZE({map})"), "2"),
            ("MAP_SIZE(NULL)".to_string(), "NULL"),
        ] {
            assert_eq!(value(&expression), wanted, "{expression}");
        }
        assert!(fails(&format!("MAP_INSERT({map}, 'a', 9)")).contains("duplicate"));
    }

    #[test]
    fn parts_of_structured_types_are_cast_and_elements_have_their_types() {
        for (expression, wanted) in [
            ("[1.6, '2']::ARRAY(NUMBER)", "[2,2]"),
            ("CAST([1, NULL] AS ARRAY(VARCHAR))", "[\"1\",undefined]"),
            ("{'a': '1', 'b': 2}::MAP(VARCHAR, NUMBER)", "{\"a\":1,\"b\":2}"),
            ("{'a': 'x'}::MAP(VARCHAR, VARCHAR)['a']", "x"),
            ("([10, 20]::ARRAY(NUMBER))[1] + 1", "21"),
            ("{'x': 1, 'y': ['2']}::OBJECT(x VARCHAR, y ARRAY(NUMBER)):y[0] + 1", "3"),
            ("NULL::ARRAY(NUMBER)", "NULL"),
        ] {
            assert_eq!(value(expression), wanted, "{expression}");
        }
        assert!(fails("{'X': 1}::OBJECT(y NUMBER)").contains("key 'X'"));
        assert!(fails("['a']::ARRAY(NUMBER)").contains('a'));
        assert!(fails("{'1': 1}::MAP(NUMBER, NUMBER)").contains("MAP"));
    }
}
