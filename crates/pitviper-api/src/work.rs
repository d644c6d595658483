//! The work of a question: in its turn, off the network threads, for a bounded time, and no longer than
//! somebody waits for its answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use pitviper_query::QueryError;
use pitviper_store::{Lane, Place, Places, Store};
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::layers::current_route;
use crate::problem::Problem;
use crate::questions::{Ended, Question};
use crate::state::{Api, now_us};

/// Most queries that run at once. Each may use several threads of the store.
const MAX_CONCURRENT_QUERIES: usize = 16;

/// How many of them may be asked aside.
const MAX_ASIDE: usize = 12;

/// How long a query waits for its turn.
const MAX_QUEUE_TIME: Duration = Duration::from_secs(5);

/// How long a query may run.
const MAX_QUERY_TIME: Duration = Duration::from_secs(30);

/// The places of queries.
pub(crate) fn places() -> Places {
    Places::new(MAX_CONCURRENT_QUERIES, MAX_ASIDE)
}

/// Waits for a place, not for long.
async fn take(places: &Places, lane: Lane) -> Result<Place, Problem> {
    tokio::time::timeout(MAX_QUEUE_TIME, places.take(lane)).await.map_err(|_| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many queries at once")
            .detail("as many queries are running as may run at once; try again")
            .retry_after(Duration::from_secs(1))
    })
}

/// A view under way, off the network threads. Dropped, it ends the view.
pub(crate) struct Work<T> {
    task: JoinHandle<Option<Result<T, QueryError>>>,
    _wanted: oneshot::Sender<()>,
}

impl Api {
    /// Begins a view when its turn has come.
    pub(crate) async fn begin<T, F>(&self, view: F) -> Result<Work<T>, Problem>
    where
        T: Send + 'static,
        F: AsyncFnOnce(&dyn Store, i64) -> Result<T, QueryError> + Send + 'static,
    {
        let route = current_route();
        let mark = tracing::trace_span!(
            target: "pitviper::self",
            "question",
            http.route = route,
            waited_ms = Empty,
            looked_at = Empty,
            rows = Empty,
            outcome = Empty,
            error.type = Empty,
        );
        let asked = Instant::now();
        let mut question = self.shared.questions.ask(&route, mark.clone());
        let place = match take(&self.shared.places, self.lane).await {
            Ok(place) => place,
            Err(problem) => {
                question.end(Ended::Refused);
                return Err(problem);
            }
        };
        mark.record("waited_ms", asked.elapsed().as_millis() as u64);
        question.begin();
        let (store, lane) = (Arc::clone(self.store()), self.lane);
        let runtime = tokio::runtime::Handle::current();
        // Dropped with the work when the client goes away, which ends the view.
        let (wanted, abandoned) = oneshot::channel::<()>();
        let task = tokio::task::spawn_blocking(move || {
            let _place = place;
            let ended = runtime.block_on(async {
                let view = lane.ask(view(&*store, now_us())).instrument(mark);
                tokio::select! {
                    ended = tokio::time::timeout(MAX_QUERY_TIME, view) => Some(ended),
                    _ = abandoned => None,
                }
            });
            // The count of those that run falls with the work, not with whoever waits for it.
            conclude(question, ended)
        });
        Ok(Work { task, _wanted: wanted })
    }
}

/// Counts how the question ended. Of one that was given up on nothing is left.
fn conclude<T>(
    question: Question,
    ended: Option<Result<Result<T, QueryError>, tokio::time::error::Elapsed>>,
) -> Option<Result<T, QueryError>> {
    let Some(ended) = ended else {
        question.end(Ended::Cancelled);
        return None;
    };
    let ended = ended.unwrap_or_else(|_| {
        let seconds = MAX_QUERY_TIME.as_secs();
        let message = format!("it was stopped after {seconds} s; choose a shorter time range");
        Err(QueryError::TooSlow { message })
    });
    question.end(match &ended {
        Ok(_) => Ended::Answered,
        Err(QueryError::TooSlow { .. }) => Ended::TimedOut,
        Err(_) => Ended::Failed,
    });
    Some(ended)
}

impl<T> Work<T> {
    /// Waits for the view's end.
    pub(crate) async fn end(&mut self) -> Result<T, Problem> {
        match (&mut self.task).await {
            Ok(Some(Ok(answer))) => Ok(answer),
            Ok(Some(Err(error))) => Err(error.into()),
            // `None` only comes when this, which would have got it, was dropped.
            Ok(None) => Err(Problem::internal()),
            Err(panicked) => Err(failed(&panicked)),
        }
    }
}

fn failed(panicked: &JoinError) -> Problem {
    tracing::error!(request_id = crate::request_id::current(), %panicked, "a query failed");
    Problem::internal()
}

/// Leaves with the question's mark what it has read so far, and how many rows it has told.
pub(crate) fn mark_read(looked_at: Option<u64>, rows: Option<u64>) {
    let mark = Span::current();
    if mark.is_disabled() {
        return;
    }
    for (name, count) in [("looked_at", looked_at), ("rows", rows)] {
        if let Some(count) = count {
            mark.record(name, count);
        }
    }
}
