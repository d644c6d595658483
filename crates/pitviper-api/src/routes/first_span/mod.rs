//! Tells a waiting browser of the first span, so that nobody has to reload the page.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream};
use http::StatusCode;
use pitviper_store::filter::Filter;
use pitviper_store::{Order, Search, Store, StoreError, StoredSpan, TimeRange};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::problem::Problem;
use crate::state::Api;

/// Most streams that wait at once.
pub(crate) const MAX_WAITING: usize = 64;

/// How often the store is asked.
const POLL_EVERY: Duration = Duration::from_millis(200);

/// How often a waiting client hears that nothing came yet.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Waits for the first span. Every second an event `waiting`; then one event `first_span` with
/// service, name and trace id, and the end. At once when there is a span already.
#[utoipa::path(
    get, path = "/api/v1/first-span", tag = "server", operation_id = "waitForFirstSpan",
    responses(
        (status = 200, description = "Events `waiting` and `first_span`", body = String, content_type = "text/event-stream"),
        (status = 503, description = "Too many clients wait", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn first_span(State(api): State<Api>) -> Response {
    let Ok(permit) = Arc::clone(&api.shared.waiting_streams).try_acquire_owned() else {
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many clients wait for the first span")
            .retry_after(REPORT_EVERY)
            .into_response();
    };
    Sse::new(events(api, permit)).into_response()
}

/// Where a stream stands.
struct Waiting {
    api: Api,
    next_report: Instant,
    _permit: OwnedSemaphorePermit,
}

fn events(api: Api, permit: OwnedSemaphorePermit) -> impl Stream<Item = Result<Event, Infallible>> {
    let waiting = Waiting { api, next_report: Instant::now(), _permit: permit };
    stream::unfold(Some(waiting), async |waiting| {
        let mut waiting = waiting?;
        let mut stopping = waiting.api.shared.config.stopping.clone();
        loop {
            if waiting.api.store().stats().spans > 0 {
                let found = newest(&**waiting.api.store()).await;
                match found {
                    Ok(Some(span)) => return Some((Ok(first(&span)), None)),
                    // Counted and not yet found: ask again.
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!(%error, "the first span could not be read");
                        return None;
                    }
                }
            }
            let now = Instant::now();
            if now >= waiting.next_report {
                waiting.next_report = now + REPORT_EVERY;
                let event = Event::default().event("waiting").data(json!({ "spans_stored": 0 }).to_string());
                return Some((Ok(event), Some(waiting)));
            }
            tokio::select! {
                () = tokio::time::sleep(POLL_EVERY) => {}
                _ = stopping.wait_for(|stopping| *stopping) => return None,
            }
        }
    })
}

/// The latest entry span; any span when there is none.
async fn newest(store: &dyn Store) -> Result<Option<StoredSpan>, StoreError> {
    for filter in [Filter::IsEntry, Filter::All] {
        let search = Search { range: TimeRange::ALL, filter, order: Order::NewestFirst, limit: 1, after: None };
        if let Some(span) = store.search_spans(&search).await?.pop() {
            return Ok(Some(span));
        }
    }
    Ok(None)
}

fn first(stored: &StoredSpan) -> Event {
    let data = json!({
        "service": stored.resource.service(),
        "name": stored.span.name,
        "trace_id": stored.span.trace_id.to_string(),
    });
    Event::default().event("first_span").data(data.to_string())
}
