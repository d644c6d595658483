//! Chance. What is sampled at a beat of its own always, or never, meets what the application does at one.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the first state of each source is made of.
static SEED: AtomicU64 = AtomicU64::new(0);
/// Whose multiples run through all numbers: no two sources begin alike.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// A source of random numbers: Marsaglia's xorshift with a multiplication (xorshift64*). One whose memory is zero has
/// not begun yet.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new() -> Self {
        Self(0)
    }

    /// A source that goes on where one with this state was.
    pub(crate) const fn from_state(state: u64) -> Self {
        Self(state)
    }

    pub(crate) const fn state(&self) -> u64 {
        self.0
    }

    /// A number from zero to below one.
    pub(crate) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number below another one; zero below zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    fn next(&mut self) -> u64 {
        if self.0 == 0 {
            // A process and its forked children have the same of everything but their numbers.
            let now = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_nanos() as u64);
            let process = u64::from(std::process::id());
            self.0 = mixed(now ^ process.rotate_left(32) ^ SEED.fetch_add(STEP, Ordering::Relaxed)).max(1);
        }
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

/// A number that differs in about half its bits when one bit of what it is made of does (the last steps of SplitMix64).
fn mixed(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spread_evenly() {
        let mut random = Random::new();
        let mut found = [[0_i32; 7]; 2];
        for _ in 0..70_000 {
            found[0][random.below(7)] += 1;
            found[1][(random.share() * 7.0) as usize] += 1;
        }
        // Five times the standard deviation of what has a likelihood of a seventh.
        assert!(found.iter().flatten().all(|times| times.abs_diff(10_000) < 463), "{found:?}");
        assert_eq!((random.below(0), random.below(1)), (0, 0));
    }

    #[test]
    fn sources_begin_apart_and_go_on_where_they_were() {
        let (mut one, mut other) = (Random::new(), Random::new());
        assert_ne!(one.next(), other.next());
        let mut again = Random::from_state(one.state());
        assert_eq!(again.next(), one.next());
    }
}
