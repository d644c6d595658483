//! Reads all spans, log records or points of metrics of a range, one after the other, in bounded memory and
//! in no order: for exports. What a client sent twice may come twice.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use pitviper_model::{MetricPoint, SeriesId};
use rustc_hash::FxHashMap;

use super::EmbeddedStore;
use super::hot::Snapshot;
use super::manifest::Table;
use super::open_segment::SegmentStream;
use super::tables::days;
use crate::questions::{MetricSeries, StoredLog};
use crate::schema::{read_logs, read_points, read_series, read_spans};
use crate::store::{StoreError, StoredSpan, TimeRange};

/// Rows handed over at once.
const SCAN_ROWS: usize = 4_096;

/// All spans that were stored when it began, some thousand at a time.
#[derive(Debug)]
pub struct SpanScan(TableScan);

/// All log records that were stored when it began, some thousand at a time.
#[derive(Debug)]
pub struct LogScan(TableScan);

/// All points of metrics that were stored when it began, some thousand at a time.
#[derive(Debug)]
pub struct PointScan {
    points: TableScan,
    /// What was seen in the range; a few hundred bytes each.
    series: FxHashMap<SeriesId, Arc<MetricSeries>>,
}

/// A point of a metric as it was stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPoint {
    /// Whose it is.
    pub series: Arc<MetricSeries>,
    /// The point.
    pub point: MetricPoint,
}

impl EmbeddedStore {
    /// All spans that start in the range. Reads from the disk, so not on a thread of the runtime.
    #[must_use]
    pub fn scan(&self, range: TimeRange) -> SpanScan {
        SpanScan(TableScan::new(self.tiers.snapshot(), Table::Spans, range))
    }

    /// All log records of the range. Reads from the disk, so not on a thread of the runtime.
    #[must_use]
    pub fn scan_logs(&self, range: TimeRange) -> LogScan {
        LogScan(TableScan::new(self.tiers.snapshot(), Table::Logs, range))
    }

    /// All points of metrics of the range. Reads from the disk, so not on a thread of the runtime.
    ///
    /// # Errors
    /// When the series cannot be read.
    pub fn scan_points(&self, range: TimeRange) -> Result<PointScan, StoreError> {
        let points = TableScan::new(self.tiers.snapshot(), Table::MetricPoints, range);
        let mut series = FxHashMap::default();
        // Each write has the series of its points, under their days.
        for rows in TableScan::new(points.snapshot.clone(), Table::MetricSeries, days(range)) {
            for known in read_series(&rows?)? {
                series.entry(known.id).or_insert_with(|| Arc::new(known));
            }
        }
        Ok(PointScan { points, series })
    }
}

/// The rows of a table of which some may lie in a range.
struct TableScan {
    snapshot: Snapshot,
    table: Table,
    range: TimeRange,
    /// Which batch of the hot tier, and from which of its rows on.
    hot: (usize, usize),
    segment: usize,
    reader: Option<SegmentStream>,
}

impl std::fmt::Debug for TableScan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableScan").field("table", &self.table).field("segment", &self.segment).finish_non_exhaustive()
    }
}

impl TableScan {
    fn new(snapshot: Snapshot, table: Table, range: TimeRange) -> Self {
        Self { snapshot, table, range, hot: (0, 0), segment: 0, reader: None }
    }

    /// The next rows as `read` reads them, those in the range.
    fn next_in_range<T>(
        &mut self,
        read: impl FnOnce(&RecordBatch) -> Result<Vec<T>, StoreError>,
        time_unix_nano: impl Fn(&T) -> u64,
    ) -> Option<Result<Vec<T>, StoreError>> {
        let rows = self.next()?;
        let range = self.range;
        Some(rows.and_then(|rows| read(&rows)).map(|mut found| {
            found.retain(|one| {
                let time = i64::try_from(time_unix_nano(one)).unwrap_or(i64::MAX);
                (range.start_ns..range.end_ns).contains(&time)
            });
            found
        }))
    }

    fn next_hot(&mut self) -> Option<RecordBatch> {
        loop {
            let (batch, from) = self.hot;
            match self.snapshot.hot.get(batch)?.rows_in(self.table, self.range) {
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
            let next = self.snapshot.segments_in(self.table, self.range).nth(self.segment)?;
            self.segment += 1;
            match next.stream() {
                Ok(reader) => self.reader = Some(reader),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Iterator for TableScan {
    type Item = Result<RecordBatch, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.next_hot() {
            Some(rows) => Some(Ok(rows)),
            None => self.next_stored(),
        }
    }
}

impl Iterator for SpanScan {
    type Item = Result<Vec<StoredSpan>, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next_in_range(read_spans, |stored| stored.span.start_time_unix_nano)
    }
}

impl Iterator for LogScan {
    type Item = Result<Vec<StoredLog>, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next_in_range(read_logs, |stored| stored.cursor.time_ns.cast_unsigned())
    }
}

impl Iterator for PointScan {
    type Item = Result<Vec<StoredPoint>, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = |rows: &RecordBatch| {
            let points = read_points(rows, |_| true)?.into_iter();
            let whole = |(id, point)| Some(StoredPoint { series: Arc::clone(self.series.get(&id)?), point });
            let found: Option<Vec<StoredPoint>> = points.map(whole).collect();
            found.ok_or_else(|| StoreError::Engine("a point of a metric has no series; run the doctor".to_owned()))
        };
        self.points.next_in_range(read, |stored| stored.point.time_unix_nano)
    }
}
