//! Searches, and where all questions run.
//!
//! Questions have their own threads, a bounded number at a time and a time limit, so that none of
//! them can starve ingest.
//!
//! A search for spans first finds keys (sort value, trace, span), reading the columns of the filter
//! alone, and then fetches the whole rows of the few that are shown.

mod source;

use std::sync::Arc;
use std::time::Duration;

use pitviper_model::{SpanId, TraceId};
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

pub(super) use self::source::Visit;
use super::hot::Snapshot;
use super::scan::{Interrupt, Key, Scan, too_slow};
use crate::filter::Filter;
use crate::store::{Cursor, Search, StoreError, StoredSpan, TraceHit};

/// How long a question may take.
const QUERY_TIME_LIMIT: Duration = Duration::from_secs(30);
/// Searches at a time; others wait.
const SEARCHES_AT_A_TIME: usize = 2;
/// Direct reads at a time; others wait.
const READS_AT_A_TIME: usize = 4;
/// Threads that hand questions on; reading is done on threads that may block.
const QUERY_THREADS: usize = 2;
/// Keys fetched for a page of traces, as a multiple of its rows: many matching spans share a trace.
const KEYS_PER_TRACE: usize = 4;
const KEYS_AT_LEAST: usize = 256;

/// Runs questions.
pub(super) struct Engine {
    /// Present until the engine is dropped.
    runtime: Option<Runtime>,
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
            // Each thread keeps memory for itself that it has used, so there are no more than can work.
            .max_blocking_threads(SEARCHES_AT_A_TIME + READS_AT_A_TIME)
            .thread_name("pitviper-query")
            .enable_all()
            .build()?;
        Ok(Self {
            runtime: Some(runtime),
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
        self.run(&self.reads, |_| job()).await
    }

    /// Runs a job that scans, within the limits. It is interrupted when its caller goes away or it
    /// takes too long.
    pub(super) async fn run_scan<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Interrupt) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(&self.searches, job).await
    }

    async fn run<T: Send + 'static>(
        &self,
        permits: &Arc<Semaphore>,
        job: impl FnOnce(&Interrupt) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (interrupt, give_up) = Interrupt::after(QUERY_TIME_LIMIT);
        let permits = Arc::clone(permits);
        let handle = self.runtime().handle().clone();
        let run = async move {
            let _give_up = give_up;
            let permit = permits.acquire_owned().await.map_err(|_| StoreError::Closed)?;
            // The permit goes with the job: one that is given up on still counts until it ends.
            let running = handle.spawn_blocking(move || {
                let _permit = permit;
                job(&interrupt)
            });
            running.await.map_err(|error| StoreError::Engine(error.to_string()))?
        };
        let task = self.runtime().spawn(async move {
            tokio::time::timeout(QUERY_TIME_LIMIT, run).await.unwrap_or_else(|_| Err(too_slow(QUERY_TIME_LIMIT)))
        });
        // A caller that goes away takes its question along.
        let mut task = AbortOnDrop(task);
        (&mut task.0).await.map_err(|error| StoreError::Engine(error.to_string()))?
    }

    pub(super) async fn search_spans(
        &self,
        snapshot: Snapshot,
        search: &Search,
    ) -> Result<Vec<StoredSpan>, StoreError> {
        let search = search.clone();
        self.run_scan(move |interrupt| spans(&snapshot, &search, interrupt)).await
    }

    pub(super) async fn search_traces(&self, snapshot: Snapshot, search: &Search) -> Result<Vec<TraceHit>, StoreError> {
        let search = search.clone();
        self.run_scan(move |interrupt| traces(&snapshot, &search, interrupt)).await
    }
}

/// Takes a task along when dropped.
pub(super) struct AbortOnDrop<T>(pub(super) tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn spans(snapshot: &Snapshot, search: &Search, interrupt: &Interrupt) -> Result<Vec<StoredSpan>, StoreError> {
    let after =
        search.after.map(|cursor| Key { value: cursor.value, trace_id: cursor.trace_id, span_id: cursor.span_id });
    let scan = Scan::new(snapshot, search.range, &search.filter, interrupt)?;
    let found = scan.first(search.order, after, search.limit)?;
    let places: Vec<_> = found.into_iter().map(|(_, place)| place).collect();
    scan.fetch(&places)
}

fn traces(snapshot: &Snapshot, search: &Search, interrupt: &Interrupt) -> Result<Vec<TraceHit>, StoreError> {
    let start = search.after.map(|cursor| Key {
        value: cursor.value,
        trace_id: cursor.trace_id,
        // Behind every span of the page's last trace that has the same value.
        span_id: SpanId([u8::MAX; 8]),
    });
    let mut after = start;
    let mut hits: Vec<TraceHit> = Vec::new();
    let mut judged: FxHashSet<TraceId> = FxHashSet::default();
    let scan = Scan::new(snapshot, search.range, &search.filter, interrupt)?;
    while hits.len() < search.limit {
        let fetch = (search.limit - hits.len()).saturating_mul(KEYS_PER_TRACE).max(KEYS_AT_LEAST);
        let page: Vec<Key> = scan.first(search.order, after, fetch)?.into_iter().map(|(key, _)| key).collect();
        let exhausted = page.len() < fetch;
        after = page.last().copied().or(after);
        let candidates: Vec<TraceId> =
            page.iter().map(|key| key.trace_id).filter(|trace_id| judged.insert(*trace_id)).collect();
        let mut matches = matches(snapshot, search, &candidates, interrupt)?;
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

/// All matching spans of these traces, each trace's in order, once each.
fn matches(
    snapshot: &Snapshot,
    search: &Search,
    traces: &[TraceId],
    interrupt: &Interrupt,
) -> Result<FxHashMap<TraceId, Vec<Key>>, StoreError> {
    let mut found: FxHashMap<TraceId, Vec<Key>> = FxHashMap::default();
    if traces.is_empty() {
        return Ok(found);
    }
    let filter = Filter::And(vec![Filter::Traces(traces.to_vec()), search.filter.clone()]);
    Scan::new(snapshot, search.range, &filter, interrupt)?.keys(search.order, |key| {
        found.entry(key.trace_id).or_default().push(key);
    })?;
    for keys in found.values_mut() {
        keys.sort_unstable_by(|left, right| left.cmp_in(search.order, right));
        keys.dedup();
    }
    Ok(found)
}

fn hit(trace_id: TraceId, spans: &[Key]) -> TraceHit {
    TraceHit {
        trace_id,
        matched: spans.iter().take(TraceHit::MAX_MATCHED).map(|key| key.span_id).collect(),
        matched_count: spans.len() as u64,
        cursor: Cursor { value: spans[0].value, trace_id, span_id: SpanId::INVALID },
    }
}
