//! Searches, and where all questions run.
//!
//! Questions have their own threads, a bounded pool of memory, a bounded number at a time and a
//! time limit, so that none of them can starve ingest. Only this folder knows the query engine.
//!
//! A search for spans first finds keys (sort value, trace, span), reading the columns of the filter
//! alone, and then fetches the whole rows of the few that are shown.

mod attribute;
mod filter;
mod row_function;
mod slower;
mod source;
mod table;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use datafusion::common::DFSchema;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{SessionConfig, SessionContext, col, lit};
use pitviper_model::{SpanId, TraceId};
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use self::filter::{compile, id_literal};
pub(super) use self::source::Visit;
use self::table::SpansTable;
use super::hot::Snapshot;
use super::traces;
use crate::schema::spans_schema;
use crate::store::{Cursor, Order, Search, StoreError, StoredSpan, TimeRange, TraceHit};

/// How long a question may take.
const QUERY_TIME_LIMIT: Duration = Duration::from_secs(30);
/// Memory that searches may use for sorting and grouping, in bytes, all together.
const QUERY_MEMORY_BYTES: usize = 512 * 1024 * 1024;
/// Searches at a time; others wait.
const SEARCHES_AT_A_TIME: usize = 2;
/// Direct reads at a time; others wait.
const READS_AT_A_TIME: usize = 4;
/// Threads that evaluate searches.
const QUERY_THREADS: usize = 2;
/// Keys fetched for a page of traces, as a multiple of its rows: many matching spans share a trace.
const KEYS_PER_TRACE: usize = 4;
const KEYS_AT_LEAST: usize = 256;

/// The place of a span in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    value: i64,
    trace_id: TraceId,
    span_id: SpanId,
}

impl Key {
    /// Compares so that what the order puts first is less.
    fn cmp_in(&self, order: Order, other: &Self) -> std::cmp::Ordering {
        let values = match order {
            Order::OldestFirst => self.value.cmp(&other.value),
            Order::NewestFirst | Order::SlowestFirst => other.value.cmp(&self.value),
        };
        values.then(self.trace_id.cmp(&other.trace_id)).then(self.span_id.cmp(&other.span_id))
    }
}

/// The column an order sorts by.
fn value_column(order: Order) -> &'static str {
    match order {
        Order::NewestFirst | Order::OldestFirst => "start_ns",
        Order::SlowestFirst => "duration_ns",
    }
}

/// Runs questions.
pub(super) struct Engine {
    /// Present until the engine is dropped.
    runtime: Option<Runtime>,
    context: SessionContext,
    searches: Arc<Semaphore>,
    reads: Arc<Semaphore>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A runtime must not be dropped where tasks run, which is where a store may be dropped.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Engine {
    pub(super) fn start() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(QUERY_THREADS)
            .thread_name("pitviper-query")
            .enable_all()
            .build()?;
        let environment = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(QUERY_MEMORY_BYTES)))
            .build_arc()
            .map_err(std::io::Error::other)?;
        let mut config = SessionConfig::new().with_target_partitions(QUERY_THREADS);
        let parquet = &mut config.options_mut().execution.parquet;
        parquet.pushdown_filters = true;
        parquet.reorder_filters = true;
        let context = SessionContext::new_with_config_rt(config, environment);
        Ok(Self {
            runtime: Some(runtime),
            context,
            searches: Arc::new(Semaphore::new(SEARCHES_AT_A_TIME)),
            reads: Arc::new(Semaphore::new(READS_AT_A_TIME)),
        })
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("the runtime is there until drop")
    }

    /// Runs a job that reads files, within the limits.
    pub(super) async fn run_blocking<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let reads = Arc::clone(&self.reads);
        let handle = self.runtime().handle().clone();
        let run = async move {
            let permit = reads.acquire_owned().await.map_err(|_| StoreError::Closed)?;
            // The permit goes with the job: one that is given up on still counts until it ends.
            let running = handle.spawn_blocking(move || {
                let _permit = permit;
                job()
            });
            running.await.map_err(|error| StoreError::Engine(error.to_string()))?
        };
        self.limited(run).await
    }

    async fn limited<T: Send + 'static>(
        &self,
        job: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let task = self.runtime().spawn(async move {
            tokio::time::timeout(QUERY_TIME_LIMIT, job).await.unwrap_or_else(|_| Err(too_slow()))
        });
        // A caller that goes away takes its question along.
        let mut task = AbortOnDrop(task);
        (&mut task.0).await.map_err(|error| StoreError::Engine(error.to_string()))?
    }

    async fn search<T, F>(&self, job: impl FnOnce(Searcher) -> F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let permits = Arc::clone(&self.searches);
        let found = job(Searcher { context: self.context.clone() });
        self.limited(async move {
            let _permit = permits.acquire_owned().await.map_err(|_| StoreError::Closed)?;
            found.await
        })
        .await
    }

    pub(super) async fn search_spans(
        &self,
        snapshot: Snapshot,
        search: &Search,
    ) -> Result<Vec<StoredSpan>, StoreError> {
        let search = search.clone();
        self.search(move |searcher| async move { searcher.spans(snapshot, search).await }).await
    }

    pub(super) async fn search_traces(&self, snapshot: Snapshot, search: &Search) -> Result<Vec<TraceHit>, StoreError> {
        let search = search.clone();
        self.search(move |searcher| async move { searcher.traces(snapshot, search).await }).await
    }
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn too_slow() -> StoreError {
    let seconds = QUERY_TIME_LIMIT.as_secs();
    StoreError::Engine(format!("the question took longer than {seconds} s; narrow its time range or its filter"))
}

fn engine_error(error: DataFusionError) -> StoreError {
    StoreError::Engine(error.strip_backtrace())
}

/// One search under way.
struct Searcher {
    context: SessionContext,
}

impl Searcher {
    async fn spans(self, snapshot: Snapshot, search: Search) -> Result<Vec<StoredSpan>, StoreError> {
        let mut after =
            search.after.map(|cursor| Key { value: cursor.value, trace_id: cursor.trace_id, span_id: cursor.span_id });
        let mut keys: Vec<Key> = Vec::new();
        // A page comes up short only where a client sent a span twice; then the rest is fetched too.
        while keys.len() < search.limit {
            let wanted = search.limit - keys.len();
            let mut page = self.keys(&snapshot, &search, after, wanted).await?;
            let exhausted = page.len() < wanted;
            after = page.last().copied().or(after);
            page.dedup();
            keys.extend(page);
            if exhausted {
                break;
            }
        }
        let places: Vec<(TraceId, SpanId)> = keys.iter().map(|key| (key.trace_id, key.span_id)).collect();
        let range = match (search.order, keys.first(), keys.last()) {
            (Order::SlowestFirst, ..) | (_, None, _) | (_, _, None) => search.range,
            (_, Some(first), Some(last)) => TimeRange {
                start_ns: first.value.min(last.value),
                end_ns: first.value.max(last.value).saturating_add(1),
            },
        };
        let read = tokio::task::spawn_blocking(move || traces::by_key(&snapshot, &places, range, &search.filter));
        read.await.map_err(|error| StoreError::Engine(error.to_string()))?
    }

    async fn traces(self, snapshot: Snapshot, search: Search) -> Result<Vec<TraceHit>, StoreError> {
        let start = search.after.map(|cursor| Key {
            value: cursor.value,
            trace_id: cursor.trace_id,
            // Behind every span of the page's last trace that has the same value.
            span_id: SpanId([u8::MAX; 8]),
        });
        let mut after = start;
        let mut hits: Vec<TraceHit> = Vec::new();
        let mut judged: FxHashSet<TraceId> = FxHashSet::default();
        let snapshot = Arc::new(snapshot);
        while hits.len() < search.limit {
            let fetch = (search.limit - hits.len()).saturating_mul(KEYS_PER_TRACE).max(KEYS_AT_LEAST);
            let page = self.keys(&snapshot, &search, after, fetch).await?;
            let exhausted = page.len() < fetch;
            after = page.last().copied().or(after);
            let candidates: Vec<TraceId> =
                page.iter().map(|key| key.trace_id).filter(|trace_id| judged.insert(*trace_id)).collect();
            let mut matches = self.matches(&snapshot, &search, &candidates).await?;
            for trace_id in candidates {
                let Some(spans) = matches.remove(&trace_id) else { continue };
                // A trace whose best span lies before the cursor stood on an earlier page.
                let is_new = start.is_none_or(|start| spans[0].cmp_in(search.order, &start).is_gt());
                if is_new && hits.len() < search.limit {
                    hits.push(hit(trace_id, &spans));
                }
            }
            if exhausted {
                break;
            }
        }
        Ok(hits)
    }

    /// The first keys of matching spans behind `after`, in order.
    ///
    /// Sorted by the value alone, the engine skips what its column already tells is behind, and reads
    /// ids only of what is left. That leaves open which of several spans of one value come first;
    /// where the page ends among such, which one more row shows, they are sorted by the ids too.
    async fn keys(
        &self,
        snapshot: &Snapshot,
        search: &Search,
        after: Option<Key>,
        limit: usize,
    ) -> Result<Vec<Key>, StoreError> {
        let mut keys = self.sorted_keys(snapshot, search, after, limit.saturating_add(1), &[]).await?;
        keys.sort_unstable_by(|left, right| left.cmp_in(search.order, right));
        let ends_among_equals = limit > 0 && keys.len() > limit && keys[limit].value == keys[limit - 1].value;
        if ends_among_equals {
            return self.sorted_keys(snapshot, search, after, limit, &["trace_id", "span_id"]).await;
        }
        keys.truncate(limit);
        Ok(keys)
    }

    /// The first keys by their value, then by these columns.
    async fn sorted_keys(
        &self,
        snapshot: &Snapshot,
        search: &Search,
        after: Option<Key>,
        limit: usize,
        then_by: &[&str],
    ) -> Result<Vec<Key>, StoreError> {
        let run = async {
            let value = value_column(search.order);
            let ascending = search.order == Order::OldestFirst;
            let order = std::iter::once(col(value).sort(ascending, false))
                .chain(then_by.iter().map(|column| col(*column).sort(true, false)));
            let mut condition = in_range(search.range).and(compile(&search.filter));
            if let Some(after) = after {
                condition = condition.and(behind(search.order, after));
            }
            let table =
                SpansTable::new(snapshot.clone(), search).map_err(|error| DataFusionError::External(error.into()))?;
            self.context
                .read_table(Arc::new(table))?
                .filter(condition)?
                .select_columns(&[value, "trace_id", "span_id"])?
                .sort(order.collect())?
                .limit(0, Some(limit))?
                .collect()
                .await
        };
        let batches = run.await.map_err(engine_error)?;
        Ok(batches.iter().flat_map(read_keys).collect())
    }

    /// All matching spans of these traces, each trace's in order, once each.
    async fn matches(
        &self,
        snapshot: &Arc<Snapshot>,
        search: &Search,
        traces: &[TraceId],
    ) -> Result<FxHashMap<TraceId, Vec<Key>>, StoreError> {
        if traces.is_empty() {
            return Ok(FxHashMap::default());
        }
        let condition = in_range(search.range).and(compile(&search.filter));
        let mut columns: Vec<String> =
            [value_column(search.order), "trace_id", "span_id"].map(str::to_owned).into_iter().collect();
        for column in condition.column_refs() {
            if !columns.contains(&column.name) {
                columns.push(column.name.clone());
            }
        }
        let schema = spans_schema();
        let indices: Vec<usize> = columns.iter().filter_map(|name| schema.index_of(name).ok()).collect();
        let projected = Arc::new(schema.project(&indices).map_err(|error| engine_error(error.into()))?);
        let schema = DFSchema::try_from(projected).map_err(engine_error)?;
        let condition = self.context.create_physical_expr(condition, &schema).map_err(engine_error)?;
        let (snapshot, order, range) = (Arc::clone(snapshot), search.order, search.range);
        let filter = search.filter.clone();
        let wanted: Arc<FxHashSet<TraceId>> = Arc::new(traces.iter().copied().collect());
        let read = tokio::task::spawn_blocking(move || -> Result<Vec<Key>, StoreError> {
            let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
            let mut keys = Vec::new();
            for batch in traces::rows(&snapshot, &wanted, range, &filter, Some(&columns))? {
                let matching = evaluate(&batch, &columns, condition.as_ref()).map_err(engine_error)?;
                keys.extend(read_keys(&matching));
            }
            keys.sort_unstable_by(|left, right| left.cmp_in(order, right));
            keys.dedup();
            Ok(keys)
        });
        let keys = read.await.map_err(|error| StoreError::Engine(error.to_string()))??;
        let mut found: FxHashMap<TraceId, Vec<Key>> = FxHashMap::default();
        for key in keys {
            found.entry(key.trace_id).or_default().push(key);
        }
        Ok(found)
    }
}

/// The rows of the batch that the condition holds for, with the columns in this order.
fn evaluate(
    batch: &RecordBatch,
    columns: &[&str],
    condition: &dyn datafusion::physical_plan::PhysicalExpr,
) -> Result<RecordBatch, DataFusionError> {
    let indices = columns.iter().map(|name| batch.schema_ref().index_of(name)).collect::<Result<Vec<_>, _>>()?;
    let batch = batch.project(&indices)?;
    let mask = condition.evaluate(&batch)?.into_array(batch.num_rows())?;
    Ok(filter_record_batch(&batch, mask.as_boolean())?)
}

fn hit(trace_id: TraceId, spans: &[Key]) -> TraceHit {
    TraceHit {
        trace_id,
        matched: spans.iter().take(TraceHit::MAX_MATCHED).map(|key| key.span_id).collect(),
        matched_count: spans.len() as u64,
        cursor: Cursor { value: spans[0].value, trace_id, span_id: SpanId::INVALID },
    }
}

fn in_range(range: TimeRange) -> Expr {
    col("start_ns").gt_eq(lit(range.start_ns)).and(col("start_ns").lt(lit(range.end_ns)))
}

/// Whether a span comes after the key in the order.
fn behind(order: Order, key: Key) -> Expr {
    let value = || col(value_column(order));
    let further = match order {
        Order::OldestFirst => value().gt(lit(key.value)),
        Order::NewestFirst | Order::SlowestFirst => value().lt(lit(key.value)),
    };
    let (trace, span) = (id_literal(&key.trace_id.0), id_literal(&key.span_id.0));
    let same_trace = col("trace_id").eq(trace.clone()).and(col("span_id").gt(span));
    further.or(value().eq(lit(key.value)).and(col("trace_id").gt(trace).or(same_trace)))
}

/// Reads keys from a batch that begins with value, trace id and span id.
fn read_keys(batch: &RecordBatch) -> impl Iterator<Item = Key> + '_ {
    let values = batch.column(0).as_primitive::<Int64Type>();
    let traces = batch.column(1).as_fixed_size_binary();
    let spans = batch.column(2).as_fixed_size_binary();
    (0..batch.num_rows()).map(|row| Key {
        value: values.value(row),
        trace_id: TraceId::from_slice(traces.value(row)).unwrap_or_default(),
        span_id: SpanId::from_slice(spans.value(row)).unwrap_or_default(),
    })
}
