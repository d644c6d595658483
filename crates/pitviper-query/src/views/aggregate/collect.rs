//! Where the figures come from: the metrics when they know all that is asked for, the spans otherwise.

use pitviper_model::SpanKind;
use pitviper_store::filter::{Filter, TextField, TextMatch};
use pitviper_store::questions::Distribution;
use pitviper_store::questions::aggregate::{Aggregate, Aggregated, Exemplars, Group, GroupField, Keep, Measure, Tally};
use pitviper_store::{Dimension, MetricRow, MetricsQuery, Red, SpanScope, Store};
use rustc_hash::FxHashMap;
use serde::Serialize;
use utoipa::ToSchema;

use crate::QueryError;
use crate::views::Window;
use crate::views::red::metrics_query;

/// What an answer was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = FigureSource)]
pub enum Source {
    /// The metrics that were counted when spans came in.
    Metrics,
    /// The spans themselves.
    Spans,
}

/// Figures, and what they were made from.
pub(in crate::views) struct Collected {
    pub(in crate::views) figures: Aggregated,
    pub(in crate::views) source: Source,
}

/// The figures of a question over this window, whose range and steps the question has.
pub(in crate::views) async fn collect(
    store: &dyn Store,
    window: &Window,
    question: &Aggregate,
) -> Result<Collected, QueryError> {
    let plan = if question.measure == Measure::Duration { MetricsPlan::of(question, window) } else { None };
    let bucket = store.metric_bucket_ns(window.range);
    if let Some(plan) = plan.filter(|_| is_on_buckets(window, bucket)) {
        let rows = store.metrics(&plan.query).await?;
        return Ok(Collected { figures: plan.figures(&rows, question, window), source: Source::Metrics });
    }
    Ok(Collected { figures: store.aggregate(question).await?, source: Source::Spans })
}

/// Whether the ends of the range and of each step are ends of buckets.
fn is_on_buckets(window: &Window, bucket_ns: i64) -> bool {
    let is_end = |time: i64| time.rem_euclid(bucket_ns) == 0;
    is_end(window.range.start_ns) && is_end(window.range.end_ns) && window.step_ns.is_none_or(is_end)
}

/// A question to the metrics, and what is left to be asked of their labels.
struct MetricsPlan {
    query: MetricsQuery,
    /// Conditions that the labels of a row have to pass.
    conditions: Vec<Filter>,
    /// How many of the labels make groups; others are only for the conditions.
    fields: usize,
}

impl MetricsPlan {
    /// `None` when the metrics do not know what is asked for.
    fn of(question: &Aggregate, window: &Window) -> Option<Self> {
        let mut group_by = Vec::new();
        for field in &question.group_by {
            group_by.push(dimension(field)?);
        }
        let mut plan = Self { query: metrics_query(window), conditions: Vec::new(), fields: group_by.len() };
        let conditions = match &question.filter {
            Filter::And(parts) => parts.as_slice(),
            other => std::slice::from_ref(other),
        };
        for condition in conditions.iter().flat_map(flat) {
            if !plan.push_down(condition) {
                dimensions_of(condition, &mut group_by)?;
                plan.conditions.push(condition.clone());
            }
        }
        plan.query.group_by = group_by;
        Some(plan)
    }

    /// Makes the condition a part of the question, when it can be one and has no rival.
    fn push_down(&mut self, condition: &Filter) -> bool {
        let query = &mut self.query;
        match condition {
            Filter::All => true,
            Filter::Text(field, TextMatch::Equals(text)) => {
                let wanted = match field {
                    TextField::Service => &mut query.service,
                    TextField::Environment => &mut query.environment,
                    TextField::Name => &mut query.name,
                    _ => return false,
                };
                if wanted.is_none() {
                    *wanted = Some(text.clone());
                }
                wanted.as_deref() == Some(text)
            }
            Filter::Kind(kind) => *query.kind.get_or_insert(*kind) == *kind,
            Filter::IsEntry | Filter::IsRoot => {
                let scope = if *condition == Filter::IsRoot { SpanScope::Root } else { SpanScope::Entry };
                if query.scope == SpanScope::All {
                    query.scope = scope;
                }
                query.scope == scope
            }
            _ => false,
        }
    }

    fn figures(&self, rows: &[MetricRow], question: &Aggregate, window: &Window) -> Aggregated {
        let mut groups: FxHashMap<&[String], FxHashMap<usize, Tally>> = FxHashMap::default();
        let mut rest: FxHashMap<usize, Tally> = FxHashMap::default();
        let mut matched = 0;
        for row in rows {
            let labels = Labels { dimensions: &self.query.group_by, values: &row.labels };
            if !self.conditions.iter().all(|condition| labels.pass(condition)) {
                continue;
            }
            let Some(step) = window.index_of(row.step_start_ns) else { continue };
            matched += row.red.hits;
            let key = &row.labels[..self.fields];
            let is_full = groups.len() >= question.max_groups && !groups.contains_key(key);
            let steps = if is_full { &mut rest } else { groups.entry(key).or_default() };
            steps.entry(step).or_default().merge(&tally(&row.red));
        }
        let in_order = |steps: FxHashMap<usize, Tally>| {
            let mut steps: Vec<(usize, Tally)> = steps.into_iter().collect();
            steps.sort_unstable_by_key(|(step, _)| *step);
            steps
        };
        let label = |label: &String| (!label.is_empty()).then(|| label.clone());
        let mut groups: Vec<Group> = groups
            .into_iter()
            .map(|(labels, steps)| Group { labels: labels.iter().map(label).collect(), steps: in_order(steps) })
            .collect();
        groups.sort_unstable_by(|left, right| left.labels.cmp(&right.labels));
        Aggregated {
            groups,
            rest: in_order(rest),
            matched,
            scanned: rows.len() as u64,
            complete: true,
            values_are_exact: question.keep == Keep::Nothing,
        }
    }
}

/// The conditions that a nested conjunction comes down to.
fn flat(filter: &Filter) -> Vec<&Filter> {
    match filter {
        Filter::And(parts) => parts.iter().flat_map(flat).collect(),
        other => vec![other],
    }
}

fn tally(red: &Red) -> Tally {
    Tally {
        count: red.hits,
        errors: red.errors,
        sum: red.duration_sum_ns as f64,
        min: red.duration_min_ns as f64,
        max: red.duration_max_ns as f64,
        distribution: Distribution::from_histogram(red.durations.clone()),
        exemplar: None,
    }
}

fn dimension(field: &GroupField) -> Option<Dimension> {
    Some(match field {
        GroupField::Service => Dimension::Service,
        GroupField::Environment => Dimension::Environment,
        GroupField::Version => Dimension::Version,
        GroupField::Name => Dimension::Name,
        GroupField::Kind => Dimension::Kind,
        GroupField::Host | GroupField::Status | GroupField::Attribute(_) => return None,
    })
}

fn text_dimension(field: &TextField) -> Option<Dimension> {
    Some(match field {
        TextField::Service => Dimension::Service,
        TextField::Environment => Dimension::Environment,
        TextField::Version => Dimension::Version,
        TextField::Name => Dimension::Name,
        TextField::Host | TextField::StatusMessage | TextField::Attribute(_) => return None,
    })
}

/// Adds the dimensions that a condition needs; `None` when labels cannot tell.
fn dimensions_of(condition: &Filter, found: &mut Vec<Dimension>) -> Option<()> {
    let dimension = match condition {
        Filter::All => return Some(()),
        Filter::And(parts) | Filter::Or(parts) => {
            return parts.iter().try_for_each(|part| dimensions_of(part, found).ok_or(())).ok();
        }
        Filter::Not(inner) => return dimensions_of(inner, found),
        Filter::Text(field, TextMatch::Equals(_) | TextMatch::Regex(_)) | Filter::Exists(field) => {
            text_dimension(field)?
        }
        Filter::Kind(_) | Filter::IsEntry => Dimension::Kind,
        _ => return None,
    };
    if !found.contains(&dimension) {
        found.push(dimension);
    }
    Some(())
}

/// A row's labels.
struct Labels<'a> {
    dimensions: &'a [Dimension],
    values: &'a [String],
}

impl Labels<'_> {
    fn get(&self, dimension: Dimension) -> &str {
        let place = self.dimensions.iter().position(|known| *known == dimension);
        place.and_then(|place| self.values.get(place)).map_or("", String::as_str)
    }

    /// Whether the labels pass a condition that [`dimensions_of`] knows.
    fn pass(&self, condition: &Filter) -> bool {
        let text = |field: &TextField| text_dimension(field).map_or("", |dimension| self.get(dimension));
        match condition {
            Filter::All => true,
            Filter::And(parts) => parts.iter().all(|part| self.pass(part)),
            Filter::Or(parts) => parts.iter().any(|part| self.pass(part)),
            Filter::Not(inner) => !self.pass(inner),
            Filter::Text(field, TextMatch::Equals(wanted)) => text(field) == wanted,
            Filter::Text(field, TextMatch::Regex(pattern)) => {
                let text = text(field);
                !text.is_empty() && pattern.is_match(text)
            }
            Filter::Exists(field) => matches!(field, TextField::Name | TextField::Service) || !text(field).is_empty(),
            Filter::Kind(kind) => self.get(Dimension::Kind) == kind.as_str(),
            Filter::IsEntry => SpanKind::parse(self.get(Dimension::Kind)).is_some_and(SpanKind::is_entry),
            _ => false,
        }
    }
}

/// The condition that a group's spans have beside the filter.
pub(super) fn of_group(fields: &[GroupField], labels: &[Option<String>]) -> Vec<Filter> {
    let condition = |(field, label): (&GroupField, &Option<String>)| {
        let text = label.clone().unwrap_or_default();
        let field = match field {
            GroupField::Service => TextField::Service,
            GroupField::Name => TextField::Name,
            GroupField::Environment => TextField::Environment,
            GroupField::Version => TextField::Version,
            GroupField::Host => TextField::Host,
            GroupField::Attribute(key) => TextField::Attribute(key.clone()),
            GroupField::Kind => return SpanKind::parse(&text).map_or(Filter::All, Filter::Kind),
            GroupField::Status => return Filter::All,
        };
        Filter::Text(field, TextMatch::Equals(text))
    };
    fields.iter().zip(labels).map(condition).collect()
}

/// A question for durations.
pub(in crate::views) fn of_durations(window: &Window, filter: Filter) -> Aggregate {
    Aggregate {
        range: window.range,
        step_ns: window.step_ns,
        filter,
        measure: Measure::Duration,
        keep: Keep::Nothing,
        group_by: Vec::new(),
        max_groups: 1,
        exemplars: Exemplars::Nothing,
    }
}
