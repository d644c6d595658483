//! Distributions of several series put together, whatever their buckets.

use pitviper_model::{ExponentialHistogramPoint, HistogramPoint};

/// A distribution: those with the same bounds added up, and all exponential ones.
#[derive(Debug, Clone, Default)]
pub(super) struct Spread {
    explicit: Vec<HistogramPoint>,
    exponential: Option<ExponentialHistogramPoint>,
}

/// Values between two numbers, spread evenly, or all on one.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bucket {
    low: f64,
    high: f64,
    count: f64,
}

impl Spread {
    pub(super) fn add(&mut self, point: &HistogramPoint) {
        if !self.explicit.iter_mut().any(|known| known.merge(point)) {
            self.explicit.push(point.clone());
        }
    }

    pub(super) fn add_exponential(&mut self, point: &ExponentialHistogramPoint) {
        match &mut self.exponential {
            Some(known) => known.merge(point),
            None => self.exponential = Some(point.clone()),
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        other.explicit.iter().for_each(|point| self.add(point));
        if let Some(point) = &other.exponential {
            self.add_exponential(point);
        }
    }

    pub(super) fn count(&self) -> u64 {
        let exponential = self.exponential.as_ref().map_or(0, |point| point.count);
        self.explicit.iter().map(|point| point.count).fold(exponential, u64::saturating_add)
    }

    /// The sum of the values; `None` when a sender did not say.
    pub(super) fn sum(&self) -> Option<f64> {
        self.figures(|explicit| explicit.sum, |exponential| exponential.sum).try_fold(0.0, |sum, own| Some(sum + own?))
    }

    pub(super) fn mean(&self) -> Option<f64> {
        self.sum().map(|sum| sum / self.count() as f64)
    }

    /// The least value, or the bound it lies above.
    pub(super) fn least(&self) -> Option<f64> {
        let known = self.figures(|explicit| explicit.min, |exponential| exponential.min).collect::<Option<Vec<f64>>>();
        let known = known.and_then(|known| known.into_iter().reduce(f64::min));
        known.or_else(|| self.buckets().iter().map(|bucket| bucket.low).reduce(f64::min))
    }

    /// The greatest value, or the bound it lies below.
    pub(super) fn greatest(&self) -> Option<f64> {
        let known = self.figures(|explicit| explicit.max, |exponential| exponential.max).collect::<Option<Vec<f64>>>();
        let known = known.and_then(|known| known.into_iter().reduce(f64::max));
        known.or_else(|| self.buckets().iter().map(|bucket| bucket.high).reduce(f64::max))
    }

    fn figures(
        &self,
        of_explicit: fn(&HistogramPoint) -> Option<f64>,
        of_exponential: fn(&ExponentialHistogramPoint) -> Option<f64>,
    ) -> impl Iterator<Item = Option<f64>> {
        let explicit = self.explicit.iter().filter(|point| point.count > 0).map(of_explicit);
        explicit.chain(self.exponential.iter().filter(|point| point.count > 0).map(of_exponential))
    }

    /// The value below which this share of all lies, as near as the buckets tell.
    pub(super) fn quantile(&self, q: f64) -> Option<f64> {
        let buckets = self.buckets();
        let total: f64 = buckets.iter().map(|bucket| bucket.count).sum();
        if total <= 0.0 {
            return None;
        }
        let mut edges: Vec<f64> = buckets.iter().flat_map(|bucket| [bucket.low, bucket.high]).collect();
        edges.sort_unstable_by(f64::total_cmp);
        edges.dedup();
        // How much begins and ends at each edge, so that one pass over the edges is enough.
        let mut slopes = vec![0.0; edges.len()];
        let mut masses = vec![0.0; edges.len()];
        let place = |edge: f64| edges.partition_point(|known| *known < edge);
        for bucket in &buckets {
            let (low, high) = (place(bucket.low), place(bucket.high));
            if low == high {
                masses[low] += bucket.count;
            } else {
                let slope = bucket.count / (bucket.high - bucket.low);
                slopes[low] += slope;
                slopes[high] -= slope;
            }
        }
        let wanted = q * total;
        let (mut below, mut slope) = (0.0, 0.0);
        for at in 0..edges.len() {
            below += masses[at];
            if below >= wanted {
                return Some(edges[at]);
            }
            slope += slopes[at];
            let Some(next) = edges.get(at + 1) else { break };
            let more = f64::max(slope, 0.0) * (next - edges[at]);
            if below + more >= wanted && slope > 0.0 {
                return Some((edges[at] + (wanted - below) / slope).min(*next));
            }
            below += more;
        }
        edges.last().copied()
    }

    fn buckets(&self) -> Vec<Bucket> {
        let mut buckets: Vec<Bucket> = self.explicit.iter().flat_map(explicit).collect();
        buckets.extend(self.exponential.iter().flat_map(exponential));
        buckets.retain(|bucket| bucket.count > 0.0 && bucket.low.is_finite() && bucket.high.is_finite());
        buckets
    }
}

/// The buckets of a histogram. The outermost end at the least and the greatest value where these are
/// known; otherwise at zero, if all bounds are above, or at their one bound.
fn explicit(point: &HistogramPoint) -> Vec<Bucket> {
    let finite = |bound: Option<&f64>| bound.copied().filter(|bound| bound.is_finite());
    let (Some(first), Some(last)) = (
        finite(point.bounds.iter().find(|bound| bound.is_finite())),
        finite(point.bounds.iter().rfind(|bound| bound.is_finite())),
    ) else {
        return of_one_bucket(point);
    };
    let least = point.min.unwrap_or(if first > 0.0 { 0.0 } else { first });
    let greatest = point.max.unwrap_or(last);
    let clamp = |edge: f64| edge.clamp(least.min(greatest), greatest.max(least));
    let lows = std::iter::once(f64::NEG_INFINITY).chain(point.bounds.iter().copied());
    let highs = point.bounds.iter().copied().chain([f64::INFINITY]);
    let buckets = lows.zip(highs).zip(&point.counts);
    buckets.map(|((low, high), count)| Bucket { low: clamp(low), high: clamp(high), count: *count as f64 }).collect()
}

/// A histogram without bounds: all that is known is the least, the greatest and the mean.
fn of_one_bucket(point: &HistogramPoint) -> Vec<Bucket> {
    let count = point.count as f64;
    let mean = point.sum.map(|sum| sum / count);
    match (point.min, point.max, mean) {
        (Some(low), Some(high), _) if low <= high => vec![Bucket { low, high, count }],
        (_, _, Some(mean)) => vec![Bucket { low: mean, high: mean, count }],
        _ => Vec::new(),
    }
}

fn exponential(point: &ExponentialHistogramPoint) -> Vec<Bucket> {
    let bound = |index: i64| (index as f64 * f64::from(-point.scale).exp2()).exp2().min(f64::MAX);
    let (least, greatest) = (point.min.unwrap_or(f64::MIN), point.max.unwrap_or(f64::MAX));
    let clamp = |edge: f64| edge.clamp(least.min(greatest), greatest.max(least));
    let mut buckets = Vec::new();
    for (sign, side) in [(1.0, &point.positive), (-1.0, &point.negative)] {
        for (index, count) in (i64::from(side.offset)..).zip(&side.counts).filter(|(_, count)| **count > 0) {
            let (one, other) = (clamp(sign * bound(index)), clamp(sign * bound(index + 1)));
            buckets.push(Bucket { low: one.min(other), high: one.max(other), count: *count as f64 });
        }
    }
    let zero = clamp(0.0);
    buckets.push(Bucket { low: zero, high: zero, count: point.zero_count as f64 });
    buckets
}

#[cfg(test)]
mod tests {
    use pitviper_model::ExponentialBuckets;

    use super::*;

    fn histogram(bounds: &[f64], counts: &[u64]) -> HistogramPoint {
        let (bounds, counts) = (bounds.to_vec(), counts.to_vec());
        HistogramPoint { count: counts.iter().sum(), bounds, counts, ..HistogramPoint::default() }
    }

    /// Rounded, because 0.95 is no binary fraction.
    fn quantiles(spread: &Spread) -> [Option<f64>; 3] {
        [0.1, 0.5, 0.95].map(|q| spread.quantile(q).map(|value| (value * 1e9).round() / 1e9))
    }

    #[test]
    fn quantiles_lie_in_their_bucket() {
        let mut spread = Spread::default();
        assert_eq!(quantiles(&spread), [None; 3]);
        spread.add(&histogram(&[10.0, 20.0, 40.0], &[10, 10, 20, 0]));
        assert_eq!(quantiles(&spread), [Some(4.0), Some(20.0), Some(38.0)]);
        // Above the last bound nothing is known, unless the greatest value is.
        let mut above = Spread::default();
        above.add(&histogram(&[10.0], &[0, 4]));
        assert_eq!(quantiles(&above), [Some(10.0); 3]);
        let mut above = Spread::default();
        above.add(&HistogramPoint { max: Some(30.0), ..histogram(&[10.0], &[0, 4]) });
        assert_eq!(quantiles(&above), [Some(12.0), Some(20.0), Some(29.0)]);
    }

    #[test]
    fn distributions_of_other_bounds_add_up() {
        let mut spread = Spread::default();
        spread.add(&histogram(&[10.0], &[5, 0]));
        spread.add(&histogram(&[10.0], &[5, 0]));
        spread.add(&histogram(&[5.0, 20.0], &[0, 10, 0]));
        assert_eq!((spread.explicit.len(), spread.count()), (2, 20));
        // Below five lie half of ten, between five and ten a third of ten and the other half.
        assert_eq!(spread.quantile(0.25), Some(5.0));
        assert!((spread.quantile(0.5).unwrap() - 8.0).abs() < 1e-9);
        assert!((spread.quantile(0.95).unwrap() - 18.5).abs() < 1e-9);
    }

    #[test]
    fn exponential_buckets_on_both_sides_of_zero() {
        let side = |offset, counts: &[u64]| ExponentialBuckets { offset, counts: counts.to_vec() };
        let point = ExponentialHistogramPoint {
            count: 20,
            zero_count: 4,
            positive: side(0, &[8]),
            negative: side(1, &[8]),
            ..ExponentialHistogramPoint::default()
        };
        let mut spread = Spread::default();
        spread.add_exponential(&point);
        // Eight from -4 to -2, four on zero, eight from 1 to 2.
        assert_eq!([0.2, 0.4, 0.5, 0.8].map(|q| spread.quantile(q)), [Some(-3.0), Some(-2.0), Some(0.0), Some(1.5)]);
        assert_eq!((spread.least(), spread.greatest(), spread.sum()), (Some(-4.0), Some(2.0), None));
    }

    #[test]
    fn what_is_odd_is_survived() {
        let odd = [
            HistogramPoint { min: Some(f64::NAN), max: Some(-1.0), ..histogram(&[1.0, 2.0], &[1, 1, 1]) },
            HistogramPoint { min: Some(9.0), max: Some(-9.0), ..histogram(&[1.0, 2.0], &[1, 1, 1]) },
            histogram(&[f64::NEG_INFINITY, f64::INFINITY], &[1, 1, 1]),
            histogram(&[0.0, f64::INFINITY], &[1, 1, 1]),
            histogram(&[], &[7]),
            HistogramPoint { sum: Some(14.0), ..histogram(&[], &[7]) },
        ];
        for point in odd {
            let mut spread = Spread::default();
            spread.add(&point);
            let _ = (quantiles(&spread), spread.least(), spread.greatest(), spread.mean());
        }
        let exponential = ExponentialHistogramPoint {
            scale: -11,
            min: Some(f64::NAN),
            positive: ExponentialBuckets { offset: i32::MAX, counts: vec![1; 3] },
            ..ExponentialHistogramPoint::default()
        };
        let mut spread = Spread::default();
        spread.add_exponential(&exponential);
        let _ = quantiles(&spread);
    }
}
