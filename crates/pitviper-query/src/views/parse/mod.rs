//! What a query is made of, for the search bar.

use serde::Deserialize;
use utoipa::ToSchema;

use super::{Answer, Meta};
use crate::search::Analysis;

/// The query to take apart.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ParseRequest)]
pub struct Request {
    /// The query, right or wrong.
    pub query: String,
}

/// Takes a query apart. A query with errors is answered like any other.
#[must_use]
pub fn parse(request: &Request) -> Answer<Analysis> {
    Answer { data: Analysis::of(&request.query), meta: Meta::exact() }
}
