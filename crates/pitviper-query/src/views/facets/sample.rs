//! The newest spans that a query means, up to a bound.

use std::time::{Duration, Instant};

use pitviper_store::filter::Filter;
use pitviper_store::{Cursor, Order, Search, Store, StoredSpan, TimeRange};

use super::SAMPLE_SPANS;
use crate::QueryError;
use crate::search::Query;
use crate::views::search::newest_matching;

/// Spans that are read first: where even they take long, they have to do.
const FIRST_SPANS: usize = 200;

/// How long spans are looked for; what is under way then is finished.
const SAMPLE_TIME: Duration = Duration::from_secs(1);

/// Spans that a query means.
pub(super) struct Sample {
    /// The newest first.
    pub(super) spans: Vec<StoredSpan>,
    /// Whether there are more.
    pub(super) sampled: bool,
}

/// Reads the newest spans that the query means.
pub(super) async fn read(store: &dyn Store, query: &Query, range: TimeRange) -> Result<Sample, QueryError> {
    match query.filter() {
        Some(filter) => plain(store, filter, range).await,
        None => {
            let (spans, is_all) = newest_matching(store, query, range, SAMPLE_SPANS, SAMPLE_TIME).await?;
            Ok(Sample { spans, sampled: !is_all })
        }
    }
}

async fn plain(store: &dyn Store, filter: Filter, range: TimeRange) -> Result<Sample, QueryError> {
    let started = Instant::now();
    let mut search = Search { range, filter, order: Order::NewestFirst, limit: FIRST_SPANS, after: None };
    let mut spans = store.search_spans(&search).await?;
    if spans.len() < FIRST_SPANS {
        return Ok(Sample { spans, sampled: false });
    }
    if started.elapsed() >= SAMPLE_TIME {
        return Ok(Sample { spans, sampled: true });
    }
    search.after = spans.last().map(|last| Cursor {
        value: i64::try_from(last.span.start_time_unix_nano).unwrap_or(i64::MAX),
        trace_id: last.span.trace_id,
        span_id: last.span.span_id,
    });
    // One more than is counted tells whether there are more.
    search.limit = SAMPLE_SPANS - FIRST_SPANS + 1;
    spans.extend(store.search_spans(&search).await?);
    let sampled = spans.len() > SAMPLE_SPANS;
    spans.truncate(SAMPLE_SPANS);
    Ok(Sample { spans, sampled })
}
