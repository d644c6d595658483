//! When the next round is: at no fixed beat, less often when rounds cost more than they may, and seldom while nobody
//! does anything.

use std::time::{Duration, Instant};

use crate::random::Random;
use crate::task::own_cpu_ns;

/// The lowest rate that the budget can lead to.
const LOWEST_RATE_HZ: f64 = 5.0;
/// How much of the budget rounds may take; profiles have to be put together and sent, too.
const ROUNDS_SHARE: f64 = 0.9;
/// How often the cost is held against the budget.
const PERIOD: Duration = Duration::from_secs(1);

/// How long there is between two rounds while nobody does anything.
const DOZE: Duration = Duration::from_millis(100);
/// The share of a processor below which a process does nothing, if its threads also wait for work or have waited long.
const DOZING_LOAD: f64 = 0.01;
/// Over how long the load is averaged.
const LOAD_NS: f64 = 100e6;
/// What a process is taken for that was woken: it keeps the sampler awake for some 200 ms.
const WOKEN_LOAD: f64 = 0.1;

/// What a round found the process doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Activity {
    /// Since the round before.
    pub(crate) elapsed_ns: u64,
    /// CPU time of threads that run Python code.
    pub(crate) used_ns: u64,
    /// A thread runs, or began to wait lately, and not for work.
    pub(crate) is_wanted: bool,
}

/// The rate of the thread that samples.
#[derive(Debug)]
pub(crate) struct Pace {
    pub(crate) rate_hz: f64,
    /// CPU time of the thread so far.
    pub(crate) own_cpu_ns: u64,
    random: Random,
    since: Instant,
    rounds: u64,
    spent_ns: u64,
    load: f64,
    is_wanted: bool,
}

impl Pace {
    pub(crate) fn new(rate_hz: f64) -> Self {
        Self {
            rate_hz,
            own_cpu_ns: 0,
            random: Random::new(),
            since: Instant::now(),
            rounds: 0,
            spent_ns: own_cpu_ns(),
            load: 1.0,
            is_wanted: true,
        }
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

    /// Takes in what a round found.
    pub(crate) fn follow(&mut self, activity: Activity) {
        self.is_wanted = activity.is_wanted;
        if activity.elapsed_ns > 0 {
            let weight = (activity.elapsed_ns as f64 / LOAD_NS).min(1.0);
            let load = activity.used_ns as f64 / activity.elapsed_ns as f64;
            self.load += (load - self.load) * weight;
        }
    }

    /// Nobody does anything, so rounds are few until that changes.
    pub(crate) fn dozes(&self) -> bool {
        !self.is_wanted && self.load < DOZING_LOAD
    }

    /// Something begins.
    pub(crate) fn wake(&mut self) {
        self.load = self.load.max(WOKEN_LOAD);
    }

    /// How long until the next round. Half as long to one and a half times as long as the rate says: what
    /// the application or the interpreter does at a beat must not always, or never, be met.
    pub(crate) fn pause(&mut self) -> Duration {
        let period = 1.0 / self.rate_hz;
        let period = if self.dozes() { period.max(DOZE.as_secs_f64()) } else { period };
        Duration::from_secs_f64((0.5 + self.random.share()) * period)
    }
}

/// The rate at which rounds of this many seconds each take no more than their share of the budget.
fn affordable(wanted_hz: f64, budget: f64, each_seconds: f64) -> f64 {
    if each_seconds <= 0.0 {
        return wanted_hz;
    }
    (budget * ROUNDS_SHARE / each_seconds).clamp(LOWEST_RATE_HZ.min(wanted_hz), wanted_hz)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_as_often_as_they_may_cost() {
        assert_eq!(affordable(100.0, 0.01, 0.000_01), 100.0);
        assert_eq!(affordable(100.0, 0.01, 0.000_2), 45.0);
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

    #[test]
    fn rounds_are_few_while_nobody_does_anything() {
        const MS: u64 = 1_000_000;
        let mut pace = Pace::new(100.0);
        let rounds_until_dozing = |pace: &mut Pace, activity: Activity| {
            (1..=1_000).find(|_| {
                pace.follow(activity);
                pace.dozes()
            })
        };
        let idle = Activity { elapsed_ns: 10 * MS, used_ns: 0, is_wanted: false };
        assert_eq!(rounds_until_dozing(&mut pace, Activity { is_wanted: true, ..idle }), None);
        assert!(rounds_until_dozing(&mut pace, idle).is_some_and(|rounds| rounds < 100));
        assert!(pace.pause() >= DOZE / 2);
        // A loop that looks around now and then.
        pace.follow(Activity { used_ns: MS / 10, ..idle });
        assert!(pace.dozes());
        pace.follow(Activity { used_ns: 5 * MS, ..idle });
        assert!(!pace.dozes());
        assert!(rounds_until_dozing(&mut pace, idle).is_some());
        pace.wake();
        assert!(pace.pause() <= Duration::from_millis(15));
        let rounds = rounds_until_dozing(&mut pace, idle);
        assert!(rounds.is_some_and(|rounds| (10..40).contains(&rounds)), "{rounds:?}");
        // Who asks for few is not given more.
        let mut seldom = Pace::new(2.0);
        assert!(rounds_until_dozing(&mut seldom, Activity { elapsed_ns: 500 * MS, ..idle }).is_some());
        assert!(seldom.pause() >= Duration::from_millis(250));
    }
}
