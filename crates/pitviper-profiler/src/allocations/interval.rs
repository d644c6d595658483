//! How far samples lie apart, so that taking them costs no more than it may.
//!
//! A sample costs some microseconds, and how many there are follows from how much the program asks for: one that makes
//! arrays of a gigabyte a second has thousands. So where that goes on for some seconds, their mean distance grows until
//! there are as many as may be. Each sample counts for what it stands for at the distance that held when its gap was
//! drawn, so sums stay true.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::countdown;

/// How many times wider apart samples may lie than they are to.
const WIDEST: f64 = 16.0;
/// Over how long their number is averaged, in seconds.
const AVERAGED_S: f64 = 3.0;

/// Bytes between two samples as they are to be, and now; how many samples a second there may be, zero for any number; and
/// how many there would be if they lay as they are to. All as bits of an `f64`.
static WANTED: AtomicU64 = AtomicU64::new(0);
static CURRENT: AtomicU64 = AtomicU64::new(0);
static MOST_HZ: AtomicU64 = AtomicU64::new(0);
static WOULD_BE_HZ: AtomicU64 = AtomicU64::new(0);
/// Samples since it was looked at last.
static SAMPLES: AtomicU64 = AtomicU64::new(0);

/// Begins with these settings.
pub(super) fn set(bytes: f64, most_hz: f64) {
    for (bits, value) in [(&WANTED, bytes), (&CURRENT, bytes), (&MOST_HZ, most_hz), (&WOULD_BE_HZ, 0.0)] {
        bits.store(value.to_bits(), Ordering::Relaxed);
    }
    SAMPLES.store(0, Ordering::Relaxed);
    countdown::set_interval(bytes);
}

/// How many bytes there are between two samples now, on average.
pub(super) fn current() -> f64 {
    of(&CURRENT)
}

/// Counts a sample.
pub(super) fn count() {
    SAMPLES.fetch_add(1, Ordering::Relaxed);
}

/// Sets how far apart samples lie from now on, after so much time.
pub(super) fn adapt(elapsed: Duration) {
    let samples = SAMPLES.swap(0, Ordering::Relaxed);
    let before = Load { wanted: of(&WANTED), most_hz: of(&MOST_HZ), would_be_hz: of(&WOULD_BE_HZ) };
    if before.most_hz <= 0.0 || before.wanted <= 0.0 {
        return;
    }
    let load = before.after(samples, current(), elapsed);
    WOULD_BE_HZ.store(load.would_be_hz.to_bits(), Ordering::Relaxed);
    CURRENT.store(load.affordable().to_bits(), Ordering::Relaxed);
    countdown::change_interval(load.affordable());
}

fn of(bits: &AtomicU64) -> f64 {
    f64::from_bits(bits.load(Ordering::Relaxed))
}

/// How many samples there would be, and may be.
#[derive(Debug, Clone, Copy)]
struct Load {
    wanted: f64,
    most_hz: f64,
    would_be_hz: f64,
}

impl Load {
    /// The same after more samples, `current` bytes apart, within so much time.
    fn after(self, samples: u64, current: f64, elapsed: Duration) -> Self {
        let seconds = elapsed.as_secs_f64();
        let kept = (-seconds / AVERAGED_S).exp();
        let now_hz = samples as f64 / seconds * current / self.wanted;
        let would_be_hz = self.would_be_hz * kept + now_hz * (1.0 - kept);
        Self { would_be_hz: would_be_hz.min(self.most_hz * WIDEST), ..self }
    }

    /// How many bytes there can be between two samples.
    fn affordable(self) -> f64 {
        self.wanted * (self.would_be_hz / self.most_hz).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_lie_as_far_apart_as_they_may_cost() {
        let mut load = Load { wanted: 1_000.0, most_hz: 250.0, would_be_hz: 0.0 };
        // Half a second in which there would be so many.
        let mut after = |samples: f64| {
            let current = load.affordable();
            load = load.after((samples * 1_000.0 / current) as u64, current, Duration::from_millis(500));
            load.affordable()
        };
        assert_eq!(after(100.0), 1_000.0);
        // A thousand a second, for a moment and for long.
        assert_eq!(after(500.0), 1_000.0);
        let long = (0..40).map(|_| after(500.0)).last().expect("there are some");
        assert!((long / 4_000.0 - 1.0).abs() < 0.02, "{long}");
        // There is a bound, from which it is not far back.
        assert!((0..40).all(|_| after(1e9) <= 16_000.0));
        assert_eq!(after(1e9), 16_000.0);
        assert!((0..20).any(|_| after(0.0) == 1_000.0));
    }
}
