//! When small blocks are looked at, so that looking costs no more than it may.
//!
//! A program can ask for ten million small blocks a second, and each costs the hooks a nanosecond or two. Where
//! that adds up, small blocks are looked at in some of the stretches of time between two rounds of the sampler, and
//! their hooks are not there in the others. Of every few stretches one is drawn, so each block is as likely
//! to be looked at as any other, and one that is sampled stands for as many times more. What is passed on to the raw
//! domain is always looked at.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{interval, places};
use crate::random::Random;

/// How many small blocks a second may be looked at. That is some 0.2 % of a processor.
const AFFORDABLE_HZ: f64 = 1e6;
/// One stretch of so many is looked at, at least.
const MOST: u32 = 8;
/// How often the number of blocks is held against what may be looked at.
const PERIOD: Duration = Duration::from_millis(500);

/// How many stretches the one stands for that is looked at.
static STANDS_FOR: AtomicU32 = AtomicU32::new(1);
/// How many small blocks there were so far, as far as samples tell.
static BLOCKS: AtomicU64 = AtomicU64::new(0);

/// How many times more a small block stands for that is sampled now.
pub(super) fn stands_for() -> u32 {
    STANDS_FOR.load(Ordering::Relaxed)
}

/// From now on a small block that is sampled stands for so many times more.
pub(super) fn stand_for(stretches: u32) {
    STANDS_FOR.store(stretches, Ordering::Relaxed);
}

/// Counts the small blocks that a sampled one stands for.
pub(super) fn count(blocks: f64) {
    BLOCKS.fetch_add(blocks as u64, Ordering::Relaxed);
}

/// The stretches of the thread that samples.
#[derive(Debug)]
pub(crate) struct Stretches {
    random: Random,
    /// One of so many is looked at: the one with the number that was drawn.
    of: u32,
    drawn: u32,
    number: u32,
    /// What `of` is to be.
    wanted: u32,
    since: Instant,
    blocks: u64,
}

impl Stretches {
    pub(crate) fn new() -> Self {
        let blocks = BLOCKS.load(Ordering::Relaxed);
        Self { random: Random::new(), of: 1, drawn: 0, number: 0, wanted: 1, since: Instant::now(), blocks }
    }

    /// A stretch is over. Of an `idle` process all are looked at: it costs nothing, and they are long.
    pub(crate) fn next(&mut self, is_idle: bool) {
        let elapsed = self.since.elapsed();
        if elapsed >= PERIOD {
            let blocks = BLOCKS.load(Ordering::Relaxed);
            let rate_hz = blocks.wrapping_sub(self.blocks) as f64 / elapsed.as_secs_f64();
            self.wanted = affordable(rate_hz);
            interval::adapt(elapsed);
            (self.since, self.blocks) = (Instant::now(), blocks);
        }
        if is_idle {
            self.wanted = 1;
        }
        let is_looked_at = self.step(is_idle);
        if self.of == 1 && stands_for() == 1 {
            return;
        }
        let is_possible = places::look_at_small(is_looked_at, self.of);
        if !is_possible {
            // Somebody else stands in front, or not the interpreter's own allocator behind.
            (self.of, self.number, self.wanted) = (1, 0, 1);
        }
    }

    /// Goes on to the next stretch, or at once to the first of another few; whether it is looked at.
    fn step(&mut self, at_once: bool) -> bool {
        self.number += 1;
        if self.number >= self.of || at_once {
            (self.of, self.number) = (self.wanted, 0);
            self.drawn = self.random.below(self.of as usize) as u32;
        }
        self.number == self.drawn
    }
}

/// One of how many stretches can be looked at when there are so many small blocks a second.
fn affordable(rate_hz: f64) -> u32 {
    ((rate_hz / AFFORDABLE_HZ).ceil() as u32).clamp(1, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_stretches_are_looked_at_as_may_cost() {
        let found = [0.0, 999_999.0, 1_000_001.0, 3_500_000.0, 1e9, f64::NAN].map(affordable);
        assert_eq!(found, [1, 1, 2, 4, MOST, 1]);
    }

    #[test]
    fn of_every_few_stretches_one_is_looked_at_and_each_as_likely() {
        let mut stretches = Stretches::new();
        assert!((0..10).all(|_| stretches.step(false)));
        stretches.wanted = 5;
        let mut by_number = [0; 5];
        for _ in 0..10_000 {
            let looked_at: Vec<usize> = (0..5).filter(|_| stretches.step(false)).collect();
            assert_eq!(looked_at.len(), 1);
            by_number[looked_at[0]] += 1;
        }
        // Five times the standard deviation of what has a likelihood of a fifth.
        assert!(by_number.iter().all(|times: &i32| times.abs_diff(2_000) < 200), "{by_number:?}");
        // Of an idle process all, from this one on, whatever was drawn.
        stretches.step(false);
        stretches.wanted = 1;
        assert!((0..10).all(|_| stretches.step(true)) && (0..10).all(|_| stretches.step(false)));
    }
}
