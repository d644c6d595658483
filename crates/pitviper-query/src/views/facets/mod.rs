//! Facets: which keys the matching spans have, and which values.
//!
//! They are counted over the newest matching spans, up to a bound; where these lie far apart, over some
//! of them. A query that only names a service,
//! an environment, a kind or a name has those keys counted exactly, from the metrics.

mod count;
mod exact;
mod known;
mod sample;

use pitviper_store::{Store, TimeRange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(super) use self::count::{Counts, Key, KeyCounts, ValueCount};
pub(super) use self::sample::Effort;
use super::{Answer, Meta, Window, facts};
use crate::QueryError;
use crate::search::{Query, SpanSet};
use crate::time::TimeText;

/// Most spans that are looked at.
pub const SAMPLE_SPANS: usize = 2_000;

/// Values of a key when the caller does not say.
const DEFAULT_LIMIT: u32 = 10;

/// Most values of a key.
pub const MAX_LIMIT: u32 = 100;

/// Most keys a caller may name.
const MAX_KEYS_ASKED: usize = 200;

/// Which spans, and how much of them.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FacetsRequest)]
pub struct Request {
    /// The search; everything when empty.
    #[serde(default)]
    pub query: String,
    /// Start: microseconds, ISO 8601 or `now-15m`; an hour ago by default.
    pub from: Option<TimeText>,
    /// End; now by default.
    pub to: Option<TimeText>,
    /// Only these keys, at most 200; all when missing.
    pub keys: Option<Vec<String>>,
    /// Most values of each key, at most 100; 10 by default.
    pub limit: Option<u32>,
}

/// What the matching spans have.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Facets {
    /// How many spans were looked at, of the newest ones.
    pub sample: usize,
    /// Whether more spans match than were looked at.
    pub sampled: bool,
    /// How many spans match; null when that is not known.
    #[schema(required)]
    pub spans: Option<u64>,
    /// The keys: reserved fields, then attributes of spans and those of their processes, what most
    /// spans have first. Keys whose value is another on every span come last.
    pub keys: Vec<Facet>,
}

/// A key that matching spans have.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Facet {
    /// The key as it is written in a search, without the colon.
    pub key: String,
    /// Where it comes from.
    pub source: Source,
    /// What most of its values are.
    #[serde(rename = "type")]
    pub value_type: ValueType,
    /// How many spans have it.
    pub count: u64,
    /// The share of spans that have it, 0 to 1.
    pub share: f64,
    /// How many different values it has.
    pub distinct: usize,
    /// Whether the figures are of all matching spans rather than of those that were looked at.
    pub exact: bool,
    /// Whether its value is another on every span, as that of an id.
    pub unique: bool,
    /// Its most frequent values.
    pub top: Vec<FacetValue>,
}

/// A value of a key.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FacetValue {
    /// The value as text; long text is cut.
    pub value: String,
    /// The term that finds it.
    pub term: String,
    /// How many spans have it.
    pub count: u64,
}

/// Where a key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// It is a field of every span.
    Reserved,
    /// An attribute of spans.
    Span,
    /// An attribute of the process that sent the span.
    Resource,
}

/// What a key's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ValueType {
    /// Text, or lists and the like, whose text is compared.
    String,
    /// A number.
    Number,
    /// True or false.
    Bool,
}

/// What the spans that match have.
///
/// # Errors
/// [`QueryError::Syntax`] when the query is not in the language; also when a parameter is not usable
/// or the store fails.
pub async fn facets(store: &dyn Store, request: &Request, now_us: i64) -> Result<Answer<Facets>, QueryError> {
    let limit = request.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        let message = format!("has to be between 1 and {MAX_LIMIT}");
        return Err(QueryError::Parameter { parameter: "limit", message });
    }
    let asked = request.keys.as_deref();
    if asked.is_some_and(|keys| keys.len() > MAX_KEYS_ASKED) {
        let message = format!("holds more than {MAX_KEYS_ASKED} keys");
        return Err(QueryError::Parameter { parameter: "keys", message });
    }
    let query = Query::parse(&request.query)?;
    let mut warnings = query.warnings();
    let window = Window::new(request.from.as_ref(), request.to.as_ref(), now_us)?;
    let counts = counted(store, &query, window.range, Effort::FULL, true).await?;
    if counts.left_out {
        warnings.push("there are too many keys or values; some were left out".to_owned());
    }
    let is_asked =
        |key: &Key| asked.is_none_or(|asked| asked.iter().any(|asked| *asked == key.written() || *asked == key.name()));
    let keys = counts.keys.iter().filter(|counts| is_asked(&counts.key)).map(|counts| facet(counts, limit as usize));
    let data = Facets { sample: counts.sample, sampled: counts.sampled, spans: counts.spans, keys: keys.collect() };
    Ok(Answer { meta: Meta { exact: !data.sampled, warnings, ..Meta::over(&window) }, data })
}

/// Counts what the spans have that a query means. With `exact`, counts that the metrics have stand in place
/// of those of a sample.
async fn counted(
    store: &dyn Store,
    query: &Query,
    range: TimeRange,
    effort: Effort,
    exact: bool,
) -> Result<Counts, QueryError> {
    let mut query = query.clone();
    facts::resolve(store, &mut query, range).await?;
    let mut counts = sample::count(store, &query, range, effort).await?;
    counts.sampled |= query.is_cut();
    // Of all that matches nothing more is to be learnt, and the metrics know nothing of structure.
    if let (true, Some(filter)) = (counts.sampled && exact, query.filter()) {
        exact::replace(store, &filter, range, &mut counts).await?;
    }
    Ok(counts)
}

/// Counts what the spans have for which a condition holds. Of all spans, what the store knows of them is
/// told as well.
pub(super) async fn counted_where(
    store: &dyn Store,
    condition: Option<crate::search::Expr>,
    range: TimeRange,
    effort: Effort,
    exact: bool,
) -> Result<Counts, QueryError> {
    let is_of_all = condition.is_none();
    let query = Query { spans: SpanSet::Matching(condition), pipes: Vec::new() };
    let mut counts = counted(store, &query, range, effort, exact).await?;
    if is_of_all && counts.sampled {
        counts.add_known(store.known_attributes(range).await?);
    }
    Ok(counts)
}

fn facet(counts: &KeyCounts, limit: usize) -> Facet {
    let value =
        |value: &ValueCount| FacetValue { value: value.shown(), term: counts.key.term(value), count: value.count };
    Facet {
        key: counts.key.written(),
        source: counts.source,
        value_type: counts.value_type,
        count: counts.count,
        share: counts.share,
        distinct: counts.distinct,
        exact: counts.exact,
        unique: counts.unique,
        top: counts.values.iter().take(limit).map(value).collect(),
    }
}
