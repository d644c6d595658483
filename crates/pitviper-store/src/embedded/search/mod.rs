//! Searches, and where all questions run.
//!
//! Questions have their own threads, a bounded number at a time and a time limit, so that none of
//! them can starve ingest.

mod source;
mod turns;
mod walk;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

pub(super) use self::source::Visit;
use self::turns::Turns;
use super::hot::Snapshot;
use super::scan::{Interrupt, Pace, too_slow};
use crate::lane::Lane;
use crate::questions::walk::{Telling, Told, Walk};
use crate::stages::TurnStats;
use crate::store::{StoreError, StoredSpan, TraceHit};

/// How long a question may take.
const QUERY_TIME_LIMIT: Duration = Duration::from_secs(30);
/// Scans at a time, and how many of them may have been asked aside; others wait.
const SCANS_AT_A_TIME: usize = 3;
const SCANS_ASIDE: usize = 2;
/// Direct reads at a time, and how many of them may have been asked aside; others wait.
const READS_AT_A_TIME: usize = 4;
const READS_ASIDE: usize = 3;
/// Threads that hand questions on; reading is done on threads that may block.
const QUERY_THREADS: usize = 2;

/// Runs questions.
pub(super) struct Engine {
    /// Present until the engine is dropped.
    runtime: Option<Runtime>,
    scans: Arc<Turns>,
    reads: Arc<Turns>,
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
            .max_blocking_threads(SCANS_AT_A_TIME + READS_AT_A_TIME)
            .thread_name("pitviper-query")
            .enable_all()
            .build()?;
        Ok(Self {
            runtime: Some(runtime),
            scans: Arc::new(Turns::new(SCANS_AT_A_TIME, SCANS_ASIDE)),
            reads: Arc::new(Turns::new(READS_AT_A_TIME, READS_ASIDE)),
        })
    }

    /// What became of scans, and of direct reads.
    pub(super) fn figures(&self) -> [TurnStats; 2] {
        [self.scans.figures(), self.reads.figures()]
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
        self.run(&self.scans, job).await
    }

    async fn run<T: Send + 'static>(
        &self,
        turns: &Arc<Turns>,
        job: impl FnOnce(&Interrupt) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        // A caller that goes away takes its question along.
        let mut task = self.begin(turns, job);
        (&mut task.0).await.map_err(|error| StoreError::Engine(error.to_string()))?
    }

    /// Begins a job, which ends when what is returned is dropped.
    fn begin<T: Send + 'static>(
        &self,
        turns: &Arc<Turns>,
        job: impl FnOnce(&Interrupt) -> Result<T, StoreError> + Send + 'static,
    ) -> AbortOnDrop<Result<T, StoreError>> {
        let (interrupt, give_up) = Interrupt::after(QUERY_TIME_LIMIT);
        let (turns, lane) = (Arc::clone(turns), Lane::current());
        let handle = self.runtime().handle().clone();
        let run = async move {
            let _give_up = give_up;
            let turn = turns.next(lane).await;
            // The turn goes with the job: one that is given up on still counts until it ends.
            let running = handle.spawn_blocking(move || {
                let answer = job(&interrupt);
                turn.end(interrupt.is_given_up());
                answer
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
        let task = self.begin(&self.scans, move |interrupt| job(interrupt, &teller));
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Longer than anything here takes on any machine.
    const PATIENCE: Duration = Duration::from_secs(60);

    async fn wait_until(what: &str, is_so: impl Fn() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < PATIENCE, "{what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// A scan that only ends when it is told to.
    async fn endless(engine: &Engine) -> Result<(), StoreError> {
        engine
            .run_scan(|interrupt| -> Result<(), StoreError> {
                loop {
                    interrupt.check()?;
                    std::thread::sleep(Duration::from_millis(1));
                }
            })
            .await
    }

    #[tokio::test]
    async fn a_scan_ends_with_its_caller() {
        let engine = Arc::new(Engine::start().unwrap());
        let own = Arc::clone(&engine);
        let caller = tokio::spawn(async move { endless(&own).await });
        wait_until("the scan runs", || engine.figures()[0].running == 1).await;
        caller.abort();
        wait_until("the scan has ended", || engine.figures()[0].running == 0).await;
        assert_eq!(engine.figures()[0], TurnStats { given_up: 1, ..TurnStats::default() });
        engine.run_scan(|_| Ok(())).await.unwrap();
        assert_eq!(engine.figures()[0], TurnStats { ended: 1, given_up: 1, ..TurnStats::default() });
    }

    #[tokio::test]
    async fn what_is_asked_aside_leaves_a_place() {
        let engine = Arc::new(Engine::start().unwrap());
        let aside = |engine: &Arc<Engine>| {
            let own = Arc::clone(engine);
            tokio::spawn(async move { Lane::Aside.ask(endless(&own)).await })
        };
        let asked: Vec<_> = (0..SCANS_AT_A_TIME + 2).map(|_| aside(&engine)).collect();
        wait_until("places aside are taken", || engine.figures()[0].running == SCANS_ASIDE as u64).await;
        wait_until("others wait", || engine.figures()[0].waiting == asked.len() as u64 - SCANS_ASIDE as u64).await;
        // What somebody waits for comes at once, however many wait aside.
        assert_eq!(engine.run_scan(|_| Ok(7)).await.unwrap(), 7);
        assert_eq!(engine.figures()[0].running, SCANS_ASIDE as u64);
        asked.iter().for_each(tokio::task::JoinHandle::abort);
        wait_until("all have ended", || {
            let figures = engine.figures()[0];
            (figures.running, figures.waiting) == (0, 0)
        })
        .await;
    }
}
