//! GENERATE_COLUMN_DESCRIPTION: the columns that INFER_SCHEMA found, as the text of a CREATE statement.

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;

use super::{as_array, gives_text};
use crate::dialect::functions::Function;
use crate::dialect::functions::scalar::{self, Call, exact};
use crate::dialect::variant::convert::varchar;
use crate::dialect::variant::text::{elements, member};

pub(super) fn functions() -> Vec<Function> {
    vec![exact("metadata", &["generate_column_description"], 2..=2, gives_text, describe)]
}

fn describe(call: &Call<'_>) -> Result<ArrayRef> {
    let (arrays, kinds) = (call.variants(0)?, call.texts(1)?);
    scalar::texts(call.rows, |row, out| {
        let (Some(array), Some(kind)) = (as_array(arrays.get(row)), kinds.get(row)) else { return Ok(false) };
        for (at, column) in elements(&array).enumerate() {
            let field = |name: &str| member(column, name).and_then(varchar).unwrap_or_default().into_owned();
            let expression = if field("EXPRESSION").is_empty() { "null".to_owned() } else { field("EXPRESSION") };
            out.push_str(if at > 0 { ",\n" } else { "" });
            out.push_str(&format!("\"{}\" ", field("COLUMN_NAME")));
            match kind.to_lowercase().as_str() {
                "table" => out.push_str(&field("TYPE")),
                "external_table" => out.push_str(&format!("{} AS ({expression})", field("TYPE"))),
                "view" => {}
                _ => return call.fail("its second argument must be 'table', 'external_table' or 'view'"),
            }
            if kind.eq_ignore_ascii_case("table") && field("NULLABLE") == "false" {
                out.push_str(" NOT NULL");
            }
        }
        Ok(true)
    })
}
