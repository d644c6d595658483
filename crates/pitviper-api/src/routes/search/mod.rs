//! Search for traces and spans.

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, header};
use pitviper_query::views::search::{self as view, Request, SearchRow};
use pitviper_query::views::{Answer, Meta};
use serde::Serialize;

use crate::extract::Body;
use crate::problem::Problem;
use crate::state::Api;

const NDJSON: &str = "application/x-ndjson";

/// One page of the traces or spans that match a query.
///
/// With `Accept: application/x-ndjson` the same rows come one a line, each with `"type":"row"`, and
/// a last line `{"type":"end","next":…}`.
#[utoipa::path(
    post, path = "/api/v1/spans/search", tag = "traces", operation_id = "searchSpans",
    request_body = Request,
    responses(
        (status = 200, description = "The rows, and in `meta.next` the cursor of the next page", body = Answer<Vec<SearchRow>>),
        (status = 400, description = "The query or a parameter is not usable", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn search(
    State(api): State<Api>,
    headers: HeaderMap,
    Body(request): Body<Request>,
) -> Result<Response, Problem> {
    let lines =
        headers.get_all(header::ACCEPT).iter().any(|accept| accept.to_str().is_ok_and(|text| text.contains(NDJSON)));
    let view = async move |store: &dyn pitviper_store::Store, now_us| view::search(store, &request, now_us).await;
    if lines { api.render(NDJSON, view, as_lines).await } else { api.answer(view).await }
}

fn as_lines(answer: &Answer<Vec<SearchRow>>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Line<'a> {
        #[serde(rename = "type")]
        kind: &'static str,
        #[serde(flatten)]
        row: &'a SearchRow,
    }
    #[derive(Serialize)]
    struct End<'a> {
        #[serde(rename = "type")]
        kind: &'static str,
        next: Option<&'a str>,
        meta: &'a Meta,
    }
    let mut out = Vec::new();
    for row in &answer.data {
        serde_json::to_writer(&mut out, &Line { kind: "row", row }).expect("rows hold no map whose keys are not text");
        out.push(b'\n');
    }
    let end = End { kind: "end", next: answer.meta.next.as_ref().and_then(Option::as_deref), meta: &answer.meta };
    serde_json::to_writer(&mut out, &end).expect("meta data holds no map");
    out.push(b'\n');
    out
}
