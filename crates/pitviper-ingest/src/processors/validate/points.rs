//! Points of metrics.

use pitviper_model::{
    Attributes, ExponentialHistogramPoint, HistogramPoint, Metric, MetricPoint, PointValue, RejectReason,
    ResourceMetrics,
};

use super::{MAX_ITEM_BYTES, is_storable};

/// Scales of exponential histograms. Beyond these a bucket holds all numbers there are, or none.
const SCALES: std::ops::RangeInclusive<i32> = -11..=52;

/// Takes out the points that cannot be kept, and notes a reason for each.
pub(crate) fn fit_points(mut batch: Vec<ResourceMetrics>, rejections: &mut Vec<RejectReason>) -> Vec<ResourceMetrics> {
    for scope_metrics in batch.iter_mut().flat_map(|resource_metrics| &mut resource_metrics.scopes) {
        for of in &mut scope_metrics.metrics {
            let metric = &of.metric;
            of.points.retain(|(attributes, point)| {
                let fault = fault(metric, attributes, point);
                rejections.extend(fault);
                fault.is_none()
            });
        }
    }
    batch
}

fn fault(metric: &Metric, attributes: &Attributes, point: &MetricPoint) -> Option<RejectReason> {
    if metric.name.is_empty() {
        Some(RejectReason::MissingName)
    } else if !is_storable(point.time_unix_nano) {
        Some(RejectReason::InvalidTime)
    } else if size_bytes(metric, attributes, point) > MAX_ITEM_BYTES {
        Some(RejectReason::TooLarge)
    } else if !is_sound(&point.value) {
        Some(RejectReason::InvalidPoint)
    } else {
        None
    }
}

fn is_sound(value: &PointValue) -> bool {
    match value {
        PointValue::Nothing | PointValue::Number(_) => true,
        PointValue::Histogram(of) => has_sound_buckets(of),
        PointValue::ExponentialHistogram(of) => SCALES.contains(&of.scale),
    }
}

/// Bounds that grow, and a count for each bucket between them, or neither.
fn has_sound_buckets(of: &HistogramPoint) -> bool {
    let is_without = of.bounds.is_empty() && of.counts.is_empty();
    let grow = of.bounds.windows(2).all(|pair| pair[0] < pair[1]) && of.bounds.iter().all(|bound| !bound.is_nan());
    is_without || (of.counts.len() == of.bounds.len() + 1 && grow)
}

fn size_bytes(metric: &Metric, attributes: &Attributes, point: &MetricPoint) -> usize {
    let texts = metric.name.len() + metric.unit.len() + metric.description.len() + attributes.size_bytes();
    let exemplars =
        point.exemplars.iter().map(|exemplar| size_of_val(exemplar) + exemplar.filtered_attributes.size_bytes());
    let numbers = match &point.value {
        PointValue::Nothing | PointValue::Number(_) => 0,
        PointValue::Histogram(HistogramPoint { bounds, counts, .. }) => bounds.len() + counts.len(),
        PointValue::ExponentialHistogram(ExponentialHistogramPoint { positive, negative, .. }) => {
            positive.counts.len() + negative.counts.len()
        }
    };
    texts + exemplars.sum::<usize>() + numbers * size_of::<u64>()
}

#[cfg(test)]
mod tests {
    use pitviper_model::{Exemplar, ExponentialBuckets, MetricPoints, Number, ScopeMetrics, SpanId, TraceId};

    use super::*;

    fn metric(name: &str) -> Metric {
        Metric { name: name.to_owned(), ..Metric::default() }
    }

    fn point(value: PointValue) -> MetricPoint {
        MetricPoint { time_unix_nano: 5, value, ..MetricPoint::default() }
    }

    fn number() -> MetricPoint {
        point(PointValue::Number(Number::Int(1)))
    }

    #[test]
    fn names_each_fault_and_keeps_the_rest() {
        let point = |time_unix_nano| (Attributes::default(), MetricPoint { time_unix_nano, ..number() });
        let metrics = vec![
            MetricPoints { metric: metric("a"), points: vec![point(0), point(5), point(u64::MAX)] },
            MetricPoints { metric: metric(""), points: vec![point(5)] },
        ];
        let scopes = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
        let mut rejections = Vec::new();
        let kept = fit_points(vec![ResourceMetrics { scopes, ..ResourceMetrics::default() }], &mut rejections);
        assert_eq!(kept[0].scopes[0].metrics[0].points, [point(5)]);
        assert_eq!(kept[0].point_count(), 1);
        use RejectReason::{InvalidTime, MissingName};
        assert_eq!(rejections, [InvalidTime, InvalidTime, MissingName]);
    }

    #[test]
    fn buckets_have_to_fit_their_bounds() {
        let fault = |bounds: &[f64], counts: usize| {
            let (bounds, counts) = (bounds.to_vec(), vec![1; counts]);
            let value = PointValue::Histogram(HistogramPoint { bounds, counts, ..HistogramPoint::default() });
            fault(&metric("a"), &Attributes::default(), &point(value))
        };
        assert_eq!(fault(&[], 0), None);
        assert_eq!(fault(&[], 1), None, "one bucket of all");
        assert_eq!(fault(&[1.0, 2.0, f64::INFINITY], 4), None);
        for (bounds, counts) in
            [(&[1.0][..], 1), (&[1.0], 0), (&[1.0, 1.0], 3), (&[2.0, 1.0], 3), (&[f64::NAN], 2), (&[1.0, f64::NAN], 3)]
        {
            assert_eq!(fault(bounds, counts), Some(RejectReason::InvalidPoint), "{bounds:?} {counts}");
        }
    }

    #[test]
    fn scales_are_bounded() {
        let fault = |scale| {
            let value = ExponentialHistogramPoint { scale, ..ExponentialHistogramPoint::default() };
            fault(&metric("a"), &Attributes::default(), &point(PointValue::ExponentialHistogram(value)))
        };
        assert_eq!([-11, 0, 20, 52].map(fault), [None; 4]);
        assert_eq!([-12, 53, i32::MIN, i32::MAX].map(fault), [Some(RejectReason::InvalidPoint); 4]);
    }

    #[test]
    fn all_of_a_point_counts_toward_its_size() {
        let text = || "x".repeat(MAX_ITEM_BYTES + 1);
        let attributes: Attributes = [("a", text())].into_iter().collect();
        let exemplar = Exemplar {
            time_unix_nano: 5,
            value: Number::Int(1),
            trace_id: TraceId::INVALID,
            span_id: SpanId::INVALID,
            filtered_attributes: attributes.clone(),
        };
        let many = vec![0; MAX_ITEM_BYTES / 8 + 1];
        let negative = ExponentialBuckets { offset: 0, counts: many };
        let buckets = ExponentialHistogramPoint { negative, ..ExponentialHistogramPoint::default() };
        let none = Attributes::default;
        for (what, metric, attributes, point) in [
            ("name", metric(&text()), none(), number()),
            ("unit", Metric { unit: text(), ..metric("a") }, none(), number()),
            ("description", Metric { description: text(), ..metric("a") }, none(), number()),
            ("attribute", metric("a"), attributes, number()),
            ("exemplar", metric("a"), none(), MetricPoint { exemplars: vec![exemplar], ..number() }),
            ("buckets", metric("a"), none(), point(PointValue::ExponentialHistogram(buckets))),
        ] {
            assert_eq!(fault(&metric, &attributes, &point), Some(RejectReason::TooLarge), "{what}");
        }
    }
}
