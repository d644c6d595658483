//! What the newest spans have that a query means, up to a bound.

use std::time::Duration;

use pitviper_store::questions::survey::Survey;
use pitviper_store::{Store, TimeRange};

use super::SAMPLE_SPANS;
use super::count::{Counts, MAX_KEYS, MAX_VALUES};
use crate::QueryError;
use crate::search::Query;
use crate::views::search::newest_matching;

/// How long spans are looked for; those that were not found by then are left out.
const SAMPLE_TIME: Duration = Duration::from_secs(2);

/// How much is done for a sample.
#[derive(Debug, Clone, Copy)]
pub(in crate::views) struct Effort {
    /// How long more spans are looked for once there are any.
    pub(in crate::views) time: Duration,
    /// Most pages of the store whose attributes are read.
    pub(in crate::views) pages: usize,
}

impl Effort {
    /// What a person waits for who has asked for facets.
    pub(in crate::views) const FULL: Self = Self { time: SAMPLE_TIME, pages: 48 };
}

/// Counts what the newest spans have that the query means. Where the store can answer from its columns, no
/// span is read.
pub(super) async fn count(
    store: &dyn Store,
    query: &Query,
    range: TimeRange,
    effort: Effort,
) -> Result<Counts, QueryError> {
    let Some(filter) = query.filter() else {
        let (spans, is_all) = newest_matching(store, query, range, SAMPLE_SPANS, SAMPLE_TIME).await?;
        return Ok(Counts::of(&spans, !is_all));
    };
    let survey = Survey {
        range,
        filter,
        limit: SAMPLE_SPANS,
        time: effort.time,
        // Nothing is a poor sample, however long it took to find.
        time_for_nothing: SAMPLE_TIME,
        max_pages: effort.pages,
        max_attributes: MAX_KEYS,
        max_values: MAX_VALUES,
    };
    Ok(Counts::of_survey(store.survey(&survey).await?))
}
