//! Where aggregates get their rows from: some columns of all spans that pass a filter, a batch at a
//! time, in no order.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::error::DataFusionError;
use futures::StreamExt;

use super::filter::compile;
use super::table::SpansTable;
use super::{Engine, engine_error, in_range};
use crate::embedded::hot::Snapshot;
use crate::embedded::manifest::Table;
use crate::filter::Filter;
use crate::store::{Order, Search, StoreError, TimeRange};

/// Takes batches, and makes an answer of them when there are no more.
pub(in crate::embedded) trait Visit: Send + 'static {
    /// What comes of it.
    type Answer: Send + 'static;

    /// Takes rows with the columns asked for.
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), StoreError>;

    /// The answer, with how many rows were looked at at most.
    fn finish(self, scanned: u64) -> Self::Answer;
}

impl Engine {
    /// Shows these columns of all spans of the range that pass the filter, within the limits of a
    /// search. Ends with the caller.
    pub(in crate::embedded) async fn visit_spans<V: Visit>(
        &self,
        snapshot: Snapshot,
        range: TimeRange,
        filter: &Filter,
        columns: Vec<&'static str>,
        mut visit: V,
    ) -> Result<V::Answer, StoreError> {
        let search =
            Search { range, filter: filter.clone(), order: Order::NewestFirst, limit: usize::MAX, after: None };
        let in_memory: u64 = snapshot.hot_rows(Table::Spans, range).map(|rows| rows.num_rows() as u64).sum();
        let on_disk: u64 = snapshot.segments_in(Table::Spans, range).map(|segment| segment.row.rows).sum();
        self.search(move |searcher| async move {
            let condition = in_range(range).and(compile(&search.filter));
            let table = SpansTable::new(snapshot, &search)?;
            let plan = async {
                searcher
                    .context
                    .read_table(Arc::new(table))?
                    .filter(condition)?
                    .select_columns(&columns)?
                    .execute_stream()
                    .await
            };
            let mut batches = plan.await.map_err(engine_error)?;
            while let Some(batch) = batches.next().await {
                visit.batch(&batch.map_err(|error: DataFusionError| engine_error(error))?)?;
            }
            Ok(visit.finish(in_memory + on_disk))
        })
        .await
    }
}
