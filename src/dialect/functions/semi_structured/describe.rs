//! GENERATE_COLUMN_DESCRIPTION: the columns that INFER_SCHEMA found, as the text of a CREATE statement.

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;

use super::{as_array, gives_text};
use crate::dialect::functions::scalar::{self, Call, exact};
use crate::dialect::functions::{Fidelity, Function, Implementation};
use crate::dialect::variant::convert::varchar;
use crate::dialect::variant::text::{elements, member};

const FAMILY: &str = "metadata";

pub(super) fn functions() -> Vec<Function> {
    let type_of = Function {
        name: "system$typeof",
        aliases: &[],
        family: FAMILY,
        fidelity: Fidelity::Approximate("the width in brackets is that of the declared precision"),
        implementation: Implementation::Rewritten,
    };
    vec![
        exact(FAMILY, &["generate_column_description"], 2..=2, gives_text, describe),
        type_of,
        Function {
            name: "get_ddl",
            aliases: &[],
            family: FAMILY,
            fidelity: Fidelity::Approximate("of tables, views and sequences of a session"),
            implementation: Implementation::Rewritten,
        },
    ]
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
