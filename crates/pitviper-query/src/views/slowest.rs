//! From which duration on a span is among the slowest of its service and name.

use pitviper_store::filter::DurationLimits;
use pitviper_store::schema::METRIC_BUCKET_NS;
use pitviper_store::{Dimension, MetricRow, MetricsQuery, SpanScope, Store, TimeRange};

use super::red::quantile;
use crate::QueryError;
use crate::search::{Expr, Query};

/// Fills in the limits of every `slowest:…` of the query. They are quantiles of all spans of a service
/// and name that started in the range, to whole metric buckets, and off by at most 1.1 %.
pub(super) async fn resolve(store: &dyn Store, query: &mut Query, range: TimeRange) -> Result<(), QueryError> {
    let mut asked = false;
    query.terms(&mut |term| asked |= matches!(term, Expr::Slowest(_)));
    if !asked {
        return Ok(());
    }
    let question = MetricsQuery {
        // Both ends are rounded down to a bucket.
        range: TimeRange { end_ns: range.end_ns.saturating_add(METRIC_BUCKET_NS - 1), ..range },
        step_ns: None,
        service: None,
        environment: None,
        name: None,
        kind: None,
        scope: SpanScope::All,
        group_by: vec![Dimension::Service, Dimension::Name],
    };
    let rows = store.metrics(&question).await?;
    query.terms_mut(&mut |term| {
        if let Expr::Slowest(slowest) = term {
            slowest.limits = limits(&rows, slowest.percent.0);
        }
    });
    Ok(())
}

fn limits(rows: &[MetricRow], percent: f64) -> DurationLimits {
    DurationLimits::new(rows.iter().filter_map(|row| {
        let [service, name] = row.labels.as_slice() else { return None };
        let limit = quantile(&row.red, 1.0 - percent / 100.0)?;
        Some((service.clone(), name.clone(), limit as i64))
    }))
}
