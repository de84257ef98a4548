use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, col, lit};
use datafusion::prelude::{DataFrame, SessionContext};

use super::Call;
use crate::dialect::session::SessionParameters;
use crate::dialect::variant::array::of_texts;
use crate::dialect::{Dialect, types};

fn table(texts: Vec<Option<&str>>) -> (SessionContext, LogicalPlan) {
    let context = SessionContext::new_with_state(Dialect::new(SessionParameters::default()).state().clone());
    let ids: ArrayRef = Arc::new(StringArray::from_iter_values((0..texts.len()).map(|id| format!("r{id}"))));
    let values = of_texts(StringArray::from(texts), &types::variant()).unwrap();
    let batch = RecordBatch::try_from_iter_with_nullable([("ID", ids, true), ("V", values, true)]).unwrap();
    let plan = context.read_batch(batch).unwrap().into_unoptimized_plan();
    (context, LogicalPlanBuilder::from(plan).alias("T").unwrap().build().unwrap())
}

async fn rows(context: &SessionContext, plan: LogicalPlan) -> Vec<String> {
    let batches = DataFrame::new(context.state(), plan).collect().await.unwrap();
    let shown = pretty_format_batches(&batches).unwrap().to_string();
    let body = shown.lines().filter(|line| line.starts_with('|')).skip(1);
    body.map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join("|")).collect()
}

fn named(arguments: Vec<(&str, Expr)>) -> Vec<(Option<String>, Expr)> {
    arguments.into_iter().map(|(name, value)| (Some(name.to_string()), value)).collect()
}

fn flatten(input: LogicalPlan, alias: &str, arguments: Vec<(&str, Expr)>) -> Result<LogicalPlan> {
    Call::bind("flatten", named(arguments))?.over(input, alias, None, false)
}

const DOCUMENT: &str = r#"{"a":1,"b":[77,88],"c":{"d":"X"}}"#;

#[tokio::test]
async fn flatten_recursive_is_as_documented() {
    let (context, plan) = table(vec![Some(DOCUMENT)]);
    let plan = flatten(plan, "F", vec![("input", col("T.\"V\"")), ("recursive", lit(true))]).unwrap();
    let columns = ["F.\"SEQ\"", "F.\"KEY\"", "F.\"PATH\"", "F.\"INDEX\"", "F.\"VALUE\""].map(col);
    let plan = LogicalPlanBuilder::from(plan).project(columns).unwrap().build().unwrap();
    assert_eq!(
        rows(&context, plan).await,
        [
            "1|a|a||{variant: 1}",
            "1|b|b||{variant: [77,88]}",
            "1||b[0]|0|{variant: 77}",
            "1||b[1]|1|{variant: 88}",
            "1|c|c||{variant: {\"d\":\"X\"}}",
            "1|d|c.d||{variant: \"X\"}",
        ]
    );
}

#[tokio::test]
async fn flatten_modes_paths_and_holes_are_as_documented() {
    let (context, plan) = table(vec![Some(DOCUMENT)]);
    let object =
        flatten(plan.clone(), "F", vec![("input", col("T.\"V\"")), ("recursive", lit(true)), ("mode", lit("object"))]);
    let object = LogicalPlanBuilder::from(object.unwrap()).project([col("F.\"PATH\"")]).unwrap().build().unwrap();
    assert_eq!(rows(&context, object).await, ["a", "b", "c", "c.d"]);
    let path = flatten(plan, "F", vec![("input", col("T.\"V\"")), ("path", lit("b"))]).unwrap();
    let path = LogicalPlanBuilder::from(path).project([col("F.\"PATH\""), col("F.\"THIS\"")]).unwrap().build().unwrap();
    assert_eq!(rows(&context, path).await, ["b[0]|{variant: [77,88]}", "b[1]|{variant: [77,88]}"]);

    let (context, plan) = table(vec![Some("[1,undefined,77]")]);
    let holes = flatten(plan, "F", vec![("input", col("T.\"V\""))]).unwrap();
    let holes = LogicalPlanBuilder::from(holes).project([col("F.\"INDEX\"")]).unwrap().build().unwrap();
    assert_eq!(rows(&context, holes).await, ["0", "2"]);
}

#[tokio::test]
async fn flatten_outer_keeps_rows_without_elements() {
    let (context, plan) = table(vec![Some("[]"), None, Some("[5]"), Some("7")]);
    let inner = flatten(plan.clone(), "F", vec![("input", col("T.\"V\""))]).unwrap();
    let inner =
        LogicalPlanBuilder::from(inner).project([col("T.\"ID\""), col("F.\"VALUE\"")]).unwrap().build().unwrap();
    assert_eq!(rows(&context, inner).await, ["r2|{variant: 5}"]);
    let outer = flatten(plan, "F", vec![("input", col("T.\"V\"")), ("outer", lit(true))]).unwrap();
    let columns = [col("T.\"ID\""), col("F.\"SEQ\""), col("F.\"PATH\""), col("F.\"VALUE\""), col("F.\"THIS\"")];
    let outer = LogicalPlanBuilder::from(outer).project(columns).unwrap().build().unwrap();
    assert_eq!(
        rows(&context, outer).await,
        ["r0|1|||{variant: []}", "r1|2|||", "r2|3|[0]|{variant: 5}|{variant: [5]}", "r3|4|||{variant: 7}"]
    );
}

#[tokio::test]
async fn chained_calls_filters_and_counts_work() {
    let (context, plan) = table(vec![Some("[[1,2],[3]]"), Some("[[4],[]]")]);
    let plan = flatten(plan, "F", vec![("input", col("T.\"V\""))]).unwrap();
    let plan = flatten(plan, "G", vec![("input", col("F.\"VALUE\""))]).unwrap();
    let filter = col("T.\"ID\"").eq(lit("r0")).and(col("G.\"INDEX\"").lt(lit(5_i64)));
    let plan = LogicalPlanBuilder::from(plan).filter(filter).unwrap();
    let count = datafusion::functions_aggregate::expr_fn::count(lit(1));
    let all: Vec<Expr> = Vec::new();
    let plan = plan.aggregate(all, [count]).unwrap().build().unwrap();
    assert_eq!(rows(&context, plan).await, ["3"]);
}

#[tokio::test]
async fn columns_that_nobody_reads_are_not_made() {
    let (context, plan) = table(vec![Some("[1]")]);
    let plan = flatten(plan, "F", vec![("input", col("T.\"V\""))]).unwrap();
    let plan = LogicalPlanBuilder::from(plan).project([col("F.\"VALUE\""), col("T.\"ID\"")]).unwrap().build().unwrap();
    let physical = DataFrame::new(context.state(), plan).create_physical_plan().await.unwrap();
    let shown = datafusion::physical_plan::displayable(physical.as_ref()).indent(false).to_string();
    assert!(shown.contains("columns=[VALUE, ID]") || shown.contains("columns=[ID, VALUE]"), "{shown}");
}

#[tokio::test]
async fn splits_and_generator_give_rows() {
    let (context, plan) = table(vec![Some("1"), None]);
    let split = Call::bind("SPLIT_TO_TABLE", vec![(None, lit("a.b..c")), (None, lit("."))]).unwrap();
    let split = split.over(plan.clone(), "S", None, false).unwrap();
    let columns = [col("S.\"SEQ\""), col("S.\"INDEX\""), col("S.\"VALUE\"")];
    let split = LogicalPlanBuilder::from(split).project(columns.clone()).unwrap().limit(0, Some(5)).unwrap();
    let split = split.build().unwrap();
    assert_eq!(rows(&context, split).await, ["1|1|a", "1|2|b", "1|3|", "1|4|c", "2|1|a"]);

    let tokens = Call::bind("strtok_split_to_table", vec![(None, lit("a.b;;c")), (None, lit(".;"))]).unwrap();
    let tokens = tokens.over(plan.clone(), "S", None, false).unwrap();
    let tokens = LogicalPlanBuilder::from(tokens).project(columns).unwrap().limit(0, Some(3)).unwrap();
    assert_eq!(rows(&context, tokens.build().unwrap()).await, ["1|1|a", "1|2|b", "1|3|c"]);

    let one = LogicalPlanBuilder::empty(true).build().unwrap();
    let generator = Call::bind("generator", named(vec![("rowCount", lit(20_000_i64))])).unwrap();
    let generator = generator.over(one, "G", None, false).unwrap();
    let plan = LogicalPlanBuilder::from(generator).project([lit(7).alias("X")]).unwrap().build().unwrap();
    assert_eq!(rows(&context, plan).await.len(), 20_000);
}

#[test]
fn wrong_arguments_are_named() {
    let message = |name: &str, arguments| Call::bind(name, arguments).unwrap_err().strip_backtrace();
    let unknown = message("flatten", named(vec![("inputs", lit(1))]));
    assert!(unknown.contains("`FLATTEN` does not take an argument `inputs`"), "{unknown}");
    assert!(message("flatten", vec![]).contains("needs its argument `INPUT`"));
    assert!(message("generator", named(vec![("timelimit", lit(1))])).contains("`ROWCOUNT`"));
    let mode = message("flatten", named(vec![("input", lit(1)), ("mode", lit("all"))]));
    assert!(mode.contains("'all'"), "{mode}");
}
