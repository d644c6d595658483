//! Search for traces and spans.

use axum::extract::State;
use axum::response::Response;
use futures::StreamExt as _;
use futures::channel::mpsc;
use http::{HeaderMap, header};
use pitviper_query::views::search::{self as view, News, Progress, Request, SearchRow};
use pitviper_query::views::{Answer, Meta};
use serde::Serialize;
use utoipa::ToSchema;

use crate::extract::Body;
use crate::problem::Problem;
use crate::state::Api;
use crate::streams::{Lines, NDJSON};
use crate::work::mark_read;

/// News that wait to be written to a client.
const NEWS_WAITING: usize = 1;

/// A line of a search that is told while it runs.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum SearchLine {
    /// The next row, in order.
    Row(SearchRow),
    /// How far the search came, now and then.
    Progress(Progress),
    /// The last line: the search has ended.
    End(SearchEnd),
    /// The last line: the search failed. The rows before it are right.
    Error(SearchFailure),
}

/// How a search ended.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SearchEnd {
    /// The cursor of the next page; null when there is none.
    #[schema(required)]
    pub next: Option<String>,
    /// How many rows there were.
    pub rows: u64,
    /// What an answer as a whole says beside its rows.
    pub meta: Meta,
}

/// Why a search failed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SearchFailure {
    /// The same as an answer that is no success has.
    pub problem: Problem,
}

/// One page of the traces or spans that match a query.
///
/// With `Accept: application/x-ndjson` it is told line by line while it runs: each row as soon as it
/// is certain that none comes before it, now and then how far the search came, and a last line of type
/// `end` or `error`. A search ends when its client goes away.
#[utoipa::path(
    post, path = "/api/v1/spans/search", tag = "traces", operation_id = "searchSpans",
    request_body = Request,
    responses(
        (
            status = 200, description = "The rows, and in `meta.next` the cursor of the next page",
            content((Answer<Vec<SearchRow>> = "application/json"), (SearchLine = "application/x-ndjson"))
        ),
        (status = 400, description = "The query or a parameter is not usable", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn search(
    State(api): State<Api>,
    headers: HeaderMap,
    Body(request): Body<Request>,
) -> Result<Response, Problem> {
    let in_lines =
        headers.get_all(header::ACCEPT).iter().any(|accept| accept.to_str().is_ok_and(|text| text.contains(NDJSON)));
    if !in_lines {
        return api.answer(async move |store, now_us| view::search(store, &request, now_us).await).await;
    }
    let started = std::time::Instant::now();
    api.stream(async move |store, now_us, lines| {
        let (teller, news) = mpsc::channel(NEWS_WAITING);
        let search = view::search_telling(store, &request, now_us, teller);
        let (ended, rows) = futures::join!(search, write(news, &lines));
        mark_read(ended.as_ref().ok().and_then(|meta| meta.scanned), Some(rows));
        let meta = Meta { elapsed_ms: started.elapsed().as_millis() as u64, ..ended? };
        lines.put(&SearchLine::End(SearchEnd { next: meta.next.clone().flatten(), rows, meta })).await;
        Ok(())
    })
    .await
}

/// Writes news until there are no more; how many rows they had.
async fn write(mut news: mpsc::Receiver<News>, lines: &Lines) -> u64 {
    let mut count = 0;
    while let Some(news) = news.next().await {
        match news {
            News::Progress(progress) => {
                // Said now, as nobody may wait for the end.
                mark_read(Some(progress.looked_at), Some(progress.rows));
                lines.put(&SearchLine::Progress(progress)).await;
            }
            News::Rows(rows) => {
                count += rows.len() as u64;
                mark_read(None, Some(count));
                for row in rows {
                    lines.put(&SearchLine::Row(row)).await;
                }
            }
        }
    }
    count
}
