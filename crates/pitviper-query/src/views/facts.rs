//! What terms of a query mean beyond what a span says of itself, looked up before spans are.

use pitviper_store::{Store, TimeRange};

use super::{sampled, slowest};
use crate::QueryError;
use crate::search::Query;

/// Fills in what the parser does not know: see `slowest` and `sampled`.
pub(super) async fn resolve(store: &dyn Store, query: &mut Query, range: TimeRange) -> Result<(), QueryError> {
    slowest::resolve(store, query, range).await?;
    sampled::resolve(store, query, range).await
}
