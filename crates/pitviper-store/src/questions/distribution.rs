//! Numbers from which quantiles are taken: the numbers themselves while they are few, and the
//! exponential histogram of the house when they become many.

use pitviper_model::ExpHistogram;

/// A mergeable distribution of finite numbers of any sign.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Distribution {
    /// The numbers, in no order; `None` once they were put into buckets.
    values: Option<Vec<f64>>,
    /// Magnitudes of the numbers below zero.
    below: ExpHistogram,
    /// The zeros, and the numbers above.
    above: ExpHistogram,
}

impl Distribution {
    /// An empty one that keeps its numbers.
    #[must_use]
    pub fn exact() -> Self {
        Self { values: Some(Vec::new()), ..Self::default() }
    }

    /// One of nothing but buckets.
    #[must_use]
    pub fn from_histogram(above: ExpHistogram) -> Self {
        Self { values: None, below: ExpHistogram::default(), above }
    }

    /// Whether the numbers themselves are known.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.values.is_some()
    }

    /// How many numbers are kept one by one.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.values.as_ref().map_or(0, Vec::len)
    }

    /// How many numbers there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.values.as_ref().map_or(0, Vec::len) as u64 + self.below.count() + self.above.count()
    }

    /// The buckets of the numbers from zero on; empty while the numbers are kept.
    #[must_use]
    pub fn histogram(&self) -> &ExpHistogram {
        &self.above
    }

    /// Counts a number.
    pub fn record(&mut self, value: f64) {
        match &mut self.values {
            Some(values) => values.push(value),
            None => self.count_in(value),
        }
    }

    /// Puts the numbers into buckets: from here on quantiles are off by at most 1.1 %.
    pub fn blur(&mut self) {
        for value in self.values.take().unwrap_or_default() {
            self.count_in(value);
        }
    }

    fn count_in(&mut self, value: f64) {
        let side = if value < 0.0 { &mut self.below } else { &mut self.above };
        if value == 0.0 {
            side.add_buckets([], 1);
        } else {
            side.add_buckets([(ExpHistogram::bucket_of(value.abs()), 1)], 0);
        }
    }

    /// Adds all numbers of another. Both exact stay exact.
    pub fn merge(&mut self, other: &Self) {
        if let (Some(mine), Some(theirs)) = (&mut self.values, &other.values) {
            mine.extend_from_slice(theirs);
            return;
        }
        self.blur();
        for &value in other.values.iter().flatten() {
            self.count_in(value);
        }
        self.below.merge(&other.below);
        self.above.merge(&other.above);
    }

    /// The number at the share `q` (0 to 1) of all, counted from the lowest: the lowest number with at
    /// least that share of all at or below it. `None` when there are none.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = share_of(q, count);
        let Some(values) = &self.values else {
            return self
                .ascending()
                .scan(0, |seen, (value, count)| {
                    *seen += count;
                    Some((value, *seen))
                })
                .find(|(_, seen)| *seen >= rank)
                .map(|(value, _)| value);
        };
        let mut values = values.clone();
        let place = usize::try_from(rank - 1).unwrap_or(usize::MAX).min(values.len() - 1);
        let (_, value, _) = values.select_nth_unstable_by(place, f64::total_cmp);
        Some(*value)
    }

    /// The mean of the largest numbers: of the share (0 to 1) of all, at least of one.
    #[must_use]
    pub fn mean_of_largest(&self, share: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let wanted = share_of(share, count);
        if let Some(values) = &self.values {
            let mut values = values.clone();
            let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).min(values.len());
            values.sort_unstable_by(|left, right| right.total_cmp(left));
            return Some(values[..wanted].iter().sum::<f64>() / wanted as f64);
        }
        let mut left = wanted;
        let mut sum = 0.0;
        for (value, count) in self.ascending().collect::<Vec<_>>().into_iter().rev() {
            let taken = count.min(left);
            sum += value * taken as f64;
            left -= taken;
            if left == 0 {
                break;
            }
        }
        Some(sum / wanted as f64)
    }

    /// The middle of each bucket and what it counts, from the lowest.
    fn ascending(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let below =
            self.below.buckets().iter().rev().map(|&(index, count)| (-ExpHistogram::bucket_middle(index), count));
        let zeros = std::iter::once((0.0, self.above.zeros())).filter(|(_, count)| *count > 0);
        let above = self.above.buckets().iter().map(|&(index, count)| (ExpHistogram::bucket_middle(index), count));
        below.chain(zeros).chain(above)
    }
}

/// How many a share of so many is: rounded up, at least one. What is above a whole number by no more
/// than floats are inexact is that number: 99.9 % of a thousand is 999.
fn share_of(share: f64, count: u64) -> u64 {
    let exact = share.clamp(0.0, 1.0) * count as f64;
    (exact * (1.0 - 4.0 * f64::EPSILON)).ceil().max(1.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Distribution {
        let mut distribution = Distribution::exact();
        values.iter().for_each(|value| distribution.record(*value));
        distribution
    }

    #[test]
    fn kept_numbers_have_exact_quantiles() {
        let ten = of(&[7.0, 1.0, 10.0, 4.0, 2.0, 9.0, 3.0, 8.0, 5.0, 6.0]);
        assert_eq!(ten.quantile(0.5), Some(5.0));
        assert_eq!(ten.quantile(0.9), Some(9.0));
        assert_eq!(ten.quantile(0.91), Some(10.0));
        assert_eq!(ten.quantile(0.0), Some(1.0));
        assert_eq!(ten.mean_of_largest(0.1), Some(10.0));
        assert_eq!(ten.mean_of_largest(0.25), Some(9.0));
        let thousand = of(&(1..=1_000).map(f64::from).collect::<Vec<_>>());
        assert_eq!(thousand.quantile(99.9 / 100.0), Some(999.0));
        assert_eq!(of(&[]).quantile(0.5), None);
        assert_eq!(of(&[]).mean_of_largest(0.5), None);
    }

    #[test]
    fn buckets_are_near_the_numbers_whatever_their_sign_and_size() {
        let values = [-2_000.0, -0.001, 0.0, 0.000_5, 12.5, 12.5, 7e12];
        let exact = of(&values);
        let mut blurred = exact.clone();
        blurred.blur();
        assert!(!blurred.is_exact() && blurred.count() == 7);
        for q in [0.01, 0.2, 0.4, 0.5, 0.7, 0.99] {
            let (exact, near) = (exact.quantile(q).unwrap(), blurred.quantile(q).unwrap());
            assert!((exact - near).abs() <= exact.abs() * 0.011, "{q}: {exact} is not {near}");
        }
        let (exact, near) = (exact.mean_of_largest(0.3).unwrap(), blurred.mean_of_largest(0.3).unwrap());
        assert!((exact - near).abs() <= exact * 0.011, "{exact} is not {near}");
    }

    #[test]
    fn merging_keeps_numbers_only_when_both_have_them() {
        let (mut left, right) = (of(&[1.0, 2.0]), of(&[3.0]));
        left.merge(&right);
        assert_eq!(left.quantile(1.0), Some(3.0));
        let mut blurred = of(&[-5.0, 0.0]);
        blurred.blur();
        left.merge(&blurred);
        assert_eq!((left.is_exact(), left.count()), (false, 5));
        let mut all = of(&[1.0, 2.0, 3.0, -5.0, 0.0]);
        all.blur();
        assert_eq!(left, all);
        blurred.merge(&of(&[1.0, 2.0, 3.0]));
        assert_eq!(blurred, all);
    }
}
