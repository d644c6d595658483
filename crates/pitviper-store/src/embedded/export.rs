//! Reads all spans of a range, one after the other, in bounded memory and in no order: for exports.

use arrow::record_batch::RecordBatch;

use super::EmbeddedStore;
use super::hot::Snapshot;
use super::manifest::Table;
use super::open_segment::SegmentStream;
use crate::schema::read_spans;
use crate::store::{StoreError, StoredSpan, TimeRange};

/// Spans handed over at once.
const SCAN_ROWS: usize = 4_096;

/// All spans that were stored when it began, some thousand at a time.
pub struct SpanScan {
    snapshot: Snapshot,
    range: TimeRange,
    /// Which batch of the hot tier, and from which of its rows on.
    hot: (usize, usize),
    segment: usize,
    reader: Option<SegmentStream>,
}

impl std::fmt::Debug for SpanScan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpanScan").field("range", &self.range).field("segment", &self.segment).finish_non_exhaustive()
    }
}

impl EmbeddedStore {
    /// All spans that start in the range. Reads from the disk, so not on a thread of the runtime.
    #[must_use]
    pub fn scan(&self, range: TimeRange) -> SpanScan {
        SpanScan { snapshot: self.tiers.snapshot(), range, hot: (0, 0), segment: 0, reader: None }
    }
}

impl SpanScan {
    fn next_hot(&mut self) -> Option<RecordBatch> {
        loop {
            let (batch, from) = self.hot;
            match self.snapshot.hot.get(batch)?.rows_in(Table::Spans, self.range) {
                Some(rows) if from < rows.num_rows() => {
                    self.hot.1 = from + SCAN_ROWS;
                    return Some(rows.slice(from, SCAN_ROWS.min(rows.num_rows() - from)));
                }
                _ => self.hot = (batch + 1, 0),
            }
        }
    }

    fn next_stored(&mut self) -> Option<Result<RecordBatch, StoreError>> {
        loop {
            if let Some(batch) = self.reader.as_mut().and_then(Iterator::next) {
                return Some(batch.map_err(|error| StoreError::Engine(format!("reading a segment: {error}"))));
            }
            let next = self.snapshot.segments_in(Table::Spans, self.range).nth(self.segment)?;
            self.segment += 1;
            match next.stream() {
                Ok(reader) => self.reader = Some(reader),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Iterator for SpanScan {
    type Item = Result<Vec<StoredSpan>, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = match self.next_hot() {
            Some(rows) => Ok(rows),
            None => self.next_stored()?,
        };
        let range = self.range;
        Some(rows.and_then(|rows| read_spans(&rows)).map(|mut spans| {
            spans.retain(|stored| {
                let start = i64::try_from(stored.span.start_time_unix_nano).unwrap_or(i64::MAX);
                (range.start_ns..range.end_ns).contains(&start)
            });
            spans
        }))
    }
}
