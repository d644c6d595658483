//! Points of one series, put together by step as their kind asks for.

use pitviper_model::{
    ExponentialHistogramPoint, HistogramPoint, Metric, MetricKind, MetricPoint, PointValue, Temporality,
};

use crate::questions::StepValue;
use crate::store::TimeRange;

/// How the points of a metric are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Each says how it is at its time.
    State,
    /// Each says what came since the one before.
    Growth,
    /// Each says what came since a fixed start.
    Total,
}

impl Reading {
    fn of(metric: &Metric) -> Self {
        match (metric.kind, metric.temporality) {
            (MetricKind::Gauge, _) => Self::State,
            (MetricKind::Sum, Temporality::Delta) => Self::Growth,
            (MetricKind::Sum, Temporality::Cumulative) if metric.is_monotonic => Self::Total,
            // What may fall, or does not say what it counts from, is a state.
            (MetricKind::Sum, _) => Self::State,
            (_, Temporality::Cumulative) => Self::Total,
            (..) => Self::Growth,
        }
    }
}

/// Whether the point before the range is needed to tell what the first one in it adds.
pub(super) fn needs_look_back(metric: &Metric) -> bool {
    Reading::of(metric) == Reading::Total
}

/// The steps of a series, in order. The points are in the order of their times, those before the range
/// only to go on from; `look_from_ns` is where they were looked for from.
pub(super) fn steps(
    metric: &Metric,
    points: &[MetricPoint],
    range: TimeRange,
    step_ns: Option<i64>,
    look_from_ns: i64,
) -> Vec<(i64, StepValue)> {
    let reading = Reading::of(metric);
    let mut steps: Vec<(i64, StepValue)> = Vec::new();
    let mut before: Option<&MetricPoint> = None;
    for point in points {
        let time = point.time_unix_nano.cast_signed();
        let is_inside = (range.start_ns..range.end_ns).contains(&time);
        let value = match reading {
            Reading::State => state(&point.value),
            Reading::Growth => growth(&point.value),
            Reading::Total => grown(before, point, look_from_ns),
        };
        before = (point.value != PointValue::Nothing).then_some(point);
        if let Some(value) = value.filter(|_| is_inside) {
            add(&mut steps, step_start(range, step_ns, time), value);
        }
    }
    steps
}

fn step_start(range: TimeRange, step_ns: Option<i64>, time_ns: i64) -> i64 {
    let Some(step) = step_ns.filter(|step| *step > 0) else { return range.start_ns };
    // Wide arithmetic, because the range may be all of time.
    let steps = (i128::from(time_ns) - i128::from(range.start_ns)) / i128::from(step);
    i64::try_from(i128::from(range.start_ns) + steps * i128::from(step)).unwrap_or(range.start_ns)
}

/// Adds a value to the last step when it is the same one and they can be put together.
fn add(steps: &mut Vec<(i64, StepValue)>, start: i64, value: StepValue) {
    let of_step = steps.iter_mut().rev().take_while(|(last, _)| *last == start);
    for (_, sum) in of_step {
        if merge(sum, &value) {
            return;
        }
    }
    steps.push((start, value));
}

fn merge(into: &mut StepValue, value: &StepValue) -> bool {
    match (into, value) {
        (
            StepValue::Gauge { last, sum, min, max, count },
            StepValue::Gauge { last: new, sum: more, min: low, max: high, count: points },
        ) => {
            *last = *new;
            *sum += more;
            *min = min.min(*low);
            *max = max.max(*high);
            *count += points;
            true
        }
        (StepValue::Increase(sum), StepValue::Increase(more)) => {
            *sum += more;
            true
        }
        (StepValue::Histogram(sum), StepValue::Histogram(more)) => sum.merge(more),
        (StepValue::ExponentialHistogram(sum), StepValue::ExponentialHistogram(more)) => {
            sum.merge(more);
            true
        }
        _ => false,
    }
}

fn state(value: &PointValue) -> Option<StepValue> {
    match value {
        PointValue::Number(number) => {
            let value = number.as_f64();
            Some(StepValue::Gauge { last: value, sum: value, min: value, max: value, count: 1 })
        }
        other => growth(other),
    }
}

fn growth(value: &PointValue) -> Option<StepValue> {
    match value {
        PointValue::Nothing => None,
        PointValue::Number(number) => Some(StepValue::Increase(number.as_f64())),
        PointValue::Histogram(histogram) => Some(StepValue::Histogram(histogram.clone())),
        PointValue::ExponentialHistogram(histogram) => Some(StepValue::ExponentialHistogram(histogram.clone())),
    }
}

/// What a total grew by since the point before. A total that began anew, or fell, counts from zero; so
/// does one without a point before whose start lies where points were looked for.
fn grown(before: Option<&MetricPoint>, point: &MetricPoint, look_from_ns: i64) -> Option<StepValue> {
    let start = point.start_time_unix_nano;
    let Some(before) = before else {
        let is_new = start > 0 && i64::try_from(start).is_ok_and(|start| start >= look_from_ns);
        return growth(&point.value).filter(|_| is_new);
    };
    if before.start_time_unix_nano != start {
        return growth(&point.value);
    }
    match (&before.value, &point.value) {
        (PointValue::Number(then), PointValue::Number(now)) => {
            let difference = now.as_f64() - then.as_f64();
            Some(StepValue::Increase(if difference < 0.0 { now.as_f64() } else { difference }))
        }
        (PointValue::Histogram(then), PointValue::Histogram(now)) => {
            Some(StepValue::Histogram(HistogramPoint::since(now, then).unwrap_or_else(|| now.clone())))
        }
        (PointValue::ExponentialHistogram(then), PointValue::ExponentialHistogram(now)) => {
            let since = ExponentialHistogramPoint::since(now, then).unwrap_or_else(|| now.clone());
            Some(StepValue::ExponentialHistogram(since))
        }
        (_, other) => growth(other),
    }
}

#[cfg(test)]
mod tests {
    use pitviper_model::Number;

    use super::*;

    fn metric(kind: MetricKind, temporality: Temporality, is_monotonic: bool) -> Metric {
        Metric { kind, temporality, is_monotonic, ..Metric::default() }
    }

    /// Start, time and value of each point.
    fn points(points: &[(u64, u64, f64)]) -> Vec<MetricPoint> {
        points
            .iter()
            .map(|&(start_time_unix_nano, time_unix_nano, value)| MetricPoint {
                start_time_unix_nano,
                time_unix_nano,
                value: PointValue::Number(Number::Double(value)),
                ..MetricPoint::default()
            })
            .collect()
    }

    const RANGE: TimeRange = TimeRange { start_ns: 100, end_ns: 200 };

    fn increases(metric: &Metric, of: &[(u64, u64, f64)]) -> Vec<(i64, f64)> {
        let steps = steps(metric, &points(of), RANGE, Some(50), 50);
        steps
            .into_iter()
            .map(|(start, value)| match value {
                StepValue::Increase(by) => (start, by),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn totals_become_what_they_grew_by() {
        let total = metric(MetricKind::Sum, Temporality::Cumulative, true);
        // The point before the range is what the first goes on from.
        let going = [(7, 90, 10.0), (7, 110, 15.0), (7, 149, 18.0), (7, 150, 30.0), (7, 200, 99.0)];
        assert_eq!(increases(&total, &going), [(100, 8.0), (150, 12.0)]);
        // Without one, it is not known what the first adds, unless it began after the look-back did.
        assert_eq!(increases(&total, &going[1..]), [(100, 3.0), (150, 12.0)]);
        assert_eq!(increases(&total, &[(60, 110, 15.0), (60, 120, 16.0)]), [(100, 16.0)]);
        // A restart begins at zero, said by a new start or seen by a fall.
        assert_eq!(increases(&total, &[(7, 90, 10.0), (120, 130, 4.0)]), [(100, 4.0)]);
        assert_eq!(increases(&total, &[(7, 90, 10.0), (7, 130, 4.0)]), [(100, 4.0)]);
    }

    #[test]
    fn growth_adds_up() {
        let delta = metric(MetricKind::Sum, Temporality::Delta, true);
        let of = [(0, 90, 1.0), (90, 100, 2.0), (100, 149, 4.0), (149, 160, 8.0)];
        assert_eq!(increases(&delta, &of), [(100, 6.0), (150, 8.0)]);
    }

    #[test]
    fn states_are_summed_up_as_such() {
        let of = points(&[(0, 100, 4.0), (0, 110, 1.0), (0, 120, 7.0), (0, 199, 3.0)]);
        let gauge = |last, sum, min, max, count| StepValue::Gauge { last, sum, min, max, count };
        let expected = vec![(100, gauge(7.0, 12.0, 1.0, 7.0, 3)), (150, gauge(3.0, 3.0, 3.0, 3.0, 1))];
        assert_eq!(
            steps(&metric(MetricKind::Gauge, Temporality::Unspecified, false), &of, RANGE, Some(50), 0),
            expected
        );
        let falls = metric(MetricKind::Sum, Temporality::Cumulative, false);
        assert_eq!(steps(&falls, &of, RANGE, Some(50), 0), expected);
        let whole = steps(&falls, &of, RANGE, None, 0);
        assert_eq!(whole, [(100, gauge(3.0, 15.0, 1.0, 7.0, 4))]);
    }

    #[test]
    fn histograms_with_other_bounds_stay_apart() {
        let histogram = |time_unix_nano, bound: f64| MetricPoint {
            time_unix_nano,
            value: PointValue::Histogram(HistogramPoint {
                count: 1,
                bounds: vec![bound],
                counts: vec![1, 0],
                ..HistogramPoint::default()
            }),
            ..MetricPoint::default()
        };
        let of = [histogram(100, 1.0), histogram(110, 2.0), histogram(120, 1.0)];
        let found = steps(&metric(MetricKind::Histogram, Temporality::Delta, true), &of, RANGE, None, 0);
        let counts: Vec<_> = found
            .iter()
            .map(|(_, value)| match value {
                StepValue::Histogram(of) => (of.bounds[0], of.count),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(counts, [(1.0, 2), (2.0, 1)]);
    }
}
