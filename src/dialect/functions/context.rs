//! What the session is: the clock, which is the run's pinned instant, and the names in use. There are no users or
//! accounts on the embedded engine, so what asks for them is refused; a role and a warehouse are the names that USE gave.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Date32Array, StringArray, Time64NanosecondArray, TimestampNanosecondArray};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::Volatility;

use super::Function;
use super::scalar::{Call, Kernel, function, refused};
use crate::dialect::format::Moment;
use crate::dialect::format::zone::{to_local, zone};
use crate::dialect::types::SqlType;

const FAMILY: &str = "context";
const NO_USERS: &str = "the embedded engine has no users, roles or accounts";
const NO_QUERIES: &str = "the embedded engine gives queries no ids";

/// The functions of this family.
pub(super) fn functions() -> Vec<Function> {
    let mut list = vec![
        clock(&["current_date"], 0, SqlType::Date, |call| {
            Ok(Arc::new(Date32Array::from(vec![local(call)?.days as i32; call.rows])))
        }),
        clock(&["current_time", "localtime"], 1, SqlType::Time, |call| {
            let nanos = cut(call, local(call)?.nanos)?;
            Ok(Arc::new(Time64NanosecondArray::from(vec![nanos; call.rows])))
        }),
        clock(&["current_timestamp", "localtimestamp", "systimestamp"], 1, SqlType::TimestampLtz, instant),
        clock(&["getdate"], 0, SqlType::TimestampLtz, instant),
        clock(&["sysdate"], 0, SqlType::TimestampNtz, instant),
        name(&["current_database"], |call| repeated(call, &call.session.database)),
        name(&["current_schema"], |call| repeated(call, &call.session.schema)),
        name(&["current_warehouse"], |call| in_use(call, &call.session.warehouse)),
        name(&["current_role"], |call| in_use(call, &call.session.role)),
    ];
    for names in [
        &["current_user"][..],
        &["current_available_roles"],
        &["current_secondary_roles"],
        &["current_role_type"],
        &["current_account"],
        &["current_account_name"],
        &["current_organization_name"],
        &["current_organization_user"],
        &["current_region"],
        &["current_ip_address"],
        &["current_client"],
        &["invoker_role"],
        &["invoker_share"],
        &["is_role_in_session"],
        &["is_database_role_in_session"],
        &["is_application_role_in_session"],
        &["all_user_names"],
    ] {
        list.push(refused(FAMILY, names, NO_USERS));
    }
    for names in [
        &["current_session"][..],
        &["current_statement"],
        &["current_transaction"],
        &["last_query_id"],
        &["last_transaction"],
    ] {
        list.push(refused(FAMILY, names, NO_QUERIES));
    }
    list.push(refused(FAMILY, &["current_version"], "the embedded engine is no version of Snowflake"));
    list
}

/// A clock function, which takes at most `most` arguments.
fn clock(names: &'static [&'static str], most: usize, kind: SqlType, kernel: Kernel) -> Function {
    let rule = match kind {
        SqlType::Date => |shape: &super::scalar::Shape<'_>| Ok(SqlType::Date.arrow(shape.zone)),
        SqlType::Time => |shape: &super::scalar::Shape<'_>| Ok(SqlType::Time.arrow(shape.zone)),
        SqlType::TimestampNtz => |shape: &super::scalar::Shape<'_>| Ok(SqlType::TimestampNtz.arrow(shape.zone)),
        _ => |shape: &super::scalar::Shape<'_>| Ok(SqlType::TimestampLtz.arrow(shape.zone)),
    };
    function(FAMILY, names, 0..=most, rule, kernel, Volatility::Stable)
}

/// A function that gives a name in use.
fn name(names: &'static [&'static str], kernel: Kernel) -> Function {
    function(FAMILY, names, 0..=0, |shape| Ok(SqlType::TEXT.arrow(shape.zone)), kernel, Volatility::Stable)
}

fn repeated(call: &Call<'_>, text: &str) -> Result<ArrayRef> {
    Ok(Arc::new(StringArray::from(vec![text; call.rows])))
}

/// A name that USE gave; NULL where none is in use.
fn in_use(call: &Call<'_>, name: &str) -> Result<ArrayRef> {
    Ok(Arc::new(StringArray::from(vec![(!name.is_empty()).then_some(name); call.rows])))
}

fn now(call: &Call<'_>) -> Result<i64> {
    i64::try_from(call.session.now).or_else(|_| call.fail("the pinned clock is out of range"))
}

/// What the wall clock shows in the session's zone.
fn local(call: &Call<'_>) -> Result<Moment> {
    let zone = zone(&call.session.timezone).map_err(DataFusionError::Execution)?;
    Ok(Moment::of_nanos(to_local(zone, now(call)?)))
}

/// The digits of seconds that the argument asks for.
fn cut(call: &Call<'_>, nanos: i64) -> Result<i64> {
    if call.len() == 0 {
        return Ok(nanos);
    }
    match call.integers(0)?.get(0) {
        Some(places @ 0..=9) => {
            let unit = 10_i64.pow(9 - places as u32);
            Ok(nanos - nanos.rem_euclid(unit))
        }
        _ => call.fail("the precision is not one of 0 to 9"),
    }
}

fn instant(call: &Call<'_>) -> Result<ArrayRef> {
    let values = TimestampNanosecondArray::from(vec![cut(call, now(call)?)?; call.rows]);
    Ok(Arc::new(values.with_data_type(call.returns.clone())))
}
