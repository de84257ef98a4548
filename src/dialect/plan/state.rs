//! Aggregates whose state is a value of its own, as in APPROX_PERCENTILE_ACCUMULATE, _COMBINE and _ESTIMATE: the first two are
//! written here as the OBJECT that they make of the group's values, which the third, a scalar function, reads.

use sqlparser::ast::{
    self, CastKind, DataType, ExactNumberInfo, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, ObjectName, Value,
};

/// The call in terms of other functions; none where it is none of these.
pub(super) fn stateful(name: &str, args: &[FunctionArg]) -> Option<Expr> {
    let first = match args.first()? {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => expr.clone(),
        _ => return None,
    };
    let states =
        || call("ARRAY_FLATTEN", vec![call("ARRAY_AGG", vec![call("GET_PATH", vec![first.clone(), text("state")])])]);
    Some(match (name, args.len()) {
        ("approx_percentile_accumulate", 1) => state("tdigest", call("ARRAY_AGG", vec![float(first)])),
        ("approx_percentile_combine", 1) => state("tdigest", states()),
        ("approx_top_k_accumulate", 2) => {
            state("spacesaving", call("ARRAY_AGG", vec![call("TO_VARIANT", vec![first])]))
        }
        ("approx_top_k_combine", 1 | 2) => state("spacesaving", states()),
        _ => return None,
    })
}

fn state(kind: &str, values: Expr) -> Expr {
    let version = Expr::value(Value::Number("1".to_string(), false));
    call("OBJECT_CONSTRUCT", vec![text("state"), values, text("type"), text(kind), text("version"), version])
}

fn text(text: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(text.to_string()))
}

fn float(expr: Expr) -> Expr {
    let data_type = DataType::Float(ExactNumberInfo::None);
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, format: None, array: false }
}

fn call(name: &str, args: Vec<Expr>) -> Expr {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    let list = FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() };
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: ast::FunctionArguments::List(list),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
