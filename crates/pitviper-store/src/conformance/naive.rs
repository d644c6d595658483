//! A store that is a list: every question is answered by going through all that was written, in the
//! plainest way the documentation of [`Store`](crate::Store) and [`Filter`] allows. Nothing here is
//! shared with a real store but the types of questions and answers.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use pitviper_model::{SpanId, TraceId, Value};

use super::plain_metrics::{is_in_scope, labels};
use crate::filter::{Bound, Filter, NumberField, NumberRange, TextField, TextMatch};
use crate::schema::{METRIC_BUCKET_NS, SpanMetricKey, SpanMetricsBuilder, SpansBuilder, WriteBatch};
use crate::store::{
    Cursor, MetricRow, MetricsQuery, Order, Red, ResourceSeen, Search, StoredSpan, TimeRange, TraceHit,
};

/// All that was written.
#[derive(Debug, Default)]
pub struct Naive {
    spans: Vec<StoredSpan>,
    metrics: Vec<(SpanMetricKey, Red)>,
}

impl Naive {
    /// Takes note of a write, and returns it for the store that is compared. A span that was written
    /// before is the same span, and counts once.
    pub fn write(&mut self, spans: &[StoredSpan], metrics: &[(SpanMetricKey, Red)]) -> WriteBatch {
        let mut span_rows = SpansBuilder::with_capacity(spans.len());
        for stored in spans {
            span_rows.append(&stored.resource, &stored.scope, &stored.span);
            let id = (stored.span.trace_id, stored.span.span_id);
            if !self.spans.iter().any(|known| (known.span.trace_id, known.span.span_id) == id) {
                self.spans.push(stored.clone());
            }
        }
        let mut metric_rows = SpanMetricsBuilder::new();
        for (key, red) in metrics {
            metric_rows.append(key, red);
        }
        self.metrics.extend_from_slice(metrics);
        WriteBatch::new(span_rows, metric_rows)
    }

    /// The distinct spans.
    #[must_use]
    pub fn spans(&self) -> &[StoredSpan] {
        &self.spans
    }

    /// Spans that match, in order, without the limit.
    pub(super) fn search_spans(&self, search: &Search) -> Vec<&StoredSpan> {
        let mut found: Vec<&StoredSpan> = self
            .spans
            .iter()
            .filter(|stored| in_range(stored, search.range) && holds(&search.filter, stored))
            .collect();
        found.sort_by(|left, right| compare(search.order, &place(search.order, left), &place(search.order, right)));
        if let Some(after) = search.after {
            found.retain(|stored| compare(search.order, &place(search.order, stored), &after).is_gt());
        }
        found
    }

    /// Traces with spans that match, in order, without the limit.
    pub(super) fn search_traces(&self, search: &Search) -> Vec<TraceHit> {
        let all = Search { after: None, ..search.clone() };
        let mut hits: Vec<TraceHit> = Vec::new();
        for stored in self.search_spans(&all) {
            let (trace_id, span_id) = (stored.span.trace_id, stored.span.span_id);
            let hit = match hits.iter().position(|hit| hit.trace_id == trace_id) {
                Some(at) => &mut hits[at],
                None => {
                    let cursor = Cursor { span_id: SpanId::INVALID, ..place(search.order, stored) };
                    hits.push(TraceHit { trace_id, matched: Vec::new(), matched_count: 0, cursor });
                    hits.last_mut().expect("one was just added")
                }
            };
            hit.matched_count += 1;
            if hit.matched.len() < TraceHit::MAX_MATCHED {
                hit.matched.push(span_id);
            }
        }
        if let Some(after) = search.after {
            let after = Cursor { span_id: SpanId::INVALID, ..after };
            hits.retain(|hit| compare(search.order, &hit.cursor, &after).is_gt());
        }
        hits
    }

    /// The spans of a trace by start time.
    pub(super) fn trace(&self, trace_id: TraceId) -> Vec<&StoredSpan> {
        let of_trace = Filter::Trace(trace_id);
        let search =
            Search { range: TimeRange::ALL, filter: of_trace, order: Order::OldestFirst, limit: 0, after: None };
        self.search_spans(&search)
    }

    /// Rate, errors and durations by labels, then step.
    pub(super) fn metrics(&self, query: &MetricsQuery) -> Vec<MetricRow> {
        let bucket = |time_ns: i64| time_ns.div_euclid(METRIC_BUCKET_NS).saturating_mul(METRIC_BUCKET_NS);
        let (start, end) = (bucket(query.range.start_ns), bucket(query.range.end_ns));
        let mut sums: BTreeMap<(Vec<String>, i64), Red> = BTreeMap::new();
        for (key, red) in &self.metrics {
            let is_wanted = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|text| text == value);
            let counts = is_in_scope(key, query.scope);
            if !(counts
                && (start..end).contains(&key.bucket_start_ns)
                && is_wanted(&query.service, &key.service)
                && is_wanted(&query.environment, &key.environment)
                && is_wanted(&query.name, &key.name)
                && query.kind.is_none_or(|kind| kind == key.kind))
            {
                continue;
            }
            let labels = labels(key, &query.group_by);
            let step = query.step_ns.map_or(start, |step| {
                let offset = (i128::from(key.bucket_start_ns) - i128::from(start)) / i128::from(step);
                (i128::from(start) + offset * i128::from(step)) as i64
            });
            sums.entry((labels, step)).or_default().merge(red);
        }
        sums.into_iter().map(|((labels, step_start_ns), red)| MetricRow { labels, step_start_ns, red }).collect()
    }

    /// Processes with spans in the range, in no order.
    pub(super) fn resources(&self, range: TimeRange) -> Vec<ResourceSeen> {
        let mut seen: Vec<ResourceSeen> = Vec::new();
        for stored in self.spans.iter().filter(|stored| in_range(stored, range)) {
            let start = start_ns(stored);
            // By their text, because a number that is none equals nothing.
            let same = |known: &&mut ResourceSeen| format!("{:?}", known.resource) == format!("{:?}", stored.resource);
            let known = match seen.iter_mut().find(same) {
                Some(known) => known,
                None => {
                    let resource = stored.resource.clone();
                    seen.push(ResourceSeen { resource, first_seen_ns: start, last_seen_ns: start, scopes: Vec::new() });
                    seen.last_mut().expect("one was just added")
                }
            };
            known.first_seen_ns = known.first_seen_ns.min(start);
            known.last_seen_ns = known.last_seen_ns.max(start);
            if !known.scopes.iter().any(|scope| format!("{scope:?}") == format!("{:?}", stored.scope)) {
                known.scopes.push(stored.scope.clone());
            }
        }
        seen
    }

    /// The traces there are.
    #[must_use]
    pub fn trace_ids(&self) -> BTreeSet<TraceId> {
        self.spans.iter().map(|stored| stored.span.trace_id).collect()
    }
}

/// Where a span starts, as times of the store.
pub(super) fn start_ns(stored: &StoredSpan) -> i64 {
    i64::try_from(stored.span.start_time_unix_nano).unwrap_or(i64::MAX)
}

/// How long it took, as the store counts: beyond 292 years it is 292 years.
pub(super) fn duration_ns(stored: &StoredSpan) -> i64 {
    i64::try_from(stored.span.duration_nano()).unwrap_or(i64::MAX)
}

fn in_range(stored: &StoredSpan, range: TimeRange) -> bool {
    (range.start_ns..range.end_ns).contains(&start_ns(stored))
}

/// The place of a span in an order, as a page that ends with it says.
pub(super) fn place(order: Order, stored: &StoredSpan) -> Cursor {
    let value = match order {
        Order::NewestFirst | Order::OldestFirst => start_ns(stored),
        Order::SlowestFirst => duration_ns(stored),
    };
    Cursor { value, trace_id: stored.span.trace_id, span_id: stored.span.span_id }
}

fn compare(order: Order, left: &Cursor, right: &Cursor) -> Ordering {
    let values = match order {
        Order::OldestFirst => left.value.cmp(&right.value),
        Order::NewestFirst | Order::SlowestFirst => right.value.cmp(&left.value),
    };
    values.then_with(|| (left.trace_id, left.span_id).cmp(&(right.trace_id, right.span_id)))
}

/// Whether a span matches.
#[must_use]
pub fn holds(filter: &Filter, stored: &StoredSpan) -> bool {
    let span = &stored.span;
    match filter {
        Filter::All => true,
        Filter::And(filters) => filters.iter().all(|filter| holds(filter, stored)),
        Filter::Or(filters) => filters.iter().any(|filter| holds(filter, stored)),
        Filter::Not(filter) => !holds(filter, stored),
        Filter::Text(field, wanted) => text_holds(field, wanted, stored),
        Filter::Exists(field) => text_of(field, stored).is_some(),
        Filter::Number(NumberField::DurationNs, range) => whole_number_in(duration_ns(stored), *range),
        Filter::Number(NumberField::Attribute(key), range) => {
            span.attributes.get(key).and_then(Value::as_f64).is_some_and(|number| number_in(number, *range))
        }
        Filter::Kind(kind) => span.kind == *kind,
        Filter::Status(status) => span.status.code == *status,
        Filter::Trace(trace_id) => span.trace_id == *trace_id,
        Filter::Traces(trace_ids) => trace_ids.contains(&span.trace_id),
        Filter::Span(span_id) => span.span_id == *span_id,
        Filter::Spans(span_ids) => span_ids.contains(&span.span_id),
        Filter::Known(spans) => spans.contains(span.trace_id, span.span_id),
        Filter::IsRoot => !span.parent_span_id.is_valid(),
        Filter::IsEntry => span.kind.is_entry(),
        Filter::SlowerThan(limits) => {
            let limit = limits.get(stored.resource.service(), &span.name);
            limit.is_some_and(|limit| duration_ns(stored) >= limit)
        }
        Filter::FullText(text) => {
            let stands_in = |place: &str| place.to_lowercase().contains(&text.to_lowercase());
            stands_in(&span.name)
                || stands_in(stored.resource.service())
                || !span.status.message.is_empty() && stands_in(&span.status.message)
                || span.attributes.iter().any(|(_, value)| stands_in(&value.to_text()))
        }
    }
}

/// The text of a field, when it is there.
fn text_of(field: &TextField, stored: &StoredSpan) -> Option<String> {
    let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    match field {
        TextField::Service => Some(stored.resource.service().to_owned()),
        TextField::Name => Some(stored.span.name.clone()),
        TextField::Environment => filled(stored.resource.environment()),
        TextField::Version => filled(stored.resource.version()),
        TextField::Host => filled(stored.resource.host()),
        TextField::StatusMessage => filled(&stored.span.status.message),
        TextField::Attribute(key) => {
            stored.span.attributes.get(key).or_else(|| stored.resource.attributes.get(key)).map(Value::to_text)
        }
    }
}

fn text_holds(field: &TextField, wanted: &TextMatch, stored: &StoredSpan) -> bool {
    let text = match (text_of(field, stored), field, wanted) {
        (Some(text), ..) => text,
        (None, TextField::Attribute(_), _) | (None, _, TextMatch::Regex(_)) => return false,
        // What a field of its own does not say is an empty text.
        (None, ..) => String::new(),
    };
    match wanted {
        TextMatch::Equals(wanted) => text == *wanted,
        TextMatch::Wildcard(pattern) => fits(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>()),
        TextMatch::Regex(pattern) => pattern.is_match(&text),
    }
}

/// Whether a pattern fits a text: which of its beginnings fit, one character of the text at a time.
fn fits(pattern: &[char], text: &[char]) -> bool {
    let mut fitting = vec![false; pattern.len() + 1];
    fitting[0] = true;
    let skip_stars = |fitting: &mut Vec<bool>| {
        for at in 0..pattern.len() {
            fitting[at + 1] |= fitting[at] && pattern[at] == '*';
        }
    };
    skip_stars(&mut fitting);
    for character in text {
        let mut next = vec![false; pattern.len() + 1];
        for at in 0..pattern.len() {
            match pattern[at] {
                '*' => next[at] |= fitting[at],
                wanted => next[at + 1] |= fitting[at] && wanted == *character,
            }
        }
        skip_stars(&mut next);
        fitting = next;
    }
    fitting[pattern.len()]
}

fn number_in(number: f64, range: NumberRange) -> bool {
    let above = |low: Bound| number > low.value || low.inclusive && number == low.value;
    let below = |high: Bound| number < high.value || high.inclusive && number == high.value;
    range.low.is_none_or(above) && range.high.is_none_or(below)
}

/// Compares without making a float of the number, which could round it onto the bound.
fn whole_number_in(number: i64, range: NumberRange) -> bool {
    let compare = |bound: f64| {
        // Every float beyond these is beyond all numbers.
        let bound = if bound.is_nan() { return None } else { bound.clamp(-2e19, 2e19) };
        let (floor, number) = (bound.floor() as i128, i128::from(number));
        Some(number.cmp(&floor).then(if bound > bound.floor() { Ordering::Less } else { Ordering::Equal }))
    };
    let above = |low: Bound| compare(low.value).is_some_and(|order| order.is_gt() || low.inclusive && order.is_eq());
    let below = |high: Bound| compare(high.value).is_some_and(|order| order.is_lt() || high.inclusive && order.is_eq());
    range.low.is_none_or(above) && range.high.is_none_or(below)
}
