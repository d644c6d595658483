//! The one latency sketch of the house: a base-2 exponential histogram of scale 5.
//!
//! Bucket `i` holds values in `(2^(i/32), 2^((i+1)/32)]`, so a quantile is off by at most 1.1 %.
//! It is OpenTelemetry's `ExponentialHistogram` at a fixed scale: merging is adding counts, and
//! nothing is ever rescaled. Source: OpenTelemetry metrics data model, "Exponential buckets".

/// Buckets per doubling.
const BUCKETS_PER_DOUBLING: f64 = 32.0;

/// A mergeable distribution of positive integers (nanoseconds here).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExpHistogram {
    /// Bucket index and count, sorted by index, counts above zero.
    buckets: Vec<(i16, u64)>,
    /// Observations of zero, which no bucket can hold.
    zeros: u64,
}

impl ExpHistogram {
    /// The scale all histograms of the house share.
    pub const SCALE: i32 = 5;

    /// The bucket a positive value falls in.
    #[must_use]
    pub fn bucket_index(value: u64) -> i16 {
        Self::bucket_of(value as f64)
    }

    /// The bucket a positive number falls in, also one between whole numbers. The few numbers beyond
    /// the axis fall in its first or last bucket.
    #[must_use]
    pub fn bucket_of(value: f64) -> i16 {
        // Upper bounds are inclusive, hence ceil and minus one. The cast saturates.
        ((value.log2() * BUCKETS_PER_DOUBLING).ceil() - 1.0) as i16
    }

    /// The geometric middle of a bucket.
    #[must_use]
    pub fn bucket_middle(index: i16) -> f64 {
        value_at(f64::from(index) + 0.5)
    }

    /// The upper bound of a bucket, inclusive.
    #[must_use]
    pub fn bucket_upper_bound(index: i16) -> f64 {
        value_at(f64::from(index) + 1.0)
    }

    /// Rebuilds a histogram from stored buckets; they may come unsorted, and repeat.
    #[must_use]
    pub fn from_buckets(buckets: impl IntoIterator<Item = (i16, u64)>, zeros: u64) -> Self {
        let mut histogram = Self::default();
        histogram.add_buckets(buckets, zeros);
        histogram
    }

    /// Adds stored buckets; they may come unsorted, and repeat.
    pub fn add_buckets(&mut self, buckets: impl IntoIterator<Item = (i16, u64)>, zeros: u64) {
        self.zeros += zeros;
        for (index, count) in buckets {
            self.add(index, count);
        }
    }

    /// Counts one observation.
    pub fn record(&mut self, value: u64) {
        self.record_many(value, 1);
    }

    /// Counts `count` observations of the same value.
    pub fn record_many(&mut self, value: u64, count: u64) {
        if value == 0 {
            self.zeros += count;
        } else {
            self.add(Self::bucket_index(value), count);
        }
    }

    fn add(&mut self, index: i16, count: u64) {
        if count == 0 {
            return;
        }
        match self.buckets.binary_search_by_key(&index, |bucket| bucket.0) {
            Ok(at) => self.buckets[at].1 += count,
            Err(at) => self.buckets.insert(at, (index, count)),
        }
    }

    /// Adds all observations of another histogram.
    pub fn merge(&mut self, other: &Self) {
        self.zeros += other.zeros;
        for &(index, count) in &other.buckets {
            self.add(index, count);
        }
    }

    /// The filled buckets, sorted by index.
    #[must_use]
    pub fn buckets(&self) -> &[(i16, u64)] {
        &self.buckets
    }

    /// How many observations were zero.
    #[must_use]
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// How many observations there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.zeros + self.buckets.iter().map(|bucket| bucket.1).sum::<u64>()
    }

    /// The value below which the share `q` (0 to 1) of the observations lies, as the geometric
    /// middle of its bucket; `None` when there are no observations.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let total = self.count();
        if total == 0 {
            return None;
        }
        let rank = (q.clamp(0.0, 1.0) * total as f64).ceil().max(1.0) as u64;
        if rank <= self.zeros {
            return Some(0.0);
        }
        let mut seen = self.zeros;
        for &(index, count) in &self.buckets {
            seen += count;
            if seen >= rank {
                return Some(Self::bucket_middle(index));
            }
        }
        None
    }
}

/// The value at a position on the bucket axis: two to the power of `position / 32`.
fn value_at(position: f64) -> f64 {
    (position / BUCKETS_PER_DOUBLING).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_within_its_bucket() {
        for value in [1u64, 2, 3, 1000, 1024, 1025, 5_120_331_000, u64::MAX / 3, u64::MAX] {
            let index = ExpHistogram::bucket_index(value);
            let upper = ExpHistogram::bucket_upper_bound(index);
            let lower = ExpHistogram::bucket_upper_bound(index - 1);
            assert!(
                value as f64 <= upper * 1.000_001 && value as f64 > lower * 0.999_999,
                "{value} not in ({lower}, {upper}]"
            );
        }
    }

    #[test]
    fn quantiles_are_within_one_and_a_tenth_percent() {
        let mut histogram = ExpHistogram::default();
        for value in 1..=10_000u64 {
            histogram.record(value * 1_000);
        }
        for (q, exact) in [(0.5, 5_000_000.0), (0.95, 9_500_000.0), (0.99, 9_900_000.0)] {
            let estimate = histogram.quantile(q).unwrap();
            assert!((estimate / exact - 1.0f64).abs() < 0.011, "{q}: {estimate} is not {exact}");
        }
    }

    #[test]
    fn merging_equals_recording_together() {
        let (mut left, mut right, mut both) =
            (ExpHistogram::default(), ExpHistogram::default(), ExpHistogram::default());
        for value in [0, 5, 17, 17, 90_000] {
            left.record(value);
            both.record(value);
        }
        for value in [0, 0, 17, 4] {
            right.record(value);
            both.record(value);
        }
        left.merge(&right);
        assert_eq!(left, both);
        assert_eq!(left.count(), 9);
        assert_eq!(ExpHistogram::from_buckets(both.buckets().iter().rev().copied(), 3), both);
    }

    #[test]
    fn empty_has_no_quantile_and_zeros_count() {
        assert_eq!(ExpHistogram::default().quantile(0.5), None);
        let mut histogram = ExpHistogram::default();
        histogram.record(0);
        assert_eq!(histogram.quantile(0.99), Some(0.0));
    }
}
