//! Remembers for a short time what was counted, so that typing a term costs one sample.

use std::sync::{Arc, Mutex, PoisonError};

use pitviper_store::TimeRange;

use crate::views::facets::Counts;

/// Most samples that are remembered.
const MAX_ENTRIES: usize = 64;

/// Most memory of all that is remembered, in bytes.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// For how long a sample is remembered, in microseconds.
const MAX_AGE_US: u64 = 30_000_000;

/// What was counted lately, by condition and time range. Shared by all that complete queries of one
/// store; of what is remembered too much, that goes first which was not asked for the longest.
#[derive(Debug, Default)]
pub struct FacetCache(Mutex<Vec<Entry>>);

/// One sample; the one asked for last stands last.
#[derive(Debug)]
struct Entry {
    condition: String,
    range: TimeRange,
    counted_at_us: i64,
    counts: Arc<Counts>,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.condition.len() + self.counts.bytes()
    }

    fn is_fresh(&self, now_us: i64) -> bool {
        now_us.abs_diff(self.counted_at_us) < MAX_AGE_US
    }
}

impl FacetCache {
    /// What was counted of a condition, when that was not long ago.
    pub(super) fn get(&self, condition: &str, range: TimeRange, now_us: i64) -> Option<Arc<Counts>> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|entry| entry.is_fresh(now_us));
        let at = entries.iter().position(|entry| entry.range == range && entry.condition == condition)?;
        let entry = entries.remove(at);
        let counts = Arc::clone(&entry.counts);
        entries.push(entry);
        Some(counts)
    }

    /// Remembers what was counted.
    pub(super) fn put(&self, condition: String, range: TimeRange, now_us: i64, counts: &Arc<Counts>) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|entry| entry.range != range || entry.condition != condition);
        entries.push(Entry { condition, range, counted_at_us: now_us, counts: Arc::clone(counts) });
        let mut bytes: usize = entries.iter().map(Entry::bytes).sum();
        while entries.len() > MAX_ENTRIES || bytes > MAX_BYTES {
            bytes -= entries.remove(0).bytes();
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: TimeRange = TimeRange { start_ns: 0, end_ns: 60 };

    #[test]
    fn what_was_counted_is_remembered_for_a_while() {
        let cache = FacetCache::default();
        let counts = Arc::new(Counts { sample: 7, ..Counts::default() });
        cache.put("a".into(), RANGE, 0, &counts);
        assert_eq!(cache.get("a", RANGE, 29_999_999).unwrap().sample, 7);
        assert!(cache.get("b", RANGE, 0).is_none());
        assert!(cache.get("a", TimeRange { end_ns: 61, ..RANGE }, 0).is_none());
        assert!(cache.get("a", RANGE, 30_000_000).is_none());
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn the_least_asked_for_goes_first() {
        let cache = FacetCache::default();
        for number in 0..MAX_ENTRIES {
            cache.put(number.to_string(), RANGE, 0, &Arc::default());
        }
        assert!(cache.get("0", RANGE, 0).is_some());
        cache.put("new".into(), RANGE, 0, &Arc::default());
        assert_eq!(cache.len(), MAX_ENTRIES);
        assert!(cache.get("0", RANGE, 0).is_some() && cache.get("1", RANGE, 0).is_none());
        // Memory counts too.
        cache.put("x".repeat(MAX_BYTES - 1_000), RANGE, 0, &Arc::default());
        assert!(cache.len() < MAX_ENTRIES);
        cache.put("y".repeat(MAX_BYTES + 1), RANGE, 0, &Arc::default());
        assert_eq!(cache.len(), 0);
    }
}
