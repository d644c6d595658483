//! Counts from the metrics, for queries that ask for nothing the metrics do not know.

use pitviper_model::SpanKind;
use pitviper_store::filter::{Filter, TextField, TextMatch};
use pitviper_store::schema::METRIC_BUCKET_NS;
use pitviper_store::{Dimension, MetricsQuery, SpanScope, Store, TimeRange};
use rustc_hash::FxHashMap;

use super::count::{Counts, Key};
use crate::QueryError;

/// What the metrics know, by key.
const DIMENSIONS: [(Dimension, Key); 5] = [
    (Dimension::Service, Key::Service),
    (Dimension::Name, Key::Name),
    (Dimension::Kind, Key::Kind),
    (Dimension::Environment, Key::Environment),
    (Dimension::Version, Key::Version),
];

/// Puts exact counts in place of sampled ones, where the metrics have them. They are of whole buckets
/// of ten seconds, those at both ends of the range included.
pub(super) async fn replace(
    store: &dyn Store,
    filter: &Filter,
    range: TimeRange,
    counts: &mut Counts,
) -> Result<(), QueryError> {
    let Some(query) = metrics_query(filter, range) else { return Ok(()) };
    let rows = store.metrics(&query).await?;
    let total: u64 = rows.iter().map(|row| row.red.hits).sum();
    // Spans whose metrics are gone or never came.
    if total < counts.sample as u64 {
        return Ok(());
    }
    counts.spans = Some(total);
    for (place, (_, key)) in DIMENSIONS.into_iter().enumerate() {
        let mut values: FxHashMap<&str, u64> = FxHashMap::default();
        for row in &rows {
            let label = row.labels.get(place).map_or("", String::as_str);
            if !label.is_empty() {
                *values.entry(label).or_default() += row.red.hits;
            }
        }
        counts.set_exact(&key, values, total);
    }
    Ok(())
}

/// The question to the metrics that a filter comes down to; `None` when they cannot answer it.
fn metrics_query(filter: &Filter, range: TimeRange) -> Option<MetricsQuery> {
    let mut query = MetricsQuery {
        range: TimeRange {
            start_ns: range.start_ns,
            // The end is rounded down to a bucket, and the latest spans are the most looked for.
            end_ns: range.end_ns.saturating_add(METRIC_BUCKET_NS - 1),
        },
        step_ns: None,
        service: None,
        environment: None,
        name: None,
        kind: None,
        scope: SpanScope::All,
        group_by: DIMENSIONS.iter().map(|(dimension, _)| *dimension).collect(),
    };
    let conditions = match filter {
        Filter::All => &[],
        Filter::And(parts) => parts.as_slice(),
        other => std::slice::from_ref(other),
    };
    for condition in conditions {
        match condition {
            Filter::Text(field, TextMatch::Equals(text)) => {
                let wanted = match field {
                    TextField::Service => &mut query.service,
                    TextField::Environment => &mut query.environment,
                    TextField::Name => &mut query.name,
                    _ => return None,
                };
                if wanted.replace(text.clone()).is_some() {
                    return None;
                }
            }
            Filter::Kind(kind) => {
                if query.kind.replace(*kind).is_some() {
                    return None;
                }
            }
            Filter::IsEntry => query.scope = SpanScope::Entry,
            _ => return None,
        }
    }
    // An entry is a kind too, and both at once are not one question.
    let is_one = query.scope == SpanScope::All || query.kind.is_none_or(SpanKind::is_entry);
    is_one.then_some(query)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::Query;

    #[test]
    fn the_metrics_answer_for_what_they_know() {
        let ask = |text: &str| metrics_query(&Query::parse(text).unwrap().filter().unwrap(), TimeRange::ALL);
        assert!(ask("").is_some());
        let query = ask("service:web env:prod name:\"GET /\" kind:server").unwrap();
        assert_eq!((query.service.as_deref(), query.environment.as_deref()), (Some("web"), Some("prod")));
        assert_eq!((query.name.as_deref(), query.kind), (Some("GET /"), Some(SpanKind::Server)));
        assert_eq!(ask("is:entry").unwrap().scope, SpanScope::Entry);
        for other in
            ["-service:web", "service:a service:b", "web", "status:error", "version:1", "service:w*", "is:root", "a:b"]
        {
            assert!(ask(other).is_none(), "{other}");
        }
    }
}
