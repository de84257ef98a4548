//! Pages of Parquet files, whose reader may panic where they are damaged: the files are named in an error instead.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::datasource::physical_plan::{FileScanConfig, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use futures::{Stream, StreamExt};

use super::guard::guarded;

/// The rule that has every scan of Parquet files survive damaged pages.
#[derive(Debug)]
pub(in crate::backend::datafusion) struct Pages;

impl PhysicalOptimizerRule for Pages {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let scan = node.downcast_ref::<DataSourceExec>();
            let files =
                scan.and_then(|scan| scan.downcast_to_file_source::<ParquetSource>()).map(|(files, _)| told(files));
            Ok(match files {
                Some(files) => Transformed::yes(Arc::new(PagesExec { input: node, files })),
                None => Transformed::no(node),
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        "pages"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The files of a scan, as a message names them.
fn told(files: &FileScanConfig) -> String {
    let mut places = files.file_groups.iter().flat_map(|group| group.files()).map(|file| &file.object_meta.location);
    let store = files.object_store_url.as_str();
    let root = if store.starts_with("file:") { "/" } else { store };
    match (places.next(), places.next()) {
        (Some(only), None) => format!("`{root}{only}` is damaged"),
        (Some(first), Some(_)) => format!("one of the Parquet files beginning with `{root}{first}` is damaged"),
        _ => "a Parquet file is damaged".to_owned(),
    }
}

/// The rows of a scan.
#[derive(Debug)]
struct PagesExec {
    input: Arc<dyn ExecutionPlan>,
    files: String,
}

impl DisplayAs for PagesExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PagesExec")
    }
}

impl ExecutionPlan for PagesExec {
    fn name(&self) -> &'static str {
        "PagesExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(input) => Ok(Arc::new(Self { input, files: self.files.clone() })),
            None => internal_err!("pages have one input"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.input.metrics()
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, context)?;
        Ok(Box::pin(Guarded { rows, files: self.files.clone(), failed: false }))
    }
}

/// Rows until the reader panics.
struct Guarded {
    rows: SendableRecordBatchStream,
    files: String,
    failed: bool,
}

impl Stream for Guarded {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.failed {
            return Poll::Ready(None);
        }
        let reason = match guarded(|| self.rows.poll_next_unpin(context)) {
            Some(Poll::Ready(Some(Err(error)))) => match damage(&error) {
                Some(reason) => reason,
                None => return Poll::Ready(Some(Err(error))),
            },
            Some(poll) => return poll,
            None => "its pages cannot be read".to_owned(),
        };
        self.failed = true;
        Poll::Ready(Some(Err(DataFusionError::Execution(format!("{}: {reason}", self.files)))))
    }
}

/// What the reader says of a damaged file; none for another error.
fn damage(error: &DataFusionError) -> Option<String> {
    match error.find_root() {
        DataFusionError::ParquetError(error) => Some(error.to_string()),
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::ParquetError(reason) => Some(reason.clone()),
            _ => None,
        },
        _ => None,
    }
}

impl RecordBatchStream for Guarded {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::Schema;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

    /// A batch, then this error; without one the panic of a reader on a damaged page.
    fn rows(error: Option<DataFusionError>) -> Guarded {
        let schema = Arc::new(Schema::empty());
        let batch = RecordBatch::new_empty(Arc::clone(&schema));
        let damaged = async move { error.map_or_else(|| panic!("range end out of bounds"), Err) };
        let batches = futures::stream::iter([Ok(batch)]).chain(futures::stream::once(damaged));
        let rows = Box::pin(RecordBatchStreamAdapter::new(schema, Box::pin(batches)));
        Guarded { rows, files: "`a.parquet` is damaged".to_owned(), failed: false }
    }

    #[tokio::test]
    async fn a_panic_of_the_reader_names_the_file() {
        let mut read = rows(None);
        assert!(read.next().await.is_some_and(|batch| batch.is_ok()));
        let error = read.next().await.expect("an error").expect_err("an error").to_string();
        assert!(error.contains("`a.parquet` is damaged: its pages cannot be read"), "{error}");
        assert!(read.next().await.is_none());
    }

    #[tokio::test]
    async fn an_error_of_the_reader_names_the_file_and_others_stay() {
        let of_page = ArrowError::ParquetError("no such encoding".to_owned());
        let told =
            [DataFusionError::ArrowError(Box::new(of_page), None), DataFusionError::Execution("else".to_owned())];
        let mut texts = Vec::new();
        for error in told {
            let mut read = rows(Some(error));
            read.next().await.expect("a batch").expect("a batch");
            texts.push(read.next().await.expect("an error").expect_err("an error").to_string());
        }
        assert!(texts[0].contains("`a.parquet` is damaged: no such encoding"), "{texts:?}");
        assert!(!texts[1].contains("a.parquet"), "{texts:?}");
    }
}
