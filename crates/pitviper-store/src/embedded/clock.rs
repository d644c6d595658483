//! What time it is, and whether to believe it.
//!
//! Only upkeep asks: how old data is decides whether it goes and how wide buckets of metrics are. The
//! machine's clock may be wrong for a while, after a start without a battery or when somebody sets it,
//! and senders' clocks may be wrong for ever. Data that is gone does not come back when the clock
//! does, so age lets nothing go for a while after the clock leapt ahead.

use std::fmt::Debug;
use std::time::{Duration, Instant, SystemTime};

/// The clock is believed to have leapt when it gained this much on the time that really went by.
const LEAP: Duration = Duration::from_secs(3_600);
/// How long it then has to run evenly before it is believed: time servers put a clock right sooner.
const PROBATION: Duration = Duration::from_secs(3_600);

/// Where the store takes the time from.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The time of day, in nanoseconds since the Unix epoch. May leap, both ways.
    fn wall_ns(&self) -> i64;
    /// How long ago something in the past was, the same thing every time. Never runs backwards.
    fn steady(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn wall_ns(&self) -> i64 {
        SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX))
    }

    fn steady(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Notices when the time of day leaps ahead.
#[derive(Debug, Default)]
pub(super) struct LeapWatch {
    last: Option<(i64, Duration)>,
    believed_from: Duration,
}

impl LeapWatch {
    /// Takes note of the time. False while a leap ahead is not long enough ago.
    pub(super) fn is_believed(&mut self, clock: &dyn Clock) -> bool {
        let (wall_ns, steady) = (clock.wall_ns(), clock.steady());
        if let Some((last_wall_ns, last_steady)) = self.last {
            let gained = i128::from(wall_ns) - i128::from(last_wall_ns);
            let went_by = steady.saturating_sub(last_steady) + LEAP;
            if gained > i128::try_from(went_by.as_nanos()).unwrap_or(i128::MAX) {
                tracing::warn!(
                    "the clock leapt ahead; nothing is let go because of its age until it ran evenly for an hour"
                );
                self.believed_from = steady + PROBATION;
            }
        }
        self.last = Some((wall_ns, steady));
        steady >= self.believed_from
    }
}
