//! A histogram whose buckets' bounds are powers of `2^(2^-scale)`.
//!
//! It begins as fine as it may be, and halves its resolution when the values spread over more buckets
//! than it may have. Source: OpenTelemetry metrics SDK, "Base2 exponential bucket histogram aggregation".

use pitviper_model::{ExponentialBuckets, ExponentialHistogramPoint};

/// The coarsest scale: two buckets hold all floats.
const MIN_SCALE: i32 = -10;
/// The finest scale OpenTelemetry allows.
pub(crate) const MAX_SCALE: i32 = 20;

#[derive(Debug, Clone)]
pub(crate) struct Exponential {
    pub(crate) point: ExponentialHistogramPoint,
    max_size: usize,
}

impl Exponential {
    pub(crate) fn new(max_size: usize, max_scale: i32) -> Self {
        let point = ExponentialHistogramPoint {
            scale: max_scale.clamp(MIN_SCALE, MAX_SCALE),
            sum: Some(0.0),
            ..ExponentialHistogramPoint::default()
        };
        Self { point, max_size: max_size.max(2) }
    }

    /// Counts a finite value.
    pub(crate) fn record(&mut self, value: f64) {
        let point = &mut self.point;
        point.count += 1;
        point.sum = point.sum.map(|sum| sum + value);
        point.min = Some(point.min.map_or(value, |min| min.min(value)));
        point.max = Some(point.max.map_or(value, |max| max.max(value)));
        if value == 0.0 {
            point.zero_count += 1;
            return;
        }
        let magnitude = value.abs();
        let mut index = bucket_index(magnitude, point.scale);
        let buckets = if value > 0.0 { &point.positive } else { &point.negative };
        let shift = excess(buckets, index, self.max_size).min(point.scale - MIN_SCALE);
        if shift > 0 {
            self.coarsen(shift);
            index = bucket_index(magnitude, self.point.scale);
        }
        let buckets = if value > 0.0 { &mut self.point.positive } else { &mut self.point.negative };
        add(buckets, index, 1);
    }

    fn coarsen(&mut self, shift: i32) {
        self.point.scale -= shift;
        for buckets in [&mut self.point.positive, &mut self.point.negative] {
            let old = std::mem::take(buckets);
            for (position, count) in old.counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
                add(buckets, (old.offset + position as i32) >> shift, count);
            }
        }
    }
}

/// How often the resolution has to be halved for `index` to fit beside what there is.
fn excess(buckets: &ExponentialBuckets, index: i32, max_size: usize) -> i32 {
    if buckets.counts.is_empty() {
        return 0;
    }
    let last = buckets.offset + buckets.counts.len() as i32 - 1;
    let (mut low, mut high) = (buckets.offset.min(index), last.max(index));
    let mut shift = 0;
    while i64::from(high) - i64::from(low) >= max_size as i64 {
        low >>= 1;
        high >>= 1;
        shift += 1;
    }
    shift
}

fn add(buckets: &mut ExponentialBuckets, index: i32, count: u64) {
    if buckets.counts.is_empty() {
        buckets.offset = index;
    }
    if index < buckets.offset {
        let missing = (buckets.offset - index) as usize;
        buckets.counts.splice(0..0, std::iter::repeat_n(0, missing));
        buckets.offset = index;
    }
    let position = (index - buckets.offset) as usize;
    if position >= buckets.counts.len() {
        buckets.counts.resize(position + 1, 0);
    }
    buckets.counts[position] += count;
}

/// The bucket of a positive value: bucket `i` holds `(base^i, base^(i+1)]`.
fn bucket_index(value: f64, scale: i32) -> i32 {
    // log2 is exact for powers of two, which are the bounds that matter most.
    let position = value.log2();
    if scale > 0 {
        (position * f64::from(1u32 << scale)).ceil() as i32 - 1
    } else {
        (position.ceil() as i32 - 1) >> -scale
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn upper_bound(index: i32, scale: i32) -> f64 {
        (f64::from(index + 1) * 2f64.powi(-scale)).exp2()
    }

    #[test]
    fn bounds_are_inclusive_above() {
        for (value, scale, index) in [(1.0, 0, -1), (2.0, 0, 0), (2.1, 0, 1), (4.0, 0, 1), (4.0, 1, 3), (4.0, -1, 0)] {
            assert_eq!(bucket_index(value, scale), index, "{value} at {scale}");
        }
    }

    #[test]
    fn the_least_and_the_greatest_float_fit() {
        let mut histogram = Exponential::new(160, MAX_SCALE);
        for value in [f64::MIN_POSITIVE, f64::MAX, -f64::MAX, 0.0] {
            histogram.record(value);
        }
        assert_eq!(histogram.point.count, 4);
        assert!(histogram.point.positive.counts.len() <= 160);
    }

    proptest! {
        #[test]
        fn every_value_is_in_its_bucket(values in proptest::collection::vec(1e-9..1e9f64, 1..300), max_size in 4usize..200) {
            let mut histogram = Exponential::new(max_size, MAX_SCALE);
            values.iter().for_each(|value| histogram.record(*value));
            let point = &histogram.point;
            prop_assert!(point.positive.counts.len() <= max_size);
            prop_assert_eq!(point.positive.counts.iter().sum::<u64>(), values.len() as u64);
            // How many values lie at or below each bound, by the histogram and by counting.
            let mut seen = 0;
            for (position, count) in point.positive.counts.iter().enumerate() {
                seen += count;
                let bound = upper_bound(point.positive.offset + position as i32, point.scale);
                let below = values.iter().filter(|value| **value <= bound * (1.0 + 1e-9)).count() as u64;
                let surely = values.iter().filter(|value| **value <= bound * (1.0 - 1e-9)).count() as u64;
                prop_assert!((surely..=below).contains(&seen), "{seen} not in {surely}..={below}");
            }
        }
    }
}
