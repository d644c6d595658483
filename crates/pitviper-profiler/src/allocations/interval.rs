//! How far samples lie apart, so that taking them costs no more than it may.
//!
//! A sample costs some microseconds, and how many there are follows from how much the program asks for: one that makes
//! arrays of a gigabyte a second has thousands. So their mean distance grows until there are as many as may be. Each
//! sample counts for what it stands for at the distance that held when its gap was drawn, so sums stay true.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::countdown;

/// How many times wider apart samples may lie than they are to.
const WIDEST: f64 = 16.0;

/// Bytes between two samples as they are to be, and now; and how many samples a second there may be, zero for any
/// number. All as bits of an `f64`.
static WANTED: AtomicU64 = AtomicU64::new(0);
static CURRENT: AtomicU64 = AtomicU64::new(0);
static MOST_HZ: AtomicU64 = AtomicU64::new(0);
/// Samples since it was looked at last.
static SAMPLES: AtomicU64 = AtomicU64::new(0);

/// Begins with these settings.
pub(super) fn set(bytes: f64, most_hz: f64) {
    WANTED.store(bytes.to_bits(), Ordering::Relaxed);
    CURRENT.store(bytes.to_bits(), Ordering::Relaxed);
    MOST_HZ.store(most_hz.to_bits(), Ordering::Relaxed);
    SAMPLES.store(0, Ordering::Relaxed);
    countdown::set_interval(bytes);
}

/// How many bytes there are between two samples now, on average.
pub(super) fn current() -> f64 {
    f64::from_bits(CURRENT.load(Ordering::Relaxed))
}

/// Counts a sample.
pub(super) fn count() {
    SAMPLES.fetch_add(1, Ordering::Relaxed);
}

/// Sets how far apart samples lie from now on, after so much time.
pub(super) fn adapt(elapsed: Duration) {
    let rate_hz = SAMPLES.swap(0, Ordering::Relaxed) as f64 / elapsed.as_secs_f64();
    let [wanted, most_hz] = [&WANTED, &MOST_HZ].map(|bits| f64::from_bits(bits.load(Ordering::Relaxed)));
    let bytes = affordable(wanted, current(), rate_hz, most_hz);
    if bytes != current() {
        CURRENT.store(bytes.to_bits(), Ordering::Relaxed);
        countdown::change_interval(bytes);
    }
}

/// How far apart samples can lie if there were so many a second where they lay `current` bytes apart.
fn affordable(wanted: f64, current: f64, rate_hz: f64, most_hz: f64) -> f64 {
    if most_hz <= 0.0 {
        return wanted;
    }
    (current * rate_hz / most_hz).clamp(wanted, wanted * WIDEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_lie_as_far_apart_as_they_may_cost() {
        assert_eq!(affordable(1_000.0, 1_000.0, 100.0, 250.0), 1_000.0);
        assert_eq!(affordable(1_000.0, 1_000.0, 1_000.0, 250.0), 4_000.0);
        assert_eq!(affordable(1_000.0, 4_000.0, 250.0, 250.0), 4_000.0);
        assert_eq!(affordable(1_000.0, 4_000.0, 10.0, 250.0), 1_000.0);
        assert_eq!(affordable(1_000.0, 4_000.0, 1e6, 250.0), 16_000.0);
        assert_eq!(affordable(1_000.0, 1_000.0, 1e6, 0.0), 1_000.0);
    }
}
