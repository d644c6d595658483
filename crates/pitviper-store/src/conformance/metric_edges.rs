//! Metrics over ranges and steps of any kind, against the plain sum of the fixture's rows.

use std::collections::BTreeMap;

use super::fixture::{SECOND, T0, metric};
use super::plain_metrics::labels;
use crate::schema::METRIC_BUCKET_NS;
use crate::store::{Dimension, MetricRow, MetricsQuery, Red, SpanScope, Store, StoreError, TimeRange};

const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// Asks with ends on and off buckets, minutes and hours, and with steps that do and do not fit them.
pub(super) async fn verify(store: &dyn Store) -> Result<(), StoreError> {
    let hour = T0.div_euclid(HOUR) * HOUR;
    let starts = [T0 - 13 * SECOND, T0, T0 + 5 * SECOND, T0 + 10 * SECOND, hour, hour - 3 * HOUR, T0 - 7 * MINUTE];
    let ends = [T0 + 10 * SECOND, T0 + 19 * SECOND, T0 + MINUTE, hour + HOUR, hour + 30 * MINUTE, T0 + 50 * HOUR];
    let steps =
        [None, Some(10 * SECOND), Some(50 * SECOND), Some(MINUTE), Some(10 * MINUTE), Some(HOUR), Some(7 * HOUR)];
    let groups = [vec![], vec![Dimension::Name, Dimension::Kind]];
    for start_ns in starts {
        for end_ns in ends {
            for step_ns in steps {
                for group_by in &groups {
                    let query = MetricsQuery {
                        range: TimeRange { start_ns, end_ns },
                        step_ns,
                        service: None,
                        environment: None,
                        name: None,
                        kind: None,
                        scope: SpanScope::All,
                        group_by: group_by.clone(),
                    };
                    assert_eq!(store.metrics(&query).await?, plain_sum(&query), "{query:?}");
                }
            }
        }
    }
    Ok(())
}

fn plain_sum(query: &MetricsQuery) -> Vec<MetricRow> {
    let floor = |time: i64| time.div_euclid(METRIC_BUCKET_NS) * METRIC_BUCKET_NS;
    let (start, end) = (floor(query.range.start_ns), floor(query.range.end_ns));
    let mut sums: BTreeMap<(Vec<String>, i64), Red> = BTreeMap::new();
    for (key, red) in (1..=8).map(metric) {
        if !(start..end).contains(&key.bucket_start_ns) {
            continue;
        }
        let step = query.step_ns.map_or(start, |step| start + (key.bucket_start_ns - start) / step * step);
        sums.entry((labels(&key, &query.group_by), step)).or_default().merge(&red);
    }
    sums.into_iter().map(|((labels, step_start_ns), red)| MetricRow { labels, step_start_ns, red }).collect()
}
