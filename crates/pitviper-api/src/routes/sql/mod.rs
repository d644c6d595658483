//! Read-only SQL.

use std::sync::{Arc, OnceLock};

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};
use pitviper_query::views::Answer;
use pitviper_query::views::sql::{self as view, Cut, Request, SqlData, SqlViews};

use crate::extract::Body;
use crate::problem::Problem;
use crate::state::Api;

/// The content type of rows as CSV.
const CSV: &str = "text/csv; charset=utf-8; header=present";

/// Says why rows were left out of an answer that has no other place for it.
const TRUNCATED: &str = "x-truncated";

/// Answers a read-only statement over the views.
///
/// One `SELECT`, `WITH`, `VALUES`, `EXPLAIN`, `SHOW TABLES` or `DESCRIBE`; the views show what begins
/// between `from` and `to`. With `Accept: text/csv` the rows come as CSV, and the header `X-Truncated`
/// says when some were left out.
#[utoipa::path(
    post, path = "/api/v1/sql", tag = "sql", operation_id = "querySql",
    request_body = Request,
    responses(
        (status = 200, description = "The rows", content((Answer<SqlData> = "application/json"), (String = "text/csv"))),
        (status = 400, description = "The statement or a parameter is not usable; `errors` says where, and what may have been meant", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "The statement took too long", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn sql(
    State(api): State<Api>,
    headers: HeaderMap,
    Body(request): Body<Request>,
) -> Result<Response, Problem> {
    if !wants_csv(&headers) {
        return api.answer(async move |store, now_us| view::sql(store, &request, now_us).await).await;
    }
    let cut: Arc<OnceLock<Cut>> = Arc::default();
    let seen = Arc::clone(&cut);
    let ask = async move |store: &dyn pitviper_store::Store, now_us: i64| {
        let answer = view::sql(store, &request, now_us).await?;
        if let Some(cut) = answer.data.truncated {
            let _ = seen.set(cut);
        }
        Ok(answer)
    };
    let mut response = api.render(CSV, ask, |answer| view::csv(&answer.data)).await?;
    if let Some(cut) = cut.get() {
        response.headers_mut().insert(TRUNCATED, HeaderValue::from_static(cut.as_str()));
    }
    Ok(response)
}

/// Whether CSV is asked for by name.
fn wants_csv(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/csv")))
}

/// The views that statements can name, with their columns, and what a statement may take.
#[utoipa::path(
    get, path = "/api/v1/sql/views", tag = "sql", operation_id = "listSqlViews",
    responses((status = 200, description = "The views", body = Answer<SqlViews>))
)]
pub(crate) async fn views(State(api): State<Api>) -> Result<Response, Problem> {
    api.answer(async move |_, _| Ok(view::views())).await
}
