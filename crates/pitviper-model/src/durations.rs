//! How long something takes, counted by anybody at any time without a lock.
//!
//! For the server's own figures. Telemetry has [`ExpHistogram`](crate::ExpHistogram), which is exact to a
//! percent; this one has few fixed buckets, so that a scrape can show all of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Upper bounds of the buckets, in nanoseconds. What is longer is only in the count.
pub const DURATION_BOUNDS_NS: [u64; 12] = [
    100_000,
    500_000,
    1_000_000,
    5_000_000,
    10_000_000,
    50_000_000,
    100_000_000,
    500_000_000,
    1_000_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
];

/// Durations as they happen.
#[derive(Debug, Default)]
pub struct Durations {
    buckets: [AtomicU64; DURATION_BOUNDS_NS.len()],
    count: AtomicU64,
    sum_ns: AtomicU64,
}

/// What [`Durations`] held at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DurationCounts {
    /// How many were at most as long as each bound and longer than the one before.
    pub buckets: [u64; DURATION_BOUNDS_NS.len()],
    /// How many there were.
    pub count: u64,
    /// Their sum, in nanoseconds.
    pub sum_ns: u64,
}

impl Durations {
    /// Counts one.
    pub fn record(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get(DURATION_BOUNDS_NS.partition_point(|bound| *bound < nanos)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_ns.fetch_add(nanos, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the time since then.
    pub fn record_since(&self, began: Instant) {
        self.record(began.elapsed());
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> DurationCounts {
        let buckets = std::array::from_fn(|at| self.buckets[at].load(Ordering::Relaxed));
        // One that is being counted right now is in its bucket first; the count never falls behind.
        let count = self.count.load(Ordering::Relaxed).max(buckets.iter().sum());
        DurationCounts { buckets, count, sum_ns: self.sum_ns.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_in_the_bucket_that_bounds_it() {
        let durations = Durations::default();
        for nanos in [0, 100_000, 100_001, 30_000_000_000, 30_000_000_001] {
            durations.record(Duration::from_nanos(nanos));
        }
        let counts = durations.counts();
        assert_eq!((counts.count, counts.sum_ns), (5, 60_000_200_002));
        assert_eq!((counts.buckets[0], counts.buckets[1], counts.buckets[11]), (2, 1, 1));
        assert_eq!(counts.buckets.iter().sum::<u64>(), 4);
    }
}
