//! Adds metrics of one key up, into wider buckets the older they are.
//!
//! Nobody looks at last month in steps of ten seconds, and a year of them would not be kept. A bucket
//! keeps its place: a wider one begins where its first narrow one did, at a multiple of its width.

use std::time::Duration;

use arrow::array::RecordBatch;
use rustc_hash::FxHashMap;

use crate::schema::{METRIC_BUCKET_NS, SpanMetricKey, SpanMetricsBuilder, read_span_metrics};
use crate::store::Red;

const MINUTE_NS: i64 = 60 * 1_000_000_000;
const HOUR_NS: i64 = 60 * MINUTE_NS;

/// From which age on metrics are kept in wider buckets than those of
/// [`METRIC_BUCKET_NS`](crate::schema::METRIC_BUCKET_NS).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollUp {
    /// Age from which a bucket is a minute wide.
    pub minutes_after: Duration,
    /// Age from which a bucket is an hour wide.
    pub hours_after: Duration,
}

impl Default for RollUp {
    /// Never: every bucket stays as narrow as it was written.
    fn default() -> Self {
        Self { minutes_after: Duration::MAX, hours_after: Duration::MAX }
    }
}

impl RollUp {
    /// How wide a bucket that begins then is by now, in nanoseconds.
    pub(super) fn width(&self, bucket_start_ns: i64, now_ns: i64) -> i64 {
        let age = now_ns.saturating_sub(bucket_start_ns).max(0).cast_unsigned();
        match Duration::from_nanos(age) {
            age if age >= self.hours_after => HOUR_NS,
            age if age >= self.minutes_after => MINUTE_NS,
            _ => METRIC_BUCKET_NS,
        }
    }
}

/// Adds up rows that come in the order (service, name, bucket) and hands them on in that order.
pub(super) struct Fold {
    /// The width of its buckets. All of a segment have the same, by the age of the latest, so that the
    /// store can say how wide they are; buckets of late spans stay narrow until then.
    width_ns: i64,
    /// What has the service, name and bucket of the last row.
    open: FxHashMap<SpanMetricKey, Red>,
    out: SpanMetricsBuilder,
}

impl Fold {
    pub(super) fn new(width_ns: i64) -> Self {
        Self { width_ns, open: FxHashMap::default(), out: SpanMetricsBuilder::new() }
    }

    /// Adds rows, and returns those that are complete.
    pub(super) fn add(&mut self, rows: &RecordBatch) -> RecordBatch {
        for (mut key, red) in read_span_metrics(rows) {
            // The first bucket of all time may not have room for its beginning.
            key.bucket_start_ns = key.bucket_start_ns.div_euclid(self.width_ns).saturating_mul(self.width_ns);
            if self.open.keys().next().is_some_and(|open| !is_same_group(open, &key)) {
                self.close();
            }
            self.open.entry(key).or_default().merge(&red);
        }
        self.take()
    }

    /// The rows that are left.
    pub(super) fn finish(mut self) -> RecordBatch {
        self.close();
        self.take()
    }

    fn close(&mut self) {
        for (key, red) in std::mem::take(&mut self.open) {
            self.out.append(&key, &red);
        }
    }

    fn take(&mut self) -> RecordBatch {
        std::mem::take(&mut self.out).finish()
    }
}

fn is_same_group(left: &SpanMetricKey, right: &SpanMetricKey) -> bool {
    left.bucket_start_ns == right.bucket_start_ns && left.name == right.name && left.service == right.service
}

#[cfg(test)]
mod tests {
    use pitviper_model::SpanKind;

    use super::*;

    const SECOND_NS: i64 = 1_000_000_000;

    fn rows(buckets: &[(&str, i64, u64)]) -> RecordBatch {
        let mut builder = SpanMetricsBuilder::new();
        for &(name, bucket_start_ns, hits) in buckets {
            let key = SpanMetricKey {
                bucket_start_ns,
                service: "s".to_owned(),
                environment: String::new(),
                version: String::new(),
                name: name.to_owned(),
                kind: SpanKind::Server,
                is_root: true,
                peer: String::new(),
            };
            let mut red = Red { hits, ..Red::default() };
            red.durations.record_many(1_000, hits);
            builder.append(&key, &red);
        }
        builder.finish()
    }

    fn read(batch: &RecordBatch) -> Vec<(String, i64, u64, u64)> {
        let rows = read_span_metrics(batch);
        rows.map(|(key, red)| (key.name, key.bucket_start_ns / SECOND_NS, red.hits, red.durations.count())).collect()
    }

    #[test]
    fn the_older_the_wider() {
        let roll_up = RollUp { minutes_after: Duration::from_secs(600), hours_after: Duration::from_secs(7_200) };
        let width = |age: i64| roll_up.width((10_000 - age) * SECOND_NS, 10_000 * SECOND_NS) / SECOND_NS;
        assert_eq!([-900, 0, 599, 600, 7_199, 7_200].map(width), [10, 10, 10, 60, 60, 3_600]);
    }

    #[test]
    fn buckets_widen_and_nothing_is_lost() {
        let input: Vec<_> = [0, 10, 50, 60, 110, 3_600].map(|second| ("a", second * SECOND_NS, 1)).into();
        let mut fold = Fold::new(MINUTE_NS);
        let mut found = read(&fold.add(&rows(&input[..2])));
        found.extend(read(&fold.add(&rows(&input[2..]))));
        found.extend(read(&fold.finish()));
        let expected = [(0, 3), (60, 2), (3_600, 1)];
        let expected: Vec<_> = expected.iter().map(|&(second, hits)| ("a".to_owned(), second, hits, hits)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn rows_of_one_key_are_added_up_across_batches() {
        let mut fold = Fold::new(METRIC_BUCKET_NS);
        assert_eq!(read(&fold.add(&rows(&[("a", 0, 1), ("a", 0, 2)]))), []);
        let next = fold.add(&rows(&[("a", 0, 4), ("b", 0, 8)]));
        assert_eq!(read(&next), [("a".to_owned(), 0, 7, 7)]);
        assert_eq!(read(&fold.finish()), [("b".to_owned(), 0, 8, 8)]);
    }
}
