//! The newest spans that a query means, up to a bound.

use std::time::{Duration, Instant};

use pitviper_store::filter::Filter;
use pitviper_store::{Order, Search, Store, StoredSpan, TimeRange};

use super::SAMPLE_SPANS;
use crate::QueryError;
use crate::search::Query;
use crate::views::search::newest_matching;

/// The newest part of the range is looked at first. It often has enough, and when even it takes long, it
/// has to do.
const NEWEST_PART: u32 = 8;

/// How long spans are looked for: the rest of the range is left out when it would take longer, as the
/// newest part has it.
const SAMPLE_TIME: Duration = Duration::from_secs(2);

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
    let length = range.end_ns.saturating_sub(range.start_ns);
    let middle_ns = range.end_ns - length / i64::from(NEWEST_PART);
    // One more than is counted tells whether there are more.
    let limit = SAMPLE_SPANS + 1;
    let newest = TimeRange { start_ns: middle_ns, ..range };
    let mut search = Search { range: newest, filter, order: Order::NewestFirst, limit, after: None };
    let mut spans = store.search_spans(&search).await?;
    // Nothing is a poor sample, however long it took to find.
    let takes_long = !spans.is_empty() && started.elapsed() * NEWEST_PART > SAMPLE_TIME;
    if spans.len() < limit && !takes_long {
        search.range = TimeRange { end_ns: middle_ns, ..range };
        search.limit = limit - spans.len();
        spans.extend(store.search_spans(&search).await?);
    }
    let sampled = takes_long || spans.len() > SAMPLE_SPANS;
    spans.truncate(SAMPLE_SPANS);
    Ok(Sample { spans, sampled })
}
