//! When the next round is: at no fixed beat, and less often when rounds cost more than they may.

use std::time::{Duration, Instant};

use crate::task::own_cpu_ns;

/// The lowest rate that the budget can lead to.
const LOWEST_RATE_HZ: f64 = 5.0;
/// How often the cost is held against the budget.
const PERIOD: Duration = Duration::from_secs(1);

/// The rate of the thread that samples.
#[derive(Debug)]
pub(crate) struct Pace {
    pub(crate) rate_hz: f64,
    /// CPU time of the thread so far.
    pub(crate) own_cpu_ns: u64,
    random: u64,
    since: Instant,
    rounds: u64,
    spent_ns: u64,
}

impl Pace {
    pub(crate) fn new(rate_hz: f64) -> Self {
        let random = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(1, |elapsed| elapsed.as_nanos() as u64) | 1;
        Self { rate_hz, own_cpu_ns: 0, random, since: Instant::now(), rounds: 0, spent_ns: own_cpu_ns() }
    }

    /// Counts a round. At times sets the rate: as wanted, or as much as the budget allows, a share of one
    /// processor.
    pub(crate) fn count(&mut self, wanted_hz: f64, budget: f64) {
        self.own_cpu_ns = own_cpu_ns();
        self.rounds += 1;
        let elapsed = self.since.elapsed();
        if elapsed < PERIOD {
            self.rate_hz = self.rate_hz.min(wanted_hz);
            return;
        }
        let each = (self.own_cpu_ns - self.spent_ns) as f64 / self.rounds as f64 / 1e9;
        self.rate_hz = affordable(wanted_hz, budget, each);
        (self.since, self.rounds, self.spent_ns) = (Instant::now(), 0, self.own_cpu_ns);
    }

    /// How long until the next round. Half as long to one and a half times as long as the rate says: what
    /// the application or the interpreter does at a beat must not always, or never, be met.
    pub(crate) fn pause(&mut self) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let share = (self.random >> 11) as f64 / (1_u64 << 53) as f64;
        Duration::from_secs_f64((0.5 + share) / self.rate_hz)
    }
}

/// The rate at which rounds of this many seconds each take no more than their share.
fn affordable(wanted_hz: f64, budget: f64, each_seconds: f64) -> f64 {
    if each_seconds <= 0.0 {
        return wanted_hz;
    }
    (budget / each_seconds).clamp(LOWEST_RATE_HZ.min(wanted_hz), wanted_hz)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_as_often_as_they_may_cost() {
        assert_eq!(affordable(100.0, 0.01, 0.000_01), 100.0);
        assert_eq!(affordable(100.0, 0.01, 0.000_2), 50.0);
        assert_eq!(affordable(100.0, 0.01, 1.0), LOWEST_RATE_HZ);
        assert_eq!(affordable(2.0, 0.01, 1.0), 2.0);
    }

    #[test]
    fn pauses_lie_around_the_period() {
        let mut pace = Pace::new(100.0);
        let pauses: Vec<f64> = (0..2_000).map(|_| pace.pause().as_secs_f64()).collect();
        assert!(pauses.iter().all(|pause| (0.005..=0.015).contains(pause)));
        let mean = pauses.iter().sum::<f64>() / pauses.len() as f64;
        assert!((mean - 0.01).abs() < 0.000_5, "{mean}");
    }
}
