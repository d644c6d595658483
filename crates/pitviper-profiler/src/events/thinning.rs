//! Keeping some of what happens often, so that what is kept adds up to all of it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::random::Random;

/// Keeps long times as they are and short ones rarely: one of a tenth of `whole_ns` is kept with a probability of a
/// tenth, and then counts as `whole_ns`. What a time counts for if it is kept.
pub(crate) fn by_length(length_ns: u64, whole_ns: u64) -> Option<u64> {
    if length_ns >= whole_ns {
        return Some(length_ns);
    }
    (random() * whole_ns as f64 <= length_ns as f64 && length_ns > 0).then_some(whole_ns)
}

/// How many events are kept one by one in each [`PERIOD_NS`]; of those that follow half as many as before whenever
/// that many more were kept.
const KEPT_A_PERIOD: u64 = 100;
const PERIOD_NS: u64 = 1_000_000_000;

/// Which of many events are kept, at random: all while they are rare. Threads that do the same at the same time
/// may do it once; that is too rare to matter.
#[derive(Debug)]
pub(crate) struct Thinning {
    /// Events so far.
    seen: AtomicU64,
    /// The event to be kept next, and what that one counts for.
    next: AtomicU64,
    weight: AtomicU64,
    /// Of the period under way: how long it is, the events before it, and those that were kept.
    elapsed_ns: AtomicU64,
    seen_before: AtomicU64,
    kept: AtomicU64,
}

impl Thinning {
    pub(crate) const fn new() -> Self {
        Self {
            seen: AtomicU64::new(0),
            next: AtomicU64::new(1),
            weight: AtomicU64::new(1),
            elapsed_ns: AtomicU64::new(0),
            seen_before: AtomicU64::new(0),
            kept: AtomicU64::new(0),
        }
    }

    /// Forgets all events.
    pub(crate) fn clear(&self) {
        for number in [&self.seen, &self.elapsed_ns, &self.seen_before, &self.kept] {
            set(number, 0);
        }
        set(&self.next, 1);
        set(&self.weight, 1);
    }

    /// Counts an event; whether it is to be looked at, and then [`Self::choose`] called.
    #[inline]
    pub(crate) fn count(&self) -> bool {
        let seen = get(&self.seen) + 1;
        set(&self.seen, seen);
        seen >= get(&self.next)
    }

    /// What the event counts for that is looked at; chooses the next one. `is_kept` is whether it turned out to be
    /// one that is wanted.
    pub(crate) fn choose(&self, is_kept: bool) -> u64 {
        let weight = get(&self.weight);
        let kept = get(&self.kept) + u64::from(is_kept);
        set(&self.kept, kept);
        let is_enough = is_kept && kept.is_multiple_of(KEPT_A_PERIOD);
        self.draw(if is_enough { weight.saturating_mul(2) } else { weight });
        weight
    }

    /// Says how much time went by. Begins a new period when it is time, in which as many are kept as the number of
    /// events in the last one suggests.
    pub(crate) fn keep_up(&self, passed_ns: u64) {
        let elapsed_ns = get(&self.elapsed_ns).saturating_add(passed_ns);
        set(&self.elapsed_ns, elapsed_ns);
        if elapsed_ns < PERIOD_NS {
            return;
        }
        let seen = get(&self.seen);
        let rate = seen.saturating_sub(get(&self.seen_before)) as f64 / elapsed_ns as f64;
        set(&self.elapsed_ns, 0);
        set(&self.seen_before, seen);
        set(&self.kept, 0);
        let weight = (rate * PERIOD_NS as f64 / KEPT_A_PERIOD as f64).floor().max(1.0) as u64;
        if weight != get(&self.weight) {
            // Which one is next was drawn without a look at what happens, so it may be drawn anew.
            self.draw(weight);
        }
    }

    fn draw(&self, weight: u64) {
        set(&self.weight, weight);
        set(&self.next, get(&self.seen).saturating_add(gap(weight, random())));
    }
}

fn get(number: &AtomicU64) -> u64 {
    number.load(Ordering::Relaxed)
}

fn set(number: &AtomicU64, value: u64) {
    number.store(value, Ordering::Relaxed);
}

/// How many events further the next one is if each is kept with a probability of one in `weight`.
fn gap(weight: u64, random: f64) -> u64 {
    if weight <= 1 {
        return 1;
    }
    let passed_over = (1.0 - random).ln() / (1.0 - 1.0 / weight as f64).ln();
    1 + passed_over.floor().min(1e15) as u64
}

/// A number from 0 to below 1. Threads that ask at the same time may get the same one.
fn random() -> f64 {
    static STATE: AtomicU64 = AtomicU64::new(0);
    let mut random = Random::from_state(STATE.load(Ordering::Relaxed));
    let share = random.share();
    STATE.store(random.state(), Ordering::Relaxed);
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_add_up() {
        let total = |length| (0..200_000).filter_map(|_| by_length(length, 1_000)).sum::<u64>() as f64 / 200_000.0;
        assert_eq!(total(1_000), 1_000.0);
        assert_eq!(total(5_000), 5_000.0);
        assert_eq!(total(0), 0.0);
        assert!((total(100) - 100.0).abs() < 5.0, "{}", total(100));
    }

    fn kept(thinning: &Thinning, events: u64) -> (u64, u64) {
        let mut kept = (0, 0);
        for _ in 0..events {
            if thinning.count() {
                kept = (kept.0 + 1, kept.1 + thinning.choose(true));
            }
        }
        kept
    }

    #[test]
    fn few_events_are_all_kept_and_many_add_up() {
        assert_eq!(kept(&Thinning::new(), 100), (100, 100));
        let (kept, counted) = kept(&Thinning::new(), 1_000_000);
        assert!(kept < 2_000, "{kept}");
        assert!((counted as f64 / 1e6 - 1.0).abs() < 0.3, "{counted}");
    }

    #[test]
    fn as_many_are_kept_as_were_there_the_period_before() {
        let thinning = Thinning::new();
        kept(&thinning, 100_000);
        thinning.keep_up(PERIOD_NS);
        assert_eq!(get(&thinning.weight), 1_000);
        let (some, counted) = kept(&thinning, 50_000);
        assert!((20..100).contains(&some) && counted == some * 1_000, "{some}");
        thinning.keep_up(PERIOD_NS - 1);
        assert_eq!(get(&thinning.weight), 1_000);
        thinning.keep_up(1_000 * PERIOD_NS);
        assert_eq!(kept(&thinning, 50), (50, 50));
        kept(&thinning, 100_000);
        thinning.clear();
        assert_eq!(kept(&thinning, 100), (100, 100));
    }

    #[test]
    fn what_is_not_wanted_takes_no_place() {
        let thinning = Thinning::new();
        for _ in 0..10_000 {
            assert!(thinning.count());
            assert_eq!(thinning.choose(false), 1);
        }
    }

    #[test]
    fn gaps_are_as_wide_as_they_should_be_on_average() {
        assert_eq!(gap(1, 0.9), 1);
        let mean = (0..100_000).map(|_| gap(50, random())).sum::<u64>() as f64 / 100_000.0;
        assert!((mean - 50.0).abs() < 1.0, "{mean}");
    }
}
