//! Adding distributions up and taking what was counted before off them.

use crate::{ExponentialBuckets, ExponentialHistogramPoint, HistogramPoint};

/// Most buckets on one side of zero of a merged exponential histogram. Where more would be needed the
/// scale becomes coarser.
const MAX_BUCKETS: i64 = 1_024;
/// Shifting an index further leaves nothing of it.
const MAX_SHIFT: i64 = 63;

fn both(left: Option<f64>, right: Option<f64>, join: fn(f64, f64) -> f64) -> Option<f64> {
    Some(join(left?, right?))
}

impl HistogramPoint {
    /// Adds what another counted, when it has the same bounds. False, and nothing changed, when not.
    pub fn merge(&mut self, other: &Self) -> bool {
        if self.bounds != other.bounds || self.counts.len() != other.counts.len() {
            return false;
        }
        self.sum = both(self.sum, other.sum, |left, right| left + right);
        self.min = both(self.min, other.min, f64::min);
        self.max = both(self.max, other.max, f64::max);
        self.count = self.count.saturating_add(other.count);
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
        true
    }

    /// What was counted since an earlier state; `None` when this is no later state of the same count.
    /// The least and the greatest value since then are not known.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        if self.bounds != earlier.bounds || self.counts.len() != earlier.counts.len() {
            return None;
        }
        let counts = self.counts.iter().zip(&earlier.counts).map(|(now, then)| now.checked_sub(*then));
        Some(Self {
            count: self.count.checked_sub(earlier.count)?,
            sum: both(self.sum, earlier.sum, |now, then| now - then),
            min: None,
            max: None,
            bounds: self.bounds.clone(),
            counts: counts.collect::<Option<_>>()?,
        })
    }
}

impl ExponentialBuckets {
    /// First and last index with a count, when there is any.
    fn filled(&self) -> Option<(i64, i64)> {
        let first = self.counts.iter().position(|count| *count > 0)?;
        let last = self.counts.iter().rposition(|count| *count > 0)?;
        Some((i64::from(self.offset) + first as i64, i64::from(self.offset) + last as i64))
    }

    /// The same counts in buckets `2^shift` as wide each, from `first` to `last`.
    fn spread(&self, shift: i64, (first, last): (i64, i64)) -> Vec<u64> {
        let mut counts = vec![0u64; usize::try_from(last - first + 1).unwrap_or_default()];
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        for (at, count) in filled {
            let index = (i64::from(self.offset) + at as i64) >> shift;
            if let Ok(place) = usize::try_from(index - first) {
                counts[place] = counts[place].saturating_add(*count);
            }
        }
        counts
    }
}

/// Both buckets at a scale coarser by these shifts, over the same indices.
fn aligned(
    (left, left_shift): (&ExponentialBuckets, i64),
    (right, right_shift): (&ExponentialBuckets, i64),
) -> (i32, Vec<u64>, Vec<u64>) {
    let range = joined((left, left_shift), (right, right_shift));
    let Some(range) = range else { return (0, Vec::new(), Vec::new()) };
    let offset = i32::try_from(range.0).unwrap_or_default();
    (offset, left.spread(left_shift, range), right.spread(right_shift, range))
}

fn joined(left: (&ExponentialBuckets, i64), right: (&ExponentialBuckets, i64)) -> Option<(i64, i64)> {
    let shifted = |(buckets, shift): (&ExponentialBuckets, i64)| {
        buckets.filled().map(|(first, last)| (first >> shift, last >> shift))
    };
    match (shifted(left), shifted(right)) {
        (Some(left), Some(right)) => Some((left.0.min(right.0), left.1.max(right.1))),
        (one, other) => one.or(other),
    }
}

impl ExponentialHistogramPoint {
    /// Adds what another counted, at the coarser scale of the two, or a coarser one where more than a
    /// thousand buckets would be needed.
    pub fn merge(&mut self, other: &Self) {
        let (shift, other_shift) = self.shifts(other);
        let positive = aligned((&self.positive, shift), (&other.positive, other_shift));
        let negative = aligned((&self.negative, shift), (&other.negative, other_shift));
        let add = |(offset, left, right): (i32, Vec<u64>, Vec<u64>)| ExponentialBuckets {
            offset,
            counts: left.iter().zip(&right).map(|(left, right)| left.saturating_add(*right)).collect(),
        };
        self.positive = add(positive);
        self.negative = add(negative);
        self.scale = coarser(self.scale, shift);
        self.zero_threshold = self.zero_threshold.max(other.zero_threshold);
        self.zero_count = self.zero_count.saturating_add(other.zero_count);
        self.count = self.count.saturating_add(other.count);
        self.sum = both(self.sum, other.sum, |left, right| left + right);
        self.min = both(self.min, other.min, f64::min);
        self.max = both(self.max, other.max, f64::max);
    }

    /// What was counted since an earlier state; `None` when this is no later state of the same count.
    /// The least and the greatest value since then are not known.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        let (shift, earlier_shift) = self.shifts(earlier);
        let take = |(offset, now, then): (i32, Vec<u64>, Vec<u64>)| {
            let counts = now.iter().zip(&then).map(|(now, then)| now.checked_sub(*then)).collect::<Option<_>>()?;
            Some(ExponentialBuckets { offset, counts })
        };
        Some(Self {
            count: self.count.checked_sub(earlier.count)?,
            sum: both(self.sum, earlier.sum, |now, then| now - then),
            min: None,
            max: None,
            scale: coarser(self.scale, shift),
            zero_count: self.zero_count.checked_sub(earlier.zero_count)?,
            zero_threshold: self.zero_threshold,
            positive: take(aligned((&self.positive, shift), (&earlier.positive, earlier_shift)))?,
            negative: take(aligned((&self.negative, shift), (&earlier.negative, earlier_shift)))?,
        })
    }

    /// By how much the indices of both have to be shifted to have one scale and few buckets.
    fn shifts(&self, other: &Self) -> (i64, i64) {
        let scale = i64::from(self.scale.min(other.scale));
        let (mut left, mut right) = (i64::from(self.scale) - scale, i64::from(other.scale) - scale);
        let cap = |shift: i64| shift.min(MAX_SHIFT);
        while left < MAX_SHIFT && right < MAX_SHIFT {
            let sides = [(&self.positive, &other.positive), (&self.negative, &other.negative)];
            let fits = sides.into_iter().all(|(one, two)| {
                joined((one, left), (two, right)).is_none_or(|(first, last)| last - first < MAX_BUCKETS)
            });
            if fits {
                break;
            }
            left += 1;
            right += 1;
        }
        (cap(left), cap(right))
    }
}

fn coarser(scale: i32, shift: i64) -> i32 {
    i32::try_from(i64::from(scale) - shift).unwrap_or(i32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(counts: &[u64], sum: f64) -> HistogramPoint {
        HistogramPoint {
            count: counts.iter().sum(),
            sum: Some(sum),
            min: Some(sum / 10.0),
            max: Some(sum),
            bounds: vec![1.0, 2.0],
            counts: counts.to_vec(),
        }
    }

    #[test]
    fn histograms_of_the_same_bounds_add_up() {
        let mut sum = histogram(&[1, 2, 3], 10.0);
        assert!(sum.merge(&histogram(&[10, 0, 1], 20.0)));
        let expected = HistogramPoint { min: Some(1.0), max: Some(20.0), ..histogram(&[11, 2, 4], 30.0) };
        assert_eq!(sum, expected);
        assert!(!sum.merge(&HistogramPoint { bounds: vec![1.0, 3.0], ..histogram(&[1, 1, 1], 1.0) }));
        assert_eq!(sum, expected);
        let since = sum.since(&histogram(&[1, 2, 3], 10.0)).unwrap();
        assert_eq!((since.counts, since.sum, since.min, since.max), (vec![10, 0, 1], Some(20.0), None, None));
        assert_eq!(histogram(&[1, 2, 3], 10.0).since(&sum), None, "counts do not fall");
    }

    fn exponential(scale: i32, offset: i32, counts: &[u64]) -> ExponentialHistogramPoint {
        ExponentialHistogramPoint {
            count: counts.iter().sum(),
            scale,
            positive: ExponentialBuckets { offset, counts: counts.to_vec() },
            ..ExponentialHistogramPoint::default()
        }
    }

    #[test]
    fn exponential_histograms_meet_at_the_coarser_scale() {
        // At scale 1, bucket i holds (2^(i/2), 2^((i+1)/2)]; two of them make one of scale 0.
        let mut sum = exponential(1, -3, &[1, 2, 4, 8]);
        sum.merge(&exponential(0, 0, &[100]));
        assert_eq!((sum.scale, sum.count), (0, 115));
        assert_eq!(sum.positive, ExponentialBuckets { offset: -2, counts: vec![1, 6, 108] });
        let since = sum.since(&exponential(0, 0, &[100])).unwrap();
        assert_eq!(since.positive, ExponentialBuckets { offset: -2, counts: vec![1, 6, 8] });
        assert_eq!(exponential(0, 0, &[1]).since(&exponential(0, 0, &[2])), None);
    }

    #[test]
    fn buckets_stay_few_however_far_apart_values_are() {
        let mut sum = exponential(20, i32::MIN, &[1]);
        sum.merge(&exponential(20, i32::MAX, &[2]));
        assert_eq!(sum.count, 3);
        assert!(sum.positive.counts.len() <= 1_024);
        assert_eq!(sum.positive.counts.iter().sum::<u64>(), 3);
        let mut odd = exponential(i32::MAX, 5, &[1]);
        odd.merge(&exponential(i32::MIN, 0, &[2]));
        assert_eq!((odd.count, odd.positive.counts.iter().sum::<u64>()), (3, 3));
    }
}
