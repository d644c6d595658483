//! Random ids: xoshiro256++ per thread, seeded from the system, and seeded anew in a forked child.
//!
//! Ids need to be unique, not secret. Source: Blackman and Vigna, "Scrambled linear pseudorandom
//! number generators", 2021. 256 bits of state, because a 64-bit generator would repeat whole
//! sequences across a fleet.

use std::cell::Cell;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use pitviper_model::{SpanId, TraceId};

/// Counts forks; a generator of an older generation must not go on.
static GENERATION: AtomicU64 = AtomicU64::new(1);

/// Which process of a line of forks this is.
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// To be called in a forked child.
pub(crate) fn next_generation() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

#[derive(Clone, Copy)]
struct Generator {
    /// The generation it was seeded in; zero for never.
    generation: u64,
    state: [u64; 4],
}

thread_local! {
    static GENERATOR: Cell<Generator> = const { Cell::new(Generator { generation: 0, state: [0; 4] }) };
}

fn seed() -> [u64; 4] {
    let mut bytes = [0; 32];
    let read = File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes));
    let mut state = [0; 4];
    for (word, chunk) in state.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes(chunk.try_into().expect("chunks are eight bytes"));
    }
    if read.is_err() {
        // A sandbox without devices: the standard library's own random keys, and what differs
        // between a parent and its fork.
        let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_nanos());
        for word in &mut state {
            *word = RandomState::new().hash_one((now, std::process::id()));
        }
    }
    state
}

fn next_u64(state: &mut [u64; 4]) -> u64 {
    let result = state[0].wrapping_add(state[3]).rotate_left(23).wrapping_add(state[0]);
    let shifted = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = state[3].rotate_left(45);
    result
}

fn with_state<T>(draw: impl FnOnce(&mut [u64; 4]) -> T) -> T {
    GENERATOR.with(|cell| {
        let mut generator = cell.get();
        if generator.generation != generation() {
            generator = Generator { generation: generation(), state: seed() };
        }
        let drawn = draw(&mut generator.state);
        cell.set(generator);
        drawn
    })
}

fn nonzero(state: &mut [u64; 4]) -> u64 {
    loop {
        let drawn = next_u64(state);
        if drawn != 0 {
            return drawn;
        }
    }
}

/// A new span id.
#[must_use]
pub fn span_id() -> SpanId {
    SpanId(with_state(nonzero).to_be_bytes())
}

/// A new trace id. All of its bits are random, as W3C's random-trace-id flag promises.
#[must_use]
pub fn trace_id() -> TraceId {
    with_state(|state| {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&nonzero(state).to_be_bytes());
        bytes[8..].copy_from_slice(&nonzero(state).to_be_bytes());
        TraceId(bytes)
    })
}

/// A random number for jitter and instance ids.
pub(crate) fn random_u64() -> u64 {
    with_state(next_u64)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_do_not_repeat_across_threads() {
        let threads: Vec<_> =
            (0..4).map(|_| std::thread::spawn(|| (0..1_000).map(|_| span_id()).collect::<Vec<_>>())).collect();
        let ids: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 4_000);
        assert!(ids.iter().all(|id| id.is_valid()));
    }

    #[test]
    fn matches_the_published_generator() {
        // First outputs of the reference implementation from the state 1, 2, 3, 4.
        let mut state = [1, 2, 3, 4];
        assert_eq!(next_u64(&mut state), 41_943_041);
        assert_eq!(next_u64(&mut state), 58_720_359);
    }
}
