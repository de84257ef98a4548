//! The way that CONNECT BY took to a row, as digests of the rows on it: a row that leads back to itself would never end. The
//! function is inside plans only, under a name that no call in SQL can have.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, BinaryBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::ScalarUDF;
use md5::{Digest, Md5};

use super::aggregate::equal_rows;
use super::scalar::{Call, exact};
use super::{Function, Implementation};

/// The length of a digest.
const LENGTH: usize = 16;

/// The function of the way so far, NULL before the first row, and the columns of the row: the way with that row.
pub(in crate::dialect) fn way() -> Option<Arc<ScalarUDF>> {
    static WAY: LazyLock<Option<Arc<ScalarUDF>>> = LazyLock::new(|| {
        let Function { implementation, .. } = exact("", &["way"], 1..=usize::MAX, |_| Ok(DataType::Binary), extended);
        match implementation {
            Implementation::Scalar(udf) => Some(udf),
            _ => None,
        }
    });
    WAY.clone()
}

fn extended(call: &Call<'_>) -> Result<ArrayRef> {
    let ways = call.bytes(0)?;
    let column = |at: usize| {
        let column = call.column(at)?;
        match column.is_constant() {
            true => {
                Ok(datafusion::common::ScalarValue::try_from_array(column.array(), 0)?.to_array_of_size(call.rows)?)
            }
            false => Ok(Arc::clone(column.array())),
        }
    };
    let columns = (1..call.len()).map(column).collect::<Result<Vec<_>>>()?;
    let rows = if columns.is_empty() { None } else { Some(equal_rows(&columns)?) };
    let mut longer = BinaryBuilder::with_capacity(call.rows, call.rows * LENGTH * 4);
    for row in 0..call.rows {
        let digest = rows.as_ref().map_or_else(|| Md5::digest([]), |rows| Md5::digest(rows.row(row).data()));
        let way = ways.get(row).unwrap_or_default();
        if way.chunks_exact(LENGTH).any(|other| other == digest.as_slice()) {
            return exec_err!("CONNECT BY goes in a circle: a row leads back to itself, and the query would never end");
        }
        longer.append_value([way, digest.as_slice()].concat());
    }
    let longer = longer.finish();
    debug_assert_eq!(longer.len(), call.rows);
    Ok(Arc::new(longer))
}
