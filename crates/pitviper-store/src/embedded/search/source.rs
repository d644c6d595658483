//! Where aggregates get their rows from: some columns of all spans that pass a filter, a batch at a
//! time, in no order.

use arrow::record_batch::RecordBatch;

use super::Engine;
use crate::embedded::hot::Snapshot;
use crate::embedded::scan::Scan;
use crate::filter::Filter;
use crate::store::{StoreError, TimeRange};

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
        let filter = filter.clone();
        self.run_scan(move |interrupt| {
            let scan = Scan::new(&snapshot, range, &filter, interrupt)?;
            let scanned = scan.each(&columns, |batch| visit.batch(batch))?;
            Ok(visit.finish(scanned))
        })
        .await
    }
}
