//! Completion: what can be written at one place of a query.
//!
//! Where the cursor is, the parser says ([`Place`]); which keys and values there are, a sample of the
//! spans that match the rest of the query; and whether an offer is any good, the parser again: what
//! would leave the query with more errors than it has is not offered.

mod cache;
mod keys;
mod rank;
mod syntax;
mod values;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join;
use pitviper_store::{FunctionName, FunctionNames, Store, TimeRange};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub use self::cache::FacetCache;
use super::facets::{Counts, Effort, Key, counted_where};
use super::{Answer, Meta, Window};
use crate::QueryError;
use crate::search::{Expects, Expr, Field, Matcher, Place, Query, SpanSet, Subject, Text, combine, error_count};
use crate::time::TimeText;

/// Items when the caller does not say.
const DEFAULT_LIMIT: u32 = 20;

/// Most items of an answer.
pub const MAX_LIMIT: u32 = 100;

/// Most items that are tried out for one answer, and how long they are.
const MAX_TRIALS: usize = 500;
const TRIAL_TIME: Duration = Duration::from_millis(500);

/// Letters that have to be written before values are looked for that the sample does not have.
const LOOK_FOR_LETTERS: usize = 2;

/// What is done for a sample of the spans that match the rest of the query: a keystroke waits for it.
const SAMPLE: Effort = Effort { time: Duration::from_millis(12), pages: 48 };

/// What is done for values that begin so: a few of them are enough.
const LOOK_FOR: Effort = Effort { time: Duration::from_millis(12), pages: 16 };

/// Most functions that are looked through for one answer, and how long they are looked for.
const MAX_FUNCTIONS: usize = 2_000;
const FUNCTIONS_TIME: Duration = Duration::from_millis(50);

/// Behind a condition in the cache: only the sample was counted. No query ends so.
const SAMPLE_ONLY: &str = " |";

/// Start and end of the range are moved outwards to whole minutes, so that the range of the next
/// keystroke is the same one.
const RANGE_GRAIN_NS: i64 = 60_000_000_000;

/// Which query, and where in it.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The query as far as it is written.
    #[serde(default)]
    pub query: String,
    /// Where the cursor is, in UTF-16 code units; at the end by default.
    pub cursor: Option<usize>,
    /// Start: microseconds, ISO 8601 or `now-15m`; an hour ago by default.
    #[param(value_type = Option<String>)]
    pub from: Option<TimeText>,
    /// End; now by default.
    #[param(value_type = Option<String>)]
    pub to: Option<TimeText>,
    /// Most items, at most 100; 20 by default.
    pub limit: Option<u32>,
}

/// What can be written at the cursor.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Completion {
    /// From where to where an item's text replaces what is written, in UTF-16 code units.
    pub replace: (usize, usize),
    /// The best one first.
    pub items: Vec<Item>,
}

/// What can be written.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Item {
    /// The text to put in place.
    pub insert: String,
    /// What it is.
    pub kind: ItemKind,
    /// Of a key, what its values are.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub value_type: Option<ItemType>,
    /// A remark for the user; empty when there is nothing to say.
    pub detail: String,
    /// How many spans have it, where that is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Where in the text the cursor goes, in UTF-16 code units; behind it when missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caret: Option<usize>,
}

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ItemKind {
    /// A field's name with its colon.
    Key,
    /// A value.
    Value,
    /// What compares or relates.
    Op,
    /// A word with a meaning of its own.
    Keyword,
    /// A function of a trace's spans.
    Function,
}

/// What the values of a key are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ItemType {
    /// Text.
    String,
    /// A number.
    Number,
    /// True or false.
    Bool,
    /// Time with a unit.
    Duration,
}

/// What can be written at the cursor, which depends on what the spans have that match the rest.
///
/// A query with errors is completed with what can be read of it; one that is too long gets no items.
///
/// # Errors
/// When a parameter is not usable or the store fails.
pub async fn complete(
    store: &dyn Store,
    cache: &FacetCache,
    request: &Request,
    now_us: i64,
) -> Result<Answer<Completion>, QueryError> {
    let limit = request.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        let message = format!("has to be between 1 and {MAX_LIMIT}");
        return Err(QueryError::Parameter { parameter: "limit", message });
    }
    let window = Window::new(request.from.as_ref(), request.to.as_ref(), now_us)?;
    let text = request.query.as_str();
    let cursor = bytes_at(text, request.cursor.unwrap_or(usize::MAX));
    let Some(mut place) = Place::of(text, cursor) else {
        let at = units(text, cursor);
        return Ok(Answer { data: Completion { replace: (at, at), items: Vec::new() }, meta: Meta::over(&window) });
    };
    let sampler = Sampler { store, cache, range: rounded(window.range), now_us };
    let mut looked_for = None;
    let counts = match &place.expects {
        Expects::Term(_) | Expects::Argument => sampler.counts(place.rest.clone(), SAMPLE, false).await?,
        Expects::Value(value) if matches!(value.subject, Subject::Text(_) | Subject::Kind | Subject::Status) => {
            let exact = metrics_know(&value.subject);
            let counting = sampler.counts(place.rest.clone(), SAMPLE, exact);
            match begun_value(&place) {
                // Nothing is known yet, so that both are counted at once: one may wait for the disk while
                // the other works.
                Some(begun) if !sampler.knows(&place.rest, exact) => {
                    let (counts, found) = join(counting, sampler.looked_for(&place, begun)).await;
                    looked_for = Some(found);
                    counts?
                }
                _ => counting.await?,
            }
        }
        _ => Arc::default(),
    };
    let exact = !counts.sampled;
    let mut offers = match &place.expects {
        Expects::Value(value) if value.subject == Subject::Function && !value.compared => {
            let names = sampler.function_names(&values::wanted(&place.written)).await?;
            values::functions(&place.written, names)
        }
        _ => self::offers(&mut place, &counts),
    };
    if let Some(begun) = begun_value(&place).filter(|begun| !begun.is_known_to(&counts)) {
        let found = match looked_for {
            Some(found) => found?,
            None => sampler.looked_for(&place, begun).await?,
        };
        if found.sample > 0 {
            offers = self::offers(&mut place, &found);
            // Shares would be of the spans that have such a value.
            offers.iter_mut().for_each(|offer| offer.item.detail.clear());
        }
    }
    let items = tried(text, place.replace, offers, limit as usize);
    let replace = (units(text, place.replace.0), units(text, place.replace.1));
    Ok(Answer { data: Completion { replace, items }, meta: Meta { exact, ..Meta::over(&window) } })
}

/// Whether the metrics have exact counts of the values.
fn metrics_know(subject: &Subject) -> bool {
    match subject {
        Subject::Text(field) => matches!(field, Field::Service | Field::Name | Field::Environment | Field::Version),
        subject => *subject == Subject::Kind,
    }
}

/// Counts what spans have, or remembers it.
struct Sampler<'a> {
    store: &'a dyn Store,
    cache: &'a FacetCache,
    range: TimeRange,
    now_us: i64,
}

impl Sampler<'_> {
    /// Counts what the spans have for which the condition holds; with the exact counts that the metrics
    /// have, if these are wanted, which take longer.
    async fn counts(&self, condition: Option<Expr>, effort: Effort, exact: bool) -> Result<Arc<Counts>, QueryError> {
        let text = text_of(&condition);
        if let Some(known) = self.known(&text, exact) {
            return Ok(known);
        }
        let counts = counted_where(self.store, condition, self.range, effort, exact).await?;
        let counts = Arc::new(counts);
        let text = if exact { text } else { text + SAMPLE_ONLY };
        self.cache.put(text, self.range, self.now_us, &counts);
        Ok(counts)
    }

    /// Whether counting costs nothing.
    fn knows(&self, condition: &Option<Expr>, exact: bool) -> bool {
        self.known(&text_of(condition), exact).is_some()
    }

    fn known(&self, text: &str, exact: bool) -> Option<Arc<Counts>> {
        let get = |text: &str| self.cache.get(text, self.range, self.now_us);
        get(text).or_else(|| if exact { None } else { get(&[text, SAMPLE_ONLY].concat()) })
    }

    /// Names of functions that were sampled on the days of the range.
    async fn function_names(&self, contains: &str) -> Result<Vec<FunctionName>, QueryError> {
        let (contains, limit, time) = (contains.to_owned(), MAX_FUNCTIONS, FUNCTIONS_TIME);
        Ok(self.store.function_names(&FunctionNames { range: self.range, contains, limit, time }).await?)
    }

    /// Counts what the spans have that have a value which begins so.
    async fn looked_for(&self, place: &Place, begun: Begun<'_>) -> Result<Arc<Counts>, QueryError> {
        let condition = combine(place.rest.clone().into_iter().chain([begun.condition()]).collect(), Expr::And);
        self.counts(condition, LOOK_FOR, false).await
    }
}

fn text_of(condition: &Option<Expr>) -> String {
    Query { spans: SpanSet::Matching(condition.clone()), pipes: Vec::new() }.to_string()
}

/// What may be offered before it is tried out.
struct Offer {
    item: Item,
    /// What has to be written behind it before it says anything.
    needs: &'static str,
}

impl Offer {
    fn new(kind: ItemKind, insert: impl Into<String>, detail: impl Into<String>) -> Self {
        let (insert, detail) = (insert.into(), detail.into());
        Self { item: Item { insert, kind, value_type: None, detail, count: None, caret: None }, needs: "" }
    }

    fn needs(mut self, needs: &'static str) -> Self {
        self.needs = needs;
        self
    }

    fn of_type(mut self, value_type: ItemType) -> Self {
        self.item.value_type = Some(value_type);
        self
    }

    fn count(mut self, count: u64) -> Self {
        self.item.count = Some(count);
        self
    }

    fn caret(mut self, caret: usize) -> Self {
        self.item.caret = Some(caret);
        self
    }
}

/// What may be written at a place, the best first. Moves to the field's name where nothing is known
/// of the field and the name is probably a slip.
fn offers(place: &mut Place, counts: &Counts) -> Vec<Offer> {
    match &place.expects {
        Expects::Term(term) => keys::terms(&place.written, *term, counts),
        Expects::Value(value) => {
            let repairs = keys::repairs(value, counts);
            if place.written.is_empty() && !repairs.is_empty() {
                place.replace = value.key;
                return repairs;
            }
            values::values(&place.written, value, counts)
        }
        Expects::Relation => syntax::relations(&place.written),
        Expects::Function { is_called } => syntax::functions(&place.written, *is_called),
        Expects::Argument => syntax::argument(&place.written, counts),
        Expects::Comparison { counts } => syntax::comparisons(*counts),
        Expects::Number { counts } => syntax::numbers(&place.written, *counts),
        Expects::Nothing => Vec::new(),
    }
}

/// A value of which the beginning is written.
struct Begun<'a> {
    field: &'a Field,
    begin: String,
}

/// The value whose beginning is written, where enough is to look for it.
fn begun_value(place: &Place) -> Option<Begun<'_>> {
    let Expects::Value(value) = &place.expects else { return None };
    let Subject::Text(field) = &value.subject else { return None };
    let begin = values::wanted(&place.written);
    (!value.compared && begin.chars().count() >= LOOK_FOR_LETTERS).then_some(Begun { field, begin })
}

impl Begun<'_> {
    /// What the values have in common that are meant.
    fn condition(&self) -> Expr {
        Expr::Field(self.field.clone(), Matcher::Text(Text::Wildcard(format!("{}*", self.begin))))
    }

    /// Whether one of them was counted, or there is no other value than those that were.
    fn is_known_to(&self, counts: &Counts) -> bool {
        let of_key = Key::of(self.field).and_then(|key| counts.get(&key));
        let has_all = !counts.sampled && of_key.is_none_or(|counts| counts.values.len() == counts.distinct);
        has_all || of_key.into_iter().flat_map(|counts| &counts.values).any(|value| rank::has(&self.begin, &value.text))
    }
}

/// The offers that leave the query with no more errors than it has.
fn tried(text: &str, replace: (usize, usize), offers: Vec<Offer>, limit: usize) -> Vec<Item> {
    let started = Instant::now();
    let before = error_count(text);
    let (head, tail) = (&text[..replace.0], &text[replace.1..]);
    let is_good = |offer: &Offer| {
        let passes = |needs: &str| error_count(&[head, &offer.item.insert, needs, tail].concat()) <= before;
        passes("") || !offer.needs.is_empty() && passes(offer.needs)
    };
    let in_time = |_: &Offer| started.elapsed() < TRIAL_TIME;
    let good = offers.into_iter().take(MAX_TRIALS).take_while(in_time).filter(is_good);
    good.map(|offer| offer.item).take(limit).collect()
}

fn rounded(range: TimeRange) -> TimeRange {
    let floor = |time: i64| time.div_euclid(RANGE_GRAIN_NS).saturating_mul(RANGE_GRAIN_NS);
    TimeRange { start_ns: floor(range.start_ns), end_ns: floor(range.end_ns.saturating_add(RANGE_GRAIN_NS - 1)) }
}

/// The place in bytes of a place in UTF-16 code units; within a character, the place before it.
fn bytes_at(text: &str, units: usize) -> usize {
    let mut before = 0;
    for (at, character) in text.char_indices() {
        before += character.len_utf16();
        if before > units {
            return at;
        }
    }
    text.len()
}

/// The UTF-16 code units before a place in bytes.
fn units(text: &str, bytes: usize) -> usize {
    text.get(..bytes).unwrap_or(text).encode_utf16().count()
}

#[cfg(test)]
mod tests;
