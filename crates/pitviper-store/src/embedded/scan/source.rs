//! Where a scan's rows lie, in memory or in a segment, and what is asked of them there.

use std::sync::Arc;

use arrow::compute::take_record_batch;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use parking_lot::Mutex;

use super::condition::Condition;
use crate::embedded::open_segment::{IdColumn, OpenSegment};
use crate::embedded::prune::Rows;
use crate::embedded::segment::Segment;
use crate::schema::TRACE_NUMBER;
use crate::store::StoreError;

/// Rows of memory, or a segment.
#[derive(Debug)]
pub(super) struct Source {
    place: At,
    /// What is asked of the rows, in the terms of the place: a segment numbers its traces.
    pub(super) condition: Arc<Condition>,
}

#[derive(Debug)]
enum At {
    Memory(RecordBatch),
    Segment {
        segment: Arc<Segment>,
        open: Arc<OpenSegment>,
        /// Readers of trace ids that nobody uses right now. What one has read it keeps for the next read.
        ids: Mutex<Vec<IdColumn>>,
    },
}

impl Source {
    pub(super) fn memory(batch: RecordBatch, condition: Arc<Condition>) -> Self {
        Self { place: At::Memory(batch), condition }
    }

    pub(super) fn segment(segment: Arc<Segment>, open: Arc<OpenSegment>, condition: Arc<Condition>) -> Self {
        Self { place: At::Segment { segment, open, ids: Mutex::default() }, condition }
    }

    /// Whether its rows lie in pages that have to be read.
    pub(super) fn is_segment(&self) -> bool {
        matches!(self.place, At::Segment { .. })
    }

    /// The row group that a row lies in.
    pub(super) fn row_group_of(&self, row: u64) -> usize {
        match &self.place {
            At::Memory(_) => 0,
            At::Segment { open, .. } => open.row_group_of(row),
        }
    }

    /// Those of the rows, all of one row group, that lie in pages of a text column whose bytes pass the
    /// test; `None` when they lie in memory.
    pub(super) fn rows_of_pages(
        &self,
        rows: &Rows,
        column: &[&str],
        test: impl Fn(&[u8]) -> bool,
    ) -> Result<Option<Rows>, StoreError> {
        match &self.place {
            At::Memory(_) => Ok(None),
            At::Segment { segment, open, .. } => segment.rows_of_pages(open, rows, column, test).map(Some),
        }
    }

    /// These rows, in order. Numbers of traces stay what they are when they are asked for.
    pub(super) fn read(&self, rows: &Rows, columns: Option<&[&str]>) -> Result<Vec<RecordBatch>, StoreError> {
        match &self.place {
            At::Memory(batch) => slices(batch, rows, columns).map_err(|error| StoreError::Engine(error.to_string())),
            At::Segment { segment, open, ids } => {
                if columns.is_some_and(|columns| columns.contains(&TRACE_NUMBER)) {
                    return segment.read_rows(open, rows, columns, &mut IdColumn::default());
                }
                let mut reader = ids.lock().pop().unwrap_or_else(|| open.id_column());
                let found = segment.read_rows(open, rows, columns, &mut reader);
                ids.lock().push(reader);
                found
            }
        }
    }
}

/// These rows of a batch in memory.
fn slices(batch: &RecordBatch, rows: &Rows, columns: Option<&[&str]>) -> Result<Vec<RecordBatch>, ArrowError> {
    let batch = match columns {
        None => batch.clone(),
        Some(columns) => {
            let mut indices =
                columns.iter().map(|name| batch.schema_ref().index_of(name)).collect::<Result<Vec<_>, _>>()?;
            indices.sort_unstable();
            indices.dedup();
            batch.project(&indices)?
        }
    };
    if let [range] = rows.as_slice() {
        return Ok(vec![batch.slice(range.start as usize, (range.end - range.start) as usize)]);
    }
    let places: arrow::array::UInt64Array = rows.iter().cloned().flatten().collect();
    Ok(vec![take_record_batch(&batch, &places)?])
}
