//! The views as tables of the engine: batches of the stored rows, in the columns and the range that a
//! statement asks for.
//!
//! The walk over pages calls back from threads of its own. A bounded channel stands between it and the
//! engine, which takes batches when it wants them; the walk ends when nobody takes them any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{AsArray, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Int64Type, SchemaRef, UInt64Type};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result, exec_datafusion_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::stream;
use rustc_hash::FxHashSet;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use twox_hash::XxHash64;

use super::columns::Of;
use super::pushdown::{Pushdown, is_useful};
use crate::embedded::hot::Snapshot;
use crate::embedded::prune::Lookup;
use crate::embedded::scan::{Interrupt, Scan, required_service};
use crate::embedded::tables;
use crate::questions::sql::MAX_REMEMBERED_SPANS;
use crate::schema::METRIC_BUCKET_NS;
use crate::store::{StoreError, TimeRange};

/// Batches that wait for the engine, at most.
const BATCHES_AHEAD: usize = 4;
/// Rows of which the time is looked at together.
const ROWS_TESTED_AT_A_TIME: usize = 8_192;
/// Memory that a remembered span takes, in bytes.
const REMEMBERED_BYTES: usize = 16;
/// Spans for which memory is asked at once.
const REMEMBERED_AT_ONCE: usize = 65_536;

/// What the views of one statement share.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) snapshot: Snapshot,
    pub(super) range: TimeRange,
    pub(super) began: Instant,
    pub(super) time_limit: Duration,
    /// Rows that are shown together, at most.
    pub(super) rows_at_a_time: usize,
    /// Rows that were looked at.
    pub(super) scanned: AtomicU64,
    /// Whether a span that was sent twice may have been counted twice.
    pub(super) is_inexact: AtomicBool,
}

/// A view as a table of one statement.
#[derive(Debug)]
pub(super) struct View {
    of: Of,
    run: Arc<Run>,
}

impl View {
    pub(super) fn new(of: Of, run: Arc<Run>) -> Self {
        Self { of, run }
    }
}

#[async_trait]
impl TableProvider for View {
    fn schema(&self) -> SchemaRef {
        self.of.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match is_useful(filter) {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(columns) => Arc::new(self.schema().project(columns)?),
            None => self.schema(),
        };
        let pushdown = Pushdown::of(self.run.range, filters);
        let rows = Rows { of: self.of, schema: Arc::clone(&schema), pushdown, run: Arc::clone(&self.run) };
        Ok(Arc::new(StreamingTableExec::try_new(schema, vec![Arc::new(rows)], None, [], false, limit)?))
    }
}

/// The rows of one mention of a view.
#[derive(Debug, Clone)]
struct Rows {
    of: Of,
    schema: SchemaRef,
    pushdown: Pushdown,
    run: Arc<Run>,
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let seen = MemoryConsumer::new("spans seen").register(context.memory_pool());
        let begin = Reading::NotBegun(Box::new((self.clone(), seen)));
        let of = self.of;
        let schema = Arc::clone(&self.schema);
        let batches = stream::unfold(begin, move |reading| {
            let schema = Arc::clone(&schema);
            async move {
                let (batch, reading) = reading.next().await?;
                Some((batch.and_then(|batch| Ok(of.rows(&batch, &schema)?)), reading))
            }
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

/// Stored rows on their way to the engine. Reading begins when the first are asked for: a statement may
/// name a view often, and need few of them at a time.
enum Reading {
    NotBegun(Box<(Rows, MemoryReservation)>),
    Running { batches: mpsc::Receiver<RecordBatch>, job: JoinHandle<Result<(), StoreError>>, _give_up: GiveUp },
    Ended,
}

/// Ends the reading when dropped.
struct GiveUp {
    _guard: Box<dyn Send>,
}

impl Reading {
    async fn next(self) -> Option<(Result<RecordBatch>, Self)> {
        let running = match self {
            Self::NotBegun(begin) => begin.0.begin(begin.1),
            other => other,
        };
        let Self::Running { mut batches, job, _give_up } = running else { return None };
        if let Some(batch) = batches.recv().await {
            return Some((Ok(batch), Self::Running { batches, job, _give_up }));
        }
        // The job says whether these were all.
        let error = match job.await {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => DataFusionError::External(Box::new(error)),
            Err(error) => exec_datafusion_err!("reading rows failed: {error}"),
        };
        Some((Err(error), Self::Ended))
    }
}

impl Rows {
    fn begin(self, reservation: MemoryReservation) -> Reading {
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        let left = self.run.time_limit.saturating_sub(self.run.began.elapsed());
        let (interrupt, guard) = Interrupt::after(left);
        let job = tokio::task::spawn_blocking(move || {
            let send_one = |batch: RecordBatch| {
                sender.blocking_send(batch).map_err(|_| StoreError::Engine("nobody waits for the rows".to_owned()))
            };
            let rows_at_a_time = self.run.rows_at_a_time;
            let send = |batch: RecordBatch| {
                let parts = (0..batch.num_rows()).step_by(rows_at_a_time);
                parts.map(|first| (first, rows_at_a_time.min(batch.num_rows() - first))).try_for_each(
                    |(first, rows)| {
                        send_one(if rows == batch.num_rows() { batch.clone() } else { batch.slice(first, rows) })
                    },
                )
            };
            match self.of {
                Of::Spans => self.spans(reservation, &interrupt, send),
                _ => self.others(reservation, &interrupt, send),
            }
        });
        Reading::Running { batches, job, _give_up: GiveUp { _guard: Box::new(guard) } }
    }

    fn spans(
        &self,
        reservation: MemoryReservation,
        interrupt: &Interrupt,
        send: impl Fn(RecordBatch) -> Result<(), StoreError> + Send + Sync,
    ) -> Result<(), StoreError> {
        let Pushdown { range, filter } = &self.pushdown;
        let columns = self.of.needs(&self.schema);
        let mut seen = Seen::new(self.of, reservation);
        let mut shown = 0;
        let scan = Scan::new(&self.run.snapshot, *range, filter, interrupt)?;
        let result = scan.each(&columns, |batch| {
            shown += batch.num_rows() as u64;
            let new = seen.new_rows(batch, &self.run.is_inexact);
            send_some(batch, new, &send)
        });
        self.run.scanned.fetch_add(*result.as_ref().unwrap_or(&shown), Ordering::Relaxed);
        result.map(|_| ())
    }

    /// Rows of a table whose pages are not walked in an order of their own.
    fn others(
        &self,
        reservation: MemoryReservation,
        interrupt: &Interrupt,
        send: impl Fn(RecordBatch) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let range = self.whole_range();
        let time = self.of.table().description().time_column();
        let mut columns = self.of.needs(&self.schema);
        if !columns.contains(&time) {
            columns.push(time);
        }
        let mut scan = tables::Scan::new(self.of.table(), range, required_service(&self.pushdown.filter));
        scan.lookup = Lookup::of(&self.pushdown.filter);
        let mut seen = Seen::new(self.of, reservation);
        scan.read(&self.run.snapshot, &columns, |batch| {
            for first in (0..batch.num_rows()).step_by(ROWS_TESTED_AT_A_TIME) {
                interrupt.check()?;
                let rows = batch.slice(first, ROWS_TESTED_AT_A_TIME.min(batch.num_rows() - first));
                self.run.scanned.fetch_add(rows.num_rows() as u64, Ordering::Relaxed);
                let times = rows.column_by_name(time).expect("the time was read").as_primitive::<Int64Type>().values();
                let is_in = |row: usize| (range.start_ns..range.end_ns).contains(&times[row]);
                let mask = BooleanBuffer::collect_bool(rows.num_rows(), is_in);
                send_some(&rows, mask, |rows| {
                    let new = seen.new_rows(&rows, &self.run.is_inexact);
                    send_some(&rows, new, &send)
                })?;
            }
            Ok(())
        })
    }

    /// Metrics count by whole buckets, which begin in a range whose ends are moved back to one; what is
    /// kept by the day counts on all days that the range has a moment of.
    fn whole_range(&self) -> TimeRange {
        let Pushdown { range: asked, .. } = self.pushdown;
        let run = self.run.range;
        let whole = match self.of {
            Of::SpanMetrics => {
                let floor = |time: i64| time.div_euclid(METRIC_BUCKET_NS).saturating_mul(METRIC_BUCKET_NS);
                TimeRange { start_ns: floor(run.start_ns), end_ns: floor(run.end_ns) }
            }
            Of::MetricSeries | Of::Libraries => return tables::days(run),
            _ => return asked,
        };
        // What the statement says of the time was put together with the range, and may be narrower.
        TimeRange {
            start_ns: if asked.start_ns > run.start_ns { asked.start_ns } else { whole.start_ns },
            end_ns: whole.end_ns.min(asked.end_ns),
        }
    }
}

/// Sends the rows of a mask, if there are any.
fn send_some(
    rows: &RecordBatch,
    mask: BooleanBuffer,
    send: impl FnOnce(RecordBatch) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    match mask.count_set_bits() {
        0 => Ok(()),
        all if all == rows.num_rows() => send(rows.clone()),
        _ => {
            let some = filter_record_batch(rows, &BooleanArray::new(mask, None));
            send(some.map_err(|error| StoreError::Engine(error.to_string()))?)
        }
    }
}

/// The rows that were shown, to show none twice that a client sent twice.
struct Seen {
    identity: &'static [&'static str],
    rows: FxHashSet<u64>,
    /// For so many there is memory.
    room: usize,
    reservation: MemoryReservation,
}

impl Seen {
    fn new(of: Of, reservation: MemoryReservation) -> Self {
        Self { identity: of.identity(), rows: FxHashSet::default(), room: 0, reservation }
    }

    /// Which rows are shown for the first time.
    fn new_rows(&mut self, batch: &RecordBatch, is_inexact: &AtomicBool) -> BooleanBuffer {
        if self.identity.is_empty() {
            return BooleanBuffer::new_set(batch.num_rows());
        }
        let column = |name: &&str| batch.column_by_name(name).expect("what tells rows apart was read");
        let columns: Vec<_> = self.identity.iter().map(column).collect();
        let mut bytes = Vec::with_capacity(32);
        BooleanBuffer::collect_bool(batch.num_rows(), |row| {
            bytes.clear();
            for column in &columns {
                match column.data_type() {
                    DataType::Int64 => bytes.extend(column.as_primitive::<Int64Type>().value(row).to_le_bytes()),
                    DataType::UInt64 => bytes.extend(column.as_primitive::<UInt64Type>().value(row).to_le_bytes()),
                    _ => bytes.extend_from_slice(column.as_fixed_size_binary().value(row)),
                }
            }
            let hash = XxHash64::oneshot(0, &bytes);
            if self.has_room() {
                return self.rows.insert(hash);
            }
            is_inexact.store(true, Ordering::Relaxed);
            !self.rows.contains(&hash)
        })
    }

    fn has_room(&mut self) -> bool {
        if self.rows.len() < self.room {
            return true;
        }
        let can_grow = self.room < MAX_REMEMBERED_SPANS
            && self.reservation.try_grow(REMEMBERED_AT_ONCE * REMEMBERED_BYTES).is_ok();
        self.room += if can_grow { REMEMBERED_AT_ONCE } else { 0 };
        can_grow
    }
}
