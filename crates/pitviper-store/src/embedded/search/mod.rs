//! Searches, and where all questions run.
//!
//! Questions have their own threads, a bounded number at a time and a time limit, so that none of
//! them can starve ingest.

mod source;
mod walk;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc};

pub(super) use self::source::Visit;
use super::hot::Snapshot;
use super::scan::{Interrupt, Pace, too_slow};
use crate::questions::walk::{Telling, Told, Walk};
use crate::store::{StoreError, StoredSpan, TraceHit};

/// How long a question may take.
const QUERY_TIME_LIMIT: Duration = Duration::from_secs(30);
/// Searches at a time; others wait.
const SEARCHES_AT_A_TIME: usize = 2;
/// Direct reads at a time; others wait.
const READS_AT_A_TIME: usize = 4;
/// Threads that hand questions on; reading is done on threads that may block.
const QUERY_THREADS: usize = 2;

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
        // A caller that goes away takes its question along.
        let mut task = self.begin(permits, job);
        (&mut task.0).await.map_err(|error| StoreError::Engine(error.to_string()))?
    }

    /// Begins a job, which ends when what is returned is dropped.
    fn begin<T: Send + 'static>(
        &self,
        permits: &Arc<Semaphore>,
        job: impl FnOnce(&Interrupt) -> Result<T, StoreError> + Send + 'static,
    ) -> AbortOnDrop<Result<T, StoreError>> {
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
        AbortOnDrop(task)
    }

    pub(super) fn walk_spans(&self, snapshot: Snapshot, walk: &Walk) -> Telling<StoredSpan> {
        let (walk, pace) = (walk.clone(), Pace::of(walk));
        self.tell(move |interrupt, teller| walk::spans(&snapshot, (&walk, pace), interrupt, teller))
    }

    pub(super) fn walk_traces(&self, snapshot: Snapshot, walk: &Walk) -> Telling<TraceHit> {
        let (walk, pace) = (walk.clone(), Pace::of(walk));
        self.tell(move |interrupt, teller| walk::traces(&snapshot, (&walk, pace), interrupt, teller))
    }

    /// Runs a job that scans and tells what it finds. It begins at once, and does not wait for whoever
    /// listens: what waits to be heard is bounded by the search's limit and by how often it tells.
    fn tell<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Interrupt, &Teller<T>) -> Result<(), StoreError> + Send + 'static,
    ) -> Telling<T> {
        let (teller, told) = mpsc::unbounded_channel();
        let task = self.begin(&self.searches, move |interrupt| job(interrupt, &teller));
        let telling = stream::unfold(Some((told, task)), async |telling| {
            let (mut told, mut task) = telling?;
            if let Some(told_now) = told.recv().await {
                return Some((Ok(told_now), Some((told, task))));
            }
            match (&mut task.0).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some((Err(error), None)),
                Err(error) => Some((Err(StoreError::Engine(error.to_string())), None)),
            }
        });
        telling.boxed()
    }
}

/// Where a job says what it found.
pub(super) type Teller<T> = mpsc::UnboundedSender<Told<T>>;

/// Takes a task along when dropped.
pub(super) struct AbortOnDrop<T>(pub(super) tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
